"""One conversation with one server of a directory: encrypted, verified, and over in time.

ldap3 speaks the protocol. The socket under it is ours: ldap3's own verifies nothing unless it is
told to, knows no IP address in a certificate from Python 3.12 on, counts its timeout anew at each
octet, and is opened again, in the clear, by whatever follows a broken connection.

Nothing here follows a referral: it would take the password to another server.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ldap3 import DEREF_NEVER, NONE, SAFE_SYNC, SIMPLE, SUBTREE, Connection, Server
from ldap3.core import results
from ldap3.core.exceptions import LDAPException, LDAPSessionTerminatedByServerError

from idp_proxy.config import Encrypted
from idp_proxy.upstream.dialling import tls_problem
from idp_proxy.upstream.ldap_account import (
    POLICY,
    REFUSED_AT_BIND,
    AccountState,
    account_state,
    told,
)
from idp_proxy.upstream.looking import explained_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeVar

    from idp_proxy.config import DirectoryHost

    T = TypeVar("T")

#: RFC 4511 section 4.14.1.
_START_TLS: Final = "1.3.6.1.4.1.1466.20037"
#: The control of paged results (RFC 2696 section 2).
_PAGED: Final = "1.2.840.113556.1.4.319"
#: Octets that are read in one conversation; nobody's entry is as large.
_MOST_OCTETS: Final = 1024 * 1024
_ENTRY: Final = "searchResEntry"


class HostFailed(Exception):
    """A host could not be used; the text says why, for people, and holds nothing that was sent."""


class TooMany(HostFailed):
    """The host works, and finds more entries than there may be."""


class HostRefused(HostFailed):
    """The host works, and refuses whoever asks: an authentication that failed (FO-02)."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of everything asked of one host, by the monotonic clock; `whole` is for people."""

    at: float
    whole: float

    @classmethod
    def within(cls, seconds: float) -> Deadline:
        """The one that ends so many seconds from now."""
        return cls(time.monotonic() + seconds, seconds)

    def left(self) -> float:
        """The seconds that are left. Raises `TimeoutError` when there are none."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Stream:
    """A connected socket that keeps the deadline: to answer an octet at a time gains nothing."""

    def __init__(self, connected: socket.socket, deadline: Deadline, most: int) -> None:
        self.socket = connected
        self._most = most
        self.failure: Exception | None = None
        self.whole = deadline.whole
        self._deadline = deadline
        self._read = 0

    def recv(self, size: int) -> bytes:
        octets = self._bounded(lambda: self.socket.recv(size))
        self._read += len(octets)
        if self._read > self._most:
            self.failure = HostFailed(f"answers with more than {self._most} octets")
            raise OSError
        return octets

    def sendall(self, octets: bytes) -> None:
        self._bounded(lambda: self.socket.sendall(octets))

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Put TLS over it. The context verifies the certificate and that it is of `host`."""
        self.socket.settimeout(self._deadline.left())
        self.socket = context.wrap_socket(self.socket, server_hostname=host)

    def renew(self, deadline: Deadline) -> None:
        """Count anew, by another deadline."""
        self._deadline, self.whole, self._read = deadline, deadline.whole, 0

    def shutdown(self, how: int) -> None:
        self.socket.shutdown(how)

    def close(self) -> None:
        self.socket.close()

    def _bounded(self, act: Callable[[], T]) -> T:
        """ldap3 makes an error of its own of what the socket raises: the true one is kept."""
        try:
            self.socket.settimeout(self._deadline.left())
            return act()
        except Exception as error:
            self.failure = self.failure or error
            raise


class Conversation:
    """An open connection to one host, for one thread. Whatever it raises is `HostFailed`."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._connection = _speaking_over(stream)

    @property
    def certificate(self) -> bytes | None:
        """The host's, in DER; None in the clear."""
        encrypted = self._stream.socket
        return (
            encrypted.getpeercert(binary_form=True)
            if isinstance(encrypted, ssl.SSLSocket)
            else None
        )

    def start_tls(self, context: ssl.SSLContext, name: str) -> None:
        """Encrypt what comes next (RFC 4511 section 4.14). Nothing else was sent yet."""
        result = self._ask(lambda: self._connection.extended(_START_TLS))[1]
        if result["result"] != results.RESULT_SUCCESS:
            raise HostFailed(f"begins no TLS: {told(result)}")
        self._ask(lambda: self._stream.encrypt(context, name))

    def bind(self, name: str, password: str) -> None:
        """Prove to be `name`. Raises `HostRefused` when the directory says no."""
        if not name or not password:
            # RFC 4513 section 5.1: to bind without a password succeeds and proves nothing.
            raise HostRefused("nobody binds without name and password")
        result = self._bound(name, password)
        if result["result"] in REFUSED_AT_BIND:
            raise HostRefused(told(result))
        if result["result"] != results.RESULT_SUCCESS:
            raise HostFailed(told(result))

    def prove(self, name: str, password: str) -> AccountState:
        """Whether this is the password of `name`, and what is said of the account (LDAP-01)."""
        if not name or not password or "\0" in password:
            raise HostRefused("nobody binds without name and password")
        result = self._bound(name, password, controls=[(POLICY, False, None)])
        state = account_state(result)
        if state is None:
            raise HostFailed(told(result))
        return state

    def _bound(
        self, name: str, password: str, controls: list[tuple[str, bool, None]] | None = None
    ) -> Mapping[str, Any]:
        # As octets: ldap3 would prepare a text (RFC 4013), and fail at some real passwords.
        self._connection.user, self._connection.password = name, password.encode()
        self._connection.authentication = SIMPLE
        answer = self._ask(lambda: self._connection.bind(read_server_info=False, controls=controls))
        found: Mapping[str, Any] = answer[1]
        return found

    def renew(self, deadline: Deadline) -> None:
        """Begin another visit on this connection, with a deadline and a size of its own."""
        self._stream.renew(deadline)

    def search(
        self, base: str, written: str, attributes: Sequence[str], *, most: int
    ) -> list[dict[str, Any]]:
        """The entries below `base` that the filter `written` finds, at most `most`."""
        _, result, found, _ = self._ask(
            lambda: self._connection.search(
                base,
                written,
                search_scope=SUBTREE,
                dereference_aliases=DEREF_NEVER,
                attributes=list(attributes),
                size_limit=most,
            )
        )
        if result["result"] == results.RESULT_INSUFFICIENT_ACCESS_RIGHTS:
            raise HostRefused(told(result))
        entries = [entry for entry in found or () if entry["type"] == _ENTRY]
        if result["result"] == results.RESULT_SIZE_LIMIT_EXCEEDED and len(entries) >= most:
            raise TooMany(told(result))
        if result["result"] != results.RESULT_SUCCESS:
            raise HostFailed(told(result))
        return entries

    def page(
        self, base: str, written: str, attributes: Sequence[str], *, size: int, cookie: bytes
    ) -> tuple[list[dict[str, Any]], bytes]:
        """As `search`, but `size` entries at a time (RFC 2696): with the cookie of the next page,
        which is empty behind the last one. `b""` begins.
        """
        _, result, found, _ = self._ask(
            lambda: self._connection.search(
                base,
                written,
                search_scope=SUBTREE,
                dereference_aliases=DEREF_NEVER,
                attributes=list(attributes),
                paged_size=size,
                paged_cookie=cookie or None,
                paged_criticality=True,
            )
        )
        if result["result"] == results.RESULT_INSUFFICIENT_ACCESS_RIGHTS:
            raise HostRefused(told(result))
        if result["result"] != results.RESULT_SUCCESS:
            raise HostFailed(told(result))
        control = (result.get("controls") or {}).get(_PAGED, {})
        following = control.get("value", {}).get("cookie") or b""
        return [entry for entry in found or () if entry["type"] == _ENTRY], bytes(following)

    def close(self) -> None:
        """Say goodbye, if that is still possible, and close the socket in any case."""
        with suppress(Exception):
            self._connection.unbind()
        with suppress(OSError):
            self._stream.close()

    def _ask(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except Exception as error:
            # ldap3 raises whatever its decoder stumbles over: a peer that talks nonsense.
            raise _explained(self._stream.failure or error, self._stream.whole) from error


def _speaking_over(stream: _Stream) -> Connection:
    """ldap3, over a socket that it neither opens nor opens again."""
    connection = Connection(
        Server("127.0.0.1", get_info=NONE),  # never asked for: the socket is open
        client_strategy=SAFE_SYNC,
        auto_referrals=False,
        auto_range=False,
        check_names=False,
        raise_exceptions=False,
        read_only=True,
    )
    opened = False

    def take(*_: object, **__: object) -> None:
        nonlocal opened
        if opened:
            raise OSError
        opened = True
        connection.socket, connection.closed = stream, False

    connection.strategy._open_socket = take  # noqa: SLF001 - ldap3 can be given no socket otherwise
    connection.open(read_server_info=False)
    return connection


@contextmanager
def conversing(
    host: DirectoryHost,
    addresses: Sequence[str],
    context: ssl.SSLContext,
    connect: float,
    deadline: Deadline,
    most: int = _MOST_OCTETS,
) -> Iterator[Conversation]:
    """A conversation with `host`, which is at `addresses`; closed at the end, whatever happened.

    Connecting may take `connect` seconds an address; `most` octets are read. Raises `HostFailed`.
    """
    talk = begin_conversation(host, addresses, context, connect, deadline, most)
    try:
        yield talk
    finally:
        talk.close()


def begin_conversation(
    host: DirectoryHost,
    addresses: Sequence[str],
    context: ssl.SSLContext,
    connect: float,
    deadline: Deadline,
    most: int = _MOST_OCTETS,
) -> Conversation:
    """As `conversing`; who has it closes it. Raises `HostFailed`, with nothing left open."""
    stream = _Stream(_connected(host, addresses, connect, deadline), deadline, most)
    try:
        if host.encryption is Encrypted.LDAPS:
            stream.encrypt(context, host.host)
        talk = Conversation(stream)
        if host.encryption is Encrypted.START_TLS:
            talk.start_tls(context, host.host)
    except Exception as error:
        stream.close()
        raise _explained(error, stream.whole) from error
    return talk


def _connected(
    host: DirectoryHost, addresses: Sequence[str], connect: float, deadline: Deadline
) -> socket.socket:
    refused = HostFailed("its name has no address")
    for address in addresses:
        try:
            within = min(connect, deadline.left())
            return socket.create_connection((address, host.port), timeout=within)
        except TimeoutError:
            refused = HostFailed(f"takes no connection within {connect:g} s")
        except OSError:
            refused = HostFailed("takes no connection")
    raise refused


def _explained(error: Exception, whole: float) -> HostFailed:
    """What went wrong, in words for people."""
    if isinstance(error, HostFailed):
        return error
    if isinstance(error, TimeoutError):
        return HostFailed(f"no answer within {whole:g} s")
    if (tls := tls_problem(error)) is not None:
        return HostFailed(explained_tls(tls))
    if isinstance(error, LDAPSessionTerminatedByServerError):
        return HostFailed("closes the connection without an answer")
    # Its errors of the network are OSErrors too; a true one of the socket was no LDAPException.
    if isinstance(error, OSError) and not isinstance(error, LDAPException):
        return HostFailed("breaks the connection")
    return HostFailed(f"answers no proper LDAP: {type(error).__name__}")
