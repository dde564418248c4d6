"""What a review says: a finding, how bad it is, and what follows from it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from idp_proxy.decision.review.evidence import Evidence


#: What a finding of a rule means: it must not stay, or it is told.
BLOCKS: Final = True
TELLS: Final = False


class Severity(enum.StrEnum):
    """How bad it is."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class About(enum.StrEnum):
    """What a finding is about, and so what a blocking one stops: the start of `serve` (our own
    keys and listeners), or logins moving to that upstream by themselves. The other two stop
    nothing: time alone must not end anything, and a policy is a person's to sign or to change.
    """

    OWN = "own"
    UPSTREAM = "upstream"
    TIME = "time"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as a rule demands. `subject` is an upstream's name, or empty; `check`
    the function of the rule that found it.
    """

    rule: str
    check: str
    severity: Severity
    about: About
    subject: str
    evidence: str
    fix: str
    source: str
    blocking: bool

    @property
    def stops_start(self) -> bool:
        """Whether `serve` must not start with it."""
        return self.blocking and self.about is About.OWN

    @property
    def bars(self) -> bool:
        """Whether the upstream may not take over by itself."""
        return self.blocking and self.about is About.UPSTREAM and bool(self.subject)


@dataclass(frozen=True, slots=True)
class Fault:
    """What a rule's function gives: about whom, what was seen, what to do."""

    subject: str
    evidence: str
    fix: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A function that bears its rule's ID, and what weight its faults have."""

    severity: Severity
    about: About
    source: str
    blocking: bool
    judge: Callable[[Evidence], Iterable[Fault]]

    @property
    def name(self) -> str:
        """`fo_04_floor`: unique, where several functions judge one rule."""
        return self.judge.__name__

    @property
    def id(self) -> str:
        """`FO-04`."""
        area, number, *_ = self.name.split("_")
        return f"{area.upper()}-{number}"

    def findings(self, seen: Evidence) -> tuple[Finding, ...]:
        """What it finds in the evidence."""
        return tuple(
            Finding(
                rule=self.id,
                check=self.name,
                severity=self.severity,
                about=self.about,
                subject=fault.subject,
                evidence=fault.evidence,
                fix=fault.fix,
                source=self.source,
                blocking=self.blocking,
            )
            for fault in self.judge(seen)
        )
