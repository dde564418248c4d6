"""When people hear of something that ends: 30, 14, 7 and 1 days before, and when it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

#: In days, the nearest first. 0: it is over.
STEPS: Final = (0, 1, 7, 14, 30)


def expiry_step(ends: datetime, now: datetime) -> int | None:
    """The step that something with this end is in; None while it is further away than them all."""
    left = ends - now
    return next((step for step in STEPS if left <= timedelta(days=step)), None)
