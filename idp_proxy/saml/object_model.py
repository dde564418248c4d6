"""pysaml2's object model as XML: what this project writes is built of its classes, never of text.

Metadata is written by its `to_string`; its prefixes live in a table of the whole process, so they
are entered here once, when this module is imported, and nowhere while requests are served. A
message, which a login waits for, becomes a tree by the same tables of its classes without being
written and read again on the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

from lxml import etree
from saml2 import SamlBase, md, saml, samlp, xmldsig

from idp_proxy.saml import names

if TYPE_CHECKING:
    from datetime import datetime

    from lxml.etree import _Element

for _prefix, _namespace in {
    "saml": saml.NAMESPACE,
    "samlp": samlp.NAMESPACE,
    "md": md.NAMESPACE,
    "ds": xmldsig.NAMESPACE,
    "alg": "urn:oasis:names:tc:SAML:metadata:algsupport",
    "xsi": names.XSI,
}.items():
    ET.register_namespace(_prefix, _namespace)

#: What the root of a message declares.
_PREFIXES: Final = {"samlp": names.SAMLP, "saml": names.SAML}
#: What XML 1.0 cannot hold, and the control characters that it would hold or rewrite (section 2.2).
_UNWRITABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Unwritable(ValueError):
    """A value that cannot stand in a message we sign; `what` names it, its text is not repeated."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is empty or holds characters that cannot be sent")
        self.what = what


def octets_of(written: SamlBase) -> bytes:
    """The metadata of one object: UTF-8, without an XML declaration."""
    text: bytes = written.to_string()
    return text.partition(b"?>\n")[2] if text.startswith(b"<?xml") else text


def element_of(written: SamlBase) -> _Element:
    """A message as a tree, for signing. Raises `TypeError` for anything with extension elements."""
    return _element(written, None)


class PlainValue(SamlBase):  # type: ignore[misc] # pysaml2 is untyped
    """An AttributeValue that is text and says no more. pysaml2's own class guesses a type for each
    value and writes it down as xsi:type, whose prefix would be lost when the assertion is
    encrypted.
    """

    c_tag = saml.AttributeValue.c_tag
    c_namespace = saml.NAMESPACE


@dataclass(frozen=True, slots=True)
class _Shape:
    """What pysaml2's tables say of one class: its tag, the members that become child elements, in
    their order, and the attributes with the members that hold them.
    """

    tag: str
    children: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]


@cache
def _shape_of(kind: Any) -> _Shape:
    children = tuple(kind.c_child_order) or tuple(member for member, _ in kind.c_children.values())
    attributes = tuple((name, member) for name, (member, *_) in kind.c_attributes.items())
    return _Shape(f"{{{kind.c_namespace}}}{kind.c_tag}", children, attributes)


def _element(written: SamlBase, parent: _Element | None) -> _Element:
    if written.extension_elements or written.extension_attributes:
        raise TypeError(f"{written.c_tag} with extensions is not written as a message")
    shape = _shape_of(written.__class__)
    held = vars(written)
    attributes: dict[str, str] = {
        name: value for name, member in shape.attributes if (value := held[member]) is not None
    }
    if parent is None:
        element = etree.Element(shape.tag, attributes, nsmap=_PREFIXES)
    else:
        element = etree.SubElement(parent, shape.tag, attributes)
    element.text = written.text
    for member in shape.children:
        found = held[member]
        if isinstance(found, list):
            for child in found:
                _element(child, element)
        elif found is not None:
            _element(found, element)
    return element


def writable(value: str, what: str) -> str:
    """`value` as it is. Raises `Unwritable` if it is empty or a reader could see it differently."""
    if not value or _UNWRITABLE.search(value):
        raise Unwritable(what)
    return value


def utc_text(moment: datetime) -> str:
    """An xs:dateTime in UTC, whole seconds (SAML core 1.3.3)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
