"""Signatures that prove nothing: left out, by the wrong key, by weak or foreign algorithms."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from idp_proxy.saml import checks, document
from tests.attacks import signer
from tests.attacks.attack import Login, Policy, ResponseAttack, rule_of
from tests.attacks.messages import (
    ASSERTION,
    NAME_ID,
    VICTIM,
    Signed,
    drop,
    forged,
    octets,
    one,
    piece,
    put,
    said,
    signed,
    unsigned,
    write,
)
from tests.attacks.signer import Style
from tests.support.keys import ec_pair, rsa_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml import etree

    from tests.support.keys import KeyPair

SIGNATURE = f"{ASSERTION}/ds:Signature"
INFO = f"{SIGNATURE}/ds:SignedInfo"


def attack(
    klass: str,
    name: str,
    check: Callable[..., None],
    make: Callable[[Login], bytes],
    policy: Policy = Policy.ASSERTION,
) -> ResponseAttack:
    return ResponseAttack(name, klass, rule_of(check), check, make, policy)


def by(pair: Callable[[Login], KeyPair], shown: bool = False) -> Callable[[Login], bytes]:
    """Signed by another key; `shown` pretends with the true certificate in KeyInfo."""

    def make(login: Login) -> bytes:
        root = unsigned(login)
        style = Style(shown=login.keys if shown else None)
        signer.sign(one(root, ASSERTION), pair(login), style)
        return octets(root)

    return make


def resigned(edit: Callable[[etree._Element, Login], object]) -> Callable[[Login], bytes]:
    """An honest signature whose SignedInfo is changed and signed again by the upstream itself."""

    def make(login: Login) -> bytes:
        root = signed(unsigned(login), login)
        edit(root, login)
        signer.sign_again(one(root, SIGNATURE), login.keys)
        return octets(root)

    return make


def _no_reference(root: etree._Element, login: Login) -> None:
    drop(f"{INFO}/ds:Reference")(root, login)


def _key_value_only(login: Login) -> bytes:
    """CVE-2018-7644: the message brings the key that verifies it."""
    root = unsigned(login)
    one(root, NAME_ID).text = VICTIM
    pair = rsa_pair("attacker")
    signature = signer.sign(one(root, ASSERTION), pair)
    key = pair.certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    modulus = signer.text(key.public_numbers().n.to_bytes(256, "big"))
    signature[2][:] = [
        piece(
            f"<ds:KeyValue><ds:RSAKeyValue><ds:Modulus>{modulus}</ds:Modulus>"
            "<ds:Exponent>AQAB</ds:Exponent></ds:RSAKeyValue></ds:KeyValue>"
        )
    ]
    return octets(root)


def _key_by_reference(login: Login) -> bytes:
    root = unsigned(login)
    signature = signer.sign(one(root, ASSERTION), rsa_pair("attacker"))
    signature[2][:] = [
        piece('<ds:RetrievalMethod URI="https://attacker.example/key" Type="urn:x509"/>')
    ]
    return octets(root)


def _value(change: Callable[[str], str]) -> Callable[[Login], bytes]:
    def edit(root: etree._Element, _: Login) -> None:
        value = one(root, f"{SIGNATURE}/ds:SignatureValue")
        value.text = change(value.text or "")

    return forged(edit)


def _flip(text: str) -> str:
    return ("B" if text[0] == "A" else "A") + text[1:]


def _stripped(login: Login) -> bytes:
    root = signed(unsigned(login), login)
    one(root, NAME_ID).text = VICTIM
    drop(SIGNATURE)(root, login)
    return octets(root)


def _value_of_another_message(login: Login) -> bytes:
    one_root, other = signed(unsigned(login), login), unsigned(login)
    one(other, NAME_ID).text = VICTIM
    signed(other, login)
    signature = one(other, SIGNATURE)
    signature.replace(signature[1], deepcopy(one(one_root, f"{SIGNATURE}/ds:SignatureValue")))
    return octets(other)


def _digest_swapped(login: Login) -> bytes:
    """The digest fits the forgery, and the value does not fit the SignedInfo any more."""
    root = signed(unsigned(login), login)
    forgery = unsigned(login)
    one(forgery, NAME_ID).text = VICTIM
    signer.sign(one(forgery, ASSERTION), rsa_pair("attacker"))
    path = f"{INFO}/ds:Reference/ds:DigestValue"
    one(root, NAME_ID).text = VICTIM
    one(root, path).text = one(forgery, path).text
    return octets(root)


def _ids(root: etree._Element, name: str) -> None:
    assertion = one(root, ASSERTION)
    assertion.set(name, str(assertion.attrib.pop("ID")))


EXCLUSION = (
    attack("exclusion", "no signature", checks.sp_01_signed_as_required, said(what=Signed.NOTHING)),
    attack("exclusion", "signature stripped", checks.sp_01_signed_as_required, _stripped),
    attack(
        "exclusion",
        "Response signed, the assertion must be",
        checks.sp_01_signed_as_required,
        said(what=Signed.RESPONSE),
    ),
    attack(
        "exclusion",
        "assertion signed, the Response must be",
        checks.sp_01_signed_as_required,
        said(),
        Policy.RESPONSE,
    ),
    attack(
        "exclusion",
        "one signed, both must be",
        checks.sp_01_signed_as_required,
        said(),
        Policy.BOTH,
    ),
    attack(
        "exclusion",
        "the other signed, both must be",
        checks.sp_01_signed_as_required,
        said(what=Signed.RESPONSE),
        Policy.BOTH,
    ),
    attack(
        "exclusion",
        "empty Signature",
        document.sp_02_signature_parts,
        forged(lambda root, _: one(root, SIGNATURE).clear()),
    ),
    attack(
        "exclusion",
        "Signature without a value",
        document.sp_02_signature_parts,
        forged(drop(f"{SIGNATURE}/ds:SignatureValue")),
    ),
    attack(
        "exclusion",
        "empty SignatureValue",
        document.sp_01_signature_value,
        forged(write(f"{SIGNATURE}/ds:SignatureValue", "")),
    ),
    attack(
        "exclusion",
        "Response signature kept, broken; assertion true",
        document.sp_02_digest,
        forged(put(".", "Consent", "urn:x"), what=Signed.BOTH),
    ),
    attack(
        "exclusion",
        "SignedInfo without a Reference",
        document.sp_02_signature_parts,
        resigned(_no_reference),
    ),
)

KEYS = (
    attack(
        "key", "attacker's own", document.sp_01_signature_value, by(lambda _: rsa_pair("attacker"))
    ),
    attack(
        "key",
        "attacker's own, true certificate shown",
        document.sp_01_signature_value,
        by(lambda _: rsa_pair("attacker"), shown=True),
    ),
    attack(
        "key",
        "certificate of the same name",
        document.sp_01_signature_value,
        by(lambda login: rsa_pair(login.keys.certificate.subject.rfc4514_string()[3:] + " ")),
    ),
    attack(
        "key", "the standby's", document.sp_01_signature_value, by(lambda login: login.standby_keys)
    ),
    attack("key", "our own", document.sp_01_signature_value, by(lambda login: login.recipient)),
    attack(
        "key",
        "an elliptic curve's",
        document.sp_01_signature_value,
        by(lambda _: ec_pair("attacker")),
    ),
    attack("key", "bare KeyValue", document.sp_01_signature_value, _key_value_only),
    attack("key", "RetrievalMethod", document.sp_01_signature_value, _key_by_reference),
    attack("key", "value with a bit flipped", document.sp_01_signature_value, _value(_flip)),
    attack("key", "value cut", document.sp_01_signature_value, _value(lambda text: text[:64])),
    attack(
        "key", "value of another message", document.sp_01_signature_value, _value_of_another_message
    ),
    attack("key", "digest of the forgery", document.sp_01_signature_value, _digest_swapped),
    attack(
        "key",
        "ECDSA claimed for an RSA key",
        document.sp_01_signature_value,
        said(style=Style(method=signer.ECDSA_SHA256)),
    ),
    attack(
        "key",
        "SHA-512 claimed, SHA-256 used",
        document.sp_01_signature_value,
        resigned(
            lambda root, _: one(root, f"{INFO}/ds:SignatureMethod").set(
                "Algorithm", signer.RSA_SHA512
            )
        ),
    ),
)

IDENTIFIERS = tuple(
    attack("id", name, document.sp_02_unique_ids, make)
    for name, make in {
        "missing": said(
            lambda root, _: one(root, ASSERTION).attrib.pop("ID"), style=Style(uri="#")
        ),
        "as Id": said(lambda root, _: _ids(root, "Id"), style=Style(uri="#None")),
        "empty": said(put(ASSERTION, "ID", "")),
        "with a colon": said(put(ASSERTION, "ID", "a:b")),
        "with a blank": said(put(ASSERTION, "ID", "_a b")),
        "as an xpointer": said(put(ASSERTION, "ID", "xpointer(/)")),
        "in full-width letters": said(put(ASSERTION, "ID", "_\uff41")),
        "of 300 characters": said(put(ASSERTION, "ID", "_" + "a" * 299)),
        "of the Response and its assertion alike": said(
            put(".", "ID", "_same"), put(ASSERTION, "ID", "_same")
        ),
        "of the Response missing": forged(lambda root, _: root.attrib.pop("ID")),
    }.items()
)

ATTACKS: tuple[ResponseAttack, ...] = (
    *EXCLUSION,
    *KEYS,
    *IDENTIFIERS,
)
