"""One conversation with one server of a directory: encrypted, verified, and over in time.

ldap3 speaks the protocol. The socket under it is ours: ldap3's own verifies nothing unless it is
told to, knows no IP address in a certificate from Python 3.12 on, counts its timeout anew at each
octet, and is opened again, in the clear, by whatever follows a broken connection.

Nothing here follows a referral: it would take the password to another server.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from ldap3 import DEREF_NEVER, NONE, SAFE_SYNC, SIMPLE, SUBTREE, Connection, Server
from ldap3.core import results

from idp_proxy.config import Encrypted
from idp_proxy.upstream.ldap_account import (
    POLICY,
    REFUSED_AT_BIND,
    AccountState,
    account_state,
    told,
)
from idp_proxy.upstream.ldap_stream import (
    Deadline,
    HostFailed,
    HostRefused,
    Stream,
    TooMany,
    connected,
    explained,
)

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


class Conversation:
    """An open connection to one host, for one thread. Whatever it raises is `HostFailed`."""

    def __init__(self, stream: Stream) -> None:
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
        try:
            answer = self._ask(
                lambda: self._connection.bind(read_server_info=False, controls=controls)
            )
        finally:
            # Nothing binds again by itself, and a connection that is kept holds no password.
            self._connection.password = None
        found: Mapping[str, Any] = answer[1]
        return found

    def renew(self, deadline: Deadline) -> None:
        """Begin another visit on this connection, with a deadline and a size of its own."""
        self._stream.renew(deadline)

    def search(
        self, base: str, written: str, attributes: Sequence[str], *, most: int
    ) -> list[dict[str, Any]]:
        """The entries below `base` that the filter `written` finds, at most `most`."""
        result, entries = self._searched(base, written, attributes, size_limit=most)
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
        result, entries = self._searched(
            base,
            written,
            attributes,
            paged_size=size,
            paged_cookie=cookie or None,
            paged_criticality=True,
        )
        if result["result"] != results.RESULT_SUCCESS:
            raise HostFailed(told(result))
        control = (result.get("controls") or {}).get(_PAGED, {})
        following = control.get("value", {}).get("cookie") or b""
        return entries, bytes(following)

    def _searched(
        self, base: str, written: str, attributes: Sequence[str], **how: Any
    ) -> tuple[Mapping[str, Any], list[dict[str, Any]]]:
        """The result, and the entries without the referrals that stood among them."""
        _, result, found, _ = self._ask(
            lambda: self._connection.search(
                base,
                written,
                search_scope=SUBTREE,
                dereference_aliases=DEREF_NEVER,
                attributes=list(attributes),
                **how,
            )
        )
        if result["result"] == results.RESULT_INSUFFICIENT_ACCESS_RIGHTS:
            raise HostRefused(told(result))
        return result, [entry for entry in found or () if entry["type"] == _ENTRY]

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
            raise explained(self._stream.failure or error, self._stream.whole) from error


def _speaking_over(stream: Stream) -> Connection:
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
    stream = Stream(connected(host, addresses, connect, deadline), deadline, most)
    try:
        if host.encryption is Encrypted.LDAPS:
            stream.encrypt(context, host.host)
        talk = Conversation(stream)
        if host.encryption is Encrypted.START_TLS:
            talk.start_tls(context, host.host)
    except Exception as error:
        stream.close()
        raise explained(error, stream.whole) from error
    return talk
