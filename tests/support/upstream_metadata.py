"""Metadata of a made-up identity provider as text, for tests that vary one thing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.keys import KeyPair

ENTITY_ID = "https://active.example.org/idp"
SSO_URL = "https://active.example.org/sso"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"


def key_descriptor(text: str, use: str | None = "signing") -> str:
    """A KeyDescriptor around the base64 text of a certificate."""
    attribute = f' use="{use}"' if use else ""
    return (
        f"<md:KeyDescriptor{attribute}><ds:KeyInfo><ds:X509Data><ds:X509Certificate>{text}"
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
    )


def service(binding: str = REDIRECT, location: str = SSO_URL) -> str:
    """A SingleSignOnService."""
    return f'<md:SingleSignOnService Binding="{binding}" Location="{location}"/>'


def upstream_metadata(
    *pairs: KeyPair,
    entity_id: str = ENTITY_ID,
    services: Sequence[str] = (service(), service(POST)),
    keys: str | None = None,
    attributes: str = "",
    role_attributes: str = "",
    before_role: str = "",
) -> bytes:
    """One EntityDescriptor with one IDPSSODescriptor that signs with the keys of `pairs`."""
    described = keys or "".join(key_descriptor(pair.certificate_text) for pair in pairs)
    return (
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
        ' xmlns:ds="http://www.w3.org/2000/09/xmldsig#"'
        f' entityID="{entity_id}" {attributes}>{before_role}'
        '<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"'
        f" {role_attributes}>{described}"
        "<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>"
        f"{''.join(services)}</md:IDPSSODescriptor></md:EntityDescriptor>"
    ).encode()
