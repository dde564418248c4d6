"""Enveloped XML signatures, narrow on purpose: one Reference, exclusive C14N, SHA-2.

`signed` adds the one form that we write. For what we receive, `EnvelopedSignature` reads a
Signature whose place and shape `saml.document` has checked; every value it acts on comes out of the
canonical octets of its SignedInfo, parsed again. KeyInfo is never consulted: keys are pinned by
the caller (SP-01). Sources: XML Signature 1.1 sections 4 to 6; SAML core 5.4.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from lxml import etree

from idp_proxy.saml import names
from idp_proxy.saml.stencil import Stencil, blank
from idp_proxy.saml.xml import canonical, children, decode_base64, parse, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lxml.etree import _Element

    PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_DS: Final = f"{{{names.DS}}}"
_INCLUSIVE: Final = f"{{{names.EXC_C14N}}}InclusiveNamespaces"
#: In canonical octets that we wrote: there the prefix is ours, and no text or attribute has a "<".
_ISSUER_END: Final = b"</saml:Issuer>"
#: Canonicalisation looks each listed prefix up in each element: unbounded, a message could buy
#: seconds of our time before any key is asked (XML-02).
MAX_PREFIXES: Final = 32

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_MORE: Final = "http://www.w3.org/2001/04/xmldsig-more#"
#: SignatureMethod -> (key type, hash); everything else is refused before any cryptography (SP-08).
SIGNATURE_METHODS: Final[dict[str, tuple[type, hashes.HashAlgorithm]]] = {
    **{f"{_MORE}rsa-{name}": (rsa.RSAPublicKey, h) for name, h in _HASHES.items()},
    **{f"{_MORE}ecdsa-{name}": (ec.EllipticCurvePublicKey, h) for name, h in _HASHES.items()},
}
#: DigestMethod -> hashlib name (SP-08).
DIGEST_METHODS: Final[dict[str, str]] = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """What a Reference says: which element, through which transforms, with which digest."""

    uri: str | None
    transforms: tuple[str, ...]
    prefixes: tuple[str, ...]
    digest_method: str
    digest_value: str


@dataclass(frozen=True, slots=True)
class SignedInfo:
    """What was signed, read from the very octets that the signature value is held against."""

    octets: bytes
    canonicalization: str
    signature_method: str
    references: tuple[Reference, ...]


class EnvelopedSignature:
    """One ds:Signature and the element that bears it."""

    def __init__(self, element: _Element, bearer: _Element) -> None:
        self.element = element
        self.bearer = bearer

    @functools.cached_property
    def info(self) -> SignedInfo | None:
        """The SignedInfo, or None unless the Signature has exactly the parts it must have."""
        parts = [child.tag for child in self.element]
        if parts not in (_PARTS, _PARTS[:2]):
            return None
        signed_info = self.element[0]
        prefixes = _prefix_list(children(signed_info, f"{_DS}CanonicalizationMethod"))
        if len(prefixes) > MAX_PREFIXES:
            return None
        return _read_signed_info(canonical(signed_info, prefixes))

    def value_verifies(self, keys: Iterable[PublicKey]) -> bool:
        """Whether SignatureValue was made over the SignedInfo by one of `keys` (SP-01)."""
        info = self.info
        if info is None or info.signature_method not in SIGNATURE_METHODS:
            return False
        key_type, algorithm = SIGNATURE_METHODS[info.signature_method]
        value = decode_base64(text_of(self.element[1]), "SignatureValue")
        return any(
            _verifies(key, value, info.octets, algorithm)
            for key in keys
            if isinstance(key, key_type)
        )

    @functools.cached_property
    def octets(self) -> bytes:
        """The canonical octets of the bearer without this Signature: what the digest is of."""
        info = self.info
        prefixes = info.references[0].prefixes if info and info.references else ()
        return _canonical_without(self.bearer, self.element, prefixes)

    def digest_matches(self) -> bool:
        """Whether the digest in the SignedInfo is the digest of `octets` (XML Signature 3.2.1)."""
        if self.info is None or len(self.info.references) != 1:
            return False
        (reference,) = self.info.references
        if reference.digest_method not in DIGEST_METHODS:
            return False
        expected = decode_base64(reference.digest_value, "DigestValue")
        return (
            hashlib.new(DIGEST_METHODS[reference.digest_method], self.octets).digest() == expected
        )


_PARTS: Final = [f"{_DS}SignedInfo", f"{_DS}SignatureValue", f"{_DS}KeyInfo"]


def _prefix_list(methods: list[_Element]) -> tuple[str, ...]:
    lists = [inner for method in methods for inner in children(method, _INCLUSIVE)]
    return tuple(prefix for item in lists for prefix in item.get("PrefixList", "").split())


def _read_signed_info(octets: bytes) -> SignedInfo | None:
    """The parts of a SignedInfo, or None unless each required part is there exactly once."""
    root = parse(octets)
    tags = [child.tag for child in root]
    head = [f"{_DS}CanonicalizationMethod", f"{_DS}SignatureMethod"]
    if tags[:2] != head or set(tags[2:]) != {f"{_DS}Reference"}:
        return None
    if len(root[1]) > 0:
        return None  # HMACOutputLength and the like (CVE-2009-0217)
    read = [_read_reference(child) for child in list(root)[2:]]
    references = tuple(reference for reference in read if reference is not None)
    if len(references) != len(read):
        return None  # one that is passed over would leave several looking like one
    return SignedInfo(
        octets=octets,
        canonicalization=root[0].get("Algorithm", ""),
        signature_method=root[1].get("Algorithm", ""),
        references=references,
    )


def _read_reference(element: _Element) -> Reference | None:
    tags = [child.tag for child in element]
    if tags != [f"{_DS}Transforms", f"{_DS}DigestMethod", f"{_DS}DigestValue"]:
        return None
    transforms = list(element[0])
    prefixes = _prefix_list(transforms)
    if len(prefixes) > MAX_PREFIXES:
        return None
    return Reference(
        uri=element.get("URI"),
        transforms=tuple(
            transform.get("Algorithm", "") if transform.tag == f"{_DS}Transform" else ""
            for transform in transforms
        ),
        prefixes=prefixes,
        digest_method=element[1].get("Algorithm", ""),
        digest_value=text_of(element[2]),
    )


def _verifies(key: PublicKey, value: bytes, octets: bytes, algorithm: hashes.HashAlgorithm) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(value, octets, padding.PKCS1v15(), algorithm)
        else:
            key.verify(_der_of(value, key), octets, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _der_of(value: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    """An ECDSA value as XML writes it, in DER: r and s, each as long as the curve's order, and
    nothing else (XML Signature 1.1 section 6.4.3). Raises `InvalidSignature`.
    """
    half = (key.key_size + 7) // 8
    if len(value) != 2 * half:
        raise InvalidSignature
    r, s = int.from_bytes(value[:half], "big"), int.from_bytes(value[half:], "big")
    return utils.encode_dss_signature(r, s)


def verify_detached(key: PublicKey, value: bytes, octets: bytes, method: str) -> bool:
    """Whether `value` signs `octets` by a method of SIGNATURE_METHODS (SAML bindings 3.4.4.1)."""
    if method not in SIGNATURE_METHODS:
        return False
    key_type, algorithm = SIGNATURE_METHODS[method]
    return isinstance(key, key_type) and _verifies(key, value, octets, algorithm)


def _canonical_without(bearer: _Element, signature: _Element, prefixes: tuple[str, ...]) -> bytes:
    """The enveloped-signature transform, then exclusive C14N, in the bearer's own place.

    lxml takes the text behind an element along when it removes it; that text is part of what was
    signed, so it is left behind by hand. The tree is as before when this returns.
    """
    index = bearer.index(signature)
    tail = signature.tail or ""
    before = bearer[index - 1] if index else None
    kept = (bearer.text if before is None else before.tail) or ""
    bearer.remove(signature)
    _set_text(bearer, before, kept + tail)
    try:
        return canonical(bearer, prefixes)
    finally:
        _set_text(bearer, before, kept)
        bearer.insert(index, signature)


def _set_text(bearer: _Element, before: _Element | None, text: str) -> None:
    if before is None:
        bearer.text = text or None
    else:
        before.tail = text or None


def signed(octets: bytes, element_id: str, key: rsa.RSAPrivateKey, certificate_der: bytes) -> bytes:
    """Canonical octets of an element, with an enveloped RSA-SHA256 signature behind its Issuer and
    the one certificate in its KeyInfo (SAML core 5.4.2).

    The Issuer is the element's first child, `element_id` its `ID`. Raises `ValueError` without an
    Issuer.
    """
    head, issuer_end, rest = octets.partition(_ISSUER_END)
    if not issuer_end:
        raise ValueError("an element that we sign has an Issuer")
    info, signature = _unsigned(certificate_der)
    values = {"URI": f"#{element_id}", "digest": _base64(hashlib.sha256(octets).digest())}
    value = key.sign(info.fill(values), padding.PKCS1v15(), hashes.SHA256())
    return head + issuer_end + signature.fill(values | {"value": _base64(value)}) + rest


@functools.lru_cache(maxsize=16)
def _unsigned(certificate_der: bytes) -> tuple[Stencil, Stencil]:
    """A SignedInfo as its signature covers it, and the whole Signature."""
    signature = etree.Element(f"{_DS}Signature", nsmap={"ds": names.DS})
    info = etree.SubElement(signature, f"{_DS}SignedInfo")
    _method(info, "CanonicalizationMethod", names.EXC_C14N)
    _method(info, "SignatureMethod", names.RSA_SHA256)
    reference = etree.SubElement(info, f"{_DS}Reference", {"URI": blank("URI")})
    transforms = etree.SubElement(reference, f"{_DS}Transforms")
    _method(transforms, "Transform", names.ENVELOPED)
    _method(transforms, "Transform", names.EXC_C14N)
    _method(reference, "DigestMethod", names.SHA256)
    etree.SubElement(reference, f"{_DS}DigestValue").text = blank("digest")
    etree.SubElement(signature, f"{_DS}SignatureValue").text = blank("value")
    key_info = etree.SubElement(signature, f"{_DS}KeyInfo")
    data = etree.SubElement(key_info, f"{_DS}X509Data")
    etree.SubElement(data, f"{_DS}X509Certificate").text = _base64(certificate_der)
    return Stencil(info), Stencil(signature)


def _method(parent: _Element, name: str, algorithm: str) -> None:
    etree.SubElement(parent, f"{_DS}{name}", {"Algorithm": algorithm})


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
