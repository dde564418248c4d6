"""Our AuthnRequest to an upstream, always signed (SAML core 3.4.1; bindings 3.4 and 3.5; saml2int).

By the Redirect binding the signature stands beside the message, over the query as it is sent; by
the POST binding it stands inside.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding
from saml2 import saml, samlp

from idp_proxy.saml import names
from idp_proxy.saml.object_model import Unwritable, element_of, utc_text, writable
from idp_proxy.saml.signature import signed
from idp_proxy.saml.stencil import Stencil, blank
from idp_proxy.saml.xml import is_ncname

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

_TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_MAX_RELAY_STATE: Final = 80  # octets: bindings 3.4.3
_SIG_ALG: Final = quote(names.RSA_SHA256, safe="")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who we are towards one upstream, and what we ask of each answer.

    `authn_contexts` are AuthnContextClassRefs that the upstream must use, as `comparison` says
    (SAML core 3.3.2.2.1); none leaves the choice to it.
    """

    entity_id: str
    acs_url: str
    name_id_format: str
    authn_contexts: tuple[str, ...]
    key: RSAPrivateKey = field(repr=False)
    certificate: Certificate = field(repr=False)
    comparison: str = "exact"


@dataclass(frozen=True, slots=True)
class Question:
    """One AuthnRequest: its ID, where it goes, and how the person is to be asked (IDP-04)."""

    id: str
    destination: str
    force_authn: bool
    is_passive: bool
    now: datetime


def redirect_url(asker: Asker, question: Question, relay_state: str) -> str:
    """The address to send the browser to. Raises `Unwritable`."""
    message = _deflated(_octets(asker, question))
    query = (
        f"SAMLRequest={_parameter(message)}"
        f"&RelayState={quote(_relay_state(relay_state), safe='')}&SigAlg={_SIG_ALG}"
    )
    value = asker.key.sign(query.encode("ascii"), padding.PKCS1v15(), hashes.SHA256())
    joint = "&" if "?" in question.destination else "?"
    return f"{question.destination}{joint}{query}&Signature={_parameter(value)}"


def post_fields(asker: Asker, question: Question, relay_state: str) -> dict[str, str]:
    """The fields of the form that the browser posts. Raises `Unwritable`."""
    certificate = asker.certificate.public_bytes(Encoding.DER)
    octets = signed(_octets(asker, question), question.id, asker.key, certificate)
    return {
        "SAMLRequest": base64.b64encode(octets).decode("ascii"),
        "RelayState": _relay_state(relay_state),
    }


def _octets(asker: Asker, question: Question) -> bytes:
    """The AuthnRequest, unsigned. Raises `Unwritable`."""
    if not is_ncname(question.id):
        raise Unwritable("the ID of the AuthnRequest")
    stencil = _authn_request(
        _Fixed(
            entity_id=asker.entity_id,
            acs_url=asker.acs_url,
            name_id_format=asker.name_id_format,
            authn_contexts=asker.authn_contexts,
            comparison=asker.comparison,
            destination=question.destination,
            force_authn=question.force_authn,
            is_passive=question.is_passive,
        )
    )
    return stencil.fill({"ID": question.id, "IssueInstant": utc_text(question.now)})


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What is the same in many AuthnRequests to one upstream."""

    entity_id: str
    acs_url: str
    name_id_format: str
    authn_contexts: tuple[str, ...]
    comparison: str
    destination: str
    force_authn: bool
    is_passive: bool


@lru_cache(maxsize=64)
def _authn_request(fixed: _Fixed) -> Stencil:
    """NameIDPolicy always carries its Format; a transient identifier is never asked to be made."""
    transient = fixed.name_id_format == _TRANSIENT
    written = samlp.AuthnRequest(
        id=blank("ID"),
        version="2.0",
        issue_instant=blank("IssueInstant"),
        destination=writable(fixed.destination, "the upstream's address"),
        assertion_consumer_service_url=writable(fixed.acs_url, "the ACS address"),
        protocol_binding=names.BINDING_POST,
        force_authn="true" if fixed.force_authn else None,
        is_passive="true" if fixed.is_passive else None,
        issuer=saml.Issuer(text=writable(fixed.entity_id, "our entity ID")),
        name_id_policy=samlp.NameIDPolicy(
            format=writable(fixed.name_id_format, "name_id_format"),
            allow_create=None if transient else "true",
        ),
        requested_authn_context=_requested_context(fixed),
    )
    return Stencil(element_of(written))


def _requested_context(fixed: _Fixed) -> samlp.RequestedAuthnContext | None:
    if not fixed.authn_contexts:
        return None
    return samlp.RequestedAuthnContext(
        comparison=fixed.comparison,
        authn_context_class_ref=[
            saml.AuthnContextClassRef(text=writable(one, "requested_authn_context"))
            for one in fixed.authn_contexts
        ],
    )


def _deflated(octets: bytes) -> bytes:
    """Raw DEFLATE (bindings 3.4.4.1), by a window that fits a request: setting up the largest one
    takes longer than all the rest.
    """
    deflate = zlib.compressobj(wbits=-12, memLevel=5)
    return deflate.compress(octets) + deflate.flush()


def _parameter(octets: bytes) -> str:
    """Base64, percent-encoded: three of its characters may not stand in a query as they are."""
    text = base64.b64encode(octets).decode("ascii")
    return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


def _relay_state(value: str) -> str:
    if len(writable(value, "the relay state").encode()) > _MAX_RELAY_STATE:
        raise Unwritable("the relay state, over 80 octets,")
    return value
