"""A scenario as it is read: what there is, what happens when, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from idp_proxy.config.failover import read_failover, read_health
from idp_proxy.config.failover_shape import FailoverTable, HealthTable
from idp_proxy.config.findings import Findings
from idp_proxy.config.material import Reader
from idp_proxy.decision.switching import Mode
from tests.support.scenario.words import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from idp_proxy.config.failover_settings import FailoverSettings, HealthSettings
    from tests.support.scenario.conditions import Condition
    from tests.support.scenario.stage import Stage


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens `at` so many seconds."""

    at: float
    line: str
    act: Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Expectation:
    """`conditions` hold together at one moment between `start` and `end`; with `throughout` at
    every one of them; with `never` at none.
    """

    where: str
    line: str
    start: float
    end: float
    conditions: tuple[Condition, ...]
    throughout: bool = False
    never: bool = False


@dataclass(slots=True)
class Story:
    """A whole scenario. `before` has what was true when it begins."""

    path: Path
    about: str = ""
    names: Names = field(default_factory=Names)
    clock: datetime = datetime(2026, 3, 7, 1, 30, tzinfo=UTC)
    failover: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    rehearsed: dict[str, float | None] = field(default_factory=dict)
    mode: Mode = Mode.AUTO
    serving: str = ""
    seed: int = 1
    ends: float = 0.0
    events: list[Event] = field(default_factory=list)
    expectations: list[Expectation] = field(default_factory=list)

    def settings(self) -> tuple[FailoverSettings, HealthSettings]:
        """The numbers, judged as those of a configuration file are. Raises `ValueError`."""
        findings = Findings()
        reader = Reader(self.path.parent, {}, self.clock, findings)
        failover = read_failover(FailoverTable.model_validate(self.failover), reader)
        health = read_health(
            HealthTable.model_validate(self.health), failover.tick, reader, insecure_loopback=False
        )
        if findings.problems:
            raise ValueError("; ".join(findings.problems))
        return failover, health
