"""The switch state as a worker reads it: at most a second old, and the last one known for ever.

Every login asks who serves; a second's delay after a switch is within an upstream's grace. Who
cannot read the store keeps the last state and goes by it (DESIGN section 2, rule 4), also one who
was just started: by the state that the host kept. Unless the store is this host's own file: then
there is nothing left to serve from.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from idp_proxy.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.base import Store

MAX_AGE_S: Final = 1.0


class SwitchView:
    """Reads the state of one store for all threads of a worker.

    `clock` is a monotonic clock in seconds. `kept` has the state that the host kept on its disk, or
    raises `StoreError`; without it no state may be gone by while the store is away.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        *,
        kept: Callable[[], SwitchState] | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._kept = kept
        self._lock = threading.Lock()
        self._known: SwitchState | None = None
        self._read_at = float("-inf")

    def state(self) -> SwitchState:
        """The state to go by. Raises `StoreError` if there is none."""
        with self._lock:
            if self._known is None or self._clock() - self._read_at >= MAX_AGE_S:
                self._known = self._read()
                self._read_at = self._clock()
            return self._known

    def _read(self) -> SwitchState:
        try:
            state = self._store.switch_state()
        except StoreError as away:
            if self._kept is None:
                raise
            if self._known is not None:
                return self._known
            try:
                return self._kept()
            except StoreError as unknown:
                raise StoreError(f"{away.detail}; {unknown.detail}") from away
        if state is None:
            raise StoreError("the store holds no switch state: start the proxy with `serve`")
        return state
