"""What Mattermost accepts: python3-saml in strict mode, and what gosaml2 asks beyond it.

python3-saml allows five minutes of clock skew, several addresses by prefix, and pins keys, not
certificates; gosaml2 allows no skew, compares exactly, and pins the certificate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from tests.support import saml_wire as wire
from tests.support import xml_security
from tests.support.mattermost.accounts import Profile
from tests.support.mattermost.errors import LoginFailed
from tests.support.mattermost.xml_profile import check_encryption, check_signature, check_size

if TYPE_CHECKING:
    from datetime import datetime

    from lxml import etree

    from tests.support.mattermost.settings import Settings

MAX_MESSAGE = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Accepted:
    """A Response that Mattermost accepts: the person, and what else it said."""

    profile: Profile
    name_id: str
    in_response_to: str
    authn_context: str
    authorities: tuple[str, ...]
    attributes: dict[str, tuple[str, ...]]


def accept(message: str, settings: Settings, *, now: datetime) -> Accepted:
    """The person in a posted SAMLResponse. Raises `LoginFailed`."""
    if not message or len(message) > MAX_MESSAGE:
        raise LoginFailed("ent.saml.do_login.empty_response.app_error", "No SAML response.")
    try:
        response = wire.parse(wire.decode(message))
        check_size(response)
        check_encryption(response, settings)
        assertion = _verified_assertion(message, settings)
        _check_trust(response, assertion, settings, now)
        _check_profile(response, assertion, settings, now)
    except (wire.WireError, ValueError) as error:
        raise _refused("ent.saml.do_login.validate.app_error", str(error)) from error
    attributes = _attributes(assertion)
    return Accepted(
        profile=_profile(attributes, settings),
        name_id=wire.text_of(assertion, "saml:Subject/saml:NameID") or "",
        in_response_to=response.get("InResponseTo", ""),
        authn_context=wire.text_of(
            assertion, "saml:AuthnStatement/saml:AuthnContext/saml:AuthnContextClassRef"
        )
        or "",
        authorities=tuple(
            node.text or "" for node in assertion.iter(f"{{{wire.SAML}}}AuthenticatingAuthority")
        ),
        attributes=attributes,
    )


def _refused(error_id: str, detail: str) -> LoginFailed:
    return LoginFailed(
        error_id, "SAML login was unsuccessful. Please contact your System Administrator.", detail
    )


def _verified_assertion(message: str, settings: Settings) -> etree._Element:
    """The one assertion, decrypted where needed, after python3-saml accepted the message."""
    site = urlsplit(settings.acs_url)
    request = {
        "http_host": site.netloc,
        "script_name": site.path,
        "https": "on" if site.scheme == "https" else "off",
    }
    try:
        response = OneLogin_Saml2_Response(_python3_saml(settings), message)
        response.is_valid(request, raise_exceptions=True)
    except Exception as error:  # python3-saml raises whatever its parts raise
        raise _refused("ent.saml.do_login.validate.app_error", str(error)) from error
    document: etree._Element = (
        response.decrypted_document if response.encrypted else response.document
    )
    return next(document.iter(f"{{{wire.SAML}}}Assertion"))


def _python3_saml(settings: Settings) -> OneLogin_Saml2_Settings:
    service = {"url": settings.acs_url, "binding": wire.POST}
    keys = settings.keys
    pair = {
        "x509cert": keys.certificate_pem.decode("ascii") if keys else "",
        "privateKey": keys.key_pem.decode("ascii") if keys else "",
    }
    return OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": {"entityId": settings.entity_id, "assertionConsumerService": service, **pair},
            "idp": {
                "entityId": settings.idp_descriptor_url,
                "singleSignOnService": {"url": settings.idp_url, "binding": wire.REDIRECT},
                "x509cert": settings.idp_certificate.decode("ascii"),
            },
            "security": {
                "wantAssertionsEncrypted": settings.encrypt,
                "requestedAuthnContext": False,
                "allowSingleLabelDomains": True,
            },
        }
    )


def _check_trust(
    response: etree._Element, assertion: etree._Element, settings: Settings, now: datetime
) -> None:
    pinned = x509.load_pem_x509_certificate(settings.idp_certificate)
    if not pinned.not_valid_before_utc <= now <= pinned.not_valid_after_utc:
        raise _refused("ent.saml.do_login.validate.app_error", "Cert is not valid at this time")
    der = pinned.public_bytes(Encoding.DER)
    signed = [node for node in (response, assertion) if _signature(node) is not None]
    if not signed:
        raise _refused("ent.saml.do_login.validate.app_error", "nothing is signed")
    for node in signed:
        check_signature(node, der, nested=node is not response)
        if not xml_security.verifies(node, settings.idp_certificate):
            raise _refused("ent.saml.do_login.invalid_signature.app_error", "signature")


def _signature(node: etree._Element) -> etree._Element | None:
    return node.find("ds:Signature", wire.NAMESPACES)


def _check_profile(
    response: etree._Element, assertion: etree._Element, settings: Settings, now: datetime
) -> None:
    for node in (response, assertion):
        if node.get("Version") != "2.0":
            raise ValueError("Version is not 2.0")
        if wire.text_of(node, "saml:Issuer") != settings.idp_descriptor_url:
            raise ValueError("Issuer is not exactly IdpDescriptorURL")
    if response.get("Destination", settings.acs_url) != settings.acs_url:
        raise ValueError("Destination is not the assertion consumer service")
    if not wire.text_of(assertion, "saml:Subject/saml:NameID"):
        raise ValueError("no NameID")
    if assertion.find("saml:AttributeStatement", wire.NAMESPACES) is None:
        raise ValueError("no AttributeStatement")
    _check_confirmation(assertion, settings, now)
    _check_conditions(assertion, settings, now)


def _check_confirmation(assertion: etree._Element, settings: Settings, now: datetime) -> None:
    confirmation = assertion.find("saml:Subject/saml:SubjectConfirmation", wire.NAMESPACES)
    if confirmation is None or confirmation.get("Method") != wire.BEARER:
        raise ValueError("no bearer SubjectConfirmation")
    data = confirmation.find("saml:SubjectConfirmationData", wire.NAMESPACES)
    if data is None or data.get("Recipient") != settings.acs_url:
        raise ValueError("Recipient is not the assertion consumer service")
    if now >= wire.read_instant(data.get("NotOnOrAfter", "")):
        raise _refused("ent.saml.do_login.invalid_time.app_error", "the confirmation is over")


def _check_conditions(assertion: etree._Element, settings: Settings, now: datetime) -> None:
    """Both ends are mandatory and there is no clock skew at all."""
    conditions = assertion.find("saml:Conditions", wire.NAMESPACES)
    if conditions is None:
        raise ValueError("no Conditions")
    start = wire.read_instant(conditions.get("NotBefore", ""))
    end = wire.read_instant(conditions.get("NotOnOrAfter", ""))
    if not start <= now < end:
        raise _refused("ent.saml.do_login.invalid_time.app_error", f"{now} not in {start}..{end}")
    audiences = [node.text for node in conditions.iter(f"{{{wire.SAML}}}Audience")]
    if audiences and settings.entity_id not in audiences:
        raise ValueError("the audience is somebody else")


def _attributes(assertion: etree._Element) -> dict[str, tuple[str, ...]]:
    """By Name: the last Attribute of a Name wins, and a nested element reads as empty."""
    return {
        attribute.get("Name", ""): tuple(
            value.text or "" for value in attribute.findall("saml:AttributeValue", wire.NAMESPACES)
        )
        for attribute in assertion.iter(f"{{{wire.SAML}}}Attribute")
    }


def _profile(attributes: dict[str, tuple[str, ...]], settings: Settings) -> Profile:
    names = settings.attributes

    def first(name: str) -> str:
        return next(iter(attributes.get(name, ())), "")

    for name in filter(None, (names.id, names.email, names.username)):
        if not first(name):
            raise LoginFailed(
                "ent.saml.attribute.app_error",
                "SAML login was unsuccessful because one of the attributes is incorrect.",
                f"no attribute {name}",
            )
    return Profile(
        id=first(names.id) if names.id else "",
        email=first(names.email),
        username=first(names.username),
        first_name=first(names.first_name),
    )
