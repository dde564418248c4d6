"""Mattermost's `SamlSettings` (model/config.go), as far as they say whom it trusts.

Its JSON spells some names otherwise in older releases; here they are those of today.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What names the identity provider. Mattermost's JSON has `IdpUrl` in older releases.
_PROVIDER: Final = ("IdpURL", "IdpDescriptorURL", "IdpMetadataURL")
#: Which canonical name of ours each field about a person reads.
ATTRIBUTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "IdAttribute": "id",
        "EmailAttribute": "email",
        "UsernameAttribute": "username",
        "FirstNameAttribute": "first_name",
        "LastNameAttribute": "last_name",
        "NicknameAttribute": "nickname",
        "LocaleAttribute": "locale",
        "PositionAttribute": "position",
    }
)
#: Everything that a cutover changes: an upload of the certificate comes before it.
CHANGED: Final = (*_PROVIDER, *ATTRIBUTES)
#: What no cutover changes, and what logins by an upstream may need as it was.
UNTOUCHED: Final = (
    "Enable",
    "Verify",
    "Encrypt",
    "SignRequest",
    "ServiceProviderIdentifier",
    "AssertionConsumerServiceURL",
)
#: What is only looked at.
_LOOKED_AT: Final = (
    *UNTOUCHED,
    "SignatureAlgorithm",
    "CanonicalAlgorithm",
    "EnableAdminAttribute",
    "AdminAttribute",
    "GuestAttribute",
    "IdpCertificateFile",
)
#: What an upload is called in Mattermost; another file would be loaded in the middle of a cutover.
UPLOADED: Final = "saml-idp.crt"
_KNOWN: Final = {name.casefold(): name for name in (*CHANGED, *_LOOKED_AT)}


@dataclass(frozen=True, slots=True)
class Seen:
    """Mattermost's `SamlSettings`, by the names of today, and which of them it takes from its
    environment, so that nobody can change them by API.
    """

    values: Mapping[str, Any]
    pinned: frozenset[str] = frozenset()

    @classmethod
    def of(cls, section: Mapping[str, Any], environment: Mapping[str, Any]) -> Seen:
        """Of the sections `SamlSettings` of GET config and GET config/environment."""
        values = {known: value for name, value in section.items() if (known := _name(name))}
        pinned = {
            known for name, is_set in environment.items() if (known := _name(name)) and is_set
        }
        return cls(values, frozenset(pinned))

    def text(self, name: str) -> str:
        """A field; "" for one that is not there."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else ""

    def is_on(self, name: str) -> bool:
        """A switch."""
        return self.values.get(name) is True

    def differing(self, wanted: Mapping[str, str]) -> tuple[str, ...]:
        """The fields of `wanted` that have another value."""
        return tuple(name for name, value in wanted.items() if self.text(name) != value)


def _name(name: str) -> str | None:
    return _KNOWN.get(name.casefold())


def before(seen: Seen) -> dict[str, str]:
    """The settings of now that a cutover changes: the way back to them."""
    return {name: seen.text(name) for name in CHANGED}


def untouched(seen: Seen) -> dict[str, str]:
    """The settings of now that no cutover changes, switches as "true" or "false"."""
    found = {name: seen.values.get(name) for name in UNTOUCHED}
    return {
        name: str(value).lower() if isinstance(value, bool) else seen.text(name)
        for name, value in found.items()
    }
