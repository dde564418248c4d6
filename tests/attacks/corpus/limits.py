"""Messages at and over the limits, and base64 that two decoders read differently."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING

from idp_proxy.saml import checks, document, xml
from tests.attacks.corpus.documents import attack
from tests.attacks.messages import (
    add,
    forged,
    piece,
    rewritten,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml import etree

    from tests.attacks.attack import Login, ResponseAttack


def posted(change: Callable[[str], str]) -> Callable[[Login], str]:
    """The base64 of an honest answer, changed as text."""
    return lambda login: change(base64.b64encode(forged()(login)).decode("ascii"))


def _nested(depth: int) -> Callable[[Login], bytes]:
    return forged(add(".", "<a:x>" * depth + "</a:x>" * depth))


def _wide(root: etree._Element, _: Login) -> None:
    holder = piece("<a:x/>")
    holder.extend([piece("<a:y/>") for _ in range(3000)])
    root.append(holder)


def _many_attributes(root: etree._Element, _: Login) -> None:
    for number in range(49):
        root.set(f"x{number}", "")


def _many_namespaces(message: bytes) -> bytes:
    declared = b" ".join(b'xmlns:n%d="urn:%d"' % (n, n) for n in range(2001))
    return message.replace(b"<samlp:Status>", b"<samlp:Status " + declared + b">")


def _blanks(number: int) -> str:
    """A run of 58 blanks that no other number has."""
    return "".join(" \t"[number >> place & 1] for place in range(58))


#: What libxml2 keeps for the life of a thread, message for message: kind -> a piece, by number.
KEPT: dict[str, Callable[[int], str]] = {
    "names of elements": lambda number: f"<keep{number:016x}/>",
    "names of attributes": lambda number: f'<a keep{number:016x}=""/>',
    "names of closing tags": lambda number: f"</keep{number:016x}>",
    "names of entities": lambda number: f"&keep{number:016x};",
    "names of namespaces": lambda number: f'<a xmlns="urn:{number:060x}"/>',
    "blanks between tags": lambda number: f"{_blanks(number)}<a/>",
}


def _keeping(piece_: Callable[[int], str]) -> Callable[[Login], bytes]:
    pieces = "".join(piece_(number) for number in range(1200)).encode()
    return rewritten(
        lambda message: message.replace(b"<samlp:Status>", b"<samlp:Status>" + pieces, 1)
    )


def _deflated(login: Login) -> str:
    packer = zlib.compressobj(wbits=-15)
    return base64.b64encode(packer.compress(forged()(login)) + packer.flush()).decode("ascii")


LIMITS = (
    *(
        attack("limits", name, document.xml_02_tree, make)
        for name, make in {
            "65 levels": _nested(64),
            "200 levels": _nested(200),
            "over 3,000 elements": forged(_wide),
            "49 attributes": forged(_many_attributes),
        }.items()
    ),
    attack(
        "limits",
        "2,001 namespaces",
        document.xml_02_namespaces,
        rewritten(_many_namespaces),
    ),
    *(
        attack("limits", f"room for {name}", document.xml_02_namespaces, _keeping(piece_))
        for name, piece_ in KEPT.items()
    ),
    attack(
        "limits",
        "256 KiB and an octet",
        document.xml_02_octets,
        rewritten(lambda message: message.ljust(256 * 1024 + 1)),
    ),
    attack(
        "limits",
        "257 KiB",
        checks.xml_02_message,
        rewritten(lambda message: message.replace(b"e-1001", b"e" * 257 * 1024)),
    ),
    attack("limits", "400 KiB of base64", checks.xml_02_message, lambda _: "A" * 400 * 1024),
    attack(
        "limits",
        "400 KiB of white space",
        checks.xml_02_message,
        posted(lambda text: text + " " * 400 * 1024),
    ),
)

BASE64 = tuple(
    attack("base64", name, xml.decode_base64, make, "XML-03")
    for name, make in {
        "characters of no base64": posted(lambda text: text[:40] + "!" + text[40:]),
        "URL-safe alphabet": posted(lambda text: text[:40] + "-_-_" + text[40:]),
        "padding cut": lambda _: base64.b64encode(b"<x/>").decode("ascii").rstrip("="),
        "too much padding": posted(lambda text: text + "===="),
        "padding in the middle": posted(lambda text: text[:38] + "==" + text[38:]),
        "twice percent-encoded": posted(lambda text: text.replace("P", "%50", 1)),
        "a no-break space": posted(lambda text: text[:40] + "\u00a0" + text[40:]),
        "an ideographic space": posted(lambda text: text[:40] + "\u3000" + text[40:]),
        "full-width letters": posted(lambda text: text[:40] + "\uff21" + text[41:]),
        "a form feed": posted(lambda text: text[:40] + "\x0c" + text[40:]),
        "a data URL": posted(lambda text: f"data:text/xml;base64,{text}"),
        "the XML itself": lambda login: forged()(login).decode(),
    }.items()
)

TRANSPORT = (
    attack("base64", "deflated first", document.xml_03_utf8, _deflated),
    attack(
        "base64",
        "twice",
        document.xml_03_root,
        lambda login: base64.b64encode(base64.b64encode(forged()(login))).decode("ascii"),
    ),
    attack("base64", "nothing", document.xml_03_root, lambda _: ""),
)

ATTACKS: tuple[ResponseAttack, ...] = (*LIMITS, *BASE64, *TRANSPORT)
