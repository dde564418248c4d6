"""What a preflight looks at, and what it finds: values only."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from conversion.decision.account import SAML, Account

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    from conversion.decision.account import Binding


class Severity(enum.Enum):
    """BLOCKING: a campaign would fail, or harm. WARNING: a person decides. NOTE: good to know."""

    BLOCKING = "blocking"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """`id` is stable; `fix` is one thing to do, empty for a mere note."""

    id: str
    severity: Severity
    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """The server's release and what follows from it for a campaign."""

    version: str
    warning: str = ""
    auth_data_visible: bool = False
    patch_after_auth: bool = True
    password_may_end_sessions: bool = False
    login_may_undo_return: bool = False
    put_auth_ends_sessions: bool = False
    session_lengths_in_hours: bool = False
    restores: bool = True


@dataclass(frozen=True, slots=True)
class Operator:
    """The account behind the token. `token_ends` has the end of each active token of it; which of
    them the tool uses the server does not tell.
    """

    account: Account
    token_ends: tuple[datetime | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was gathered at `now` (UTC). None: it could not be learnt; `failures` says why.

    `inventory` has the way back by user id, `inventory_at` is the last run of `prepare`.
    `missing` counts accounts that the server counts and does not list. `clock_ahead` is by how
    much the server's clock is ahead of this host's. `operator_user` and `proxy` are what shall
    prove that SSO works: a user name, and why the proxy's status is not known, empty where it is,
    or where no proxy is configured.
    """

    now: datetime
    failures: Mapping[str, str] = field(default_factory=dict)
    release: Release | None = None
    licensed: bool | None = None
    statuses: Mapping[str, str] | None = None
    settings: Mapping[str, Mapping[str, Any]] | None = None
    local_mode: bool = False
    operator: Operator | None = None
    accounts: Collection[Account] | None = None
    missing: int = 0
    inventory: Mapping[str, Binding | None] = field(default_factory=dict)
    inventory_at: datetime | None = None
    inventory_max_age: timedelta = timedelta(hours=26)
    clock_ahead: timedelta | None = None
    operator_user: str = ""
    proxy: str = ""
    proof_possible: bool = True

    def setting(self, section: str, name: str) -> Any:
        """One setting; None where it is not known."""
        return None if self.settings is None else self.settings.get(section, {}).get(name)

    def people(self) -> Iterator[Account]:
        """Who could be moved: active SAML accounts of people on this server, one after the other,
        for all of them at once would not fit into the memory that a command may take.
        """
        return (
            one
            for one in self.accounts or ()
            if one.auth_service == SAML and one.active and not one.is_bot and not one.is_remote
        )

    def names(self, which: Callable[[Account], bool] = lambda _: True) -> list[str]:
        """The user names of the people to whom `which` applies."""
        return [one.username for one in self.people() if which(one)]


def blocking(id_: str, what: str, fix: str) -> Finding:
    """A finding that stops a campaign."""
    return Finding(id_, Severity.BLOCKING, what, fix)


def warning(id_: str, what: str, fix: str) -> Finding:
    """A finding that somebody must decide about."""
    return Finding(id_, Severity.WARNING, what, fix)


def note(id_: str, what: str) -> Finding:
    """A finding that is good to know."""
    return Finding(id_, Severity.NOTE, what)


_SHOWN: Final = 5


def some(names: Collection[str]) -> str:
    """The first few user names, and how many more."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(sorted(names)[:_SHOWN])}{more}"
