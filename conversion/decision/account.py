"""An account as Mattermost or another source describes it, and how it is bound to SSO."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

SAML: Final = "saml"
#: What Mattermost calls the service of an account with email and password.
EMAIL: Final = ""


class Source(enum.Enum):
    """Where a binding was learnt, the most trusted first."""

    API = "api"
    SQL = "sql"
    EXPORT = "export"
    LDAP = "ldap"
    CSV = "csv"
    EMAIL_FALLBACK = "email_fallback"


@dataclass(frozen=True, slots=True)
class Account:
    """One account as the server lists it now. `id` never changes; everything else may.

    `auth_data` is None where the server does not show it (below 10.11), which is not the same as
    an account without one. Times are milliseconds in Mattermost; here they are UTC or None.
    """

    id: str
    username: str
    email: str
    auth_service: str
    auth_data: str | None
    roles: frozenset[str]
    deleted_at: datetime | None = None
    is_bot: bool = False
    is_remote: bool = False
    mfa_active: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether this account may administer the system."""
        return "system_admin" in self.roles

    @property
    def is_guest(self) -> bool:
        """Whether this is a guest account."""
        return "system_guest" in self.roles

    @property
    def active(self) -> bool:
        """Whether this account may log in at all."""
        return self.deleted_at is None


@dataclass(frozen=True, slots=True)
class Binding:
    """The way back to SSO: `auth_data` to the byte, where it was learnt and when (UTC)."""

    auth_data: str
    source: Source
    learnt_at: datetime
