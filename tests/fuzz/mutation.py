"""Octets made from valid ones: the same seed always gives the same octets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lxml import etree

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

#: What readers of SAML, forms and TOML treat in a special way.
TOKENS: tuple[bytes, ...] = (
    b"<!DOCTYPE a [<!ENTITY e 'x'>]>",
    b"<!-- -->",
    b"<![CDATA[",
    b"]]>",
    b"<?x?>",
    b'<?xml version="1.0" encoding="utf-16"?>',
    b"&e;",
    b"&#0;",
    b"&#xD;",
    b"&amp;amp;",
    b' xmlns="urn:x"',
    b' xmlns=""',
    b' xmlns:p="relative"',
    b' xml:id="_a"',
    b' ID="_assertion-1"',
    b"<a/>",
    b"</a>",
    b"<saml:Assertion>",
    b"<ds:Signature>",
    b"#xpointer(/)",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x00",
    b"\xed\xa0\x80",
    b"\xe2\x80\xae",
    b"\r\n",
    b"%",
    b"%00",
    b"%e2%80%ae",
    b"&SAMLRequest=",
    b"&SAMLResponse=",
    b"&",
    b"=",
    b"+",
    b"9" * 400,
    b"-1",
    b"1e999",
    b"nan",
    b"9999-12-31T23:59:59Z",
    b"0001-01-01T00:00:00Z",
    b"[[upstream]]\n",
    b'"""',
    b"\n[proxy]\n",
    b"{",
    b"[" * 200,
    b"<a>" * 300,
    b"A" * 70_000,
)


def mutated(seed: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """`seed` after one to eight edits; `others` lend their parts."""
    octets = bytearray(seed)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        start = chance.randrange(len(octets) + 1)
        end = min(len(octets), start + chance.choice((0, 1, 2, 8, 64, 600)))
        octets[start:end] = _instead(bytes(octets[start:end]), others, chance)
    return bytes(octets)


def _instead(cut: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """What stands in the place of a cut: nothing, it twice, a token, noise, a part of another."""
    other = chance.choice(others)
    start = chance.randrange(len(other) + 1)
    return chance.choice(
        (
            b"",
            cut * 2,
            cut * 40,
            chance.choice(TOKENS),
            chance.choice(TOKENS),
            chance.randbytes(len(cut) or 1),
            bytes(octet ^ (1 << chance.randrange(8)) for octet in cut),
            other[start : start + chance.choice((1, 20, 300))],
        )
    )


#: Values that are well-formed XML and that no reader expects.
VALUES = (
    "",
    " ",
    "0",
    "-1",
    "9" * 400,
    "\u0661",
    "true",
    "2.0",
    "#",
    "#xpointer(/)",
    "x" * 60_000,
    "\u202eada",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "2026-03-01T24:00:00Z",
    "2026-03-01T12:00:00.000000001Z",
    "http://127.0.0.1/",
    "urn:oasis:names:tc:SAML:2.0:status:Success",
    "AAAA",
    "#default xs",
)


def rearranged(octets: bytes, chance: random.Random) -> bytes:
    """A document with one to three nodes moved, copied, dropped, renamed or rewritten."""
    root = etree.fromstring(octets)
    for _ in range(chance.randint(1, 3)):
        nodes = list(root.iter())
        node, other = chance.choice(nodes), chance.choice(nodes)
        if node is not root and other is not root:
            chance.choice(_EDITS)(node, other)
        _rewrite(node, chance)
    return etree.tostring(root)


def _rewrite(node: etree._Element, chance: random.Random) -> None:
    """Now and then another value for an attribute or the text."""
    name = chance.choice([*node.attrib, "ID", "text", "text", "none", "none", "none"])
    if name == "text":
        node.text = chance.choice(VALUES)
    elif name != "none":
        node.set(name, chance.choice(VALUES))


def _move(node: etree._Element, other: etree._Element) -> None:
    if node is not other and node not in list(other.iterancestors()):
        other.addnext(node)


def _copy(node: etree._Element, other: etree._Element) -> None:
    other.addnext(etree.fromstring(etree.tostring(node, with_tail=False)))


def _drop(node: etree._Element, _: etree._Element) -> None:
    parent = node.getparent()
    if parent is not None:
        parent.remove(node)


def _swap_text(node: etree._Element, other: etree._Element) -> None:
    node.text, other.text = other.text, node.text


def _swap_attributes(node: etree._Element, other: etree._Element) -> None:
    for name in node.attrib:
        node.set(name, other.get(name, "x"))


def _blank_tail(node: etree._Element, _: etree._Element) -> None:
    node.tail = f"{node.tail or ''}\n "


def _rename(node: etree._Element, other: etree._Element) -> None:
    node.tag = other.tag


def _nothing(_: etree._Element, __: etree._Element) -> None:
    """Leave the tree alone, for a rewrite without a move."""


_EDITS = (
    _move,
    _copy,
    _drop,
    _swap_text,
    _swap_attributes,
    _blank_tail,
    _rename,
    _nothing,
    _nothing,
)
