"""The copy that is kept of an upstream's metadata: what was believed of it, and nothing else."""

from __future__ import annotations

import base64
from datetime import UTC
from typing import TYPE_CHECKING

from saml2 import md, xmldsig

from idp_proxy.saml import names
from idp_proxy.saml.object_model import octets_of, writable

if TYPE_CHECKING:
    from idp_proxy.saml.metadata import UpstreamMetadata


def kept_copy(metadata: UpstreamMetadata) -> bytes:
    """An EntityDescriptor which `read_metadata` reads as the same value. Raises `Unwritable`."""
    role = md.IDPSSODescriptor(
        protocol_support_enumeration=names.SAMLP,
        want_authn_requests_signed="true" if metadata.wants_signed_requests else "false",
        key_descriptor=[_signing_key(der) for der in metadata.signing_certificates],
        name_id_format=[
            md.NameIDFormat(text=writable(one, "a NameIDFormat"))
            for one in metadata.name_id_formats
        ],
        single_sign_on_service=[
            md.SingleSignOnService(binding=binding, location=writable(location, "an address"))
            for binding, location in metadata.sso.items()
        ],
    )
    entity = md.EntityDescriptor(
        entity_id=writable(metadata.entity_id, "the entity ID"), idpsso_descriptor=[role]
    )
    if metadata.valid_until is not None:
        end = metadata.valid_until.astimezone(UTC)
        entity.valid_until = end.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return octets_of(entity)


def _signing_key(der: bytes) -> md.KeyDescriptor:
    certificate = xmldsig.X509Certificate(text=base64.b64encode(der).decode("ascii"))
    data = xmldsig.X509Data(x509_certificate=certificate)
    return md.KeyDescriptor(use="signing", key_info=xmldsig.KeyInfo(x509_data=data))
