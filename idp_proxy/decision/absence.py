"""What holds while the shared store is away: who waits for it, and what a host may go by meanwhile.

A server that hangs would cost every login its whole deadline. So the first one that gets no answer
speaks for all: from then on everybody is told at once that the store is away, until somebody who
does nothing else has heard from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.decision.switching import SwitchState

#: The pause before the store is asked again, and the longest one it grows to, in seconds.
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 8.0

#: For how long the last state that a host was told is good enough to start with. An outage of the
#: store is over by then; a machine that lay on a shelf must not bring back what was true once.
KEPT_FOR: Final = timedelta(days=7)
#: A note from the future is of a clock that jumped: its age is unknown.
_CLOCK_TOLERANCE: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Absence:
    """`why` the store is away, None while it answers. `in_a_row` counts absences without a write
    in between: a store that answers a question and then takes no login is not back.
    """

    why: str | None = None
    in_a_row: int = 0

    @property
    def pause_s(self) -> float:
        """How long to wait before the store is asked again."""
        longer = 2.0 ** max(0, self.in_a_row - 1)
        return float(min(FIRST_PAUSE_S * longer, LONGEST_PAUSE_S))


@dataclass(frozen=True, slots=True)
class Told:
    """The switch state as the store told it, and when by this host's clock."""

    state: SwitchState
    at: datetime


def no_answer(known: Absence, why: str) -> Absence:
    """Somebody got no answer. The first reason stands until the store is back."""
    return known if known.why is not None else Absence(why, min(known.in_a_row + 1, 16))


def answered(known: Absence) -> Absence:
    """The store answered a question: everybody may ask it again."""
    return replace(known, why=None)


def wrote(known: Absence) -> Absence:
    """Something was committed: the store is there. One that was noticed since stands."""
    return known if known.why is not None else Absence()


def latest(own: Told | None, kept: Told) -> Told:
    """By which of two a worker goes: a worker that nobody used for a night was told long ago, while
    the host went on asking.
    """
    return kept if own is None or own.at < kept.at else own


def why_not_kept(told_at: datetime, now: datetime) -> str | None:
    """Why a host may not start by the state that it was told at `told_at`; None if it may."""
    age = now - told_at
    if age < -_CLOCK_TOLERANCE:
        return f"it is dated {told_at:%Y-%m-%d %H:%M:%S} UTC, in the future: a clock is wrong"
    if age > KEPT_FOR:
        return f"it is of {told_at:%Y-%m-%d %H:%M:%S} UTC, more than {KEPT_FOR.days} days ago"
    return None
