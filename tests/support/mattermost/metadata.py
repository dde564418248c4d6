"""The service provider metadata that Mattermost offers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from lxml import etree

from tests.support import saml_wire as wire
from tests.support import xml_security
from tests.support.mattermost.settings import Signing

if TYPE_CHECKING:
    from datetime import datetime

    from tests.support.mattermost.settings import Settings

_MD = wire.Maker(wire.MD, {"md": wire.MD})
_DS = wire.Maker(wire.DS, {"ds": wire.DS})
_CIPHERS = (xml_security.AES128_GCM, xml_security.AES256_GCM, xml_security.AES128_CBC)


def metadata(settings: Settings, *, now: datetime) -> bytes:
    """Valid for seven days, with nine fractional digits; keys only where some are configured."""
    until = f"{wire.instant(now + timedelta(days=7))[:-1]}.123456789Z"
    unsigned = settings.signing in {Signing.NONE, Signing.POST}
    role = _MD(
        "SPSSODescriptor",
        validUntil=until,
        protocolSupportEnumeration=wire.SAMLP,
        AuthnRequestsSigned=str(not unsigned).lower(),
        WantAssertionsSigned="true",
    )
    for use in ("signing", "encryption") if settings.keys else ():
        role.append(_key(settings, use))
    role.append(
        _MD("AssertionConsumerService", Binding=wire.POST, Location=settings.acs_url, index="1")
    )
    return etree.tostring(
        _MD("EntityDescriptor", role, validUntil=until, entityID=settings.entity_id)
    )


def _key(settings: Settings, use: str) -> etree._Element:
    text = settings.keys.certificate_text if settings.keys else ""
    info = _DS("KeyInfo", _DS("X509Data", _DS("X509Certificate", text)))
    methods = [_MD("EncryptionMethod", Algorithm=name) for name in _CIPHERS]
    return _MD("KeyDescriptor", info, *(methods if use == "encryption" else ()), use=use)
