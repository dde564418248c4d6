"""The configuration file: one TOML file in, frozen `Settings` or every problem at once out."""

from __future__ import annotations

from typing import Final

from idp_proxy.config.canaries import CanarySettings, CanaryTimes
from idp_proxy.config.failover_settings import FailoverSettings, HealthSettings
from idp_proxy.config.loading import load, load_api
from idp_proxy.config.roster import RosterSettings
from idp_proxy.config.settings import (
    AuditSettings,
    Checkpoints,
    Converted,
    DirectoryHost,
    DirectorySettings,
    Encrypted,
    Encryption,
    EncryptionAlgorithm,
    KeyPair,
    Listen,
    MetadataFile,
    MetadataUrl,
    NotifySettings,
    Outbound,
    ProbeSettings,
    ProxySettings,
    SamlSettings,
    ServiceProviderSettings,
    Settings,
    StoreSettings,
    TlsFiles,
    Trust,
    UpstreamLimits,
    UpstreamSettings,
)

#: The environment variable that names the file: for commands, and for the workers of `serve`.
CONFIG_VARIABLE: Final = "IDP_PROXY_CONFIG"

__all__ = [
    "CONFIG_VARIABLE",
    "AuditSettings",
    "CanarySettings",
    "CanaryTimes",
    "Checkpoints",
    "Converted",
    "DirectoryHost",
    "DirectorySettings",
    "Encrypted",
    "Encryption",
    "EncryptionAlgorithm",
    "FailoverSettings",
    "HealthSettings",
    "KeyPair",
    "Listen",
    "MetadataFile",
    "MetadataUrl",
    "NotifySettings",
    "Outbound",
    "ProbeSettings",
    "ProxySettings",
    "RosterSettings",
    "SamlSettings",
    "ServiceProviderSettings",
    "Settings",
    "StoreSettings",
    "TlsFiles",
    "Trust",
    "UpstreamLimits",
    "UpstreamSettings",
    "load",
    "load_api",
]
