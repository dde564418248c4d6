"""A person at a directory: found by our account, proven by a bind of their own.

The hosts are asked in turn, each with a deadline of its own; one that failed is asked last for a
while. What finds people is bound as our account and kept for the next one, by one thread at a time.
A person's bind is on a connection of its own, which ends with it: it is never ours, nor anybody
else's. A password that was sent is not sent once more: a directory would count it twice.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ldap3.utils.conv import escape_filter_chars

from idp_proxy.config import Outbound
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.upstream.base import Found
from idp_proxy.upstream.bind_gate import BindGate
from idp_proxy.upstream.dialling import Dialler, NameUnresolved, system_resolve
from idp_proxy.upstream.ldap import begin_conversation, conversing
from idp_proxy.upstream.ldap_account import AccountState
from idp_proxy.upstream.ldap_stream import Deadline, HostFailed, HostRefused, TooMany
from idp_proxy.upstream.ldap_values import text_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from idp_proxy.config import DirectoryHost, DirectorySettings
    from idp_proxy.upstream.dialling import Resolve
    from idp_proxy.upstream.ldap import Conversation

#: For how long a host that failed is asked last.
_AVOIDED_S: Final = 15.0
#: Connections that are kept for each host, and for how long one may have been idle.
_KEPT: Final = 4
_IDLE_S: Final = 45.0


@dataclass(slots=True)
class _Idle:
    talk: Conversation
    since: float


class _Host:
    """One host: what is kept of it, and until when it is avoided."""

    def __init__(self, host: DirectoryHost, gate: BindGate) -> None:
        self.host = host
        self.gate = gate
        self.avoided_until = 0.0
        self._idle: list[_Idle] = []
        self._lock = threading.Lock()

    def take(self, now: float) -> Conversation | None:
        """One that is bound as our account, and nobody else's from now on."""
        with self._lock:
            old = [one for one in self._idle if now - one.since > _IDLE_S]
            self._idle = [one for one in self._idle if now - one.since <= _IDLE_S]
            found = self._idle.pop().talk if self._idle else None
        for one in old:
            one.talk.close()
        return found

    def keep(self, talk: Conversation, now: float) -> None:
        """For the next one."""
        with self._lock:
            if len(self._idle) < _KEPT:
                self._idle.append(_Idle(talk, now))
                return
        talk.close()

    def close(self) -> None:
        """Nothing is kept any more."""
        with self._lock:
            kept, self._idle = self._idle, []
        for one in kept:
            one.talk.close()


class DirectoryLogins:
    """Implements `directory_login.People` by LDAP; threads may share it."""

    def __init__(
        self,
        settings: DirectorySettings,
        resolve: Resolve = system_resolve,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._dialler = Dialler(Outbound(tls_ca=settings.tls_ca), resolve)
        self._hosts = [_Host(host, BindGate(settings, clock)) for host in settings.hosts]

    def find(self, typed: str) -> Found:
        """The one entry for what was typed (LDAP-03). Raises `UpstreamUnavailable`."""
        wanted = self._settings
        written = wanted.user_filter.replace("{username}", escape_filter_chars(typed))
        troubles = []
        for one in self._in_turn():
            try:
                return self._found(one, written)
            except TooMany:
                return Found(None, {}, 2)
            except HostFailed as error:
                self._avoid(one)
                troubles.append(f"{one.host}: {error}")
        raise UpstreamUnavailable(f"{wanted.name}: {'; '.join(troubles)}")

    def prove(self, name: str | None, password: str) -> AccountState:
        """Whether this is the password of the entry `name`. For None the directory is asked for
        somebody who is not there, so that neither the time nor its load tells who is.

        Raises `UpstreamUnavailable`. Once a host was sent the password, no other is.
        """
        troubles = []
        for one in self._in_turn():
            try:
                with self._opened(one) as talk:
                    return self._bound(one, talk, name, password)
            except HostFailed as error:
                self._avoid(one)
                troubles.append(f"{one.host}: {error}")
        raise UpstreamUnavailable(f"{self._settings.name}: {'; '.join(troubles)}")

    def close(self) -> None:
        """End the connections that are kept."""
        for one in self._hosts:
            one.close()

    def _bound(
        self, one: _Host, talk: Conversation, name: str | None, password: str
    ) -> AccountState:
        nobody = f"cn={secrets.token_hex(8)},{self._settings.base}"
        try:
            state = talk.prove(name or nobody, password)
        except HostFailed as error:
            self._avoid(one)
            raise UpstreamUnavailable(f"{self._settings.name}: {one.host}: {error}") from error
        return state if name is not None else AccountState.WRONG

    def _found(self, one: _Host, written: str) -> Found:
        """By a connection that was kept, or, where that one is dead, by a new one; within the one
        deadline of this host.
        """
        deadline = self._deadline()
        kept = one.take(self._clock())
        if kept is not None:
            try:
                kept.renew(deadline)
                return self._searched(one, kept, written)
            except (TooMany, HostRefused):
                raise
            except HostFailed:
                pass
        talk = begin_conversation(*self._way(one, deadline))
        try:
            one.gate.bind(talk, deadline)
        except BaseException:
            talk.close()
            raise
        return self._searched(one, talk, written)

    def _searched(self, one: _Host, talk: Conversation, written: str) -> Found:
        wanted = self._settings
        try:
            entries = talk.search(wanted.base, written, list(self._asked()), most=2)
        except BaseException:
            talk.close()
            raise
        one.keep(talk, self._clock())
        if len(entries) != 1 or not entries[0]["dn"]:
            # An entry without a name could be bound as by nobody, or by everybody.
            return Found(None, {}, len(entries))
        return Found(str(entries[0]["dn"]), self._values(entries[0]), 1)

    def _asked(self) -> Sequence[str]:
        return tuple(dict.fromkeys(name for name in self._settings.attributes.values() if name))

    def _values(self, entry: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """What has no reading is "", which identifies nobody (SP-10)."""
        raw = {name.lower(): values for name, values in entry["raw_attributes"].items()}
        return {
            name: tuple(
                text_of(name, bytes(value), self._settings.guid) or ""
                for value in raw.get(name.lower(), ())
            )
            for name in self._asked()
        }

    def _in_turn(self) -> list[_Host]:
        now = self._clock()
        return sorted(self._hosts, key=lambda one: one.avoided_until > now)

    def _avoid(self, one: _Host) -> None:
        one.avoided_until = self._clock() + _AVOIDED_S

    def _deadline(self) -> Deadline:
        return Deadline.within(self._settings.timeout.total_seconds())

    def _opened(self, one: _Host) -> AbstractContextManager[Conversation]:
        return conversing(*self._way(one, self._deadline()))

    def _way(
        self, one: _Host, deadline: Deadline
    ) -> tuple[DirectoryHost, Sequence[str], ssl.SSLContext, float, Deadline]:
        try:
            context = self._dialler.context()
        except OSError as error:
            raise HostFailed(f"tls_ca cannot be read: {error.strerror}") from error
        try:
            addresses = self._dialler.addresses_within(
                one.host.host, one.host.port, deadline.left()
            )
        except NameUnresolved as error:
            raise HostFailed(str(error)) from error
        except TimeoutError as error:
            raise HostFailed(
                f"name does not resolve within {deadline.whole:g} s: {one.host.host}"
            ) from error
        connect = self._settings.connect_timeout.total_seconds()
        return one.host, addresses, context, connect, deadline
