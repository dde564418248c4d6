"""The socket under a conversation with a directory: encrypted, verified, bounded in time and size.

What goes wrong on it is a `HostFailed`, in words for people.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ldap3.core.exceptions import LDAPException, LDAPSessionTerminatedByServerError

from idp_proxy.upstream.dialling import tls_problem
from idp_proxy.upstream.looking import explained_tls

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from idp_proxy.config import DirectoryHost

    T = TypeVar("T")


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


class Stream:
    """A connected socket that keeps the deadline: to answer an octet at a time gains nothing."""

    def __init__(self, connected: socket.socket, deadline: Deadline, most: int) -> None:
        self.socket = connected
        self._most = most
        self.failure: Exception | None = None
        self.whole = deadline.whole
        self._deadline = deadline
        self._read = 0

    def recv(self, size: int) -> bytes:
        """What came, at most `size` octets. Raises `OSError`, as everything here."""
        octets = self._bounded(lambda: self.socket.recv(size))
        self._read += len(octets)
        if self._read > self._most:
            self.failure = HostFailed(f"answers with more than {self._most} octets")
            raise OSError
        return octets

    def sendall(self, octets: bytes) -> None:
        """Send all of it."""
        self._bounded(lambda: self.socket.sendall(octets))

    def encrypt(self, context: ssl.SSLContext, host: str) -> None:
        """Put TLS over it. The context verifies the certificate and that it is of `host`."""
        self.socket.settimeout(self._deadline.left())
        self.socket = context.wrap_socket(self.socket, server_hostname=host)

    def renew(self, deadline: Deadline) -> None:
        """Count anew, by another deadline."""
        self._deadline, self.whole, self._read = deadline, deadline.whole, 0

    def shutdown(self, how: int) -> None:
        """As a socket's."""
        self.socket.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _bounded(self, act: Callable[[], T]) -> T:
        """ldap3 makes an error of its own of what the socket raises: the true one is kept."""
        try:
            self.socket.settimeout(self._deadline.left())
            return act()
        except Exception as error:
            self.failure = self.failure or error
            raise


def connected(
    host: DirectoryHost, addresses: Sequence[str], connect: float, deadline: Deadline
) -> socket.socket:
    """A connection to the first address that takes one. Raises `HostFailed`."""
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


def explained(error: Exception, whole: float) -> HostFailed:
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
