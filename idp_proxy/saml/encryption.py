"""Encrypted assertions, both ways (XML Encryption 1.1; SAML core 2.3.4 and 6).

What we write is what Mattermost reads in every version: AES-GCM for the assertion, rsa-oaep-mgf1p
with SHA-1 for its key, the EncryptedKey inside KeyInfo. (SHA-1 as the hash of OAEP needs no
collision resistance, and the service provider refuses any other.)

What we read is one strict shape with algorithms from a list. A refusal that depends only on what
the sender wrote in the clear names its reason; everything after the first use of a private key ends
in one and the same refusal, so that neither text nor amount of work tells a guess from another
(Jager and Somorovsky 2011). CBC can tell by its padding whatever we do: it is read only where the
caller allows it, inside a message whose signature was verified first (SP-08).
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from idp_proxy.errors import AssertionInvalid, MalformedMessage
from idp_proxy.saml import names
from idp_proxy.saml.xml import MAX_OCTETS, canonical, decode_base64

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography import x509
    from lxml.etree import _Element

AES128_GCM = f"{names.XENC11}aes128-gcm"
AES192_GCM = f"{names.XENC11}aes192-gcm"
AES256_GCM = f"{names.XENC11}aes256-gcm"
AES128_CBC = f"{names.XENC}aes128-cbc"
AES192_CBC = f"{names.XENC}aes192-cbc"
AES256_CBC = f"{names.XENC}aes256-cbc"
RSA_OAEP_MGF1P = f"{names.XENC}rsa-oaep-mgf1p"
RSA_OAEP = f"{names.XENC11}rsa-oaep"
SHA1 = f"{names.DS}sha1"
SHA256 = f"{names.XENC}sha256"
TYPE_ELEMENT = f"{names.XENC}Element"

#: Characters of a CipherValue, line breaks included: more than a whole message may have (XML-02).
_MAX_TEXT = 2 * MAX_OCTETS
_NONCE, _TAG, _BLOCK = 12, 16, 16
_DS = f"{{{names.DS}}}"
_XENC = f"{{{names.XENC}}}"
_XENC11 = f"{{{names.XENC11}}}"

_SHA1_IN_OAEP = hashes.SHA1()  # noqa: S303 - OAEP asks no collision resistance of its hash
_GCM: Mapping[str, int] = {AES128_GCM: 16, AES192_GCM: 24, AES256_GCM: 32}
_CBC: Mapping[str, int] = {AES128_CBC: 16, AES192_CBC: 24, AES256_CBC: 32}
_DIGESTS: Mapping[str, hashes.HashAlgorithm] = {
    SHA1: _SHA1_IN_OAEP,
    SHA256: hashes.SHA256(),
}
_MASKS: Mapping[str, hashes.HashAlgorithm] = {
    f"{names.XENC11}mgf1sha1": _SHA1_IN_OAEP,
    f"{names.XENC11}mgf1sha256": hashes.SHA256(),
}


class EncryptionImpossible(ValueError):
    """The service provider's certificate or the algorithm cannot be used: nothing is sent."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    """An EncryptedAssertion taken apart, before any key is used."""

    content_algorithm: str
    content: bytes
    key_padding: padding.OAEP
    wrapped_key: bytes


def encrypt_assertion(
    assertion: _Element, certificate: x509.Certificate, algorithm: str = AES128_GCM
) -> _Element:
    """The EncryptedAssertion of a signed `assertion`, for the holder of `certificate`'s key.

    The cleartext is the assertion's exclusive canonical form, which carries every namespace
    declaration it needs. Raises `EncryptionImpossible`; never gives cleartext back.
    """
    public_key = certificate.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise EncryptionImpossible("the encryption certificate holds no RSA key")
    if algorithm not in (AES128_GCM, AES256_GCM):
        raise EncryptionImpossible(f"{algorithm} is not an algorithm we encrypt with")
    content_key = AESGCM.generate_key(bit_length=_GCM[algorithm] * 8)
    nonce = os.urandom(_NONCE)
    content = nonce + AESGCM(content_key).encrypt(nonce, canonical(assertion), None)
    wrapped = public_key.encrypt(content_key, _oaep(_SHA1_IN_OAEP, _SHA1_IN_OAEP))
    return _envelope_element(algorithm, content, wrapped, certificate)


def decrypt_assertion(
    encrypted: _Element, keys: Sequence[rsa.RSAPrivateKey], allow_cbc: bool
) -> bytes:
    """The octets inside an EncryptedAssertion; they are not verified, and may be anything.

    Every key is tried (several while one is replaced), and each takes the same work whether it
    fits or not. Raises `AssertionInvalid` (SP-08).
    """
    if not keys:
        raise _refused("the assertion is encrypted, and decryption_key is not configured")
    envelope = _open_envelope(encrypted, allow_cbc=allow_cbc)
    found: bytes | None = None
    for key in keys:
        plain = _try_key(envelope, key)
        found = plain if found is None else found
    if found is None:
        raise _refused("the assertion could not be decrypted")
    return found


# --- writing -------------------------------------------------------------------------------------


def _envelope_element(
    algorithm: str, content: bytes, wrapped: bytes, certificate: x509.Certificate
) -> _Element:
    outer = etree.Element(
        names.ENCRYPTED_ASSERTION,
        nsmap={"saml": names.SAML, "xenc": names.XENC, "ds": names.DS},
    )
    data = etree.SubElement(outer, f"{_XENC}EncryptedData", Type=TYPE_ELEMENT)
    etree.SubElement(data, f"{_XENC}EncryptionMethod", Algorithm=algorithm)
    encrypted_key = etree.SubElement(
        etree.SubElement(data, f"{_DS}KeyInfo"), f"{_XENC}EncryptedKey"
    )
    method = etree.SubElement(encrypted_key, f"{_XENC}EncryptionMethod", Algorithm=RSA_OAEP_MGF1P)
    etree.SubElement(method, f"{_DS}DigestMethod", Algorithm=SHA1)
    holder = etree.SubElement(etree.SubElement(encrypted_key, f"{_DS}KeyInfo"), f"{_DS}X509Data")
    etree.SubElement(holder, f"{_DS}X509Certificate").text = _base64(
        certificate.public_bytes(Encoding.DER)
    )
    _cipher_data(encrypted_key, wrapped)
    _cipher_data(data, content)
    return outer


def _cipher_data(parent: _Element, octets: bytes) -> None:
    data = etree.SubElement(parent, f"{_XENC}CipherData")
    etree.SubElement(data, f"{_XENC}CipherValue").text = _base64(octets)


# --- reading, before any key is used -------------------------------------------------------------


def _open_envelope(encrypted: _Element, *, allow_cbc: bool) -> _Envelope:
    """Take the one shape apart that we read. Raises `AssertionInvalid` naming what is different."""
    data = _exactly(encrypted, f"{_XENC}EncryptedData")[0]
    if data.get("Type", TYPE_ELEMENT) != TYPE_ELEMENT:
        raise _refused("EncryptedData is not of type Element")
    method, key_info, cipher_data = _exactly(
        data, f"{_XENC}EncryptionMethod", f"{_DS}KeyInfo", f"{_XENC}CipherData"
    )
    algorithm = _content_algorithm(method, allow_cbc=allow_cbc)
    encrypted_key = _exactly(key_info, f"{_XENC}EncryptedKey")[0]
    key_parts = list(encrypted_key)
    if len(key_parts) > 1 and key_parts[1].tag == f"{_DS}KeyInfo":
        # It would name the recipient's key; we know ours and read nothing there.
        _only_naming_keys(key_parts.pop(1))
    key_method, key_data = _expect(
        encrypted_key, key_parts, (f"{_XENC}EncryptionMethod", f"{_XENC}CipherData")
    )
    return _Envelope(
        algorithm, _cipher_value(cipher_data), _key_padding(key_method), _cipher_value(key_data)
    )


def _content_algorithm(method: _Element, *, allow_cbc: bool) -> str:
    _exactly(method)
    algorithm = method.get("Algorithm", "")
    if algorithm in _GCM or (algorithm in _CBC and allow_cbc):
        return algorithm
    if algorithm in _CBC:
        raise _refused(
            f"the assertion is encrypted with {algorithm}; let the upstream use AES-GCM, or set"
            ' allow_aes_cbc = true together with require_signed = "both"'
        )
    raise _refused(f"the assertion is encrypted with {algorithm!r}, which is not on the list")


def _key_padding(method: _Element) -> padding.OAEP:
    algorithm = method.get("Algorithm", "")
    if algorithm not in (RSA_OAEP_MGF1P, RSA_OAEP):
        raise _refused(f"the key is encrypted with {algorithm!r}, which is not on the list")
    digest, mask = SHA1, f"{names.XENC11}mgf1sha1"
    seen: set[str] = set()
    for part in method:
        name = str(part.tag)
        known = (f"{_DS}DigestMethod",) + ((f"{_XENC11}MGF",) if algorithm == RSA_OAEP else ())
        if name in seen or name not in known or len(part):
            raise _refused("the key's EncryptionMethod holds what we do not read")
        seen.add(name)
        if name == f"{_DS}DigestMethod":
            digest = part.get("Algorithm", "")
        else:
            mask = part.get("Algorithm", "")
    if digest not in _DIGESTS or mask not in _MASKS:
        raise _refused(f"OAEP with {digest!r} and {mask!r} is not on the list")
    return _oaep(_DIGESTS[digest], _MASKS[mask])


def _only_naming_keys(key_info: _Element) -> None:
    allowed = {f"{_DS}X509Data", f"{_DS}KeyName", f"{_DS}KeyValue"}
    if any(part.tag not in allowed for part in key_info):
        raise _refused("the KeyInfo of EncryptedKey points elsewhere")


def _cipher_value(cipher_data: _Element) -> bytes:
    value = _exactly(cipher_data, f"{_XENC}CipherValue")[0]
    _exactly(value)
    text = value.text or ""
    if len(text) > _MAX_TEXT:
        raise _refused("a CipherValue is too long")
    try:
        return decode_base64(text, "a CipherValue")
    except MalformedMessage as error:
        raise _refused(error.detail) from error


def _exactly(parent: _Element, *tags: str) -> list[_Element]:
    return _expect(parent, list(parent), tags)


def _expect(parent: _Element, children: list[_Element], tags: tuple[str, ...]) -> list[_Element]:
    if tuple(child.tag for child in children) != tags:
        expected = ", ".join(etree.QName(tag).localname for tag in tags) or "nothing"
        raise _refused(f"{etree.QName(parent).localname} must hold exactly {expected}")
    return children


# --- reading, with a key -------------------------------------------------------------------------


def _try_key(envelope: _Envelope, key: rsa.RSAPrivateKey) -> bytes | None:
    """The cleartext, or None. A key that does not fit goes on with a random content key, so that
    it costs the same as one that does.
    """
    length = _GCM.get(envelope.content_algorithm) or _CBC[envelope.content_algorithm]
    content_key, fits = os.urandom(length), False
    try:
        unwrapped = key.decrypt(envelope.wrapped_key, envelope.key_padding)
    except ValueError:
        unwrapped = b""
    if len(unwrapped) == length:
        content_key, fits = unwrapped, True
    decrypt = _decrypt_gcm if envelope.content_algorithm in _GCM else _decrypt_cbc
    plain = decrypt(content_key, envelope.content)
    return plain if fits else None


def _decrypt_gcm(key: bytes, content: bytes) -> bytes | None:
    """XML Encryption 1.1 section 5.2.4: 96-bit nonce, ciphertext, 128-bit tag."""
    if len(content) < _NONCE + _TAG:
        return None
    try:
        return AESGCM(key).decrypt(content[:_NONCE], content[_NONCE:], None)
    except InvalidTag:
        return None


def _decrypt_cbc(key: bytes, content: bytes) -> bytes | None:
    """XML Encryption 1.1 section 5.2: IV, blocks; the last octet tells how many are padding."""
    if len(content) < 2 * _BLOCK or len(content) % _BLOCK:
        return None
    decryptor = Cipher(algorithms.AES(key), modes.CBC(content[:_BLOCK])).decryptor()
    padded = decryptor.update(content[_BLOCK:]) + decryptor.finalize()
    count = padded[-1]
    return padded[:-count] if 1 <= count <= _BLOCK else None


def _oaep(digest: hashes.HashAlgorithm, mask: hashes.HashAlgorithm) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(algorithm=mask), algorithm=digest, label=None)


def _refused(detail: str) -> AssertionInvalid:
    return AssertionInvalid("SP-08", detail)


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
