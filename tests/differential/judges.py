"""Three judges of one Response; each gives the person it read, or None and its reason.

python-xmlsec judges signatures alone, and names nobody; python3-saml is strict, with its clock set
to that of the messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import urlsplit

import xmlsec
from lxml import etree
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.utils import OneLogin_Saml2_Utils

from idp_proxy.errors import SamlError
from idp_proxy.saml.assertion import verify_response
from tests.unit.saml_messages import (
    ACS,
    AUDIENCE,
    DS,
    ISSUER,
    NOW,
    REQUEST_ID,
    expected,
    posted,
    private_key,
    public_key,
)

if TYPE_CHECKING:
    from tests.support.keys import KeyPair


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a judge read in a message."""

    assertion_id: str
    name_id: str
    attributes: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Accepted or not, the person if one was read, else the reason."""

    accepted: bool
    person: Person | None = None
    reason: str = ""


def ours(octets: bytes, pairs: tuple[KeyPair, ...], **context: Any) -> Verdict:
    """Our own verifier."""
    keys = tuple(public_key(pair) for pair in pairs)
    try:
        found = verify_response(posted(octets), expected(keys=keys, **context))
    except SamlError as error:
        return Verdict(accepted=False, reason=f"{error.rule} {error.detail}")
    attributes = {name: list(values) for name, values in found.attributes.items()}
    return Verdict(True, Person(found.id, found.name_id, attributes))  # noqa: FBT003 - reads as it is


def xmlsec_alone(octets: bytes, pairs: tuple[KeyPair, ...]) -> Verdict:
    """Every Signature in the document verifies by one of the keys; there is at least one."""
    try:
        root = etree.fromstring(octets, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        return Verdict(accepted=False, reason=f"no XML: {error}")
    xmlsec.tree.add_ids(root, ["ID"])
    signatures = list(root.iter(f"{{{DS}}}Signature"))
    for signature in signatures:
        if not any(_verifies(signature, pair) for pair in pairs):
            return Verdict(accepted=False, reason="a signature does not verify")
    return Verdict(accepted=bool(signatures), reason="" if signatures else "no signature")


def _verifies(signature: etree._Element, pair: KeyPair) -> bool:
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(
        pair.certificate_pem, xmlsec.constants.KeyDataFormatCertPem, None
    )
    try:
        context.verify(signature)
    except xmlsec.Error:
        return False
    return True


def python3_saml(
    octets: bytes, pairs: tuple[KeyPair, ...], decryption: KeyPair | None = None
) -> Verdict:
    """python3-saml in strict mode."""
    url = urlsplit(ACS)
    request = {"https": "on", "http_host": url.netloc, "script_name": url.path}
    moment = int(NOW.timestamp())
    with mock.patch.object(OneLogin_Saml2_Utils, "now", staticmethod(lambda: moment)):
        try:
            response = OneLogin_Saml2_Response(_settings(pairs, decryption), posted(octets))
            response.is_valid(request, REQUEST_ID, raise_exceptions=True)
            person = Person(
                response.get_assertion_id(), response.get_nameid(), response.get_attributes()
            )
        except Exception as error:  # noqa: BLE001 - whatever it raises is its refusal
            return Verdict(accepted=False, reason=f"{type(error).__name__} {error}")
    return Verdict(accepted=True, person=person)


def _settings(pairs: tuple[KeyPair, ...], decryption: KeyPair | None) -> OneLogin_Saml2_Settings:
    service_provider: dict[str, Any] = {
        "entityId": AUDIENCE,
        "assertionConsumerService": {"url": ACS},
    }
    if decryption is not None:
        private_key(decryption)
        service_provider["privateKey"] = decryption.key_pem.decode()
        service_provider["x509cert"] = decryption.certificate_text
    return OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": service_provider,
            "idp": {
                "entityId": ISSUER,
                "singleSignOnService": {"url": "https://idp.example.org/sso"},
                "x509certMulti": {"signing": [pair.certificate_text for pair in pairs]},
            },
            "security": {"rejectDeprecatedAlgorithm": True, "failOnAuthnContextMismatch": False},
        }
    )


_CRYPTOGRAPHIC = re.compile(r"signature|digest|sign|key|algorithm", re.IGNORECASE)


def is_cryptographic(verdict: Verdict) -> bool:
    """Whether a judge refused because of a signature, and not because of a rule of SAML."""
    return not verdict.accepted and _CRYPTOGRAPHIC.search(verdict.reason) is not None
