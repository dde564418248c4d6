"""The configuration file: one TOML file in, frozen `Settings` or every problem at once out."""

from __future__ import annotations

from idp_proxy.config.loading import load
from idp_proxy.config.settings import (
    AuditSettings,
    Checkpoints,
    Converted,
    Encryption,
    EncryptionAlgorithm,
    KeyPair,
    Listen,
    MetadataFile,
    MetadataUrl,
    Outbound,
    ProxySettings,
    RequireSigned,
    RosterSettings,
    ServiceProviderSettings,
    Settings,
    StoreSettings,
    TlsFiles,
    Trust,
    UpstreamLimits,
    UpstreamSettings,
)

__all__ = [
    "AuditSettings",
    "Checkpoints",
    "Converted",
    "Encryption",
    "EncryptionAlgorithm",
    "KeyPair",
    "Listen",
    "MetadataFile",
    "MetadataUrl",
    "Outbound",
    "ProxySettings",
    "RequireSigned",
    "RosterSettings",
    "ServiceProviderSettings",
    "Settings",
    "StoreSettings",
    "TlsFiles",
    "Trust",
    "UpstreamLimits",
    "UpstreamSettings",
    "load",
]
