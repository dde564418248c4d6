"""What a review is made from: values that somebody gathered, none of them a secret.

What could not be looked at is None, and a rule says nothing about it; what was looked at and found
empty is empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class CertificateSeen:
    """A certificate: whose it is, when it counts, its key, and the hash under its signature."""

    what: str
    begins: datetime
    ends: datetime
    algorithm: str
    bits: int
    signature_hash: str


@dataclass(frozen=True, slots=True)
class PrivateFile:
    """A file that holds a secret of ours; `ours` when it belongs to this user or to root."""

    what: str
    mode: int
    ours: bool


@dataclass(frozen=True, slots=True)
class OperatorsPath:
    """How operators work when an upstream is away: what it depends on, when it was last tried."""

    way: str
    depends_on: tuple[str, ...]
    tested_at: date


@dataclass(frozen=True, slots=True)
class SamlSeen:
    """What is particular to an upstream of kind "saml". `warrant` is what makes its metadata
    believed: "file", "signed" or "tls". `waiting`: it changed by itself, and nobody approved that
    yet; `refresh_problem` is why the last look at its source failed, or empty.
    """

    entity_id: str | None
    warrant: str
    pinned: bool
    valid_until: datetime | None
    require_signed: str
    decrypts: bool
    allow_aes_cbc: bool
    clock_skew: timedelta
    max_lifetime: timedelta
    requested_contexts: tuple[str, ...]
    own_entity_id: str
    own_acs_url: str
    waiting: bool = False
    refresh_problem: str = ""


@dataclass(frozen=True, slots=True)
class DirectorySeen:
    """What is particular to an upstream of kind "ldap". `in_the_clear` names hosts that are asked
    without encryption; the rest is how many wrong passwords are let through to it.
    """

    hosts: tuple[str, ...]
    in_the_clear: tuple[str, ...]
    lockout_after: int = 10
    per_source: int = 20
    elsewhere: int = 200


@dataclass(frozen=True, slots=True)
class UpstreamSeen:
    """One upstream; the first one is the active.

    `level_declared`: somebody said what its word for an authentication is worth; `reaches_floor`:
    something that it can say reaches the floor; None where no floor is declared. `floor_holds`: its
    people must reach it; `below_floor` is how many answers of it did not, since it is counted.
    `proven_at` is the newest verified login or rehearsal, `canary_passed_at` that of its canaries,
    `contexts_seen` the classes that it gave, and when.
    """

    name: str
    kind: str
    attributes: Mapping[str, str]
    email_domains: frozenset[str]
    failure_domains: frozenset[str]
    certificates: tuple[CertificateSeen, ...] = ()
    saml: SamlSeen | None = None
    directory: DirectorySeen | None = None
    level_declared: bool = False
    reaches_floor: bool | None = None
    floor_holds: bool = True
    below_floor: int = 0
    canaries: int = 0
    canary_passed_at: datetime | None = None
    proven_at: datetime | None = None
    usable: str | None = None
    contexts_seen: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ProxySeen:
    """The proxy itself: its listener, its keys, whom it answers, and what it sends.
    `party_certificates` are those of Mattermost that it knows.
    """

    listens_on: str
    on_loopback: bool
    tls: bool
    insecure_loopback: bool
    trusted_proxies: tuple[str, ...]
    certificates: tuple[CertificateSeen, ...]
    party_certificates: tuple[CertificateSeen, ...]
    private_files: tuple[PrivateFile, ...]
    entity_id: str
    demands_signed_requests: bool
    encrypts: bool
    sent: Mapping[str, str]
    withheld: frozenset[str]
    admin_attribute: bool
    checkpoints: bool
    channels: int
    revokes_sessions: bool
    standby_logins_kept: timedelta


@dataclass(frozen=True, slots=True)
class SwitchSeen:
    """`[failover]`, as far as a flapping switch or an old rehearsal could follow from it."""

    automatic: int
    hold_down: timedelta
    dwell: timedelta
    automatic_failback: bool
    rehearsal_max_age: timedelta
    standby_session: timedelta = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class RosterSeen:
    """`[roster]`. `second`: the attribute that must agree beside an email address as link key,
    "" where that is not needed, None where it is needed and there is none.
    """

    confirmed_by_login: timedelta
    confirmed_by_import: timedelta
    second: str | None
    privileged: int


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """What the store knows: the last complete import of each source, who may approve, and which
    signatures and waivers are not as they were kept.
    """

    imports: Mapping[str, datetime | None]
    operators: int
    approvers: int
    altered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerSeen:
    """Mattermost's own settings, as its API tells them. None: it did not tell this one."""

    verify: bool | None = None
    encrypt: bool | None = None
    sign_request: bool | None = None
    signature_algorithm: str | None = None
    canonical_algorithm: str | None = None
    enable_admin_attribute: bool | None = None
    enable_sync_with_ldap: bool | None = None
    mobile_external_browser: bool | None = None
    session_length: timedelta | None = None
    id_attribute: str | None = None


@dataclass(frozen=True, slots=True)
class NetworkSeen:
    """An office with a budget of wrong passwords of its own. `sites`: addresses of IPv4, or sites
    (/64) of IPv6.
    """

    name: str
    sites: int
    failures: int


@dataclass(frozen=True, slots=True)
class ConversionSeen:
    """How people would be moved to email and password, as the configuration of `sso-conversion`
    says. `problem`: why it could not be read, and then nothing else is known.

    `access_by` is "file", "env" or "socket" (local mode); `proofs` are what can prove that SSO
    works again. `lists_converted` is the name of the file in which the proxy would read of these
    people, or empty; `deadline` is after how long at a password an alarm goes out.
    """

    file: str
    problem: str = ""
    access_by: str = "file"
    mirror_apart: bool = True
    backups_encrypted: bool = True
    checkpoints: bool = True
    proofs: tuple[str, ...] = ()
    lists_converted: str = ""
    operators: bool = True
    channels: int = 1
    pilot: int = 5
    at_most_percent: float = 25.0
    error_budget_percent: float = 5.0
    inventory_max_age: timedelta = timedelta(hours=26)
    remind_after: timedelta = timedelta(hours=24)
    deadline: timedelta = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class LiveSeen:
    """What was tried just now. `clock_offset` is this host's clock against the store's; `probes`
    has, by upstream, None or why it did not answer as itself.
    """

    clock_offset: timedelta
    probes: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a review judges, of one moment. `upstreams` are in order of preference.
    `conversion` is None where nobody named its configuration; `converted_file` is the name of the
    file in which this proxy reads of people who log in by password for now, or empty.
    """

    now: datetime
    proxy: ProxySeen
    upstreams: tuple[UpstreamSeen, ...]
    switch: SwitchSeen
    roster: RosterSeen
    operators_path: OperatorsPath | None = None
    store: StoreSeen | None = None
    server: ServerSeen | None = None
    live: LiveSeen | None = None
    networks: tuple[NetworkSeen, ...] = ()
    conversion: ConversionSeen | None = None
    conversion_token: PrivateFile | None = None
    converted_file: str = ""

    @property
    def standbys(self) -> tuple[UpstreamSeen, ...]:
        """Every upstream but the active."""
        return self.upstreams[1:]
