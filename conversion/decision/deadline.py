"""How long people may be at a password before somebody is reminded, and before it is an alarm.

A password without SSO is the weaker way in, and it was given for an outage. A deadline tells;
it never returns anybody by itself: nobody but a person knows whether SSO works for them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Somebody is reminded once a person was away for `remind`; `alarm` is the deadline."""

    remind: timedelta = timedelta(hours=24)
    alarm: timedelta = timedelta(hours=72)


class Due(enum.Enum):
    """What a campaign calls for, the mildest first."""

    NOTHING = "nothing is due"
    REMINDER = "a reminder is due"
    ALARM = "the deadline has passed"


@dataclass(frozen=True, slots=True)
class Waiting:
    """People who are not proven to be back: `people` of them, `reminded` for longer than the
    reminder, `overdue` for longer than the deadline; `since` is when the first of them left (UTC).
    """

    people: int = 0
    reminded: int = 0
    overdue: int = 0
    since: datetime | None = None

    @property
    def due(self) -> Due:
        """What this calls for."""
        if self.overdue:
            return Due.ALARM
        return Due.REMINDER if self.reminded else Due.NOTHING


def waiting(left_at: Iterable[datetime], now: datetime, deadlines: Deadlines) -> Waiting:
    """`left_at` has for each person who is left the time since when (UTC)."""
    people = reminded = overdue = 0
    since: datetime | None = None
    for at in left_at:
        people += 1
        reminded += now - at >= deadlines.remind
        overdue += now - at >= deadlines.alarm
        since = at if since is None else min(since, at)
    return Waiting(people, reminded, overdue, since)
