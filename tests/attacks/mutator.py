"""One small change to a signed message: of a node, an attribute, a text, a namespace, an octet."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_NAMES = ("ID", "Id", "id", "Version", "Method", "Algorithm", "URI", "Recipient", "InResponseTo")
_TEXTS = (
    "",
    " ",
    "e-0001",
    "x",
    "\n",
    "true",
    "9999-12-31T23:59:59Z",
    "urn:x",
    "\u200b",
    "\U0001f600",
)
_NAMESPACES = (
    "urn:oasis:names:tc:SAML:2.0:assertion",
    "urn:oasis:names:tc:SAML:2.0:protocol",
    "http://www.w3.org/2000/09/xmldsig#",
    "urn:x",
    "relative",
    "",
)


def mutated(message: bytes, random: Random) -> bytes:
    """The message with one change; some changes leave it as it was or break it as XML."""
    if random.random() < 0.15:
        return _octet(message, random)
    if random.random() < 0.15:
        return _as_text(message, random)
    root = etree.fromstring(message)
    change = random.choice(_CHANGES)
    change(root, random)
    return etree.tostring(root)


def _any(root: etree._Element, random: Random) -> etree._Element:
    return random.choice(list(root.iter()))


def _place(parent: etree._Element, random: Random) -> int:
    return random.randint(0, len(parent))


def move(root: etree._Element, random: Random) -> None:
    """A node goes elsewhere, outside of itself."""
    node, target = _any(root, random), _any(root, random)
    if node is root or target in set(node.iter()):
        return
    node.tail = None
    target.insert(_place(target, random), node)


def copy(root: etree._Element, random: Random) -> None:
    """A node stands a second time somewhere, under its own or another ID, changed or not."""
    node, target = deepcopy(_any(root, random)), _any(root, random)
    if node.get("ID") and random.random() < 0.7:
        node.set("ID", f"_{random.getrandbits(32):x}")
    for name_id in node.iter("{urn:oasis:names:tc:SAML:2.0:assertion}NameID"):
        name_id.text = "e-0001"
    target.insert(_place(target, random), node)


def delete(root: etree._Element, random: Random) -> None:
    """A node is gone, with or without its children."""
    node = _any(root, random)
    parent = node.getparent()
    if parent is None:
        return
    if random.random() < 0.5:
        for child in list(node):
            node.addprevious(child)
    parent.remove(node)


def swap(root: etree._Element, random: Random) -> None:
    """Two neighbours change places."""
    parent = _any(root, random)
    if len(parent) > 1:
        first = random.randrange(len(parent) - 1)
        parent.insert(first, parent[first + 1])


def attribute(root: etree._Element, random: Random) -> None:
    """An attribute is changed, added, taken or renamed."""
    node = _any(root, random)
    here = [str(name) for name in node.attrib]
    name = random.choice([*here, *_NAMES])
    value = random.choice([*_TEXTS, str(_any(root, random).get("ID", "_x"))])
    kind = random.randrange(3)
    if kind == 0 and name in node.attrib:
        del node.attrib[name]
    elif kind == 1 and here:
        node.set(random.choice(_NAMES), str(node.attrib.pop(random.choice(here))))
    else:
        node.set(name, value)


def text(root: etree._Element, random: Random) -> None:
    """The text in or behind a node is changed."""
    node = _any(root, random)
    value = random.choice(_TEXTS)
    if random.random() < 0.5 or node is root:
        node.text = value + (node.text or "") if random.random() < 0.5 else value
    else:
        node.tail = value


def rename(root: etree._Element, random: Random) -> None:
    """A node gets another name or namespace, its content stays."""
    node = _any(root, random)
    local = etree.QName(node).localname
    if random.random() < 0.5:
        local = etree.QName(_any(root, random)).localname
    namespace = random.choice([n for n in _NAMESPACES if n])
    node.tag = f"{{{namespace}}}{local}"


def wrap(root: etree._Element, random: Random) -> None:
    """A node goes into a new one in its place."""
    node = _any(root, random)
    parent = node.getparent()
    if parent is None:
        return
    namespace = random.choice([n for n in _NAMESPACES if n])
    name = random.choice(("Object", "Advice", "Extensions", "Assertion", "AttributeValue"))
    holder = etree.Element(f"{{{namespace}}}{name}", nsmap={"w": namespace})
    parent.replace(node, holder)
    holder.append(node)


_CHANGES: tuple[Callable[[etree._Element, Random], None], ...] = (
    move,
    copy,
    delete,
    swap,
    attribute,
    text,
    rename,
    wrap,
)


def _octet(message: bytes, random: Random) -> bytes:
    changed = bytearray(message)
    place = random.randrange(len(changed))
    kind = random.randrange(3)
    if kind == 0:
        changed[place] ^= 1 << random.randrange(8)
    elif kind == 1:
        del changed[place : place + random.randint(1, 20)]
    else:
        changed[place:place] = changed[place - 20 : place] or b"<"
    return bytes(changed)


def _as_text(message: bytes, random: Random) -> bytes:
    """Declarations and markup that no tree operation makes."""
    opening = [index for index in range(len(message)) if message[index : index + 1] == b">"]
    place = random.choice(opening)
    namespace = random.choice(_NAMESPACES).encode()
    prefix = random.choice([b"saml", b"samlp", b"ds", b"x"])
    piece = random.choice(
        [
            b' xmlns:%s="%s"' % (prefix, namespace),
            b' xmlns="%s"' % namespace,
            b' xml:id="_x"',
            b" xml:space='preserve'",
        ]
    )
    if random.random() < 0.4:
        inner = random.choice([b"<!-- -->", b"<?x y?>", b"<![CDATA[]]>", b"&#x65;", b"&amp;", b" "])
        return message[: place + 1] + inner + message[place + 1 :]
    if message[place - 1 : place] in {b"/", b"?"}:
        place -= 1
    return message[:place] + piece + message[place:]
