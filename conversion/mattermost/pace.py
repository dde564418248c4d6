"""The server's rate limit, kept by all threads together.

Mattermost counts calls per remote address and tells in each answer what is left
(`X-Ratelimit-Limit`, `-Remaining`, `-Reset`). Near the end of the allowance calls are spaced by the
rate at which it refills, so that a campaign is not spent on refusals; a 429 holds everybody.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Below this share of the allowance calls are spaced.
RESERVE: Final = 0.25
#: Seconds between two calls at most, whatever a header claims.
LONGEST_INTERVAL: Final = 5.0
#: Digits a number in a header may have.
_DIGITS: Final = 9
#: Seconds to wait after a 429 that does not say how long.
DEFAULT_WAIT: Final = 1.0


class Pace:
    """`wait` before a call, `learn` from its answer, `hold` after a refusal."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0
        self._interval = 0.0

    def wait(self) -> None:
        """Return when it is this call's turn."""
        with self._lock:
            now = self._now()
            turn = max(now, self._next)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over what an answer tells about the allowance; without the headers nothing."""
        limit = seconds(headers.get("X-Ratelimit-Limit"))
        if not limit:
            return
        remaining = seconds(headers.get("X-Ratelimit-Remaining"))
        reset = seconds(headers.get("X-Ratelimit-Reset"))
        if remaining is None:
            return
        used = limit - remaining
        spaced = remaining < limit * RESERVE and used > 0
        with self._lock:
            self._interval = min((reset or 1.0) / used, LONGEST_INTERVAL) if spaced else 0.0

    def hold(self, wait_s: float) -> None:
        """No call starts for so many seconds."""
        with self._lock:
            self._next = max(self._next, self._now() + wait_s)


def asked_wait(headers: Mapping[str, str]) -> float:
    """Seconds a 429 asks for: Retry-After (RFC 9110 section 10.2.3), else the time to refill."""
    for name in ("Retry-After", "X-Ratelimit-Reset"):
        wait = seconds(headers.get(name))
        if wait is not None:
            return max(wait, DEFAULT_WAIT)
    return DEFAULT_WAIT


def seconds(text: str | None) -> float | None:
    """A header's whole number, or None: also for a date, which no Mattermost sends."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
        return None
    return float(text)
