"""Encrypted assertions: broken, weakly encrypted, or hiding what would not pass in the open."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from lxml import etree

from idp_proxy.saml import checks, document
from idp_proxy.saml.encryption import decrypt_assertion
from tests.attacks.attack import Login, Policy, ResponseAttack, table
from tests.attacks.encryptor import (
    AES128_CBC,
    HONEST,
    RSA_15,
    TRIPLE_DES,
    XENC,
    XENC11,
    Sealing,
    encrypted,
    sealed,
)
from tests.attacks.messages import (
    ASSERTION,
    CONFIRMATION_DATA,
    NAME_ID,
    VICTIM,
    Signed,
    add,
    at,
    drop,
    octets,
    one,
    piece,
    put,
    unsigned,
    write,
)
from tests.attacks.signer import DS, Style, canonical, sign, text
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[Login], bytes]

#: Accepted: what the attacks above are small changes of.
HONEST_SEALED = sealed(sealing=HONEST)
HONEST_CBC = sealed(sealing=Sealing(content=AES128_CBC), what=Signed.BOTH)
DATA = "xenc:EncryptedData"
KEY = f"{DATA}/ds:KeyInfo/xenc:EncryptedKey"


def flip(position: int) -> Callable[[bytes], bytes]:
    """One bit turned at this octet."""

    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        changed[position] ^= 1
        return bytes(changed)

    return change


def edited(edit: Callable[[etree._Element], object]) -> Callable[[Login], bytes]:
    return sealed(sealing=Sealing(edit=edit))


def method(path: str, algorithm: str) -> Callable[[Login], bytes]:
    return edited(lambda element: one(element, path).set("Algorithm", algorithm))


def nested(path: str, xml: str) -> Callable[[Login], bytes]:
    return edited(lambda element: one(element, path).append(piece(xml)))


def plain(change: Callable[[bytes], bytes]) -> Callable[[Login], bytes]:
    """A sealed answer whose cleartext, signed, was changed as text."""
    return sealed(sealing=Sealing(change_plain=change))


def cbc(change: Callable[[bytes], bytes]) -> Sealing:
    return Sealing(content=AES128_CBC, change_value=change)


def tampered(change: Callable[[bytes], bytes]) -> Make:
    """An answer encrypted by CBC and signed outside, whose cipher text is changed on the way."""

    def make(login: Login) -> bytes:
        root = etree.fromstring(HONEST_CBC(login))
        value = one(root, f"a:EncryptedAssertion/{DATA}/xenc:CipherData/xenc:CipherValue")
        value.text = text(change(base64.b64decode(value.text or "")))
        return octets(root)

    return make


def _other_cipher_reference(element: etree._Element) -> None:
    data = one(element, f"{DATA}/xenc:CipherData")
    data[:] = [piece('<xenc:CipherReference URI="https://attacker.example/x"/>')]


def _no_base64(element: etree._Element) -> None:
    one(element, f"{DATA}/xenc:CipherData/xenc:CipherValue").text = "!"


def _key_elsewhere(element: etree._Element) -> None:
    info = one(element, f"{DATA}/ds:KeyInfo")
    info[:] = [piece('<ds:RetrievalMethod URI="#_key"/>')]


def _sealed_by_attacker(login: Login) -> bytes:
    """Anybody can encrypt for us: the certificate is in our metadata."""
    root = unsigned(login)
    one(root, NAME_ID).text = VICTIM
    assertion = one(root, ASSERTION)
    sign(assertion, rsa_pair("attacker"), Style(shown=login.keys))
    root.replace(assertion, encrypted(canonical(assertion), login.recipient))
    return octets(root)


def _open_and_sealed(login: Login) -> bytes:
    root = unsigned(login)
    assertion = one(root, ASSERTION)
    sign(assertion, login.keys)
    assertion.addprevious(encrypted(canonical(assertion), login.recipient))
    return octets(root)


def _two_sealed(login: Login) -> bytes:
    root = unsigned(login)
    assertion = one(root, ASSERTION)
    sign(assertion, login.keys)
    hidden = canonical(assertion)
    assertion.addprevious(encrypted(hidden, login.recipient))
    root.replace(assertion, encrypted(hidden, login.recipient))
    return octets(root)


def _sealed_twice(login: Login) -> bytes:
    root = unsigned(login)
    assertion = one(root, ASSERTION)
    sign(assertion, login.keys)
    inner = encrypted(canonical(assertion), login.recipient)
    root.replace(assertion, encrypted(canonical(inner), login.recipient))
    return octets(root)


_OPEN = {
    "key by RSA 1.5": sealed(sealing=Sealing(transport=RSA_15)),
    "Triple DES": sealed(sealing=Sealing(content=TRIPLE_DES)),
    "an unknown cipher": method(f"{DATA}/xenc:EncryptionMethod", "urn:rot13"),
    "no cipher": method(f"{DATA}/xenc:EncryptionMethod", ""),
    "an unknown key transport": method(f"{KEY}/xenc:EncryptionMethod", "urn:rot13"),
    "key wrapped by AES": method(f"{KEY}/xenc:EncryptionMethod", f"{XENC}kw-aes128"),
    "OAEP with MD5": nested(
        f"{KEY}/xenc:EncryptionMethod", f'<ds:DigestMethod Algorithm="{DS}md5"/>'
    ),
    "OAEP with a mask beside mgf1p": nested(
        f"{KEY}/xenc:EncryptionMethod",
        f'<x:MGF xmlns:x="{XENC11}" Algorithm="{XENC11}mgf1sha1"/>',
    ),
    "OAEP with parameters": nested(
        f"{KEY}/xenc:EncryptionMethod", "<xenc:OAEPparams>QQ==</xenc:OAEPparams>"
    ),
    "a key size beside the cipher": nested(
        f"{DATA}/xenc:EncryptionMethod", "<xenc:KeySize>128</xenc:KeySize>"
    ),
    "type Content": edited(lambda element: one(element, DATA).set("Type", f"{XENC}Content")),
    "cipher text elsewhere": edited(_other_cipher_reference),
    "key elsewhere": edited(_key_elsewhere),
    "EncryptedKey twice": nested(f"{DATA}/ds:KeyInfo", "<xenc:EncryptedKey/>"),
    "KeyInfo that fetches": edited(
        lambda element: one(element, KEY).insert(
            1, piece('<ds:KeyInfo><ds:RetrievalMethod URI="http://x"/></ds:KeyInfo>')
        )
    ),
    "EncryptedData twice": edited(lambda element: element.append(piece("<xenc:EncryptedData/>"))),
    "an element in CipherValue": nested(f"{DATA}/xenc:CipherData/xenc:CipherValue", "<a:x/>"),
    "CipherValue of no base64": edited(_no_base64),
}
#: Different causes behind the private key; nobody outside may tell them apart.
ORACLE = {
    "tag flipped": sealed(sealing=Sealing(change_value=flip(-1))),
    "cipher text flipped": sealed(sealing=Sealing(change_value=flip(40))),
    "nonce flipped": sealed(sealing=Sealing(change_value=flip(0))),
    "cipher text cut": sealed(sealing=Sealing(change_value=lambda data: data[:60])),
    "shorter than nonce and tag": sealed(sealing=Sealing(change_value=lambda data: data[:20])),
    "nothing at all": sealed(sealing=Sealing(change_value=lambda _: b"")),
    "key flipped": sealed(sealing=Sealing(change_key=flip(10))),
    "key cut": sealed(sealing=Sealing(change_key=lambda data: data[:100])),
    "no key": sealed(sealing=Sealing(change_key=lambda _: b"")),
    "key of zeros": sealed(sealing=Sealing(change_key=lambda data: bytes(len(data)))),
    "key larger than the modulus": sealed(
        sealing=Sealing(change_key=lambda data: b"\xff" * len(data))
    ),
    "for somebody else": sealed(sealing=Sealing(recipient=rsa_pair("attacker"))),
    "AES-128 key for AES-256": method(f"{DATA}/xenc:EncryptionMethod", f"{XENC11}aes256-gcm"),
}
#: The same for CBC, where padding itself tells: nothing is decrypted that was not signed as it is.
ORACLE_CBC = {
    "CBC, last block flipped": tampered(flip(-1)),
    "CBC, padding flipped": tampered(flip(-17)),
    "CBC, first block flipped": tampered(flip(16)),
    "CBC, vector flipped": tampered(flip(0)),
    "CBC, half a block": tampered(lambda data: data[:-8]),
    "CBC, a block less": tampered(lambda data: data[:-16]),
    "CBC, nothing": tampered(lambda _: b""),
}

ATTACKS: tuple[ResponseAttack, ...] = (
    *table("encryption", decrypt_assertion, _OPEN | ORACLE, "SP-08"),
    *table(
        "encryption",
        decrypt_assertion,
        {"CBC that nobody allowed": sealed(sealing=Sealing(content=AES128_CBC), what=Signed.BOTH)},
        "SP-08",
        Policy.BOTH,
    ),
    *table(
        "encryption",
        decrypt_assertion,
        {
            "CBC in an unsigned Response": sealed(sealing=Sealing(content=AES128_CBC)),
            "CBC flipped in an unsigned Response": sealed(sealing=cbc(flip(20))),
        },
        "SP-08",
        Policy.BOTH_WITH_CBC,
    ),
    *table("encryption", document.xml_03_root, {"encrypted twice": _sealed_twice}),
    *table("encryption", document.sp_02_digest, ORACLE_CBC, policy=Policy.BOTH_WITH_CBC),
    *table(
        "encryption",
        document.xml_03_root,
        {
            "nothing inside": plain(lambda _: b""),
            "no XML inside": plain(lambda _: b"A" * 100),
            "two assertions inside": plain(lambda text: text + text),
            "a Response inside": plain(
                lambda _: b'<p:Response xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol"/>'
            ),
        },
    ),
    *table(
        "encryption",
        document.xml_01_markup,
        {
            "DOCTYPE inside": plain(lambda text: b"<!DOCTYPE x [<!ENTITY e 'x'>]>" + text),
            "comment inside": plain(lambda text: text.replace(b"e-1001", b"e-<!---->1001")),
        },
    ),
    *table(
        "encryption", document.xml_03_utf8, {"Latin-1 inside": plain(lambda text: text + b"\xe9")}
    ),
    *table(
        "encryption",
        document.sp_02_digest,
        {"changed inside": plain(lambda text: text.replace(b"e-1001", b"e-0001"))},
    ),
    *table(
        "encryption",
        document.sp_01_signature_value,
        {"signed by the attacker": _sealed_by_attacker},
    ),
    *table(
        "encryption",
        checks.sp_01_signed_as_required,
        {
            "not signed inside": sealed(what=Signed.NOTHING),
            "only the Response signed": sealed(what=Signed.RESPONSE),
        },
    ),
    *table(
        "encryption",
        checks.fo_01_assertion_issuer,
        {
            "another issuer inside": sealed(
                write(f"{ASSERTION}/a:Issuer", lambda login: login.standby_issuer)
            )
        },
    ),
    *table(
        "encryption",
        checks.fo_01_response_issuer,
        {"Response without an issuer": sealed(after=(drop("a:Issuer"),))},
    ),
    *table(
        "encryption",
        checks.sp_07_times,
        {"expired inside": sealed(put(CONFIRMATION_DATA, "NotOnOrAfter", at(-121)))},
    ),
    *table(
        "encryption",
        checks.sp_03_confirmation_in_response_to,
        {"another request inside": sealed(put(CONFIRMATION_DATA, "InResponseTo", "_other"))},
    ),
    *table(
        "encryption",
        checks.sp_09_parts,
        {
            "version 1.1 inside": sealed(put(ASSERTION, "Version", "1.1")),
            "Advice inside": sealed(add(ASSERTION, "<a:Advice/>", 4)),
            "EncryptedID inside": sealed(
                drop(NAME_ID), add(f"{ASSERTION}/a:Subject", "<a:EncryptedID/>", 0)
            ),
        },
    ),
    *table(
        "encryption",
        checks.sp_09_one_assertion,
        {"in the open as well": _open_and_sealed, "two of them": _two_sealed},
    ),
)
