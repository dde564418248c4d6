"""An event loop whose time leaps to the next timer: an hour of waiting takes no time at all.

The loops of the product (`Watch.run`, `Observer.watch`) run on it unchanged. Nothing is done in a
thread: what the product hands to an executor is done at once, in order, so that a story told twice
is the same story.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Killed(BaseException):
    """The process is gone in the middle of what it did."""


class _Leap(selectors.SelectSelector):
    """Waits for nothing: whatever time it is asked to wait has passed then."""

    def __init__(self) -> None:
        super().__init__()
        self.elapsed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is left that could ever happen")
        self.elapsed += max(0.0, timeout)
        return []


class LeapingLoop(asyncio.SelectorEventLoop):
    """`time()` is the seconds that have passed in the story."""

    def __init__(self) -> None:
        self._leap = _Leap()
        self._owed = 0.0
        super().__init__(self._leap)

    def time(self) -> float:
        return self._leap.elapsed

    def owe(self, seconds: float) -> None:
        """Called within what an executor does: its result comes so much later."""
        self._owed += seconds

    def run_in_executor(  # type: ignore[override] # the futures of this loop need no thread
        self, _executor: object, act: Callable[..., Any], *values: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()
        self._owed, result, error = 0.0, None, None
        try:
            result = act(*values)
        except Killed:
            return future
        except Exception as caught:  # noqa: BLE001 - it belongs to who waits for the future
            error = caught
        if self._owed:
            self.call_later(self._owed, _settle, future, result, error)
        else:
            _settle(future, result, error)
        return future


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
