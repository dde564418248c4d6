"""The service provider's AuthnRequest: unsigned, signed beside the query, or signed inside.

`CHECKS` is the whole list, in order. An answer goes to the registered assertion consumer service
and nowhere else, so the address in a request is compared and never used (IDP-01). Mattermost signs
with an enveloped signature inside the deflated message, which no standard binding knows; both that
and the detached form are verified here. Sources: SAML core 3.4.1, bindings 3.4 and 3.5.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from idp_proxy.errors import (
    RequestExpired,
    RequestInvalid,
    UnknownServiceProvider,
    UnsupportedSignature,
    WrongAcs,
)
from idp_proxy.saml import document, names
from idp_proxy.saml.document import Document, Profile, run
from idp_proxy.saml.signature import SIGNATURE_METHODS, verify_detached
from idp_proxy.saml.xml import children, decode_base64, instant, is_ncname, text_of

if TYPE_CHECKING:
    from datetime import datetime

    from lxml.etree import _Element

    from idp_proxy.saml.bindings import RequestMessage
    from idp_proxy.saml.document import Check
    from idp_proxy.saml.signature import PublicKey

PROFILE: Final = Profile(
    root=names.AUTHN_REQUEST,
    signable={names.AUTHN_REQUEST: names.ISSUER},
    refusal=RequestInvalid,
)
#: How old a request may be: Mattermost's own relay state lives five minutes.
MAX_AGE: Final = timedelta(minutes=5)
CLOCK_SKEW: Final = timedelta(seconds=120)

_CURE: Final = (
    "set SamlSettings.SignatureAlgorithm = RSAwithSHA256 and "
    "SamlSettings.CanonicalAlgorithm = Canonical1.0 in Mattermost"
)
_OLD_SIGNATURES: Final = frozenset(
    {
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        "http://www.w3.org/2000/09/xmldsig#dsa-sha1",
    }
)
_OLD_CANONICAL: Final = frozenset(
    {
        "http://www.w3.org/2006/12/xml-c14n11",
        "http://www.w3.org/2006/12/xml-c14n11#WithComments",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments",
    }
)
_NAME_ID_FORMATS: Final = frozenset({None, "", names.NAME_ID_UNSPECIFIED, names.NAME_ID_PERSISTENT})


@dataclass(frozen=True, slots=True)
class ServiceProvider:
    """Mattermost as registered: who may ask, and the one place that is answered.

    `certificates` are DER, `keys` their public keys, in no particular order.
    """

    entity_id: str
    acs_url: str
    sso_url: str
    keys: tuple[PublicKey, ...] = ()
    certificates: tuple[bytes, ...] = ()
    require_signed: bool = False


class Received:
    """A request on its way through CHECKS."""

    def __init__(self, message: RequestMessage, provider: ServiceProvider, now: datetime) -> None:
        self.document = Document(message.octets, PROFILE, provider.keys)
        self.detached = message.detached
        self.provider = provider
        self.now = now

    @property
    def enveloped(self) -> bool:
        """Whether the message bears a signature of its own."""
        return bool(self.document.signatures)

    @functools.cached_property
    def request(self) -> _Element:
        """The AuthnRequest to read from: the signed octets where there is an enveloped signature.

        A detached signature covers the whole message, and an unsigned one is nobody's word: what is
        read of it is only compared with what is registered.
        """
        signed = self.document.signed_tree(names.AUTHN_REQUEST)
        return self.document.root if signed is None else signed


def idp_01_issuer(received: Received) -> None:
    """The request is from the registered service provider."""
    issuers = children(received.document.root, names.ISSUER)
    found = text_of(issuers[0]) if len(issuers) == 1 else None
    if found != received.provider.entity_id:
        raise UnknownServiceProvider(
            "IDP-01", f"issuer {str(found)[:200]!r}, registered {received.provider.entity_id!r}"
        )


def idp_02_supported(received: Received) -> None:
    """No RSA-SHA1 and no inclusive canonicalisation; the page and the log name the cure."""
    used = {s.info.signature_method for s in received.document.signatures if s.info}
    used |= {s.info.canonicalization for s in received.document.signatures if s.info}
    used |= {
        transform
        for s in received.document.signatures
        if s.info
        for reference in s.info.references
        for transform in reference.transforms
    }
    if received.detached is not None:
        used.add(received.detached.method)
    if outdated := used & (_OLD_SIGNATURES | _OLD_CANONICAL):
        raise UnsupportedSignature("IDP-02", f"{', '.join(sorted(outdated))}: {_CURE}")


def idp_02_known_keys(received: Received) -> None:
    """A signature that is present can be verified; one that cannot is never passed over."""
    signed = received.enveloped or received.detached is not None
    if signed and not received.provider.keys:
        raise RequestInvalid(
            "IDP-02", "the request is signed, but service_provider.signing_certificates is empty"
        )


def idp_02_key_info(received: Received) -> None:
    """A certificate inside the signature is one of the registered ones, to the octet."""
    certificate = f"{{{names.DS}}}X509Certificate"
    for element in received.document.root.iter(certificate):
        if decode_base64(text_of(element), "X509Certificate") not in received.provider.certificates:
            raise RequestInvalid("IDP-02", "signed with a certificate that is not registered")


def idp_02_detached(received: Received) -> None:
    """A signature beside the query verifies over the raw octets by a registered key."""
    detached = received.detached
    if detached is None:
        return
    if detached.method not in SIGNATURE_METHODS:
        raise RequestInvalid("IDP-02", f"SigAlg {detached.method[:200]!r}")
    if not any(
        verify_detached(key, detached.value, detached.octets, detached.method)
        for key in received.provider.keys
    ):
        raise RequestInvalid("IDP-02", "the signature of the query is by no registered key")


def idp_02_signed_as_required(received: Received) -> None:
    """Signed, where the service provider is registered as one that signs."""
    signed = received.enveloped or received.detached is not None
    if received.provider.require_signed and not signed:
        raise RequestInvalid("IDP-02", "the request is not signed, and require_signed_requests is")


def idp_01_acs(received: Received) -> None:
    """The address it wants the answer at is absent or the registered one, by HTTP-POST."""
    url = received.request.get("AssertionConsumerServiceURL")
    if url is not None and url != received.provider.acs_url:
        raise WrongAcs("IDP-01", f"asked {url[:300]!r}, registered {received.provider.acs_url!r}")
    if url is not None and received.request.get("AssertionConsumerServiceIndex") is not None:
        raise WrongAcs("IDP-01", "both an address and an index (SAML core 3.4.1)")
    if received.request.get("ProtocolBinding") not in (None, names.BINDING_POST):
        raise RequestInvalid("IDP-01", "ProtocolBinding is not HTTP-POST")


def idp_01_destination(received: Received) -> None:
    """Destination is this single sign-on service; a signed request must say so (bindings 3.4.5.2).

    What it was signed for elsewhere is not replayed here.
    """
    destination = received.request.get("Destination")
    signed = received.enveloped or received.detached is not None
    if destination is None and not signed:
        return
    if destination != received.provider.sso_url:
        raise RequestInvalid("IDP-01", f"Destination is {str(destination)[:200]!r}")


def idp_05_request(received: Received) -> None:
    """A proper ID, SAML 2.0, and an IssueInstant within the window."""
    if received.request.get("Version") != "2.0" or not is_ncname(received.request.get("ID")):
        raise RequestInvalid("IDP-05", "no SAML 2.0 request with a proper ID")
    issued = instant(received.request.get("IssueInstant"))
    if issued is None:
        raise RequestInvalid("IDP-05", "IssueInstant is missing or not a UTC time")
    if not received.now - MAX_AGE - CLOCK_SKEW <= issued <= received.now + CLOCK_SKEW:
        raise RequestExpired("IDP-05", f"issued at {issued}, now {received.now}")


def idp_04_understood(received: Received) -> None:
    """Nothing is asked that would be passed over in silence: a Subject, conditions, a context
    class, or another kind of NameID than the one that is issued. Scoping is a hint and ignored.
    """
    for tag in ("Subject", "Conditions"):
        if children(received.request, f"{{{names.SAML}}}{tag}"):
            raise RequestInvalid("IDP-04", f"the request has a {tag}")
    if children(received.request, f"{{{names.SAMLP}}}RequestedAuthnContext"):
        raise RequestInvalid("IDP-04", "the request has a RequestedAuthnContext")
    for policy in children(received.request, f"{{{names.SAMLP}}}NameIDPolicy"):
        if policy.get("Format") not in _NAME_ID_FORMATS:
            raise RequestInvalid("IDP-04", f"NameIDPolicy {str(policy.get('Format'))[:100]!r}")
    for flag in ("ForceAuthn", "IsPassive"):
        if received.request.get(flag, "false") not in _BOOLEANS:
            raise RequestInvalid("IDP-04", f"{flag} is not a boolean")


_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}

ON_REQUEST: Final[tuple[Check[Received], ...]] = (
    idp_01_issuer,
    idp_02_supported,
    idp_02_known_keys,
    idp_02_key_info,
    idp_02_signed_as_required,
)
ON_VERIFIED: Final[tuple[Check[Received], ...]] = (
    idp_02_detached,
    idp_01_acs,
    idp_01_destination,
    idp_05_request,
    idp_04_understood,
)
CHECKS: tuple[Check[Any], ...] = (
    *document.OCTET_CHECKS,
    *document.SHAPE_CHECKS,
    *ON_REQUEST,
    *document.SIGNATURE_CHECKS,
    *ON_VERIFIED,
)

_MAKING: Final = object()


class AuthnRequest:
    """A request that may be answered. Only `verify_authn_request` makes one."""

    __slots__ = ("force_authn", "id", "is_passive", "signed")

    def __init__(self, received: Received, making: object) -> None:
        if making is not _MAKING:
            raise TypeError("only verify_authn_request makes an AuthnRequest")
        self.id: str = received.request.get("ID", "")
        self.force_authn: bool = _BOOLEANS[received.request.get("ForceAuthn", "false")]
        self.is_passive: bool = _BOOLEANS[received.request.get("IsPassive", "false")]
        self.signed: bool = received.enveloped or received.detached is not None


def verify_authn_request(
    message: RequestMessage, provider: ServiceProvider, now: datetime
) -> AuthnRequest:
    """The request, if every one of CHECKS lets it pass. Raises `SamlError` with the rule."""
    received = Received(message, provider, now)
    run(CHECKS, document.OCTET_CHECKS, received.document)
    run(CHECKS, document.SHAPE_CHECKS, received.document)
    run(CHECKS, ON_REQUEST, received)
    run(CHECKS, document.SIGNATURE_CHECKS, received.document)
    run(CHECKS, ON_VERIFIED, received)
    return AuthnRequest(received, _MAKING)


__all__ = ["AuthnRequest", "ServiceProvider", "verify_authn_request"]
