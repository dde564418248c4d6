"""An encryptor for any recipient, in any of the shapes of XML Encryption, honest or not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.attacks import signer
from tests.attacks.messages import ASSERTION, Signed, one, piece, signed, unsigned
from tests.attacks.messages import octets as sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml import etree

    from tests.attacks.attack import Login
    from tests.support.keys import KeyPair

XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
AES128_GCM = f"{XENC11}aes128-gcm"
AES128_CBC = f"{XENC}aes128-cbc"
OAEP = f"{XENC}rsa-oaep-mgf1p"
RSA_15 = f"{XENC}rsa-1_5"
TRIPLE_DES = f"{XENC}tripledes-cbc"

_SHAPE = """<a:EncryptedAssertion><xenc:EncryptedData Type="{XENC}Element">\
<xenc:EncryptionMethod Algorithm="{content}"/><ds:KeyInfo><xenc:EncryptedKey>\
<xenc:EncryptionMethod Algorithm="{transport}"/><xenc:CipherData><xenc:CipherValue>{key}\
</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData>\
<xenc:CipherValue>{value}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>\
</a:EncryptedAssertion>"""


def as_it_is(octets: bytes) -> bytes:
    """Leaves octets as they are."""
    return octets


def no_edit(_: etree._Element) -> None:
    """Leaves the EncryptedAssertion as it is."""


@dataclass(frozen=True, slots=True)
class Sealing:
    """How an assertion is encrypted, and what is broken about it afterwards."""

    content: str = AES128_GCM
    transport: str = OAEP
    recipient: KeyPair | None = None
    change_plain: Callable[[bytes], bytes] = field(default=as_it_is)
    change_key: Callable[[bytes], bytes] = field(default=as_it_is)
    change_value: Callable[[bytes], bytes] = field(default=as_it_is)
    edit: Callable[[etree._Element], object] = field(default=no_edit)


HONEST = Sealing()


def sealed(
    *edits: Callable[[etree._Element, Login], object],
    sealing: Sealing = HONEST,
    what: Signed = Signed.ASSERTION,
    after: tuple[Callable[[etree._Element, Login], object], ...] = (),
) -> Callable[[Login], bytes]:
    """An answer whose assertion is edited, signed if asked, encrypted; then the Response signed.

    `after` edits what stands around the encrypted assertion, before the Response is signed.
    """

    def make(login: Login) -> bytes:
        root = unsigned(login)
        for edit in edits:
            edit(root, login)
        if "assertion" in what.value:
            signed(root, login, Signed.ASSERTION)
        assertion = one(root, ASSERTION)
        parent = assertion.getparent()
        assert parent is not None
        plain = signer.canonical(assertion)
        parent.replace(assertion, encrypted(plain, login.recipient, sealing))
        for edit in after:
            edit(root, login)
        if "response" in what.value:
            signed(root, login, Signed.RESPONSE)
        return sent(root)

    return make


def encrypted(plain: bytes, recipient: KeyPair, sealing: Sealing = HONEST) -> etree._Element:
    """The EncryptedAssertion that holds these octets."""
    key = os.urandom(16)
    element = piece(
        _SHAPE.format(
            XENC=XENC,
            content=sealing.content,
            transport=sealing.transport,
            key=signer.text(
                sealing.change_key(_wrap(key, sealing.recipient or recipient, sealing.transport))
            ),
            value=signer.text(
                sealing.change_value(_encrypt(key, sealing.change_plain(plain), sealing.content))
            ),
        )
    )
    sealing.edit(element)
    return element


def _encrypt(key: bytes, plain: bytes, algorithm: str) -> bytes:
    vector = os.urandom(12 if algorithm.endswith("gcm") else 16)
    if algorithm.endswith("gcm"):
        return vector + AESGCM(key).encrypt(vector, plain, None)
    missing = 16 - len(plain) % 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    padded = plain + bytes(missing - 1) + bytes([missing])
    return vector + encryptor.update(padded) + encryptor.finalize()


def _wrap(key: bytes, recipient: KeyPair, transport: str) -> bytes:
    public = recipient.certificate.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    if transport == RSA_15:
        return public.encrypt(key, padding.PKCS1v15())
    mask = padding.MGF1(hashes.SHA1())
    return public.encrypt(key, padding.OAEP(mask, hashes.SHA1(), None))
