"""A directory on loopback that answers what a test wants, octet by octet, or not at all."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.keys import KeyPair, tls_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    #: What is done on a request: the connection, and the id of the request.
    Behaviour = Callable[["Link", int], None]

BIND, UNBIND, SEARCH, EXTENDED = 0x60, 0x42, 0x63, 0x77
_ANSWERS = {BIND: 0x61, SEARCH: 0x65, EXTENDED: 0x78}


def tagged(tag: int, *parts: bytes) -> bytes:
    """One BER element."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    length = len(body).to_bytes(4, "big")
    return bytes((tag, 0x84)) + length + body


def message(number: int, operation: bytes) -> bytes:
    """An LDAPMessage (RFC 4511 section 4.1.1)."""
    # ldap3 numbers the requests of the whole process.
    return tagged(0x30, tagged(0x02, number.to_bytes(4, "big")), operation)


def result(tag: int, code: int, said: str = "") -> bytes:
    """An LDAPResult of this kind."""
    return tagged(tag, tagged(0x0A, bytes((code,))), tagged(0x04), tagged(0x04, said.encode()))


def entry(name: str, **attributes: str) -> bytes:
    """A SearchResultEntry."""
    values = (
        tagged(0x30, tagged(0x04, key.encode()), tagged(0x31, tagged(0x04, value.encode())))
        for key, value in attributes.items()
    )
    return tagged(0x64, tagged(0x04, name.encode()), tagged(0x30, *values))


@dataclass(slots=True)
class Link:
    """One connection, as the directory sees it."""

    socket: socket.socket
    context: ssl.SSLContext
    stopped: threading.Event
    request: int = 0

    def send(self, octets: bytes) -> None:
        """Send what may be no LDAP at all."""
        self.socket.sendall(octets)


def says(code: int, said: str = "") -> Behaviour:
    """Answer with this result."""

    def act(link: Link, number: int) -> None:
        link.send(message(number, result(_ANSWERS[link.request], code, said)))

    return act


def finds(*entries: bytes, code: int = 0) -> Behaviour:
    """Answer a search with these entries."""

    def act(link: Link, number: int) -> None:
        link.send(b"".join(message(number, one) for one in entries))
        says(code)(link, number)

    return act


def silent(link: Link, _number: int) -> None:
    """Say nothing until the end of the test."""
    link.stopped.wait(30)


def drips(link: Link, number: int) -> None:
    """Say something, so slowly that each octet alone comes in time."""
    for octet in message(number, result(_ANSWERS[link.request], 0)) * 40:
        link.send(bytes((octet,)))
        if link.stopped.wait(0.05):
            return


def encrypts(link: Link, number: int) -> None:
    """Agree to StartTLS, and begin it."""
    says(0)(link, number)
    link.socket = link.context.wrap_socket(link.socket, server_side=True)


def hangs_up(_link: Link, _number: int) -> None:
    """Close without a word."""
    raise ConnectionAbortedError


def sends(octets: bytes) -> Behaviour:
    """Answer with these octets, whatever they are."""
    return lambda link, _number: link.send(octets)


FOUND = finds(entry("uid=probe,dc=corp", uid="probe", employeeNumber="4711"))


@dataclass(slots=True)
class Directory:
    """What runs, and what it was asked: the tag of each request, and every octet in the clear."""

    port: int
    behaviour: dict[int, Behaviour]
    asked: list[int] = field(default_factory=list)
    in_the_clear: bytearray = field(default_factory=bytearray)
    connections: int = 0

    def url(self, scheme: str, host: str = "localhost") -> str:
        """Its address."""
        return f"{scheme}://{host}:{self.port}"


@contextmanager
def running_double(
    folder: Path,
    behaviour: Mapping[int, Behaviour] | None = None,
    *,
    pair: KeyPair | None = None,
    ldaps: bool = True,
) -> Iterator[Directory]:
    """A directory that does what `behaviour` says for each request; by default all is well."""
    pair = pair or tls_pair("localhost", "127.0.0.1")
    key, certificate = pair.write(folder, f"ldap-{id(pair)}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    usual = {BIND: says(0), SEARCH: FOUND, EXTENDED: encrypts}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        known = Directory(listener.getsockname()[1], {**usual, **(behaviour or {})})
        stopped = threading.Event()
        server = _Server(known, context, stopped, ldaps=ldaps)
        thread = threading.Thread(target=server.listen, args=(listener,))
        thread.start()
        try:
            yield known
        finally:
            stopped.set()
            thread.join()


@dataclass(slots=True)
class _Server:
    known: Directory
    context: ssl.SSLContext
    stopped: threading.Event
    ldaps: bool

    def listen(self, listener: socket.socket) -> None:
        threads = []
        while not self.stopped.is_set():
            with suppress(TimeoutError):
                accepted, _ = listener.accept()
                accepted.settimeout(5)
                self.known.connections += 1
                threads.append(threading.Thread(target=self._serve, args=(accepted,)))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, accepted: socket.socket) -> None:
        link = Link(accepted, self.context, self.stopped)
        # What the client breaks off is no news here.
        with suppress(OSError):
            if self.ldaps:
                link.socket = self.context.wrap_socket(accepted, server_side=True)
            while self._answer(link):
                pass
        link.socket.close()

    def _answer(self, link: Link) -> bool:
        octets = self._received(link)
        if not octets:
            return False
        # 30 LL or 30 8x LL.., then 02 and the length of the number, the number, and the request.
        start = 4 + (octets[1] - 0x80 if octets[1] > 0x80 else 0)
        end = start + octets[start - 1]
        number, link.request = int.from_bytes(octets[start:end], "big"), octets[end]
        self.known.asked.append(link.request)
        if link.request == UNBIND:
            return False
        self.known.behaviour[link.request](link, number)
        return True

    def _received(self, link: Link) -> bytes:
        octets = link.socket.recv(65536)
        if not isinstance(link.socket, ssl.SSLSocket):
            self.known.in_the_clear += octets
        return octets
