"""What a running proxy thinks and did, read as an administrator would: its store and its log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from idp_proxy import adapters
from idp_proxy.audit import log as audit
from idp_proxy.config import load
from idp_proxy.survey import Survey, survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.decision.health import Verdict
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.survey import Standards

#: What the audit calls a switch: the watch's and a person's, and a person's return.
_SWITCHES = ("switch", "failback")
#: Who acts, in the audit, when it is no person.
_WATCH = "watch:"


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch as the audit has it. `at` is the store's clock."""

    at: datetime
    actor: str
    origin: str
    target: str
    cause: str

    @property
    def by_itself(self) -> bool:
        """Whether no person did it."""
        return self.actor.startswith(_WATCH)


@dataclass(frozen=True, slots=True)
class Sight:
    """One running proxy: its store beside the proxy's own connections, and its log."""

    store: SqlStore
    standards: Standards
    log: Path

    @classmethod
    def of(cls, configuration: Path, log: Path) -> Sight:
        """The sight of the proxy with this configuration; `serve` has made its store already."""
        settings = load(configuration)
        standards = adapters.open_standards(settings, adapters.open_upstreams(settings))
        return cls(adapters.open_store(settings), standards, log)

    def now(self) -> Survey:
        """Everything that the next decision is made from, and the decision."""
        state = self.store.switch_state()
        assert state is not None, "serve has not started"
        return survey(self.store, state, self.standards, self.store.clock())

    def serving(self) -> str:
        """Where new logins go."""
        state = self.store.switch_state()
        assert state is not None, "serve has not started"
        return state.serving

    def wait_until(self, name: str, verdict: Verdict, within_s: float) -> Survey:
        """Look until the fleet thinks so of `name`. Raises `tenacity.RetryError`."""
        return self._wait(
            lambda seen: seen.situation.fleet.health[name].verdict is verdict, within_s
        )

    def wait_for_rule(self, rule: str, within_s: float) -> Survey:
        """Look until the next decision is by this row. Raises `tenacity.RetryError`."""
        return self._wait(lambda seen: seen.decision.rule == rule, within_s)

    def _wait(self, holds: Any, within_s: float) -> Survey:
        waiting = Retrying(
            stop=stop_after_delay(within_s),
            wait=wait_fixed(0.1),
            retry=retry_if_result(lambda seen: not holds(seen)),
        )
        found: Survey = waiting(self.now)
        return found

    def switches(self) -> tuple[Switch, ...]:
        """Every switch that ever was, oldest first."""
        with self.store.reading() as connection:
            rows = [row for row in audit.rows(connection) if row.kind in _SWITCHES]
        return tuple(
            Switch(
                at=row.at,
                actor=str(row.content["actor"]),
                origin=str(row.facts["from"]),
                target=str(row.facts["to"]),
                cause=str(row.facts["cause"]),
            )
            for row in rows
        )

    def events(self, since: float) -> Iterator[tuple[float, dict[str, Any]]]:
        """What `serve` logged after `since` (seconds of the wall clock), with the time of each."""
        for line in self.log.read_text(errors="replace").splitlines():
            if not line.startswith("{"):
                continue
            event = json.loads(line)
            at = datetime.fromisoformat(event["timestamp"]).timestamp()
            if at >= since:
                yield at, event
