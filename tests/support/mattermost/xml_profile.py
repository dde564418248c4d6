"""What gosaml2 and goxmldsig can process at all: algorithms, certificate pinning, size."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from tests.support import saml_wire as wire
from tests.support import xml_security

if TYPE_CHECKING:
    from lxml import etree

    from tests.support.mattermost.settings import Settings

_XENC = "http://www.w3.org/2001/04/xmlenc#"
_XENC11 = "http://www.w3.org/2009/xmlenc11#"
_NAMESPACES = {**wire.NAMESPACES, "xenc": _XENC}
_SHA1 = "http://www.w3.org/2000/09/xmldsig#sha1"

_SIGNATURE_METHODS = frozenset(
    {
        xml_security.RSA_SHA1,
        xml_security.RSA_SHA256,
        xml_security.RSA_SHA384,
        xml_security.RSA_SHA512,
    }
)
_CIPHERS = frozenset({xml_security.AES128_CBC, xml_security.AES256_CBC, xml_security.AES128_GCM})
_CIPHERS_FROM_10_9 = _CIPHERS | {xml_security.AES256_GCM, f"{_XENC11}aes192-gcm"}
_KEY_TRANSPORTS = frozenset({f"{_XENC}rsa-oaep-mgf1p", f"{_XENC11}rsa-oaep"})
_TRAVERSAL_LIMIT = 1000


def check_size(response: etree._Element) -> None:
    """`traversal limit reached` at about a thousand elements. Raises `ValueError`."""
    if sum(1 for _ in response.iter()) > _TRAVERSAL_LIMIT:
        raise ValueError("traversal limit reached")


def check_signature(node: etree._Element, pinned_der: bytes, *, nested: bool) -> None:
    """The Signature of `node` is one that goxmldsig takes. Raises `ValueError`."""
    signature = node.find("ds:Signature", wire.NAMESPACES)
    if signature is None:
        raise ValueError("no Signature")
    canonical = signature.find("ds:SignedInfo/ds:CanonicalizationMethod", wire.NAMESPACES)
    if canonical is None or len(canonical):
        raise ValueError("a PrefixList in CanonicalizationMethod")
    transforms = {
        transform.get("Algorithm") for transform in signature.iter(f"{{{wire.DS}}}Transform")
    }
    if nested and not any(str(name).startswith(xml_security.EXC_C14N) for name in transforms):
        raise ValueError("inclusive canonicalisation of a nested assertion")
    method = signature.find("ds:SignedInfo/ds:SignatureMethod", wire.NAMESPACES)
    if method is None or method.get("Algorithm") not in _SIGNATURE_METHODS:
        raise ValueError("the signature method is not supported")
    value = wire.text_of(signature, "ds:SignatureValue") or ""
    if " " in value or "\t" in value:
        raise ValueError("blanks in SignatureValue")
    _check_key_info(signature, pinned_der)


def _check_key_info(signature: etree._Element, pinned_der: bytes) -> None:
    for certificate in signature.iter(f"{{{wire.DS}}}X509Certificate"):
        if base64.b64decode("".join((certificate.text or "").split())) != pinned_der:
            raise ValueError("Could not verify certificate against trusted certs")


def check_encryption(response: etree._Element, settings: Settings) -> None:
    """Encrypt on takes no plain assertion, off takes no encrypted one. Raises `ValueError`."""
    encrypted = response.findall("saml:EncryptedAssertion", _NAMESPACES)
    plain = response.findall("saml:Assertion", _NAMESPACES)
    if bool(encrypted) != settings.encrypt or bool(plain) == settings.encrypt:
        raise ValueError("found both or no assertion, or Encrypt does not fit")
    for element in encrypted:
        _check_ciphers(element, settings)


def _check_ciphers(encrypted: etree._Element, settings: Settings) -> None:
    content = encrypted.find("xenc:EncryptedData/xenc:EncryptionMethod", _NAMESPACES)
    known = _CIPHERS_FROM_10_9 if settings.version >= (10, 9) else _CIPHERS
    if content is None or content.get("Algorithm") not in known:
        raise ValueError("the content cipher is not supported")
    keys = list(encrypted.iter(f"{{{_XENC}}}EncryptedKey"))
    if len(keys) != 1:
        raise ValueError("not exactly one EncryptedKey")
    transport = keys[0].find("xenc:EncryptionMethod", _NAMESPACES)
    if transport is None or transport.get("Algorithm") not in _KEY_TRANSPORTS:
        raise ValueError("the key transport is not supported")
    digest = transport.find("ds:DigestMethod", _NAMESPACES)
    if digest is not None and digest.get("Algorithm") != _SHA1:
        raise ValueError("the OAEP digest is not SHA-1")
    own = settings.keys.certificate_der if settings.keys else b""
    for certificate in keys[0].iter(f"{{{wire.DS}}}X509Certificate"):
        if base64.b64decode("".join((certificate.text or "").split())) != own:
            raise ValueError("encrypted for another certificate")
