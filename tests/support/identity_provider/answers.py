"""What an identity provider says: its metadata, its Responses. Pure but for signing and ids."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from lxml import etree

from tests.support import saml_wire as wire
from tests.support import xml_security
from tests.support.people import AND, OID_ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tests.support.keys import KeyPair
    from tests.support.people import Person

_SAMLP = wire.Maker(wire.SAMLP, {"samlp": wire.SAMLP, "saml": wire.SAML})
_SAML = wire.Maker(wire.SAML, {"saml": wire.SAML})
_ASSERTION = wire.Maker(
    wire.SAML,
    {
        "saml": wire.SAML,
        "xs": "http://www.w3.org/2001/XMLSchema",
        "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    },
)
_MD = wire.Maker(wire.MD, {"md": wire.MD})
_DS = wire.Maker(wire.DS, {"ds": wire.DS})
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_BASIC = "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"
_URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"


class Sign(enum.StrEnum):
    """What a provider signs."""

    ASSERTION = "assertion"
    RESPONSE = "response"
    BOTH = "both"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider's own values and habits.

    `cipher` is an XML Encryption algorithm or None; `attributes` maps a released Name to a field of
    `Person`; `authn_context` is what the provider claims about its login.
    """

    entity_id: str
    sso_url: str
    keys: KeyPair
    sign: Sign = Sign.ASSERTION
    cipher: str | None = None
    name_id_format: str = wire.PERSISTENT
    attributes: dict[str, str] = field(default_factory=lambda: dict(OID_ATTRIBUTES))
    authn_context: str = wire.PASSWORD_TRANSPORT
    style: xml_security.Style = xml_security.DEFAULT_STYLE
    lifetime: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Question:
    """An AuthnRequest as far as an answer depends on it."""

    request_id: str
    issuer: str
    acs_url: str
    force_authn: bool = False
    is_passive: bool = False
    name_id_format: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """The act of authentication that an answer vouches for."""

    at: datetime
    session: str = field(default_factory=lambda: f"_s{uuid.uuid4().hex}")


def issue(
    provider: Provider,
    question: Question,
    person: Person,
    *,
    now: datetime,
    login: Login | None = None,
    encrypt_for: bytes | None = None,
) -> str:
    """The base64 Response about `person`. `encrypt_for` is the service provider's certificate.

    Raises `ValueError` when the provider encrypts and there is no certificate: never plaintext.
    """
    response = _response(provider, question, now, wire.SUCCESS)
    assertion = _assertion(provider, question, person, now, login or Login(now))
    response.append(assertion)
    if provider.sign in {Sign.ASSERTION, Sign.BOTH}:
        xml_security.sign(assertion, provider.keys, provider.style)
    if provider.cipher is not None:
        if encrypt_for is None:
            raise ValueError(f"{question.issuer} has no encryption certificate in its metadata")
        encrypted = _SAML("EncryptedAssertion")
        response.replace(assertion, encrypted)
        encrypted.append(xml_security.encrypt(assertion, encrypt_for, provider.cipher))
    if provider.sign in {Sign.RESPONSE, Sign.BOTH}:
        xml_security.sign(response, provider.keys, provider.style)
    return wire.encode(etree.tostring(response))


def refuse(provider: Provider, question: Question, *, now: datetime, status: str) -> str:
    """A base64 Response, signed, with a second-level error status and no assertion."""
    response = _response(provider, question, now, wire.RESPONDER, status)
    xml_security.sign(response, provider.keys, provider.style)
    return wire.encode(etree.tostring(response))


def metadata(provider: Provider, *, wants_signed_requests: bool = False) -> bytes:
    """The EntityDescriptor with one signing key and both SSO bindings."""
    certificate = _DS("X509Certificate", provider.keys.certificate_text)
    key = _MD("KeyDescriptor", _DS("KeyInfo", _DS("X509Data", certificate)), use="signing")
    role = _MD(
        "IDPSSODescriptor",
        key,
        _MD("NameIDFormat", provider.name_id_format),
        _MD("SingleSignOnService", Binding=wire.REDIRECT, Location=provider.sso_url),
        _MD("SingleSignOnService", Binding=wire.POST, Location=provider.sso_url),
        protocolSupportEnumeration=wire.SAMLP,
        WantAuthnRequestsSigned=str(wants_signed_requests).lower(),
    )
    return etree.tostring(_MD("EntityDescriptor", role, entityID=provider.entity_id))


def _response(
    provider: Provider, question: Question, now: datetime, *status: str
) -> etree._Element:
    code = _SAMLP("StatusCode", Value=status[0])
    for second_level in status[1:]:
        code.append(_SAMLP("StatusCode", Value=second_level))
    return _SAMLP(
        "Response",
        _SAML("Issuer", provider.entity_id),
        _SAMLP("Status", code),
        ID=f"_r{uuid.uuid4().hex}",
        Version="2.0",
        IssueInstant=wire.instant(now),
        Destination=question.acs_url,
        InResponseTo=question.request_id,
    )


def _assertion(
    provider: Provider, question: Question, person: Person, now: datetime, login: Login
) -> etree._Element:
    start, end = wire.instant(now - timedelta(seconds=30)), wire.instant(now + provider.lifetime)
    return _ASSERTION(
        "Assertion",
        _SAML("Issuer", provider.entity_id),
        _SAML(
            "Subject",
            _name_id(provider, question, person),
            _SAML(
                "SubjectConfirmation",
                _SAML(
                    "SubjectConfirmationData",
                    InResponseTo=question.request_id,
                    NotOnOrAfter=end,
                    Recipient=question.acs_url,
                ),
                Method=wire.BEARER,
            ),
        ),
        _SAML(
            "Conditions",
            _SAML("AudienceRestriction", _SAML("Audience", question.issuer)),
            NotBefore=start,
            NotOnOrAfter=end,
        ),
        _SAML(
            "AuthnStatement",
            _SAML("AuthnContext", _SAML("AuthnContextClassRef", provider.authn_context)),
            AuthnInstant=wire.instant(login.at),
            SessionIndex=login.session,
        ),
        _attribute_statement(person.attributes(provider.attributes)),
        ID=f"_a{uuid.uuid4().hex}",
        Version="2.0",
        IssueInstant=wire.instant(now),
    )


def _name_id(provider: Provider, question: Question, person: Person) -> etree._Element:
    asked = question.name_id_format
    chosen = provider.name_id_format if asked in {None, "", wire.UNSPECIFIED} else asked
    value = {
        wire.PERSISTENT: person.employee_number,
        wire.EMAIL: person.mail,
        wire.TRANSIENT: f"_t{uuid.uuid4().hex}",
    }.get(str(chosen), person.uid)
    return _SAML("NameID", value, Format=str(chosen))


def _attribute_statement(values: Mapping[str, str]) -> etree._Element:
    statement = _SAML("AttributeStatement")
    for name, value in values.items():
        name_format = _URI if name.startswith("urn:") else _BASIC
        attribute = _SAML("Attribute", Name=name, NameFormat=name_format)
        for one in value.split(AND):
            shown = _SAML("AttributeValue", one)
            shown.set(_XSI_TYPE, "xs:string")
            attribute.append(shown)
        statement.append(attribute)
    return statement
