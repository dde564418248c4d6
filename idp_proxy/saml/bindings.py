"""HTTP-Redirect and HTTP-POST: from raw octets to the one message they carry (bindings 3.4, 3.5).

The query is never re-encoded: a detached signature is held against the octets as they came, and a
parameter that comes twice, or a request together with a response, is refused (IDP-02).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from idp_proxy.errors import MalformedMessage, RequestInvalid, SamlError
from idp_proxy.saml.xml import MAX_BASE64, MAX_OCTETS, decode_base64

#: Octets of a query or a form: one message, a RelayState and a signature, percent-encoded.
MAX_FORM: Final = 3 * MAX_BASE64 + 16 * 1024
MAX_PARAMETERS: Final = 32

_SAML_PARAMETERS: Final = frozenset(
    {"SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding", "SAMLart"}
)
_DEFLATE: Final = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Detached:
    """A signature beside the message: over `octets`, the raw query in the order of the standard."""

    method: str
    value: bytes
    octets: bytes


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """A request as it came: the XML, the relay state byte for byte, and a detached signature."""

    octets: bytes
    relay_state: str | None
    detached: Detached | None = None


@dataclass(frozen=True, slots=True)
class ResponseMessage:
    """A posted Response as it came: still base64, and the relay state that came with it."""

    message: str
    relay_state: str | None


def read_redirect(query: bytes) -> RequestMessage:
    """The AuthnRequest in a query string. Raises `MalformedMessage` or `RequestInvalid`."""
    raw, fields = _parameters(query)
    if "SAMLResponse" in fields or "SAMLRequest" not in fields:
        raise RequestInvalid("IDP-02", "the query holds no request, or a response beside it")
    if fields.get("SAMLEncoding", _DEFLATE) != _DEFLATE:
        raise RequestInvalid("IDP-02", "SAMLEncoding is not DEFLATE")
    return RequestMessage(
        octets=_inflate(decode_base64(fields["SAMLRequest"], "SAMLRequest")),
        relay_state=fields.get("RelayState"),
        detached=_detached(raw, fields),
    )


def read_post_request(body: bytes) -> RequestMessage:
    """The AuthnRequest in a posted form. Raises `MalformedMessage` or `RequestInvalid`."""
    _, fields = _parameters(body)
    if "SAMLResponse" in fields or "SAMLRequest" not in fields:
        raise RequestInvalid("IDP-02", "the form holds no request, or a response beside it")
    if "SigAlg" in fields or "Signature" in fields:
        raise RequestInvalid("IDP-02", "a detached signature belongs to the redirect binding")
    if len(fields["SAMLRequest"]) > MAX_BASE64:
        raise MalformedMessage("XML-02", "SAMLRequest is too long")
    return RequestMessage(
        octets=decode_base64(fields["SAMLRequest"], "SAMLRequest"),
        relay_state=fields.get("RelayState"),
    )


def read_post_response(body: bytes) -> ResponseMessage:
    """The Response in a posted form. Raises `MalformedMessage`."""
    _, fields = _parameters(body, MalformedMessage)
    if "SAMLRequest" in fields or "SAMLResponse" not in fields:
        raise MalformedMessage("XML-03", "the form holds no SAMLResponse, or a request beside it")
    return ResponseMessage(fields["SAMLResponse"], fields.get("RelayState"))


def _parameters(
    octets: bytes, refusal: type[SamlError] = RequestInvalid
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The SAML parameters, each once: raw as they came, and decoded. Others are ignored (FO-05)."""
    if len(octets) > MAX_FORM:
        raise MalformedMessage("XML-02", f"{len(octets)} octets of parameters, at most {MAX_FORM}")
    pairs = octets.split(b"&")
    if len(pairs) > MAX_PARAMETERS:
        raise MalformedMessage("XML-02", f"more than {MAX_PARAMETERS} parameters")
    raw: dict[str, bytes] = {}
    fields: dict[str, str] = {}
    for pair in pairs:
        name_octets, _, value = pair.partition(b"=")
        name = _decoded(name_octets)
        if name not in _SAML_PARAMETERS:
            continue
        if name in fields:
            raise refusal("IDP-02", f"the parameter {name} comes twice")
        raw[name], fields[name] = value, _decoded(value)
    return raw, fields


def _decoded(octets: bytes) -> str:
    """Percent-decoding as forms do it (`+` is a blank), strict about escapes and UTF-8."""
    if _BROKEN_ESCAPE.search(octets):
        raise MalformedMessage("XML-03", "a percent sign without two hexadecimal digits")
    try:
        return unquote_to_bytes(octets.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessage("XML-03", "a parameter that is not UTF-8") from error


def _inflate(deflated: bytes) -> bytes:
    """Raw DEFLATE of at most 256 KiB, complete and with nothing behind it (XML-02)."""
    stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        octets = stream.decompress(deflated, MAX_OCTETS + 1)
    except zlib.error as error:
        raise MalformedMessage("XML-03", "SAMLRequest is not deflated") from error
    if len(octets) > MAX_OCTETS:
        raise MalformedMessage("XML-02", f"inflates to more than {MAX_OCTETS} octets")
    if not stream.eof or stream.unused_data:
        raise MalformedMessage("XML-03", "the deflated message is cut, or something follows it")
    return octets


def _detached(raw: dict[str, bytes], fields: dict[str, str]) -> Detached | None:
    """The signature over the query: `SAMLRequest[&RelayState]&SigAlg`, raw (bindings 3.4.4.1)."""
    if "SigAlg" not in fields and "Signature" not in fields:
        return None
    if "SigAlg" not in fields or "Signature" not in fields:
        raise RequestInvalid("IDP-02", "SigAlg and Signature come together or not at all")
    signed = [name for name in ("SAMLRequest", "RelayState", "SigAlg") if name in raw]
    return Detached(
        method=fields["SigAlg"],
        value=decode_base64(fields["Signature"], "Signature"),
        octets=b"&".join(name.encode() + b"=" + raw[name] for name in signed),
    )
