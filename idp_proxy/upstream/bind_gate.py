"""When a host of a directory is asked to take our own account, after it refused it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from idp_proxy.upstream.ldap import HostRefused

if TYPE_CHECKING:
    from collections.abc import Sized

#: After a refused bind a host is not asked to bind again for so long, times the number of hosts:
#: a directory locks an account after a few refusals, and we must not be who locks ours.
_PAUSE_S: Final = 900.0


class BindGate:
    """Whether a host is asked to bind: not for a while after it refused; then once."""

    def __init__(self, hosts: Sized) -> None:
        self._pause = _PAUSE_S * len(hosts)
        self._lock = threading.Lock()
        self._why: str | None = None
        self._until = 0.0

    def demand(self, now: float) -> None:
        """Raises `HostRefused`, with the reason of the last time."""
        with self._lock:
            if self._why is None:
                return
            if now < self._until:
                raise HostRefused(self._why)
            self._until = now + self._pause

    def shut(self, why: str, now: float) -> None:
        """It refused."""
        with self._lock:
            self._why, self._until = why, now + self._pause

    def open(self) -> None:
        """It took the account."""
        with self._lock:
            self._why = None
