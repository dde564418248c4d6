"""L3: the share of logins that were begun and never answered. Advisory: it warns and proposes.

The proxy never sees an upstream's own error page, so an unanswered question is the one passive
sign it has. Nobody authenticated who began these logins: they never switch anything (FO-06).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class TrafficCount:
    """Logins at `upstream` in the minute that starts at `minute`: begun, and answered.

    An answer counts for the minute in which its login began.
    """

    upstream: str
    minute: datetime
    begun: int
    answered: int


@dataclass(frozen=True, slots=True)
class TrafficLimits:
    """A window of `window`, ending `settled_after` ago, with at least `enough` logins warns when
    more than `share` of them stayed unanswered, and more than `times` the baseline's share; but
    with more than `in_any_case` whatever was usual: who floods for a day must not buy silence.
    """

    window: timedelta = timedelta(minutes=5)
    settled_after: timedelta = timedelta(seconds=120)
    baseline: timedelta = timedelta(hours=24)
    enough: int = 20
    share: float = 0.5
    times: float = 3.0
    in_any_case: float = 0.9


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What the window shows; `warning` is None while there is nothing to say."""

    begun: int
    answered: int
    baseline: float
    warning: str | None

    @property
    def share(self) -> float:
        """The share of unanswered logins, 0 to 1."""
        return 1 - self.answered / self.begun if self.begun else 0.0


def judge_traffic(
    upstream: str, counts: Iterable[TrafficCount], limits: TrafficLimits, now: datetime
) -> Unanswered:
    """The unanswered share at `upstream`, held against what is usual there."""
    own = [one for one in counts if one.upstream == upstream]
    # Whole minutes: a login counts as unanswered only when it has had its time, to the last one.
    end = (now - limits.settled_after).replace(second=0, microsecond=0)
    recent = [one for one in own if end - limits.window <= one.minute < end]
    before = [one for one in own if end - limits.baseline <= one.minute < end - limits.window]
    begun, answered = _sums(recent)
    usual_begun, usual_answered = _sums(before)
    usual = 1 - usual_answered / usual_begun if usual_begun >= limits.enough else 0.0
    found = Unanswered(begun, answered, usual, None)
    if begun < limits.enough or found.share <= limits.share:
        return found
    if found.share <= min(limits.times * usual, limits.in_any_case):
        return found
    warning = (
        f"{begun - answered} of {begun} logins at {upstream} stayed unanswered within "
        f"{limits.window.total_seconds() / 60:.0f} min; usual there are {usual:.0%}"
    )
    return Unanswered(begun, answered, usual, warning)


def _sums(counts: Iterable[TrafficCount]) -> tuple[int, int]:
    chosen = tuple(counts)
    # Answers may outlive the count of their begin, when a worker was replaced in between; and one
    # that is posted again and again answers nobody else's login, of another minute least of all.
    answered = sum(min(one.begun, one.answered) for one in chosen)
    return sum(one.begun for one in chosen), answered
