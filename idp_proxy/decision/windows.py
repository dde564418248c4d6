"""Times of the week in which the watch may return to a preferred upstream by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FORM = re.compile(
    r"(?P<days>[A-Za-z,]+) (?P<start>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: (?P<zone>\S+))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end` (not included) on `days` (0 is Monday), by the clocks of `zone`.

    A window that ends before it starts goes over midnight, and belongs to the day it starts on.
    """

    days: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo

    def opening(self, now: datetime) -> datetime:
        """`now` while it is open; else when it opens next."""
        today = now.astimezone(self.zone).date()
        days = [today + timedelta(days=ahead) for ahead in range(-1, 8)]
        spans = [self._span(day) for day in days if day.weekday() in self.days]
        opens = next(opens for opens, closes in spans if now.timestamp() < closes.timestamp())
        return max(now, opens.astimezone(now.tzinfo))

    def _span(self, day: date) -> tuple[datetime, datetime]:
        """When the window of `day` opens and closes."""
        until = day if self.end > self.start else day + timedelta(days=1)
        return (
            datetime.combine(day, self.start, self.zone),
            datetime.combine(until, self.end, self.zone),
        )


def next_opening(windows: Iterable[Window], now: datetime) -> datetime | None:
    """`now` while one of them is open, else the first opening; None if there is no window."""
    return min((window.opening(now) for window in windows), default=None)


def parse_window(text: str) -> Window | None:
    """The window that `text` says, as "Sat,Sun 02:00-04:00 Europe/Berlin"; None if it says none.

    Without a zone it is UTC.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    days = [day.capitalize() for day in found["days"].split(",")]
    if not set(days) <= set(DAYS):
        return None
    try:
        start, end = time.fromisoformat(found["start"]), time.fromisoformat(found["end"])
        zone = ZoneInfo(found["zone"] or "UTC")
    except (ValueError, ZoneInfoNotFoundError):
        return None
    if start == end:
        return None
    return Window(frozenset(DAYS.index(day) for day in days), start, end, zone)
