"""`Get SAML Metadata`: how Mattermost reads the metadata of an identity provider.

It looks at elements by position: the first SingleSignOnService whatever its Binding, and (before
11.9) the first KeyDescriptor whatever its use.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography import x509

from tests.support import saml_wire as wire
from tests.support.identity_provider.service_providers import pem
from tests.support.mattermost.errors import ImportFailed


@dataclass(frozen=True, slots=True)
class Imported:
    """The three settings an import sets; `sso_binding` is what it does not look at."""

    idp_url: str
    idp_descriptor_url: str
    idp_certificate: bytes
    sso_binding: str


def import_metadata(xml: bytes) -> Imported:
    """What the import would set. Raises `ImportFailed` where it fails."""
    try:
        entity = wire.parse(xml)
    except wire.WireError as error:
        raise ImportFailed(str(error)) from error
    if entity.tag != f"{{{wire.MD}}}EntityDescriptor":
        raise ImportFailed(f"the root must be one EntityDescriptor, not {entity.tag!r}")
    for element in entity.iter(f"{{{wire.MD}}}*"):
        if "cacheDuration" in element.attrib:
            raise ImportFailed("cacheDuration is read as a Go duration, which xs:duration is not")
        _check_valid_until(element.get("validUntil"))
    role = entity.find("md:IDPSSODescriptor", wire.NAMESPACES)
    if role is None:
        raise ImportFailed("no IDPSSODescriptor")
    service = role.find("md:SingleSignOnService", wire.NAMESPACES)
    if service is None or urlsplit(service.get("Location", "")).scheme not in {"http", "https"}:
        raise ImportFailed("the first SingleSignOnService has no http(s) Location")
    text = wire.text_of(role, "md:KeyDescriptor/ds:KeyInfo/ds:X509Data/ds:X509Certificate")
    return Imported(
        idp_url=service.get("Location", ""),
        idp_descriptor_url=entity.get("entityID", ""),
        idp_certificate=_certificate(text or ""),
        sso_binding=service.get("Binding", ""),
    )


def _check_valid_until(text: str | None) -> None:
    if text is None:
        return
    try:
        wire.read_instant(text)
    except wire.WireError as error:
        raise ImportFailed(f"validUntil: {error}") from error


def _certificate(text: str) -> bytes:
    try:
        base64.b64decode("".join(text.split()), validate=True)
        certificate = pem("".join(text.split()))
        x509.load_pem_x509_certificate(certificate)
    except (binascii.Error, ValueError) as error:
        raise ImportFailed(f"the first KeyDescriptor has no certificate: {error}") from error
    return certificate
