"""XML signature and encryption by python-xmlsec: the other parties' side, none of the proxy's."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import xmlsec
from lxml import etree

if TYPE_CHECKING:
    from tests.support.keys import KeyPair

DSIG = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
C14N_11 = "http://www.w3.org/2006/12/xml-c14n11"

RSA_SHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
RSA_SHA384 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384"
RSA_SHA512 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512"
ECDSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"

AES128_CBC = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
AES256_CBC = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
AES128_GCM = "http://www.w3.org/2009/xmlenc11#aes128-gcm"
AES256_GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"

_SIGNATURES = {
    RSA_SHA1: (xmlsec.constants.TransformRsaSha1, xmlsec.constants.TransformSha1),
    RSA_SHA256: (xmlsec.constants.TransformRsaSha256, xmlsec.constants.TransformSha256),
    RSA_SHA384: (xmlsec.constants.TransformRsaSha384, xmlsec.constants.TransformSha384),
    RSA_SHA512: (xmlsec.constants.TransformRsaSha512, xmlsec.constants.TransformSha512),
    ECDSA_SHA256: (xmlsec.constants.TransformEcdsaSha256, xmlsec.constants.TransformSha256),
}
_CANONICAL = {
    EXC_C14N: xmlsec.constants.TransformExclC14N,
    C14N_11: xmlsec.constants.TransformInclC14N11,
}
_CIPHERS = {
    AES128_CBC: (xmlsec.constants.TransformAes128Cbc, 128),
    AES256_CBC: (xmlsec.constants.TransformAes256Cbc, 256),
    AES128_GCM: (xmlsec.constants.TransformAes128Gcm, 128),
    AES256_GCM: (xmlsec.constants.TransformAes256Gcm, 256),
}


@dataclass(frozen=True, slots=True)
class Style:
    """How a party signs: algorithm, canonicalisation, namespace prefix of the Signature."""

    algorithm: str = RSA_SHA256
    canonical: str = EXC_C14N
    prefix: str | None = "ds"


DEFAULT_STYLE = Style()


@lru_cache(maxsize=64)
def _signing_key(key_pem: bytes, certificate_pem: bytes) -> xmlsec.Key:
    key = xmlsec.Key.from_memory(key_pem, xmlsec.constants.KeyDataFormatPem, None)
    key.load_cert_from_memory(certificate_pem, xmlsec.constants.KeyDataFormatPem)
    return key


@lru_cache(maxsize=64)
def _private_key(key_pem: bytes) -> xmlsec.Key:
    return xmlsec.Key.from_memory(key_pem, xmlsec.constants.KeyDataFormatPem, None)


@lru_cache(maxsize=64)
def _certificate_key(certificate_pem: bytes) -> xmlsec.Key:
    return xmlsec.Key.from_memory(certificate_pem, xmlsec.constants.KeyDataFormatCertPem, None)


def sign(
    element: etree._Element, pair: KeyPair, style: Style = DEFAULT_STYLE, index: int = 1
) -> None:
    """Insert an enveloped Signature, with the certificate in KeyInfo, as the child of this index:
    behind the Issuer unless told.

    The element must already stand where it stays: an inclusive canonical form sees its parents.
    """
    method, digest = _SIGNATURES[style.algorithm]
    signature = xmlsec.template.create(
        element, _CANONICAL[style.canonical], method, ns=style.prefix
    )
    element.insert(index, signature)
    reference = xmlsec.template.add_reference(signature, digest, uri=f"#{element.get('ID', '')}")
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, _CANONICAL[style.canonical])
    xmlsec.template.x509_data_add_certificate(
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
    )
    xmlsec.tree.add_ids(element, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = _signing_key(pair.key_pem, pair.certificate_pem)
    context.sign(signature)
    _one_line_values(signature)


def _one_line_values(signature: etree._Element) -> None:
    """Signature values and certificates without line breaks, as goxmldsig and most others write."""
    for name in ("SignatureValue", "X509Certificate"):
        for value in signature.iter(f"{{{DSIG}}}{name}"):
            value.text = "".join((value.text or "").split())


def verifies(element: etree._Element, certificate_pem: bytes) -> bool:
    """Whether the element's own enveloped Signature holds under this certificate."""
    signature = element.find(f"{{{DSIG}}}Signature")
    if signature is None:
        return False
    xmlsec.tree.add_ids(element, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = _certificate_key(certificate_pem)
    try:
        context.verify(signature)
    except xmlsec.Error:
        return False
    reference = signature.find(f"{{{DSIG}}}SignedInfo/{{{DSIG}}}Reference")
    return reference is not None and reference.get("URI") == f"#{element.get('ID', '')}"


def sign_octets(octets: bytes, pair: KeyPair, algorithm: str) -> bytes:
    """The detached signature of HTTP-Redirect (SAML bindings 3.4.4.1)."""
    context = xmlsec.SignatureContext()
    context.key = _private_key(pair.key_pem)
    signed: bytes = context.sign_binary(octets, _SIGNATURES[algorithm][0])
    return signed


def octets_verify(octets: bytes, signature: bytes, certificate_pem: bytes, algorithm: str) -> bool:
    """Whether a detached signature holds; False for an algorithm nobody here knows."""
    if algorithm not in _SIGNATURES:
        return False
    context = xmlsec.SignatureContext()
    context.key = _certificate_key(certificate_pem)
    try:
        context.verify_binary(octets, _SIGNATURES[algorithm][0], signature)
    except xmlsec.Error:
        return False
    return True


def encrypt(element: etree._Element, certificate_pem: bytes, cipher: str) -> etree._Element:
    """The EncryptedData of `element`: RSA-OAEP (MGF1, SHA-1) over a fresh content key.

    The octets inside stand alone: they declare their own namespaces.
    """
    transform, bits = _CIPHERS[cipher]
    alone = etree.fromstring(etree.tostring(element, with_tail=False))
    data = xmlsec.template.encrypted_data_create(
        alone, transform, type=xmlsec.constants.TypeEncElement, ns="xenc"
    )
    xmlsec.template.encrypted_data_ensure_cipher_value(data)
    info = xmlsec.template.encrypted_data_ensure_key_info(data, ns="ds")
    key = xmlsec.template.add_encrypted_key(info, xmlsec.constants.TransformRsaOaep)
    xmlsec.template.encrypted_data_ensure_cipher_value(key)
    manager = xmlsec.KeysManager()
    manager.add_key(_certificate_key(certificate_pem))
    context = xmlsec.EncryptionContext(manager)
    context.key = xmlsec.Key.generate(
        xmlsec.constants.KeyDataAes, bits, xmlsec.constants.KeyDataTypeSession
    )
    encrypted: etree._Element = context.encrypt_xml(data, alone)
    return encrypted


def decrypt(encrypted: etree._Element, key_pem: bytes) -> etree._Element:
    """The element inside an EncryptedData. Raises `xmlsec.Error`."""
    manager = xmlsec.KeysManager()
    manager.add_key(_private_key(key_pem))
    holder = etree.Element("holder")
    holder.append(etree.fromstring(etree.tostring(encrypted, with_tail=False)))
    plain: etree._Element = xmlsec.EncryptionContext(manager).decrypt(holder[0])
    return etree.fromstring(etree.tostring(plain, with_tail=False))


def base64_text(octets: bytes) -> str:
    """Standard base64 as text."""
    return base64.b64encode(octets).decode("ascii")
