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
from saml2 import samlp

from idp_proxy.decision.subject import IDENTIFIERS
from idp_proxy.errors import Internal, SamlError
from idp_proxy.saml import checks, document, names
from idp_proxy.saml.answer import Envelope, Expected, RequireSigned
from idp_proxy.saml.assertion import RESPONSE_PROFILE, verify_octets
from idp_proxy.saml.document import Document
from idp_proxy.saml.encryption import EncryptionImpossible, encrypt_assertion
from idp_proxy.saml.object_model import Unwritable, element_of, utc_text, writable
from idp_proxy.saml.response_form import Shape, attribute, authority, form_of, response_of
from idp_proxy.saml.signature import signed
from idp_proxy.saml.stencil import Stencil
from idp_proxy.saml.xml import canonical, is_ncname, parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography.x509 import Certificate

    from idp_proxy.decision.subject import Evidence, Identity
    from idp_proxy.saml.assertion import VerifiedAssertion

#: How far back NotBefore lies: the service provider's clock may be behind ours.
BACKDATED: Final = timedelta(seconds=120)
#: How long an answer counts (IDP-03).
LIFETIME: Final = timedelta(seconds=300)
#: What the self-check grants AuthnInstant, which is the upstream's: as much as the largest skew
#: that an upstream may have (SP-07).
_UPSTREAM_SKEW: Final = timedelta(seconds=180)

#: In canonical octets that we wrote.
_RESPONSE_END: Final = b"</samlp:Response>"


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
        form = form_of(_shape(told, evidence, issuer, recipient))
        values = _values(told, identity, evidence, reply)
        assertion, response = form.assertion.fill(values), form.response.fill(values)
    except Unwritable as error:
        raise Internal(f"no Response was issued: {error}") from error
    assertion = _signed(assertion, reply.assertion_id, issuer)
    if recipient.encryption is None:
        octets = _signed(_around(response, assertion), reply.response_id, issuer)
        seen = _confirmed(octets, _expected(reply, issuer, recipient))
        _demand_same(seen, told, identity, evidence, reply)
        return octets
    first = _expected(reply, issuer, recipient, RequireSigned.ASSERTION)
    seen = _confirmed(_around(response, assertion), first)
    _demand_same(seen, told, identity, evidence, reply)
    encrypted = _encrypted(assertion, recipient.encryption)
    octets = _signed(_around(response, encrypted), reply.response_id, issuer)
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
        written = response_of(issuer.entity_id, recipient.acs_url, status)
        response = Stencil(element_of(written)).fill(_of_the_reply(reply))
    except Unwritable as error:
        raise Internal(f"no Response was issued: {error}") from error
    octets = _signed(response, reply.response_id, issuer)
    _confirm_signature(octets, _expected(reply, issuer, recipient))
    return octets


# --- content -------------------------------------------------------------------------------------


def _shape(
    told: Mapping[str, str], evidence: Evidence, issuer: Issuer, recipient: Recipient
) -> Shape:
    return Shape(
        issuer=issuer.entity_id,
        acs_url=recipient.acs_url,
        audience=recipient.entity_id,
        attributes=tuple(told),
        authorities=len(evidence.authorities),
        session_ends=evidence.session_not_on_or_after is not None,
    )


def _told(identity: Identity, recipient: Recipient) -> dict[str, str]:
    """Attribute Name -> value, as the service provider reads them; an Attribute comes only once."""
    if missing := [name for name in IDENTIFIERS if not identity.attributes.get(name)]:
        raise Internal(f"no Response was issued: {', '.join(missing)} of the person is not known")
    return {
        writable(sent, "the name of an attribute"): writable(identity.attributes[canonical], sent)
        for sent, canonical in recipient.attributes.items()
        if identity.attributes.get(canonical)
    }


def _of_the_reply(reply: Reply) -> dict[str, str]:
    return {
        "the ID of the Response": _identifier(reply.response_id, "the ID of the Response"),
        "InResponseTo": _identifier(reply.in_response_to, "InResponseTo"),
        "IssueInstant": utc_text(reply.now),
    }


def _values(
    told: Mapping[str, str], identity: Identity, evidence: Evidence, reply: Reply
) -> dict[str, str]:
    """What the blanks of a form are filled with. Raises `Unwritable`."""
    end = evidence.session_not_on_or_after
    return {
        **_of_the_reply(reply),
        "the ID of the assertion": _identifier(reply.assertion_id, "the ID of the assertion"),
        "the NameID": identity.id,
        "NotBefore": utc_text(reply.now - BACKDATED),
        "NotOnOrAfter": utc_text(reply.now + LIFETIME),
        "AuthnInstant": utc_text(evidence.authn_instant),
        "the context class": evidence.authn_context,
        **({} if end is None else {"SessionNotOnOrAfter": utc_text(end)}),
        **{authority(at): one for at, one in enumerate(evidence.authorities)},
        **{attribute(at): value for at, value in enumerate(told.values())},
    }


def _identifier(value: str, what: str) -> str:
    if not is_ncname(value):
        raise Unwritable(what)
    return value


# --- signing, and looking at the result ----------------------------------------------------------


def _signed(octets: bytes, element_id: str, issuer: Issuer) -> bytes:
    return signed(octets, element_id, issuer.key, issuer.certificate_der)


def _around(response: bytes, assertion: bytes) -> bytes:
    """The assertion as the last child of the Response. Both are canonical, and so is this: neither
    takes a namespace from the other (exclusive XML canonicalisation, section 3).
    """
    return response.removesuffix(_RESPONSE_END) + assertion + _RESPONSE_END


def _encrypted(assertion: bytes, encryption: Encryption) -> bytes:
    try:
        element = encrypt_assertion(parse(assertion), encryption.certificate, encryption.algorithm)
    except EncryptionImpossible as error:
        raise Internal(f"no Response was issued: {error}") from error
    return canonical(element)


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


def _confirmed(octets: bytes, expected: Expected) -> VerifiedAssertion:
    """What our own verifier reads in the message, as any relying party would."""
    try:
        return verify_octets(octets, expected)
    except SamlError as error:
        raise Internal(f"our own verifier refused our Response: {error}") from error


def _demand_same(
    seen: VerifiedAssertion,
    told: Mapping[str, str],
    identity: Identity,
    evidence: Evidence,
    reply: Reply,
) -> None:
    """It was this person, authenticated in this way, and nothing else was read."""
    same = seen.attributes == {name: (value,) for name, value in told.items()}
    if not same or seen.name_id != identity.id:
        raise Internal("our own verifier read another person in our Response")
    end = evidence.session_not_on_or_after
    if (
        seen.id != reply.assertion_id
        or seen.authn_context != evidence.authn_context
        or seen.authorities != evidence.authorities
        or seen.authn_instant != evidence.authn_instant.replace(microsecond=0)
        or seen.session_not_on_or_after != (end and end.replace(microsecond=0))
    ):
        raise Internal("our own verifier read another authentication in our Response")


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
