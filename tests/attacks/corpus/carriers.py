"""Wrapping by carriers: every place of a message that can hold another piece of XML, and
signed documents of other kinds whose signature is lent (SP-02)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.saml import checks, document
from tests.attacks import encryptor
from tests.attacks.attack import Login, Policy, ResponseAttack
from tests.attacks.corpus.wrapping import SIGNATURE, attack, evil_response, honest, take
from tests.attacks.messages import ASSERTION, NAME_ID, octets, one, piece, unsigned
from tests.attacks.signer import canonical, sign

if TYPE_CHECKING:
    from collections.abc import Callable


#: name -> (where it stands in the Response about the victim, what holds the signed assertion).
CARRIERS: dict[str, tuple[str, str]] = {
    "Extensions": (".", "<p:Extensions/>"),
    "StatusDetail": ("p:Status", "<p:StatusDetail/>"),
    "StatusMessage": ("p:Status", "<p:StatusMessage/>"),
    "an element of the Response": (".", '<x:more xmlns:x="urn:x"/>'),
    "Advice": (ASSERTION, "<a:Advice/>"),
    "AttributeValue": (f"{ASSERTION}/a:AttributeStatement/a:Attribute", "<a:AttributeValue/>"),
    "SubjectConfirmationData": (
        f"{ASSERTION}/a:Subject/a:SubjectConfirmation/a:SubjectConfirmationData",
        '<x:more xmlns:x="urn:x"/>',
    ),
    "AuthnContextDecl": (f"{ASSERTION}/a:AuthnStatement/a:AuthnContext", "<a:AuthnContextDecl/>"),
    "Conditions": (f"{ASSERTION}/a:Conditions", '<x:more xmlns:x="urn:x"/>'),
    "NameID": (NAME_ID, '<x:more xmlns:x="urn:x"/>'),
    "Audience": (f"{ASSERTION}/a:Conditions/a:AudienceRestriction", "<a:Audience/>"),
    "Issuer of the Response": ("a:Issuer", '<x:more xmlns:x="urn:x"/>'),
}


def hidden(place: str, holder: str) -> Callable[[Login], bytes]:
    """The evil assertion is in sight, the signed one hidden in it or beside it."""

    def make(login: Login) -> bytes:
        evil = evil_response(login)
        carrier = piece(holder)
        carrier.append(one(honest(login), ASSERTION))
        one(evil, place).append(carrier)
        return octets(evil)

    return make


def hidden_in_encrypted(place: str, holder: str) -> Callable[[Login], bytes]:
    """The same, encrypted: only what comes out of the decryption shows it."""

    def make(login: Login) -> bytes:
        evil = evil_response(login)
        carrier = piece(holder)
        carrier.append(one(honest(login), ASSERTION))
        one(evil, place).append(carrier)
        assertion = one(evil, ASSERTION)
        evil.replace(assertion, encryptor.encrypted(canonical(assertion), login.recipient))
        return octets(evil)

    return make


def signed_error_as_carrier(login: Login) -> bytes:
    """CVE-2024-6800: the signature of an error Response, which anybody gets, moves to a forgery."""
    error = unsigned(login)
    one(error, "p:Status/p:StatusCode").set("Value", "urn:oasis:names:tc:SAML:2.0:status:Responder")
    take(error, ASSERTION)
    sign(error, login.keys)
    evil = evil_response(login)
    evil.set("ID", str(error.get("ID")))
    evil.insert(1, take(error, SIGNATURE))
    return octets(evil)


def signed_metadata_as_carrier(login: Login) -> bytes:
    """The upstream's signed metadata is public; here it stands where a Response is expected."""
    metadata = piece(
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_m"/>'
    )
    sign(metadata, login.keys)
    metadata.append(evil_response(login))
    return octets(metadata)


def metadata_signature_in_response(login: Login) -> bytes:
    metadata = piece(
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" ID="_m"/>'
    )
    signature = sign(metadata, login.keys)
    evil = evil_response(login)
    evil.set("ID", "_m")
    evil.insert(1, signature)
    return octets(evil)


ATTACKS: tuple[ResponseAttack, ...] = (
    attack(
        "signature of an error Response",
        document.sp_02_digest,
        signed_error_as_carrier,
        Policy.RESPONSE,
    ),
    attack("signed metadata as root", document.xml_03_root, signed_metadata_as_carrier),
    attack(
        "signature of metadata",
        document.sp_02_digest,
        metadata_signature_in_response,
        Policy.RESPONSE,
    ),
    *(
        attack(f"signed one in {name}", checks.sp_09_one_assertion, hidden(*carrier))
        for name, carrier in CARRIERS.items()
    ),
    *(
        attack(
            f"encrypted, signed one in {name}",
            document.sp_02_one_of_its_kind,
            hidden_in_encrypted(*carrier),
        )
        for name, carrier in CARRIERS.items()
        if carrier[0].startswith(ASSERTION)
    ),
)
