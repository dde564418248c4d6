"""What a valid configuration file says: frozen values. No secret is part of a `repr`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import timedelta

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import URL

    from conversion.decision.deadline import Deadlines
    from conversion.mattermost import Access


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """`[ledger]`: an SQLite file or a database of PostgreSQL, the mirror (best on another disk than
    the file), this host's name. `backup_key` encrypts backups; None where none is set.
    """

    place: Path | URL = field(repr=False)
    mirror: Path
    host: str
    backup_key: bytes | None = field(repr=False, default=None)

    @property
    def folder(self) -> Path:
        """A folder of this host that is for the ledger's owner alone."""
        return self.place.parent if isinstance(self.place, Path) else self.mirror.parent


@dataclass(frozen=True, slots=True)
class ProxyStatus:
    """Where the failover proxy tells whether logins work, as JSON."""

    url: str
    tls_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Converted:
    """The proxy's list of people who log in by password for now, and the key of its pseudonyms."""

    file: Path
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """`[campaign]`: how careful a campaign is. Percentages are of the people of one command.

    `operator_user` is the user name of the operator's own SAML account, whose login proves that
    SSO works again; empty where only the proxy's status can prove it. `owner` is who answers for
    exceptions, in the words of a report. `deadlines` alarm and return nobody.
    """

    operator_user: str
    proxy_status: ProxyStatus | None
    converted: Converted | None
    settle_delay: timedelta
    error_budget_percent: float
    at_most_percent: float
    inventory_max_age: timedelta
    attempts: int
    pilot: int
    minutes_a_call: float
    owner: str
    deadlines: Deadlines


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """`[notify]`: Apprise's URLs, which hold tokens; nobody is told without one. `repeat` is the
    pause between two messages about one matter.
    """

    urls: tuple[str, ...] = field(repr=False)
    language: Literal["en", "de"]
    repeat: timedelta
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class OperatorsSettings:
    """`[operators]`: the proxy's database, where operators live, and the proxy's state keys, which
    seal their second factors.
    """

    url: str = field(repr=False)
    state_keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class LdapSettings:
    """`[ldap]`: the directory behind the identity provider. `urls` are tried in turn, `ldap://` by
    StartTLS. `id_attribute` holds what the provider sends as Id, in `id_form`: as it is, or octets
    as base64 or as a GUID; by `email` or `username`, the one that is set, an entry is met with an
    account. `timeout_s` bounds each step.
    """

    urls: tuple[str, ...]
    base: str
    filter: str
    id_attribute: str
    id_form: Literal["text", "base64", "guid"]
    email: str
    username: str
    bind_dn: str
    bind_password: str = field(repr=False)
    tls_ca: Path | None
    timeout_s: int


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """`[audit]`: the file of signed checkpoints, in a second place, and the key that signs them."""

    file: Path
    key: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file at `path`. `warnings` never stop a command."""

    path: Path
    access: Access
    ledger: LedgerSettings
    campaign: CampaignSettings
    notify: NotifySettings
    operators: OperatorsSettings | None = None
    ldap: LdapSettings | None = None
    checkpoints: Checkpoints | None = None
    warnings: tuple[str, ...] = ()
