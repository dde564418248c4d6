"""What a valid configuration file says: frozen values, key material parsed once.

No secret is part of a `repr`: it may end in a log.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from idp_proxy.decision.password_limits import PasswordLimits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

    from idp_proxy.config.canaries import CanarySettings
    from idp_proxy.config.failover_settings import FailoverSettings, HealthSettings
    from idp_proxy.config.mattermost import ApiSettings
    from idp_proxy.config.networks import KnownNetwork
    from idp_proxy.config.roster import RosterSettings
    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.review import ConversionSeen, OperatorsPath
    from idp_proxy.saml.answer import RequireSigned


class Trust(enum.Enum):
    """What makes upstream metadata from a URL believed (MD-01)."""

    TLS = "tls"
    SIGNED = "signed"


class EncryptionAlgorithm(enum.Enum):
    """How an assertion for the service provider is encrypted (XML Encryption 1.1, section 5.2)."""

    AES128_GCM = "aes128-gcm"
    AES256_GCM = "aes256-gcm"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An RSA key of ours and the one certificate for it."""

    key_file: Path
    certificate_file: Path
    key: RSAPrivateKey = field(repr=False)
    certificate: Certificate = field(repr=False)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What the listener presents; the chain may hold intermediate certificates."""

    certificate_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True)
class Listen:
    """Where `serve` listens; an IPv6 address stands without its brackets."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Outbound:
    """How a request leaves this host. `proxy` is a URL or empty; it may hold a password."""

    proxy: str = field(repr=False, default="")
    no_proxy: tuple[str, ...] = ()
    tls_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """`[proxy]`. `state_keys` is the key ring: the first seals, all open; 32 octets each.

    `next_certificate` is announced at `/saml/metadata?next=1` only, before a rollover.
    """

    entity_id: str
    public_url: str
    listen: Listen
    workers: int
    tls: TlsFiles | None
    trusted_proxies: tuple[str, ...]
    signing: KeyPair
    next_certificate: Certificate | None = field(repr=False)
    state_keys: tuple[bytes, ...] = field(repr=False)
    support_url: str
    outbound: Outbound
    data_dir: Path
    host: str
    insecure_loopback: bool
    answer_within: timedelta


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """`[store]`. `url` has its path made absolute and may hold a password."""

    url: str = field(repr=False)


class Encrypted(enum.Enum):
    """How a connection to a directory is encrypted: from the start, or by StartTLS (RFC 4511)."""

    LDAPS = "ldaps"
    START_TLS = "start_tls"


@dataclass(frozen=True, slots=True)
class Encryption:
    """Assertions for the service provider are encrypted for this certificate."""

    algorithm: EncryptionAlgorithm
    certificate: Certificate = field(repr=False)


@dataclass(frozen=True, slots=True)
class Converted:
    """Where `conversion` names the people who log in by password for now, and the HMAC key."""

    file: Path
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServiceProviderSettings:
    """`[service_provider]`: Mattermost. `attributes`: name sent = canonical name.
    `role_attributes` has every canonical name that gives rights there.
    """

    entity_id: str
    acs_url: str
    login_url: str
    signing_certificates: tuple[Certificate, ...] = field(repr=False)
    require_signed_requests: bool
    encryption: Encryption | None
    converted: Converted | None
    attributes: Mapping[str, str]
    role_attributes: frozenset[str]
    enable_admin_attribute: bool = False


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """Upstream metadata in a file that the operator keeps: its own approval."""

    path: Path


@dataclass(frozen=True, slots=True)
class MetadataUrl:
    """Upstream metadata fetched from `url`; `certificate` signs it when `trust` is SIGNED.

    `pinned` when the file also names the digest of that certificate (MD-01).
    """

    url: str
    trust: Trust
    certificate: Certificate | None = field(repr=False, default=None)
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """`[upstream.limits]` (SP-07)."""

    clock_skew: timedelta
    max_assertion_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """`[upstream.probe]`. `url` empty: the metadata's address, else the sign-on endpoint.

    `expect` is a text that must stand in the page; `redirects` are hosts that may be led to.
    """

    url: str = ""
    status: int = 200
    expect: str | None = None
    redirects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """One `[[upstream]]`, whatever its kind. `attributes`: canonical name = attribute there, or
    "NameID". `email_domains` in lower case; empty means any (FO-10). `outbound` is the path to it,
    which its neutral references take too.
    """

    name: str
    email_domains: frozenset[str]
    attributes: Mapping[str, str]
    outbound: Outbound
    canaries: tuple[CanarySettings, ...] = ()
    failure_domains: frozenset[str] = frozenset()

    @property
    def link_attribute(self) -> str:
        """Where this upstream puts what every upstream knows of a person; by default the id."""
        return self.attributes.get("link_key") or self.attributes["id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlSettings(UpstreamSettings):
    """`kind = "saml"`. `base_url` is where this proxy is the upstream's service provider, with an
    entity ID, ACS and key for this upstream alone (FO-12).
    """

    metadata: MetadataFile | MetadataUrl
    signing: KeyPair
    decryption: KeyPair | None
    name_id_format: str
    requested_authn_context: tuple[str, ...]
    require_signed: RequireSigned
    allow_aes_cbc: bool
    limits: UpstreamLimits
    base_url: str
    probe: ProbeSettings = field(default_factory=ProbeSettings)

    @property
    def entity_id(self) -> str:
        """The entity ID of this proxy as the service provider of this upstream."""
        return f"{self.base_url}/metadata"

    @property
    def acs_url(self) -> str:
        """Where this upstream posts its answers."""
        return f"{self.base_url}/acs"


@dataclass(frozen=True, slots=True)
class DirectoryHost:
    """One server of a directory. `encryption` is None only on loopback, for a trial."""

    host: str
    port: int
    encryption: Encrypted | None

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings(UpstreamSettings):
    """`kind = "ldap"`. `hosts` hold the same entries; a connection to one may take
    `connect_timeout`, everything asked of it `timeout`. People log in below `base_url`.
    """

    base_url: str = ""
    guid: Literal["uuid", "base64"] = "uuid"
    limits: PasswordLimits = field(default_factory=PasswordLimits)
    hosts: tuple[DirectoryHost, ...]
    tls_ca: Path | None
    bind_dn: str
    bind_password: str = field(repr=False)
    base: str
    user_filter: str
    probe_user: str
    connect_timeout: timedelta
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The second place of the audit chain's signed checkpoints."""

    file: Path
    key: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """`[audit]`. `retention` None keeps everything for ever."""

    checkpoints: Checkpoints | None
    retention: timedelta | None


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """`[notify]`: who is told. `urls` are Apprise's and hold tokens; none means nobody is told.
    `repeat` is the pause between two notices of one matter, `held_reminder` that of a switch held
    by hand; `timeout` is what one channel may take.
    """

    urls: tuple[str, ...] = field(repr=False)
    language: Literal["en", "de"]
    repeat: timedelta
    held_reminder: timedelta
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class Settings:
    """One configuration file, checked. `conversion` is how `sso-conversion` would move people, for
    the review alone. `warnings` are for people; nothing depends on them.
    """

    path: Path
    proxy: ProxySettings
    store: StoreSettings
    service_provider: ServiceProviderSettings
    upstreams: tuple[UpstreamSettings, ...]
    assurance: AssurancePolicy
    roster: RosterSettings
    known_networks: tuple[KnownNetwork, ...]
    audit: AuditSettings
    notify: NotifySettings
    failover: FailoverSettings
    health: HealthSettings
    metrics: Listen | None = None
    operators_path: OperatorsPath | None = None
    conversion: ConversionSeen | None = None
    conversion_token: Path | None = None
    mattermost_api: ApiSettings | None = None
    warnings: tuple[str, ...] = ()
