"""What we tell about ourselves: to Mattermost as its identity provider, to each upstream as its
service provider (SAML metadata 2.0, saml2int).

The identity provider's document is what Mattermost's importer reads and no more: one
EntityDescriptor, HTTP-Redirect first, the signing certificate first and alone, no cacheDuration
(the importer fails on it) and no validUntil.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding
from saml2 import md, xmldsig

from idp_proxy.saml import names
from idp_proxy.saml.encryption import AES128_GCM, AES256_GCM, RSA_OAEP_MGF1P
from idp_proxy.saml.object_model import octets_of, writable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def identity_provider_metadata(
    *,
    entity_id: str,
    sso_url: str,
    certificate: Certificate,
    wants_signed_requests: bool,
    successor: Certificate | None = None,
) -> bytes:
    """Our metadata for Mattermost; `successor` adds a second certificate (`?next=1` only).

    Raises `Unwritable` for a value that cannot stand in XML.
    """
    certificates = [certificate] if successor is None else [certificate, successor]
    role = md.IDPSSODescriptor(
        protocol_support_enumeration=names.SAMLP,
        want_authn_requests_signed="true" if wants_signed_requests else "false",
        key_descriptor=[_key(one, "signing") for one in certificates],
        name_id_format=[md.NameIDFormat(text=names.NAME_ID_PERSISTENT)],
        single_sign_on_service=[
            md.SingleSignOnService(binding=binding, location=writable(sso_url, "the SSO address"))
            for binding in (names.BINDING_REDIRECT, names.BINDING_POST)
        ],
    )
    entity = md.EntityDescriptor(
        entity_id=writable(entity_id, "the entity ID"), idpsso_descriptor=[role]
    )
    return octets_of(entity)


def service_provider_metadata(
    *,
    entity_id: str,
    acs_url: str,
    signing_certificate: Certificate,
    encryption_certificate: Certificate | None,
    name_id_format: str,
    want_assertions_signed: bool,
) -> bytes:
    """Our metadata for one upstream. Raises `Unwritable`."""
    keys = [_key(signing_certificate, "signing")]
    if encryption_certificate is not None:
        keys.append(_key(encryption_certificate, "encryption"))
    role = md.SPSSODescriptor(
        protocol_support_enumeration=names.SAMLP,
        authn_requests_signed="true",
        want_assertions_signed="true" if want_assertions_signed else "false",
        key_descriptor=keys,
        name_id_format=[md.NameIDFormat(text=writable(name_id_format, "name_id_format"))],
        assertion_consumer_service=[
            md.AssertionConsumerService(
                binding=names.BINDING_POST,
                location=writable(acs_url, "the ACS address"),
                index="0",
                is_default="true",
            )
        ],
    )
    entity = md.EntityDescriptor(
        entity_id=writable(entity_id, "the entity ID"), spsso_descriptor=role
    )
    return octets_of(entity)


def _key(certificate: Certificate, use: str) -> md.KeyDescriptor:
    text = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")
    data = xmldsig.X509Data(x509_certificate=xmldsig.X509Certificate(text=text))
    algorithms = (AES128_GCM, AES256_GCM, RSA_OAEP_MGF1P) if use == "encryption" else ()
    return md.KeyDescriptor(
        use=use,
        key_info=xmldsig.KeyInfo(x509_data=data),
        encryption_method=[md.EncryptionMethod(algorithm=one) for one in algorithms],
    )
