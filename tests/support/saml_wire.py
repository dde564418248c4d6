"""SAML messages on the wire, as the other parties write and read them (SAML bindings 3.4, 3.5)."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Mapping

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
DS = "http://www.w3.org/2000/09/xmldsig#"
NAMESPACES = {"saml": SAML, "samlp": SAMLP, "md": MD, "ds": DS}

REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
RESPONDER = "urn:oasis:names:tc:SAML:2.0:status:Responder"
NO_PASSIVE = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
UNSPECIFIED = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
PASSWORD_TRANSPORT = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"

_LIMIT = 1024 * 1024


class WireError(Exception):
    """The octets are no SAML message."""


@dataclass(frozen=True, slots=True)
class DetachedSignature:
    """The signature of HTTP-Redirect: over these raw octets of the query, by this algorithm."""

    octets: bytes
    value: bytes
    algorithm: str


@dataclass(frozen=True, slots=True)
class Maker:
    """Writes elements of one namespace: `maker("Name", "text" or children, Attribute="value")`."""

    namespace: str
    prefixes: Mapping[str, str]

    def __call__(
        self, name: str, *content: str | etree._Element, **attributes: str
    ) -> etree._Element:
        """The element; text only as the first content."""
        element = etree.Element(f"{{{self.namespace}}}{name}", nsmap=dict(self.prefixes))
        for key, value in attributes.items():
            element.set(key, value)
        for part in content:
            if isinstance(part, str):
                element.text = part
            else:
                element.append(part)
        return element


def parse(octets: bytes) -> etree._Element:
    """The root element. Raises `WireError` for what is no XML, or has a DTD."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(octets, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise WireError(f"no XML: {error}") from None
    if b"<!DOCTYPE" in octets:
        raise WireError("a DTD in a SAML message")
    return root


def encode(octets: bytes) -> str:
    """Standard base64, as HTTP-POST carries it."""
    return base64.b64encode(octets).decode("ascii")


def decode(text: str) -> bytes:
    """The octets of standard base64; line breaks are allowed. Raises `WireError`."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(f"no base64: {error}") from None


def deflate(octets: bytes) -> str:
    """Raw DEFLATE and base64, as HTTP-Redirect carries it."""
    packer = zlib.compressobj(wbits=-15)
    return encode(packer.compress(octets) + packer.flush())


def inflate(text: str) -> bytes:
    """The octets behind `deflate`, up to 1 MiB. Raises `WireError`."""
    unpacker = zlib.decompressobj(wbits=-15)
    try:
        octets = unpacker.decompress(decode(text), _LIMIT)
    except zlib.error as error:
        raise WireError(f"no DEFLATE: {error}") from None
    if not unpacker.eof:
        raise WireError("cut off, or larger than 1 MiB")
    return octets


def query_values(query: str) -> dict[str, str]:
    """The parameters of a query or a form, each at most once. Raises `WireError`."""
    pairs = parse_qsl(query, keep_blank_values=True)
    values = dict(pairs)
    if len(values) != len(pairs):
        raise WireError("a parameter came twice")
    return values


def detached_signature(query: str) -> DetachedSignature | None:
    """The signature of a Redirect query, over its raw values in the order that the binding sets."""
    raw = dict(part.partition("=")[::2] for part in query.split("&"))
    if "Signature" not in raw:
        return None
    order = [name for name in ("SAMLRequest", "RelayState", "SigAlg") if name in raw]
    return DetachedSignature(
        octets="&".join(f"{name}={raw[name]}" for name in order).encode("ascii"),
        value=decode(unquote_plus(raw["Signature"])),
        algorithm=unquote_plus(raw.get("SigAlg", "")),
    )


def instant(moment: datetime) -> str:
    """An xs:dateTime in UTC with whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_instant(text: str) -> datetime:
    """The moment of an xs:dateTime with a zone (RFC 3339). Raises `WireError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise WireError(f"no time: {text!r}") from None
    if moment.tzinfo is None:
        raise WireError(f"a time without a zone: {text!r}")
    return moment.astimezone(UTC)


def text_of(element: etree._Element, path: str) -> str | None:
    """The text of the first element at `path`, or None; blanks are kept."""
    found = element.find(path, NAMESPACES)
    return None if found is None else (found.text or "")
