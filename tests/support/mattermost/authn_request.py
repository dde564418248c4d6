"""AuthnRequests as gosaml2 writes them, and how they leave."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlsplit, urlunsplit

from lxml import etree

from tests.support import saml_wire as wire
from tests.support import xml_security
from tests.support.mattermost.settings import Signing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tests.support.keys import KeyPair
    from tests.support.mattermost.settings import Settings

_SAMLP = wire.Maker(wire.SAMLP, {"samlp": wire.SAMLP, "saml": wire.SAML})
_SAML = wire.Maker(wire.SAML, {"saml": wire.SAML})


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes: a redirect to `url`, or with `fields` a form posted there."""

    url: str
    fields: Mapping[str, str] | None = None


def depart(settings: Settings, relay_state: str, *, now: datetime) -> Departure:
    """A fresh AuthnRequest on its way to the identity provider."""
    request = build(settings, now=now)
    if settings.signing in {Signing.EMBEDDED, Signing.POST_SIGNED}:
        xml_security.sign(request, _keys(settings), settings.style)
    octets = etree.tostring(request)
    if settings.signing in {Signing.POST, Signing.POST_SIGNED}:
        fields = {"SAMLRequest": wire.encode(octets), "RelayState": relay_state}
        return Departure(settings.idp_url, fields)
    values = {"SAMLRequest": wire.deflate(octets)}
    if relay_state:
        values["RelayState"] = relay_state
    if settings.signing is Signing.DETACHED:
        values |= _detached(values, _keys(settings), settings.style.algorithm)
    return Departure(_with_query(settings.idp_url, values))


def build(settings: Settings, *, now: datetime) -> etree._Element:
    """The AuthnRequest: `_` and a UUID, whole seconds, the attributes in gosaml2's order."""
    request = _SAMLP(
        "AuthnRequest",
        _SAML("Issuer", settings.entity_id),
        ID=f"_{uuid.uuid4()}",
        Version="2.0",
        ProtocolBinding=wire.POST,
        AssertionConsumerServiceURL=settings.acs_url,
        IssueInstant=wire.instant(now),
        Destination=settings.idp_url,
    )
    if settings.name_id_policy:
        request.append(_SAMLP("NameIDPolicy", AllowCreate="true"))
    return request


def _detached(values: Mapping[str, str], keys: KeyPair, algorithm: str) -> dict[str, str]:
    """The signature is over SAMLRequest, RelayState, SigAlg in this order (bindings 3.4.4.1)."""
    ordered = {**values, "SigAlg": algorithm}
    octets = "&".join(f"{name}={quote_plus(value)}" for name, value in ordered.items())
    signature = xml_security.sign_octets(octets.encode("ascii"), keys, algorithm)
    return {"SigAlg": algorithm, "Signature": wire.encode(signature)}


def _with_query(url: str, values: Mapping[str, str]) -> str:
    """As Go's url.Values.Encode: parameters in alphabetical order, so RelayState comes first."""
    query = "&".join(f"{name}={quote_plus(values[name])}" for name in sorted(values))
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))


def _keys(settings: Settings) -> KeyPair:
    if settings.keys is None:
        raise ValueError("SignRequest needs PrivateKeyFile and PublicCertificateFile")
    return settings.keys
