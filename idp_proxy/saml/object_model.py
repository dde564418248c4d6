"""pysaml2's object model as XML: what this project writes is built of its classes, never of text.

Only `to_string` is used of it. Its prefixes live in a table of the whole process, so they are
entered here once, when this module is imported, and nowhere while requests are served.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from saml2 import md, saml, samlp, xmldsig

from idp_proxy.saml import names
from idp_proxy.saml.xml import parse

if TYPE_CHECKING:
    from datetime import datetime

    from lxml.etree import _Element
    from saml2 import SamlBase

for _prefix, _namespace in {
    "saml": saml.NAMESPACE,
    "samlp": samlp.NAMESPACE,
    "md": md.NAMESPACE,
    "ds": xmldsig.NAMESPACE,
    "alg": "urn:oasis:names:tc:SAML:metadata:algsupport",
    "xsi": names.XSI,
}.items():
    ET.register_namespace(_prefix, _namespace)

#: What XML 1.0 cannot hold, and the control characters that it would hold or rewrite (section 2.2).
_UNWRITABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class Unwritable(ValueError):
    """A value that cannot stand in a message we sign; `what` names it, its text is not repeated."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is empty or holds characters that cannot be sent")
        self.what = what


def octets_of(written: SamlBase) -> bytes:
    """The document of one object: UTF-8, without an XML declaration."""
    text: bytes = written.to_string()
    return text.partition(b"?>\n")[2] if text.startswith(b"<?xml") else text


def element_of(written: SamlBase) -> _Element:
    """The same as a tree, for signing."""
    return parse(octets_of(written))


def writable(value: str, what: str) -> str:
    """`value` as it is. Raises `Unwritable` if it is empty or a reader could see it differently."""
    if not value or _UNWRITABLE.search(value):
        raise Unwritable(what)
    return value


def utc_text(moment: datetime) -> str:
    """An xs:dateTime in UTC, whole seconds (SAML core 1.3.3)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
