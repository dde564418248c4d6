"""Mattermost's own settings as evidence. What is not told, or has another type, is None."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from idp_proxy.decision.review import ServerSeen

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Hours or days beyond which a number is no length of a session.
_LONGEST: Final = 1_000_000


def server_seen(sections: Mapping[str, Mapping[str, Any]]) -> ServerSeen:
    """What the review asks of the server's configuration; nothing else of it is kept."""
    saml, native = sections.get("SamlSettings", {}), sections.get("NativeAppSettings", {})
    service = sections.get("ServiceSettings", {})
    return ServerSeen(
        verify=_flag(saml, "Verify"),
        encrypt=_flag(saml, "Encrypt"),
        sign_request=_flag(saml, "SignRequest"),
        signature_algorithm=_text(saml, "SignatureAlgorithm"),
        canonical_algorithm=_text(saml, "CanonicalAlgorithm"),
        enable_admin_attribute=_flag(saml, "EnableAdminAttribute"),
        enable_sync_with_ldap=_flag(saml, "EnableSyncWithLdap"),
        mobile_external_browser=_flag(native, "MobileExternalBrowser"),
        session_length=_session_length(service),
        id_attribute=_text(saml, "IdAttribute"),
    )


def _session_length(service: Mapping[str, Any]) -> timedelta | None:
    """Of logins by SSO; older servers count it in days."""
    for name, one in (
        ("SessionLengthSSOInHours", timedelta(hours=1)),
        ("SessionLengthSSOInDays", timedelta(days=1)),
    ):
        value = service.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LONGEST:
            return value * one
    return None


def _flag(section: Mapping[str, Any], name: str) -> bool | None:
    value = section.get(name)
    return value if isinstance(value, bool) else None


def _text(section: Mapping[str, Any], name: str) -> str | None:
    value = section.get(name)
    return value if isinstance(value, str) else None
