"""XML as this project reads it: one hardened parser, one canonical form, and counted children.

Nothing else here calls lxml's parser (XML-03). What is refused before parsing (declarations,
sizes) are checks of `saml.document`; `parse` trusts that they ran and is safe without them too.
"""

from __future__ import annotations

import base64
import binascii
import re
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lxml import etree

from idp_proxy.errors import MalformedMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lxml.etree import _Element

#: Octets of one message, encoded and inflated alike (XML-02).
MAX_OCTETS: Final = 256 * 1024
MAX_BASE64: Final = MAX_OCTETS * 4 // 3 + 8

#: XML 1.0 section 2.3; other blanks of Unicode are foreign to base64 (other decoders refuse them).
_WHITE_SPACE: Final = b" \t\r\n"
#: lxml hands a listed prefix on only if it stands among the names that libxml2 has met in this
#: thread; "#default", which stands for no prefix at all, is met by reading this.
_KNOWS_DEFAULT: Final = b'<a xmlns:a="#default"/>'
_INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z", re.ASCII)
#: XML 1.0 fifth edition NameStartChar and NameChar without the colon, ASCII part only.
_NCNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,255}", re.ASCII)


def parse(octets: bytes) -> _Element:
    """The root of a document: no DTD, no entity, no network, libxml2's own limits in force.

    Raises `MalformedMessage`: XML-03 if it is not well-formed, XML-01 if it has a DTD (libxml2
    takes attribute defaults of an internal subset even when told to take none).
    """
    if b"<!DOCTYPE" in octets:
        raise MalformedMessage("XML-01", "contains a document type declaration")
    try:
        return etree.fromstring(octets, _reader.parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MalformedMessage("XML-03", f"not well-formed XML: {error}") from error


class _Reader(threading.local):
    """The parser of a thread: libxml2 has one table of names for each, and so has its parser."""

    def __init__(self) -> None:
        self.parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            attribute_defaults=False,
            huge_tree=False,
            remove_blank_text=False,
            collect_ids=False,
            encoding="utf-8",
        )


_reader: Final = _Reader()


def canonical(element: _Element, prefixes: Sequence[str] = ()) -> bytes:
    """Exclusive canonical XML 1.0 without comments; `prefixes` is the InclusiveNamespaces list.

    Raises `MalformedMessage` (XML-03) for what has no canonical form: a relative namespace name
    (XML C14N 1.0 section 1.3). It never reads as an empty one (void canonicalisation).
    """
    if "#default" in prefixes:
        parse(_KNOWS_DEFAULT)
    try:
        return etree.tostring(
            element,
            method="c14n",
            exclusive=True,
            with_comments=False,
            inclusive_ns_prefixes=list(prefixes) or None,
        )
    except etree.C14NError as error:
        raise MalformedMessage("XML-03", "the document has no canonical form") from error


def decode_base64(text: str, what: str) -> bytes:
    """Standard base64 with XML's white space in it, nothing else (RFC 4648 section 4).

    Raises `MalformedMessage` (XML-03): what two decoders read differently is not read at all.
    """
    try:
        return base64.b64decode(text.encode("ascii").translate(None, _WHITE_SPACE), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise MalformedMessage("XML-03", f"{what} is not base64") from error


def children(element: _Element, tag: str) -> list[_Element]:
    """The direct children of this name."""
    return list(element.iterchildren(tag))


def text_of(element: _Element) -> str:
    """All the text of an element without child elements, as it stands (never trimmed).

    Comments and processing instructions were refused (XML-01), so there is one text node; an
    element with children reads as empty, which no check accepts.
    """
    return "" if len(element) else (element.text or "")


def instant(text: str | None) -> datetime | None:
    """An xs:dateTime in UTC with the letter Z (SAML core 1.3.3), or None if it is anything else."""
    if text is None or not (match := _INSTANT.fullmatch(text)):
        return None
    try:
        return datetime.fromisoformat(f"{match[1]}{(match[2] or '.')[:7]:0<7}+00:00")
    except ValueError:
        return None


def is_ncname(text: str | None) -> bool:
    """Whether this can be an xs:ID: an NCName in ASCII, at most 256 characters."""
    return text is not None and _NCNAME.fullmatch(text) is not None
