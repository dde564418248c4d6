"""Wrapping by carriers: every place of a message that can hold another piece of XML (SP-02)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.saml import checks, document
from tests.attacks import encryptor
from tests.attacks.corpus.wrapping import attack, evil_response, honest
from tests.attacks.messages import ASSERTION, NAME_ID, octets, one, piece
from tests.attacks.signer import canonical

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.attacks.attack import Login, ResponseAttack

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


ATTACKS: tuple[ResponseAttack, ...] = (
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
