"""Who is locked out, and when: read from live sessions, with the load it means for a help desk.

Most people keep working through an outage, because their session lives on; they need no conversion
yet. Prediction (facts section 9): a person is in as long as the last session lives. A logout or a
new device cannot be foreseen, and use may prolong a session: the time given is the earliest one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class Standing(enum.Enum):
    """Where somebody stands, seen from now."""

    LOCKED_OUT = "locked out now"
    SOON = "locked out soon"
    LATER = "in for longer"
    NEVER = "in without an end"


@dataclass(frozen=True, slots=True)
class Session:
    """One session as the server lists it, expired ones included.

    `expires_at` None means that it never expires. `is_token` marks a personal access token: it
    opens no window in which a person could work. Times are UTC.
    """

    expires_at: datetime | None
    last_activity_at: datetime
    is_token: bool = False


@dataclass(frozen=True, slots=True)
class Triage:
    """One person: where they stand, and until when they are in (None: out now, or no end)."""

    user_id: str
    standing: Standing
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Load:
    """How many people are locked out `after` some time, and what answering each of them takes."""

    after: timedelta
    people: int
    phone: timedelta

    @property
    def phone_hours(self) -> float:
        """Hours on the phone, over all agents."""
        return self.phone / timedelta(hours=1)

    @property
    def when(self) -> str:
        """The horizon in words."""
        return (
            "now" if not self.after else f"within {round(self.after / timedelta(hours=1), 1):g} h"
        )


#: The moments a night shift plans by.
HORIZONS: Final = (timedelta(0), timedelta(hours=8), timedelta(hours=24))


def triage(
    user_id: str,
    sessions: Iterable[Session],
    now: datetime,
    within: timedelta,
    idle: timedelta | None = None,
) -> Triage:
    """Where a person stands at `now`; "soon" is within `within`.

    `idle` is SessionIdleTimeoutInMinutes where the server ends unused sessions, that is where
    ExtendSessionLengthWithActivity is off; else None.
    """
    ends = [_end(session, idle) for session in sessions if not session.is_token]
    live = [end for end in ends if end is None or end > now]
    if not live:
        return Triage(user_id, Standing.LOCKED_OUT, None)
    known = [end for end in live if end is not None]
    if len(known) < len(live):
        return Triage(user_id, Standing.NEVER, None)
    until = max(known)
    return Triage(user_id, Standing.SOON if until <= now + within else Standing.LATER, until)


def _end(session: Session, idle: timedelta | None) -> datetime | None:
    if idle is None:
        return session.expires_at
    unused = session.last_activity_at + idle
    return unused if session.expires_at is None else min(session.expires_at, unused)


class Tally:
    """Counts who is locked out at each horizon, person by person."""

    def __init__(
        self, now: datetime, minutes_a_call: float, horizons: Iterable[timedelta] = HORIZONS
    ) -> None:
        """Raises `ValueError` when a call takes no time, or less."""
        if not minutes_a_call > 0:
            raise ValueError(f"minutes_a_call is {minutes_a_call}; a call takes some minutes")
        self._now = now
        self._call = timedelta(minutes=minutes_a_call)
        self._out = dict.fromkeys(horizons, 0)

    def count(self, person: Triage) -> None:
        """One person more."""
        for after in self._out:
            self._out[after] += _is_out(person, self._now + after)

    def loads(self) -> tuple[Load, ...]:
        """How many are locked out at each horizon, those of the earlier ones included."""
        return tuple(Load(after, out, out * self._call) for after, out in self._out.items())


def load(
    people: Iterable[Triage],
    now: datetime,
    minutes_a_call: float,
    horizons: Iterable[timedelta] = HORIZONS,
) -> tuple[Load, ...]:
    """The `Tally` of `people`. Raises `ValueError` when a call takes no time, or less."""
    tally = Tally(now, minutes_a_call, horizons)
    for person in people:
        tally.count(person)
    return tally.loads()


def _is_out(person: Triage, at: datetime) -> bool:
    if person.standing is Standing.LOCKED_OUT:
        return True
    return person.until is not None and person.until <= at
