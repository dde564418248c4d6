"""Mattermost's own settings as evidence. What is not told, or has another type, is None."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idp_proxy.decision.review import ServerSeen

if TYPE_CHECKING:
    from collections.abc import Mapping


def server_seen(sections: Mapping[str, Mapping[str, Any]]) -> ServerSeen:
    """What the review asks of the server's configuration; nothing else of it is kept."""
    saml, native = sections.get("SamlSettings", {}), sections.get("NativeAppSettings", {})
    return ServerSeen(
        verify=_flag(saml, "Verify"),
        encrypt=_flag(saml, "Encrypt"),
        sign_request=_flag(saml, "SignRequest"),
        signature_algorithm=_text(saml, "SignatureAlgorithm"),
        canonical_algorithm=_text(saml, "CanonicalAlgorithm"),
        enable_admin_attribute=_flag(saml, "EnableAdminAttribute"),
        enable_sync_with_ldap=_flag(saml, "EnableSyncWithLdap"),
        mobile_external_browser=_flag(native, "MobileExternalBrowser"),
    )


def _flag(section: Mapping[str, Any], name: str) -> bool | None:
    value = section.get(name)
    return value if isinstance(value, bool) else None


def _text(section: Mapping[str, Any], name: str) -> str | None:
    value = section.get(name)
    return value if isinstance(value, str) else None
