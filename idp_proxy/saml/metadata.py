"""An upstream's metadata, read (SAML metadata 2.0): what is believed about an identity provider.

`read_metadata` takes one EntityDescriptor with one IDPSSODescriptor and refuses what it would have
to guess. `signed_octets` gives the part of a document that a pinned key has signed; whoever trusts
a signature reads that and nothing else. What we tell about ourselves is in `own_metadata`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from idp_proxy.errors import MalformedMessage, SamlError
from idp_proxy.saml import document, names
from idp_proxy.saml.document import Document, Profile
from idp_proxy.saml.xml import children, decode_base64, instant, parse, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lxml.etree import _Element

    from idp_proxy.saml.signature import PublicKey

#: Octets of one metadata document (MD-01); a federation's aggregate is larger and not for us.
MAX_METADATA: Final = 1024 * 1024

_MD: Final = f"{{{names.MD}}}"
_DS: Final = f"{{{names.DS}}}"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"  # AD FS writes one
_MAX_ENTITY_ID: Final = 1024  # SAML core 8.3.6
_MIN_RSA_BITS: Final = 2048
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_VISIBLE: Final = re.compile(r"[\x21-\x7e]{1,2048}", re.ASCII)
_DECLARATION: Final = re.compile(rb"\s*<\?xml\s[^>]{0,200}\?>")
_MARKUP: Final = re.compile(rb"<!(?!--)|<\?")


class MetadataInvalid(SamlError):
    """Metadata that cannot be used; nothing of it is believed. `detail` names what is wrong."""

    code = "metadata_invalid"
    public = "The metadata of the login service cannot be used."
    http_status = 503


@dataclass(frozen=True, slots=True)
class UpstreamMetadata:
    """What an identity provider says about itself.

    `sso` maps a binding to its address; `signing_certificates` are DER, in the document's order,
    and only their keys count (a certificate's own dates are for the review); `valid_until` is the
    earliest end that the document names (UTC).
    """

    entity_id: str
    sso: Mapping[str, str]
    signing_certificates: tuple[bytes, ...] = field(repr=False)
    valid_until: datetime | None
    name_id_formats: tuple[str, ...]
    wants_signed_requests: bool
    keys: tuple[PublicKey, ...] = field(repr=False, compare=False)

    def expired(self, now: datetime) -> bool:
        """Whether validUntil has passed (SAML metadata 2.3.2)."""
        return self.valid_until is not None and now >= self.valid_until


def read_metadata(octets: bytes, *, insecure_loopback: bool = False) -> UpstreamMetadata:
    """The one identity provider in a document; whether it has expired is asked at each use.

    With `insecure_loopback` its addresses may be plain http on this host. Raises `MetadataInvalid`
    (MD-01; KEY-02 for a key that is too weak).
    """
    root = _root_of(octets)
    role = _identity_provider_role(root)
    certificates = _signing_certificates(role)
    ends = [end for element in (root, role) if (end := _valid_until(element)) is not None]
    return UpstreamMetadata(
        entity_id=_entity_id(root),
        sso=_sign_on_addresses(role, insecure_loopback=insecure_loopback),
        signing_certificates=tuple(certificates),
        valid_until=min(ends, default=None),
        name_id_formats=_name_id_formats(role),
        wants_signed_requests=role.get("WantAuthnRequestsSigned", "").strip() in ("true", "1"),
        keys=tuple(certificates.values()),
    )


_SIGNED_PROFILE: Final = Profile(
    root=names.ENTITY_DESCRIPTOR,
    signable={names.ENTITY_DESCRIPTOR: None},
    refusal=MetadataInvalid,
)
_SIGNED_CHECKS: Final = (*document.SHAPE_CHECKS, *document.SIGNATURE_CHECKS)


def signed_octets(octets: bytes, key: PublicKey) -> bytes:
    """The octets of the EntityDescriptor that `key` has signed, and of nothing beside it.

    The same checks as for a Response: place, one Reference, algorithm lists, digest. Raises
    `MetadataInvalid` (MD-01).
    """
    _octet_checks(octets)
    signed = Document(octets.removeprefix(_BYTE_ORDER_MARK), _SIGNED_PROFILE, (key,))
    try:
        document.run(_SIGNED_CHECKS, _SIGNED_CHECKS, signed)
    except MalformedMessage as error:
        raise MetadataInvalid(error.rule, error.detail) from error
    signature = signed.signature_of(names.ENTITY_DESCRIPTOR)
    if signature is None:
        raise MetadataInvalid("MD-01", "the EntityDescriptor is not signed")
    return signature.octets


def _root_of(octets: bytes) -> _Element:
    _octet_checks(octets)
    try:
        root = parse(octets.removeprefix(_BYTE_ORDER_MARK))
    except MalformedMessage as error:
        raise MetadataInvalid("MD-01", error.detail) from error
    if root.tag == f"{_MD}EntitiesDescriptor":
        raise MetadataInvalid(
            "MD-01",
            "this is an EntitiesDescriptor, which holds many; save the EntityDescriptor of the one"
            " identity provider in a file of its own",
        )
    if root.tag != names.ENTITY_DESCRIPTOR:
        raise MetadataInvalid("MD-01", f"the root element is {root.tag}, not an EntityDescriptor")
    return root


def _octet_checks(octets: bytes) -> None:
    """Size, encoding, and no DOCTYPE, entity or processing instruction; comments may stand."""
    if len(octets) > MAX_METADATA:
        raise MetadataInvalid("MD-01", f"{len(octets)} octets, at most {MAX_METADATA}")
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MetadataInvalid("MD-01", "not UTF-8") from error
    body = octets.removeprefix(_BYTE_ORDER_MARK)
    declaration = _DECLARATION.match(body)
    if _MARKUP.search(body, declaration.end() if declaration else 0):
        raise MetadataInvalid("XML-01", "contains a DOCTYPE, CDATA or processing instruction")


def _identity_provider_role(root: _Element) -> _Element:
    roles = [
        role
        for role in children(root, f"{_MD}IDPSSODescriptor")
        if names.SAMLP in role.get("protocolSupportEnumeration", "").split()
    ]
    if len(roles) != 1:
        raise MetadataInvalid(
            "MD-01", f"{len(roles)} IDPSSODescriptor elements for SAML 2.0 where one must be"
        )
    return roles[0]


def _entity_id(root: _Element) -> str:
    entity_id = root.get("entityID", "")
    if not entity_id or len(entity_id) > _MAX_ENTITY_ID or not _is_one_word(entity_id):
        raise MetadataInvalid("MD-01", "entityID is missing, too long, or holds blanks")
    return entity_id


def _is_one_word(text: str) -> bool:
    """Printable and without blanks: it is shown to people, and compared to the letter."""
    return text.isprintable() and not any(character.isspace() for character in text)


def _valid_until(element: _Element) -> datetime | None:
    text = element.get("validUntil")
    if text is None:
        return None
    if (end := instant(text.strip())) is None:
        raise MetadataInvalid("MD-01", f"validUntil {text[:40]!r} is not a UTC time")
    return end


def _name_id_formats(role: _Element) -> tuple[str, ...]:
    formats = (text_of(element).strip() for element in children(role, f"{_MD}NameIDFormat"))
    return tuple(one for one in formats if one and _is_one_word(one))


def _sign_on_addresses(role: _Element, *, insecure_loopback: bool) -> dict[str, str]:
    """Redirect and POST addresses; the first of a binding counts, as everywhere in the field."""
    found: dict[str, str] = {}
    for service in children(role, f"{_MD}SingleSignOnService"):
        binding = service.get("Binding", "")
        if binding in (names.BINDING_REDIRECT, names.BINDING_POST) and binding not in found:
            found[binding] = _address(service.get("Location", ""), insecure=insecure_loopback)
    if not found:
        raise MetadataInvalid(
            "MD-01", "no SingleSignOnService with the HTTP-Redirect or HTTP-POST binding"
        )
    return found


def _address(location: str, *, insecure: bool) -> str:
    """An absolute https address. People are sent there, so nothing in it may be ambiguous."""
    problem = f"SingleSignOnService at {location[:80]!r}"
    if not _VISIBLE.fullmatch(location) or "\\" in location:
        raise MetadataInvalid("MD-01", f"{problem}: not an absolute URL in ASCII")
    try:
        url = urlsplit(location)
        host = url.hostname
        _ = url.port
    except ValueError as error:
        raise MetadataInvalid("MD-01", f"{problem}: {error}") from error
    if not host or url.username is not None or "#" in location:
        raise MetadataInvalid("MD-01", f"{problem}: no host, or a user name or fragment in it")
    if url.scheme != "https" and not (insecure and url.scheme == "http" and host in _LOOPBACK):
        raise MetadataInvalid("MD-01", f"{problem}: must be https")
    return location


def _signing_certificates(role: _Element) -> dict[bytes, PublicKey]:
    """DER -> key of every KeyDescriptor for signing; one without `use` is for signing too."""
    found: dict[bytes, PublicKey] = {}
    for descriptor in children(role, f"{_MD}KeyDescriptor"):
        if descriptor.get("use", "signing") == "signing":
            der = _certificate_of(descriptor)
            found[der] = key_of(der)
    if not found:
        raise MetadataInvalid("MD-01", "no KeyDescriptor for signing")
    return found


def _certificate_of(descriptor: _Element) -> bytes:
    path = f"{_DS}KeyInfo/{_DS}X509Data/{_DS}X509Certificate"
    certificates = descriptor.findall(path)
    if len(certificates) != 1:
        raise MetadataInvalid(
            "MD-01",
            f"{len(certificates)} certificates in a KeyDescriptor for signing, where one must be",
        )
    try:
        return decode_base64(text_of(certificates[0]), "a certificate")
    except MalformedMessage as error:
        raise MetadataInvalid("MD-01", error.detail) from error


def key_of(der: bytes) -> PublicKey:
    """The key of a certificate, if answers may be signed with it. Raises `MetadataInvalid`."""
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise MetadataInvalid("MD-01", f"a certificate cannot be read: {error}") from error
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise MetadataInvalid("KEY-02", f"an RSA key of {key.key_size} bits, at least 2048")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)):
            raise MetadataInvalid("KEY-02", f"a key on {key.curve.name}; P-256, P-384 or P-521")
        return key
    raise MetadataInvalid("KEY-02", "a signing key that is neither RSA nor elliptic curve")
