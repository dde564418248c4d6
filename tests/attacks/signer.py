"""A signer that signs anything: lxml and cryptography, nothing of the proxy.

Honest by default. A `Style` changes what is written, `edit` changes the SignedInfo before its
value is made: what comes out was truly signed with the key, so that the one thing that is wrong
with it is all that stands between it and acceptance.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.keys import KeyPair

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DS = "http://www.w3.org/2000/09/xmldsig#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = f"{DS}enveloped-signature"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
C14N_11 = "http://www.w3.org/2006/12/xml-c14n11"
RSA_SHA1 = f"{DS}rsa-sha1"
RSA_SHA256 = f"{MORE}rsa-sha256"
RSA_SHA512 = f"{MORE}rsa-sha512"
ECDSA_SHA256 = f"{MORE}ecdsa-sha256"
HMAC_SHA256 = f"{MORE}hmac-sha256"
SHA1 = f"{DS}sha1"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
MD5 = f"{MORE}md5"


def unchanged(_: etree._Element) -> None:
    """Leaves the SignedInfo as it is."""


@dataclass(frozen=True, slots=True)
class Style:
    """What a signature says about itself."""

    method: str = RSA_SHA256
    canonicalization: str = EXC_C14N
    transforms: tuple[str, ...] = (ENVELOPED, EXC_C14N)
    digest: str = SHA256
    uri: str | None = None
    shown: KeyPair | None = None
    edit: Callable[[etree._Element], None] = field(default=unchanged)


HONEST = Style()


def sign(element: etree._Element, pair: KeyPair, style: Style = HONEST) -> etree._Element:
    """Insert an enveloped signature by `pair` behind the Issuer (or first); gives the Signature."""
    signature = etree.Element(f"{{{DS}}}Signature", nsmap={"ds": DS})
    info = _signed_info(signature, element, style)
    style.edit(info)
    value = etree.SubElement(signature, f"{{{DS}}}SignatureValue")
    data = etree.SubElement(etree.SubElement(signature, f"{{{DS}}}KeyInfo"), f"{{{DS}}}X509Data")
    shown = style.shown or pair
    etree.SubElement(data, f"{{{DS}}}X509Certificate").text = shown.certificate_text
    behind_issuer = len(element) > 0 and element[0].tag == f"{{{SAML}}}Issuer"
    element.insert(1 if behind_issuer else 0, signature)
    value.text = text(sign_octets(canonical(info), pair, style.method))
    return signature


def sign_again(signature: etree._Element, pair: KeyPair, method: str = RSA_SHA256) -> None:
    """Make a new value over a SignedInfo that was changed."""
    signature[1].text = text(sign_octets(canonical(signature[0]), pair, method))


def sign_octets(octets: bytes, pair: KeyPair, method: str) -> bytes:
    """The raw signature value by the named method; unknown methods sign as RSA-SHA256 does."""
    if "hmac" in method:
        return hmac.digest(pair.certificate_pem, octets, "sha256")
    key = private_key(pair)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = utils.decode_dss_signature(key.sign(octets, ec.ECDSA(hashes.SHA256())))
        size = (key.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    algorithm = hashes.SHA1() if method.endswith("sha1") else hashes.SHA256()
    if method.endswith("sha512"):
        return key.sign(octets, padding.PKCS1v15(), hashes.SHA512())
    if "MGF1" in method:
        return key.sign(octets, padding.PSS(padding.MGF1(algorithm), 32), algorithm)
    return key.sign(octets, padding.PKCS1v15(), algorithm)


@cache
def private_key(pair: KeyPair) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """The parsed private key of a pair."""
    key = serialization.load_pem_private_key(pair.key_pem, None)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return key


def canonical(element: etree._Element) -> bytes:
    """Exclusive canonical XML without comments."""
    return etree.tostring(element, method="c14n", exclusive=True)


def text(octets: bytes) -> str:
    """Standard base64."""
    return base64.b64encode(octets).decode("ascii")


def _signed_info(
    signature: etree._Element, element: etree._Element, style: Style
) -> etree._Element:
    info = etree.SubElement(signature, f"{{{DS}}}SignedInfo")
    method(info, "CanonicalizationMethod", style.canonicalization)
    method(info, "SignatureMethod", style.method)
    uri = f"#{element.get('ID')}" if style.uri is None else style.uri
    reference = etree.SubElement(info, f"{{{DS}}}Reference", {"URI": uri})
    transforms = etree.SubElement(reference, f"{{{DS}}}Transforms")
    for transform in style.transforms:
        method(transforms, "Transform", transform)
    method(reference, "DigestMethod", style.digest)
    name = {SHA1: "sha1", MD5: "md5"}.get(style.digest, "sha256")
    digest = hashlib.new(name, canonical(element), usedforsecurity=False).digest()
    etree.SubElement(reference, f"{{{DS}}}DigestValue").text = text(digest)
    return info


def method(parent: etree._Element, name: str, algorithm: str) -> etree._Element:
    """A child that names an algorithm."""
    return etree.SubElement(parent, f"{{{DS}}}{name}", {"Algorithm": algorithm})
