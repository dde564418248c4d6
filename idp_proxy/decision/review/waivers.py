"""Waivers: a finding that people take on themselves, with a name, a reason and an end.

What may never be waived is what no role, no second person and no override allows (DESIGN section
9): a login below the floor, a blocked person, a bad signature; and what lets a stranger in as
anybody. Nor are our own keys: the cure is one command.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.review.findings import About

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from idp_proxy.decision.review.findings import Finding

#: No waiver lasts longer: whoever signed it looks again.
LONGEST: Final = timedelta(days=180)
#: Rules under "Never": below the floor, by a bad signature, or as anybody at all.
NEVER: Final = frozenset({"FO-04", "FO-12", "SP-01", "IDP-03", "LDAP-02"})


@dataclass(frozen=True, slots=True)
class Waiver:
    """`people` took what `checks` of `rule` found about `subject` on themselves until `ends_at`.
    What another check of the rule finds later is not theirs.
    """

    id: str
    rule: str
    subject: str
    checks: tuple[str, ...]
    people: tuple[str, ...]
    reason: str
    given_at: datetime
    ends_at: datetime

    def covers(self, finding: Finding, now: datetime) -> bool:
        """Whether this finding is waived now."""
        return (
            (finding.rule, finding.subject) == (self.rule, self.subject)
            and finding.check in self.checks
            and now < self.ends_at
            and why_never(finding) is None
        )


def why_never(finding: Finding) -> str | None:
    """Why nobody may waive this finding; None if two people may."""
    if finding.rule in NEVER:
        return f"{finding.rule} stands under Never: no role, no second person, no override"
    if finding.about is About.OWN:
        return f"{finding.rule} is about our own keys and listeners: put it right"
    return None


def covering(waivers: Iterable[Waiver], finding: Finding, now: datetime) -> Waiver | None:
    """The waiver of this finding that lasts longest, if there is one."""
    found = [one for one in waivers if one.covers(finding, now)]
    return max(found, key=lambda one: one.ends_at, default=None)


def end_problem(ends_at: datetime, now: datetime) -> str | None:
    """What is wrong with the end of a waiver."""
    if ends_at <= now:
        return "lies in the past"
    if ends_at - now > LONGEST:
        return f"is more than {LONGEST.days} days away: no waiver lasts longer"
    return None
