"""If the active died now: who gets in by a standby, and why the others do not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.roster.standby import Question, Refused, confirmations, judge_row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from idp_proxy.decision.roster.rows import RosterRow
    from idp_proxy.decision.roster.standby import RosterPolicy

#: Beside the refusals of `standby`: the floor asks for a second factor, and there is none.
NO_FACTOR: Final = "no_second_factor"
#: Whatever anybody does at this standby, it is below the floor (FO-04).
BELOW_FLOOR: Final = "below_floor"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a forecast said, as it is kept. `refused` counts people by the reason that keeps them
    out; who is blocked stands there too.
    """

    at: datetime
    upstream: str
    people: int
    get_in: int
    refused: Mapping[str, int]


@dataclass(slots=True)
class Casting:
    """Makes a forecast for the standby `upstream`, row by row. `enrolled` says who has a second
    factor; None where none is needed there. `below_floor`: nobody can reach the floor there.
    """

    upstream: str
    policy: RosterPolicy
    now: datetime
    enrolled: frozenset[str] | None = None
    below_floor: bool = False
    get_in: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def add(self, row: RosterRow) -> str | None:
        """One more person: the reason that keeps them out, None if they get in."""
        reason = self._reason(row)
        if reason is None:
            self.get_in += 1
        else:
            self.refused[reason] += 1
        return reason

    def _reason(self, row: RosterRow) -> str | None:
        verdict = judge_row(Question(row, self.policy, self.now))
        if isinstance(verdict, Refused):
            return verdict.refusal.value
        if row.lookup_key is None:
            return "person_unknown"
        if self.below_floor:
            return BELOW_FLOOR
        missing = self.enrolled is not None and row.id not in self.enrolled
        return NO_FACTOR if missing else None

    def forecast(self) -> Forecast:
        """What was found."""
        people = self.get_in + self.refused.total()
        return Forecast(self.now, self.upstream, people, self.get_in, dict(self.refused))


@dataclass(slots=True)
class Coverage:
    """How far the roster reaches, counted row by row: `people` in it, of whom a login at the active
    vouches for `by_login`, a list for `by_list` (both may) and nothing for `by_nothing`; who is
    `blocked` is none of these.
    """

    policy: RosterPolicy
    now: datetime
    people: int = 0
    by_login: int = 0
    by_list: int = 0
    by_nothing: int = 0
    blocked: int = 0

    def add(self, row: RosterRow) -> None:
        """One more person."""
        self.people += 1
        if row.blocked:
            self.blocked += 1
            return
        by_login, by_list = confirmations(row, self.policy, self.now)
        self.by_login += by_login
        self.by_list += by_list
        self.by_nothing += not by_login and not by_list
