"""A directory in Python that people can log in at: entries, passwords and a lockout, over loopback.

It speaks LDAP by the same ASN.1 definitions as ldap3, which is why it proves nothing of real
servers: those are asked in tests/e2e. It is there so that logins and `make demo` need no slapd.
"""

from __future__ import annotations

import socketserver
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ldap3.protocol.rfc4511 import LDAPMessage
from pyasn1.codec.ber import decoder

from tests.support.ldap_double import message, result, tagged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.keys import KeyPair

SUCCESS, INVALID, NO_OBJECT = 0, 49, 32
#: The control of the password policy, with `error` set: octets of its SEQUENCE.
_POLICY = b"1.3.6.1.4.1.42.2.27.8.5.1"


@dataclass(slots=True)
class Entry:
    """Somebody. `answer` is what a bind with the right password is answered instead of success:
    the code, the text, and the policy's error.
    """

    dn: str
    password: str
    attributes: Mapping[str, bytes | str]
    answer: tuple[int, str, int | None] = (SUCCESS, "", None)
    failures: int = 0


@dataclass(slots=True)
class PeopleDirectory:
    """What runs. `binds` are the names that were bound as, `searched_as` those that searched;
    `passwords` are never kept. `before_bind` is called first at each bind.
    """

    entries: list[Entry]
    lockout: int = 10
    port: int = 0
    binds: list[str] = field(default_factory=list)
    searched_as: list[str] = field(default_factory=list)
    connections: int = 0
    before_bind: Callable[[str], None] = lambda _name: None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def by_name(self, dn: str) -> Entry | None:
        """The entry of this DN."""
        return next((one for one in self.entries if one.dn.lower() == dn.lower()), None)


@contextmanager
def running_people(
    directory: PeopleDirectory, pair: KeyPair | None = None, folder: Path | None = None
) -> Iterator[PeopleDirectory]:
    """Serve it; over TLS (ldaps) with a `pair`, whose files are written to `folder`."""
    context = None
    if pair is not None and folder is not None:
        key, certificate = pair.write(folder, "people-directory")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError, EOFError):
                _serve(directory, self.request, context)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    directory.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield directory
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _serve(directory: PeopleDirectory, link: Any, context: ssl.SSLContext | None) -> None:
    link.settimeout(30)
    directory.connections += 1
    connected = link if context is None else context.wrap_socket(link, server_side=True)
    with connected:
        bound = ""
        while True:
            asked, _ = decoder.decode(_received(connected), asn1Spec=LDAPMessage())
            number, what = int(asked["messageID"]), asked["protocolOp"]
            if what.getName() == "unbindRequest":
                return
            if what.getName() == "bindRequest":
                bound = str(what.getComponent()["name"])
                connected.sendall(_bound(directory, number, what.getComponent()))
            else:
                directory.searched_as.append(bound)
                connected.sendall(_searched(directory, number, what.getComponent()))


def _received(link: Any) -> bytes:
    """One message: its tag, its length, and the rest."""
    head = _exactly(link, 2)
    more = _exactly(link, head[1] & 0x7F) if head[1] & 0x80 else b""
    length = int.from_bytes(more, "big") if more else head[1]
    return head + more + _exactly(link, length)


def _exactly(link: Any, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = link.recv(size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return found


def _bound(directory: PeopleDirectory, number: int, asked: Any) -> bytes:
    dn, given = str(asked["name"]), bytes(asked["authentication"]["simple"]).decode()
    directory.before_bind(dn)
    with directory.lock:
        directory.binds.append(dn)
        entry = directory.by_name(dn)
        if entry is None:
            return message(number, result(0x61, INVALID))
        if entry.failures >= directory.lockout:
            return _with_policy(number, INVALID, "", 1)
        if given != entry.password:
            entry.failures += 1
            return message(number, result(0x61, INVALID))
        entry.failures = 0
        return _with_policy(number, *entry.answer)


def _with_policy(number: int, code: int, said: str, error: int | None) -> bytes:
    answer = result(0x61, code, said)
    if error is None:
        return message(number, answer)
    value = tagged(0x30, tagged(0x81, bytes((error,))))
    control = tagged(0x30, tagged(0x04, _POLICY), tagged(0x04, value))
    return tagged(0x30, tagged(0x02, number.to_bytes(4, "big")), answer, tagged(0xA0, control))


def _searched(directory: PeopleDirectory, number: int, asked: Any) -> bytes:
    most = int(asked["sizeLimit"])
    found = [one for one in directory.entries if _matches(asked["filter"], one)]
    octets = b"".join(message(number, _entry(one)) for one in found[:most])
    return octets + message(number, result(0x65, 4 if len(found) > most else SUCCESS))


def _matches(filters: Any, entry: Entry) -> bool:
    kind, value = filters.getName(), filters.getComponent()
    assert kind == "equalityMatch", kind
    # As Active Directory: cut at NUL, whatever the case, without blanks around it.
    wanted = bytes(value["assertionValue"]).decode().partition("\0")[0].strip().lower()
    known = {name.lower(): one for name, one in entry.attributes.items()}
    held = known.get(str(value["attributeDesc"]).lower(), "")
    return isinstance(held, str) and held.lower() == wanted


def _entry(one: Entry) -> bytes:
    values = (
        tagged(
            0x30,
            tagged(0x04, name.encode()),
            tagged(0x31, tagged(0x04, value if isinstance(value, bytes) else value.encode())),
        )
        for name, value in one.attributes.items()
    )
    return tagged(0x64, tagged(0x04, one.dn.encode()), tagged(0x30, *values))
