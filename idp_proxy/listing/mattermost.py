"""Mattermost's own list: who has an account by SAML there, who is deactivated, who has a role.

Where the server tells the `auth_data` of an account, that is the id, and confirms the row of that
id; an account without one is passed over, since it names nobody for certain. The list never blocks
somebody who is not in it: who has no account yet may get one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from idp_proxy.decision.roster import TOLD_ROLES, Listed
from idp_proxy.errors import ListRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from idp_proxy.listing.base import Demands

_SAML = "saml"
_SILENT = (
    "the server tells nobody's auth_data: releases before 10.11 never do; import a file or a "
    "directory instead"
)


class Account(Protocol):
    """An account, as Mattermost's API gives it."""

    @property
    def id(self) -> str:
        """Mattermost's own id of the account."""

    @property
    def email(self) -> str:
        """In lower case."""

    @property
    def username(self) -> str:
        """In lower case."""

    @property
    def auth_service(self) -> str:
        """By what the account logs in: "saml", or "" for a password."""

    @property
    def auth_data(self) -> str | None:
        """The id that the provider gives; None or "" where the server does not tell it."""

    @property
    def roles(self) -> Iterable[str]:
        """Such as "system_user" and "system_admin"."""

    @property
    def delete_at(self) -> int:
        """Not 0 for one that was deactivated."""


@dataclass(frozen=True, slots=True)
class MattermostList:
    """Implements `base.PeopleList`. `accounts` asks the server; `link_is` names the canonical name
    whose value is the link key too, "" where Mattermost does not know link keys.
    """

    accounts: Callable[[], Iterable[Account]]
    demands: Demands
    link_is: str = ""
    name: str = "mattermost"
    exhaustive: bool = False

    def people(self) -> Iterator[tuple[str, Listed]]:
        """See `base.PeopleList`."""
        told = silent = 0
        for account in self.accounts():
            if account.auth_service != _SAML:
                continue
            if account.auth_data:
                told += 1
                yield f"account {account.id}", self._listed(account, account.auth_data)
            else:
                silent += 1
        if silent and not told:
            raise ListRefused([f"mattermost: {_SILENT} ({silent} accounts by SAML)"])

    def _listed(self, account: Account, person: str) -> Listed:
        said = {"id": person, "email": account.email, "username": account.username}
        fine = all(self.demands.problem(name, value) is None for name, value in said.items())
        return Listed(
            id=person,
            link_key=said.get(self.link_is),
            attributes=said,
            roles=frozenset(account.roles) & TOLD_ROLES,
            deactivated=account.delete_at != 0,
            whole=fine,
        )
