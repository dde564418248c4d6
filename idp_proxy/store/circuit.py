"""Tells everybody at once that the store is away, instead of letting each wait for it in turn.

The states are in `decision.absence`. While the store is away one thread of this process asks it,
so that no login ever waits to find out.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from idp_proxy.decision.absence import Absence, answered, no_answer, wrote
from idp_proxy.errors import StoreAway, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger("idp_proxy.store")


class Circuit:
    """One for each database of a process. `ask` raises `StoreError` when nobody answers."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._known = Absence()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def demand(self) -> None:
        """Raises `StoreAway` while the store is known to be away."""
        why = self._known.why
        if why is not None:
            raise StoreAway(f"{why}; it is asked again until it answers")

    def no_answer(self, why: str) -> None:
        """Somebody got no answer: from now on nobody waits."""
        with self._lock:
            before, self._known = self._known, no_answer(self._known, why)
        if before.why is None and not self._ended.is_set():
            _log.warning("store_away", detail=why)
            threading.Thread(target=self._keep_asking, name="store", daemon=True).start()

    def wrote(self) -> None:
        """Something was committed."""
        if self._known.in_a_row:
            with self._lock:
                self._known = wrote(self._known)

    def close(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _keep_asking(self) -> None:
        while not self._ended.wait(self._known.pause_s):
            try:
                self._ask()
            except StoreError:
                continue
            except Exception:  # noqa: BLE001 - whatever it is, only this thread finds the store again
                _log.exception("store_not_asked")
                continue
            with self._lock:
                self._known = answered(self._known)
            _log.warning("store_answers")
            return
