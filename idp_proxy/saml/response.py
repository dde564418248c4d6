"""What Mattermost is told: the safe profile of DESIGN section 5, and nothing looser.

Assertion and Response are both signed; the order with encryption is sign, encrypt, sign. Mattermost
compares no InResponseTo and has no clock skew and no replay cache, so everything that ties an
answer to one question is set here, and NotBefore lies a little in the past. Each Response is held
against our own verifier before it leaves; one that does not pass is a fault of ours and is not
sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree
from saml2 import saml, samlp

from idp_proxy.decision.subject import IDENTIFIERS
from idp_proxy.errors import Internal, SamlError
from idp_proxy.saml import checks, document, names
from idp_proxy.saml.answer import Envelope, Expected, RequireSigned
from idp_proxy.saml.assertion import RESPONSE_PROFILE, verify_octets
from idp_proxy.saml.document import Document
from idp_proxy.saml.encryption import EncryptionImpossible, encrypt_assertion
from idp_proxy.saml.object_model import PlainValue, Unwritable, element_of, utc_text, writable
from idp_proxy.saml.signature import sign
from idp_proxy.saml.xml import children, is_ncname

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography.x509 import Certificate
    from lxml.etree import _Element

    from idp_proxy.decision.subject import Evidence, Identity

#: How far back NotBefore lies: the service provider's clock may be behind ours.
BACKDATED: Final = timedelta(seconds=120)
#: How long an answer counts (IDP-03).
LIFETIME: Final = timedelta(seconds=300)
#: What the self-check grants AuthnInstant, which is the upstream's: as much as the largest skew
#: that an upstream may have (SP-07).
_UPSTREAM_SKEW: Final = timedelta(seconds=180)

_BASIC: Final = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
_URI: Final = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"


@dataclass(frozen=True, slots=True)
class Issuer:
    """The identity provider that we are: its entity ID, its key, and the certificate pinned at
    the service provider.
    """

    entity_id: str
    key: rsa.RSAPrivateKey = field(repr=False)
    certificate: Certificate = field(repr=False)
    #: Of the certificate, taken out once: what KeyInfo holds, and what the service provider pins.
    certificate_der: bytes = field(init=False, repr=False)
    pinned: tuple[rsa.RSAPublicKey, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        key = self.certificate.public_key()
        object.__setattr__(self, "certificate_der", self.certificate.public_bytes(Encoding.DER))
        object.__setattr__(self, "pinned", (key,) if isinstance(key, rsa.RSAPublicKey) else ())


@dataclass(frozen=True, slots=True)
class Encryption:
    """Whom an assertion is encrypted for, and how (`saml.encryption` has the algorithms)."""

    certificate: Certificate = field(repr=False)
    algorithm: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """The service provider. `attributes`: Name sent = canonical name."""

    entity_id: str
    acs_url: str
    attributes: Mapping[str, str]
    encryption: Encryption | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The one request that is answered, the new IDs, and the time of the answer (UTC)."""

    in_response_to: str
    response_id: str
    assertion_id: str
    now: datetime


def issue_response(
    identity: Identity, evidence: Evidence, reply: Reply, issuer: Issuer, recipient: Recipient
) -> bytes:
    """The signed Response that logs this person in (IDP-03), as XML.

    AuthnInstant, context class and authorities are the upstream's (IDP-04), never stronger; a
    canonical value that the person does not have is left out. Raises `Internal` when it cannot be
    issued to the letter: nothing weaker is ever returned in its place.
    """
    try:
        told = _told(identity, recipient)
        written = _response(reply, issuer, recipient, samlp.StatusCode(value=names.STATUS_SUCCESS))
        written.assertion = [
            _assertion(told, identity, evidence, reply=reply, issuer=issuer, recipient=recipient)
        ]
        root = element_of(written)
    except Unwritable as error:
        raise Internal(f"no Response was issued: {error}") from error
    (assertion,) = children(root, names.ASSERTION)
    _sign(assertion, issuer)
    if recipient.encryption is None:
        _sign(root, issuer)
        octets = _octets(root)
        _confirm(octets, _expected(reply, issuer, recipient), identity, told)
        return octets
    first = _expected(reply, issuer, recipient, RequireSigned.ASSERTION)
    _confirm(_octets(root), first, identity, told)
    root.replace(assertion, _encrypted(assertion, recipient.encryption))
    _sign(root, issuer)
    octets = _octets(root)
    _confirm_encrypted(octets, _expected(reply, issuer, recipient))
    return octets


def issue_no_passive(reply: Reply, issuer: Issuer, recipient: Recipient) -> bytes:
    """The signed Response that says: this person cannot be logged in without being asked.

    The one status but Success that goes out (SAML core 3.2.2.2); `reply.assertion_id` is not used.
    Raises `Internal`.
    """
    status = samlp.StatusCode(
        value=names.STATUS_RESPONDER,
        status_code=samlp.StatusCode(value=names.STATUS_NO_PASSIVE),
    )
    try:
        root = element_of(_response(reply, issuer, recipient, status))
    except Unwritable as error:
        raise Internal(f"no Response was issued: {error}") from error
    _sign(root, issuer)
    octets = _octets(root)
    _confirm_signature(octets, _expected(reply, issuer, recipient))
    return octets


# --- content -------------------------------------------------------------------------------------


def _told(identity: Identity, recipient: Recipient) -> dict[str, str]:
    """Attribute Name -> value, as the service provider reads them; an Attribute comes only once."""
    if missing := [name for name in IDENTIFIERS if not identity.attributes.get(name)]:
        raise Internal(f"no Response was issued: {', '.join(missing)} of the person is not known")
    return {
        writable(sent, "the name of an attribute"): writable(identity.attributes[canonical], sent)
        for sent, canonical in recipient.attributes.items()
        if identity.attributes.get(canonical)
    }


def _response(
    reply: Reply, issuer: Issuer, recipient: Recipient, status: samlp.StatusCode
) -> samlp.Response:
    return samlp.Response(
        id=_identifier(reply.response_id, "the ID of the Response"),
        version="2.0",
        issue_instant=utc_text(reply.now),
        destination=writable(recipient.acs_url, "the ACS address"),
        in_response_to=_identifier(reply.in_response_to, "InResponseTo"),
        issuer=saml.Issuer(text=writable(issuer.entity_id, "our entity ID")),
        status=samlp.Status(status_code=status),
    )


def _assertion(
    told: Mapping[str, str],
    identity: Identity,
    evidence: Evidence,
    *,
    reply: Reply,
    issuer: Issuer,
    recipient: Recipient,
) -> saml.Assertion:
    return saml.Assertion(
        id=_identifier(reply.assertion_id, "the ID of the assertion"),
        version="2.0",
        issue_instant=utc_text(reply.now),
        issuer=saml.Issuer(text=issuer.entity_id),
        subject=_subject(identity, reply, recipient),
        conditions=saml.Conditions(
            not_before=utc_text(reply.now - BACKDATED),
            not_on_or_after=utc_text(reply.now + LIFETIME),
            audience_restriction=[
                saml.AudienceRestriction(
                    audience=[saml.Audience(text=writable(recipient.entity_id, "the audience"))]
                )
            ],
        ),
        authn_statement=[_authn_statement(evidence, reply)],
        attribute_statement=[
            saml.AttributeStatement(attribute=[_attribute(*pair) for pair in told.items()])
        ],
    )


def _subject(identity: Identity, reply: Reply, recipient: Recipient) -> saml.Subject:
    return saml.Subject(
        name_id=saml.NameID(
            format=names.NAME_ID_PERSISTENT, text=writable(identity.id, "the NameID")
        ),
        subject_confirmation=[
            saml.SubjectConfirmation(
                method=names.CONFIRMATION_BEARER,
                subject_confirmation_data=saml.SubjectConfirmationData(
                    in_response_to=reply.in_response_to,
                    recipient=recipient.acs_url,
                    not_on_or_after=utc_text(reply.now + LIFETIME),
                ),
            )
        ],
    )


def _authn_statement(evidence: Evidence, reply: Reply) -> saml.AuthnStatement:
    """As the upstream said it; SessionIndex is the assertion's ID (SAML core 2.7.2)."""
    end = evidence.session_not_on_or_after
    return saml.AuthnStatement(
        authn_instant=utc_text(evidence.authn_instant),
        session_index=reply.assertion_id,
        session_not_on_or_after=None if end is None else utc_text(end),
        authn_context=saml.AuthnContext(
            authn_context_class_ref=saml.AuthnContextClassRef(
                text=writable(evidence.authn_context, "the context class")
            ),
            authenticating_authority=[
                saml.AuthenticatingAuthority(text=writable(one, "an authority"))
                for one in evidence.authorities
            ],
        ),
    )


def _attribute(name: str, value: str) -> saml.Attribute:
    """One value, which is text."""
    name_format = _URI if ":" in name else _BASIC
    return saml.Attribute(
        name=name, name_format=name_format, attribute_value=[PlainValue(text=value)]
    )


def _identifier(value: str, what: str) -> str:
    if not is_ncname(value):
        raise Unwritable(what)
    return value


# --- signing, and looking at the result ----------------------------------------------------------


def _sign(element: _Element, issuer: Issuer) -> None:
    sign(element, issuer.key, issuer.certificate_der)


def _encrypted(assertion: _Element, encryption: Encryption) -> _Element:
    try:
        return encrypt_assertion(assertion, encryption.certificate, encryption.algorithm)
    except EncryptionImpossible as error:
        raise Internal(f"no Response was issued: {error}") from error


def _octets(root: _Element) -> bytes:
    return etree.tostring(root, encoding="utf-8", xml_declaration=False)


def _expected(
    reply: Reply,
    issuer: Issuer,
    recipient: Recipient,
    require_signed: RequireSigned = RequireSigned.BOTH,
) -> Expected:
    """The service provider's own expectations; its pinned key comes from the certificate."""
    return Expected(
        issuer=issuer.entity_id,
        keys=issuer.pinned,
        audience=recipient.entity_id,
        acs_url=recipient.acs_url,
        request_id=reply.in_response_to,
        proxied_to=recipient.entity_id,
        now=reply.now,
        require_signed=require_signed,
        clock_skew=_UPSTREAM_SKEW,
        max_lifetime=LIFETIME,
    )


def _confirm(
    octets: bytes, expected: Expected, identity: Identity, told: Mapping[str, str]
) -> None:
    """Our own verifier reads the message as any relying party would, and finds this person."""
    try:
        seen = verify_octets(octets, expected)
    except SamlError as error:
        raise Internal(f"our own verifier refused our Response: {error}") from error
    same = seen.attributes == {name: (value,) for name, value in told.items()}
    if not same or seen.name_id != identity.id:
        raise Internal("our own verifier read another person in our Response")


def _confirm_encrypted(octets: bytes, expected: Expected) -> None:
    """The Response around an encrypted assertion, whose content was confirmed before."""
    response = _confirm_signature(octets, expected)
    try:
        document.run(checks.CHECKS, checks.ON_ENVELOPE, Envelope(response.root, expected))
    except SamlError as error:
        raise Internal(f"our own verifier refused our Response: {error}") from error


def _confirm_signature(octets: bytes, expected: Expected) -> Document:
    """The message is well formed, small enough, and signed as a whole by the pinned key."""
    response = Document(octets, RESPONSE_PROFILE, expected.keys)
    stages = (document.OCTET_CHECKS, document.SHAPE_CHECKS, document.SIGNATURE_CHECKS)
    try:
        for stage in stages:
            document.run(checks.CHECKS, stage, response)
    except SamlError as error:
        raise Internal(f"our own verifier refused our Response: {error}") from error
    if response.signature_of(names.RESPONSE) is None:
        raise Internal("our Response is not signed")
    return response
