"""What a drill showed: times from the begin of the pretended fault on, held against the bars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: From the fault to the first login by the standby, by profile (design section 12).
BARS: Final[Mapping[str, timedelta]] = MappingProxyType(
    {"default": timedelta(seconds=45), "fast": timedelta(seconds=6)}
)
#: What only a login can see takes the canary's interval, and several logins one after another.
CANARY_BAR: Final = timedelta(minutes=3)
#: A drill is no state to live in.
LONGEST: Final = timedelta(minutes=60)


@dataclass(frozen=True, slots=True)
class Fired:
    """A rule of the watch that held from `after` on; before the fault it is negative."""

    after: float
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Marks:
    """When what was seen, in seconds after the fault; None for what never came.

    `target` took over; `ended` is why the drill ended before its time, if it did; `login_problem`
    why no login by the target was shown, "" where one was.
    """

    detected: float | None = None
    decided: float | None = None
    logged_in: float | None = None
    target: str | None = None
    switches: int = 0
    login_problem: str = ""
    has_canary: bool = True
    ended: str | None = None
    rules: tuple[Fired, ...] = ()


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The verdict; `problems` is empty if it passed, `not_shown` what no drill here can show."""

    marks: Marks
    bar: timedelta
    lost: float | None
    problems: tuple[str, ...]
    not_shown: str | None

    @property
    def passed(self) -> bool:
        """Whether this outage would have cost no more than the bars allow."""
        return not self.problems


def judge_drill(marks: Marks, bar: timedelta, logins_a_minute: float | None) -> Scorecard:
    """Hold `marks` against `bar`; `logins_a_minute` is what is usual now, None if unknown."""
    end = marks.logged_in if marks.logged_in is not None else marks.decided
    away = end if end is not None else None
    lost = None if away is None or logins_a_minute is None else logins_a_minute * away / 60
    unshown = marks.decided is not None and not marks.has_canary
    return Scorecard(
        marks=marks,
        bar=bar,
        lost=lost,
        problems=tuple(_problems(marks, bar, away)),
        not_shown=(
            f"{marks.target} has no canary, so no login by it was shown: [[upstream.canary]]"
            if unshown
            else None
        ),
    )


def _problems(marks: Marks, bar: timedelta, away: float | None) -> list[str]:
    if marks.ended is not None:
        return [f"the drill ended early: {marks.ended}"]
    if marks.detected is None:
        return ["the fault was never detected"]
    if away is None:
        why = marks.rules[-1].reason if marks.rules else "no turn of the watch came"
        return [f"nobody took over: {why}"]
    found = []
    if marks.logged_in is None and marks.has_canary:
        found.append(f"no login by {marks.target} came through: {marks.login_problem}")
    if away > bar.total_seconds():
        what = "the first login" if marks.logged_in is not None else "the switch"
        found.append(f"{what} came after {away:.1f} s; the bar is {bar.total_seconds():g} s")
    if marks.switches > 1:
        found.append(f"{marks.switches} switches, where one was due")
    return found
