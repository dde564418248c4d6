"""When a host of a directory is asked to take our own account, after it refused it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from idp_proxy.upstream.ldap_stream import HostFailed, HostRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_proxy.config import DirectorySettings
    from idp_proxy.upstream.ldap import Conversation
    from idp_proxy.upstream.ldap_stream import Deadline

#: After a refused bind a host is not asked to bind again for so long, times the number of hosts:
#: a directory locks an account after a few refusals, and we must not be who locks ours.
_PAUSE_S: Final = 900.0


class BindGate:
    """Binds one host as our own account: not for a while after it refused; then once.

    One at a time: of many people who log in at once with a password of ours that is wrong, one
    finds it out.
    """

    def __init__(self, settings: DirectorySettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._pause = _PAUSE_S * len(settings.hosts)
        self._turn = threading.Lock()
        self._why: str | None = None
        self._until = 0.0

    def bind(self, talk: Conversation, deadline: Deadline) -> None:
        """Raises `HostRefused`, with the reason of the last time while it is not asked again;
        `HostFailed` when it does not answer, or another bind waits for its answer all the time.
        """
        if not self._turn.acquire(timeout=_left(deadline)):
            raise HostFailed(f"no answer within {deadline.whole:g} s to another bind")
        try:
            self._bind(talk)
        finally:
            self._turn.release()

    def _bind(self, talk: Conversation) -> None:
        if self._why is not None:
            now = self._clock()
            if now < self._until:
                raise HostRefused(self._why)
            self._until = now + self._pause
        account = self._settings.bind_dn
        try:
            talk.bind(account, self._settings.bind_password)
        except HostRefused as error:
            self._why = f"refuses the account {account}: {error}"
            self._until = self._clock() + self._pause
            raise HostRefused(self._why) from error
        self._why = None


def _left(deadline: Deadline) -> float:
    try:
        return deadline.left()
    except TimeoutError:
        return 0.0
