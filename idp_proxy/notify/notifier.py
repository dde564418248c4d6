"""What the watch holds: it says what stands and what is over, and never waits for a channel."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from idp_proxy.decision.notices import EVENTS
from idp_proxy.notify.telling import TURN, Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import Connection

    from idp_proxy.decision.notices import Kind, Notice
    from idp_proxy.notify.channels import Channel
    from idp_proxy.notify.telling import Manner

#: As many matters may wait to be told; more at once would be a fault of ours.
_MOST_WAITING: Final = 256

_log = structlog.get_logger("idp_proxy.notify")


class Notifier:
    """Takes notices from any thread, and tells people in one of its own.

    Raise a notice at each look as long as its matter stands, and resolve its key at each look when
    it does not: what is told, and how often, is judged here. Of one key the last word counts.
    `raise_` and `resolve` neither wait nor raise.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        transaction: Callable[[], AbstractContextManager[Connection]],
        manner: Manner,
        now: Callable[[], datetime],
    ) -> None:
        self._telling = Telling(channels, transaction, manner)
        self._now = now
        self._changed = threading.Condition()
        self._waiting: dict[str, Notice | None] = {}
        self._work: dict[str, Notice | None] = {}
        self._busy = False  # from taking work, or the time for a turn, until it is done
        self._closed = False
        self._thread: threading.Thread | None = None

    def raise_(self, notice: Notice) -> None:
        """The matter of `notice` stands."""
        self._put(notice.key, notice)

    def resolve(self, key: str) -> None:
        """The matter `key` is over, or does not stand."""
        self._put(key, None)

    def standing(self) -> dict[str, Kind]:
        """The matters on record that people were told of and that did not end, with their kinds:
        what a process that starts may have to end. It asks the store, and never raises.
        """
        return self._telling.standing()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was raised was judged and tried once; at most `timeout_s`.

        Returns whether every channel took every message.
        """
        with self._changed:
            done = self._changed.wait_for(
                lambda: not self._waiting and not self._busy, timeout=timeout_s
            )
            return done and self._telling.is_done

    def close(self, timeout_s: float) -> bool:
        """Take nothing more, `flush`, and end the thread."""
        until = time.monotonic() + timeout_s
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        done = self.flush(timeout_s)
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))
        return done

    def _put(self, key: str, notice: Notice | None) -> None:
        with self._changed:
            before = self._waiting.get(key)
            if notice is None and before is not None and before.kind in EVENTS:
                return  # what happened once is told even if it is long past
            full = len(self._waiting) >= _MOST_WAITING and key not in self._waiting
            if not self._closed and not full:
                self._waiting[key] = notice
                self._start()
                self._changed.notify_all()
                return
        if notice is not None:
            _log.error("notice_dropped", kind=notice.kind.value, key=key)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        turn_at = time.monotonic() + TURN.total_seconds()
        while self._take(turn_at - time.monotonic()):
            for key, notice in self._work.items():
                self._one(key, notice)
            if time.monotonic() >= turn_at:
                self._guarded(self._telling.turn)
                turn_at = time.monotonic() + TURN.total_seconds()
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _take(self, patience_s: float) -> bool:
        """Wait for work, for a while; False when there will be none any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: bool(self._waiting) or self._closed, max(0.0, patience_s)
            )
            self._work, self._waiting = self._waiting, {}
            self._busy = bool(self._work) or not self._closed
            return self._busy

    def _one(self, key: str, notice: Notice | None) -> None:
        if notice is None:
            self._guarded(partial(self._telling.end, key))
        else:
            self._guarded(partial(self._telling.tell, notice))

    def _guarded(self, act: Callable[[datetime], None]) -> None:
        """A fault in one notice must not silence all that follow."""
        try:
            act(self._now())
        except Exception:  # noqa: BLE001 - whatever it is, the next notice may be the one that counts
            _log.exception("notify_failed")
