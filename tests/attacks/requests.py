"""Honest AuthnRequests as Mattermost and others send them, and edits that make them hostile."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING
from urllib.parse import quote

from lxml import etree

from tests.attacks import signer
from tests.attacks.attack import Sent
from tests.support.saml_wire import instant

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.attacks.attack import Asking
    from tests.support.keys import KeyPair

    Edit = Callable[[etree._Element, Asking], object]

_REQUEST = """<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" \
xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{asking.request_id}" Version="2.0" \
ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" \
AssertionConsumerServiceURL="{asking.acs_url}" IssueInstant="{now}" \
Destination="{asking.sso_url}"><saml:Issuer>{asking.entity_id}</saml:Issuer>\
<samlp:NameIDPolicy AllowCreate="true"/></samlp:AuthnRequest>"""
RELAY_STATE = b"eyJhY3Rpb24iOiJtb2JpbGUifQ%3D%3D"


def plain(asking: Asking, *edits: Edit) -> etree._Element:
    """The request before any signature."""
    root = etree.fromstring(_REQUEST.format(asking=asking, now=instant(asking.now)))
    for edit in edits:
        edit(root, asking)
    return root


def enveloped(
    asking: Asking, *edits: Edit, style: signer.Style = signer.HONEST, pair: KeyPair | None = None
) -> etree._Element:
    """Signed inside, as Mattermost does it."""
    root = plain(asking, *edits)
    signer.sign(root, pair or asking.keys, style)
    return root


def redirected(octets: bytes, *more: bytes) -> Sent:
    """By HTTP-Redirect; `more` are further parameters, raw."""
    return Sent(query=b"&".join((b"SAMLRequest=" + parameter(deflated(octets)), *more)))


def posted(octets: bytes, *more: bytes) -> Sent:
    """By HTTP-POST."""
    text = signer.text(octets).encode()
    return Sent("POST", body=b"&".join((b"SAMLRequest=" + parameter(text), *more)))


def detached(
    asking: Asking,
    octets: bytes,
    relay_state: bytes | None = RELAY_STATE,
    method: str = signer.RSA_SHA256,
    pair: KeyPair | None = None,
) -> dict[str, bytes]:
    """The raw parameters of a signed query, in the order in which they were signed."""
    query = {"SAMLRequest": parameter(deflated(octets))}
    if relay_state is not None:
        query["RelayState"] = relay_state
    query["SigAlg"] = parameter(method.encode())
    value = signer.sign_octets(joined(query), pair or asking.keys, method)
    return query | {"Signature": parameter(signer.text(value).encode())}


def joined(query: dict[str, bytes]) -> bytes:
    """A query string of raw values."""
    return b"&".join(name.encode() + b"=" + value for name, value in query.items())


def deflated(octets: bytes) -> bytes:
    """Raw DEFLATE in base64."""
    packer = zlib.compressobj(wbits=-15)
    return signer.text(packer.compress(octets) + packer.flush()).encode()


def parameter(octets: bytes) -> bytes:
    """Percent-encoded, as a query or a form wants it."""
    return quote(octets, safe="").encode()


def octets_of(root: etree._Element) -> bytes:
    """The message as it is sent."""
    return etree.tostring(root)
