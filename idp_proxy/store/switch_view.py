"""The switch state as a worker reads it: at most a second old, and the last one known for ever.

Every login asks who serves; a second's delay after a switch is within an upstream's grace. Who
cannot read the store keeps the last state and goes by it (DESIGN section 2, rule 4): its own, or
the one that the host kept, if that is newer or this worker was just started. Unless the store is
this host's own file: then there is nothing left to serve from.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.absence import Told, latest
from idp_proxy.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.base import Store

MAX_AGE_S: Final = 1.0


class SwitchView:
    """Reads the state of one store for all threads of a worker.

    `clock` is a monotonic clock in seconds, `wall` the host's own. `kept` has what the store told
    the host last, or raises `StoreError`; without it no state may be gone by while the store is
    away.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        wall: Callable[[], datetime],
        *,
        kept: Callable[[], Told] | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._wall = wall
        self._kept = kept
        self._lock = threading.Lock()
        self._known: Told | None = None
        self._read_at = float("-inf")

    def state(self) -> SwitchState:
        """The state to go by. Raises `StoreError` if there is none."""
        with self._lock:
            if self._known is None or self._clock() - self._read_at >= MAX_AGE_S:
                self._known = self._read()
                self._read_at = self._clock()
            return self._known.state

    def _read(self) -> Told:
        at = self._wall()
        try:
            state = self._store.switch_state()
        except StoreError as away:
            if self._kept is None:
                raise
            return self._without_the_store(self._kept, away)
        if state is None:
            raise StoreError("the store holds no switch state: start the proxy with `serve`")
        return Told(state, at)

    def _without_the_store(self, kept: Callable[[], Told], away: StoreError) -> Told:
        try:
            return latest(self._known, kept())
        except StoreError as unknown:
            if self._known is None:
                raise StoreError(f"{away.detail}; {unknown.detail}") from away
            return self._known
