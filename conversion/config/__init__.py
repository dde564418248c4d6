"""The configuration file: one TOML file in, frozen `Settings` or every problem at once out.

It stands above `conversion.mattermost`, so that an address is judged in one place: by `Access`.
"""

from __future__ import annotations

from typing import Final

from conversion.config.loading import load, secret_of
from conversion.config.settings import (
    CampaignSettings,
    Checkpoints,
    Converted,
    LdapSettings,
    LedgerSettings,
    NotifySettings,
    OperatorsSettings,
    ProxyStatus,
    Settings,
)

#: The environment variable that names the file.
CONFIG_VARIABLE: Final = "SSO_CONVERSION_CONFIG"

__all__ = [
    "CONFIG_VARIABLE",
    "CampaignSettings",
    "Checkpoints",
    "Converted",
    "LdapSettings",
    "LedgerSettings",
    "NotifySettings",
    "OperatorsSettings",
    "ProxyStatus",
    "Settings",
    "load",
    "secret_of",
]
