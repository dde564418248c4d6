"""Mattermost's accounts, and what a SAML login does to them."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.support.mattermost.errors import LoginFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

_USERNAME = re.compile(r"[a-z0-9._-]{1,64}")
_AUTH_DATA_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Profile:
    """What an assertion says about a person; an empty `id` when no IdAttribute is set."""

    id: str
    email: str
    username: str
    first_name: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """One row of the user table. A converted account has no auth_service and no auth_data."""

    id: int
    auth_service: str
    auth_data: str | None
    email: str
    username: str
    first_name: str = ""
    active: bool = True


@dataclass(slots=True)
class Accounts:
    """The user table."""

    _rows: dict[int, Account] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)
    warnings: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Account]:
        return iter(self._rows.values())

    def by_id(self, account_id: int) -> Account | None:
        """The account with this id."""
        return self._rows.get(account_id)

    def add(self, account: Account) -> Account:
        """Put in an account as it is; its id is chosen here."""
        row = replace(account, id=next(self._ids))
        self._rows[row.id] = row
        return row

    def change(self, account: Account) -> Account:
        """Replace the row of this id."""
        self._rows[account.id] = account
        return account

    def login(self, profile: Profile) -> Account:
        """The account this person is logged in to. Raises `LoginFailed`.

        By auth_data; else an account still bound by this email is bound to the id; else a new one.
        """
        wanted = _normal(profile)
        auth_data = wanted.id or wanted.email
        known = self._bound_to(auth_data) or self._bound_to(wanted.email)
        if known is None:
            return self._create(wanted, auth_data)
        if not known.active:
            raise LoginFailed("api.user.login.inactive.app_error", "Your account is deactivated.")
        return self.change(self._updated(known, wanted, auth_data))

    def _bound_to(self, auth_data: str) -> Account | None:
        matches = [row for row in self if (row.auth_service, row.auth_data) == ("saml", auth_data)]
        return matches[0] if matches else None

    def _create(self, wanted: Profile, auth_data: str) -> Account:
        if any(row.email == wanted.email for row in self):
            raise LoginFailed(
                "ent.saml.save_user.email_exists.saml_app_error",
                "This account does not use SAML authentication. "
                "Please sign in using email and password.",
            )
        if any(row.username == wanted.username for row in self):
            raise LoginFailed(
                "ent.saml.save_user.username_exists.saml_app_error",
                "An account with that username already exists. Please contact your Administrator.",
            )
        return self.add(
            Account(
                id=0,
                auth_service="saml",
                auth_data=auth_data,
                email=wanted.email,
                username=wanted.username,
                first_name=wanted.first_name,
            )
        )

    def _updated(self, known: Account, wanted: Profile, auth_data: str) -> Account:
        """The mapped fields are overwritten, but for a name or address that another person has."""
        others = [row for row in self if row.id != known.id]
        email, username = wanted.email, wanted.username
        if any(row.email == email for row in others):
            self.warnings.append(f"account {known.id}: another account has the email {email}")
            email = known.email
        if any(row.username == username for row in others):
            self.warnings.append(f"account {known.id}: another account is called {username}")
            username = known.username
        return replace(
            known,
            auth_data=auth_data,
            email=email,
            username=username,
            first_name=wanted.first_name or known.first_name,
        )


def _normal(profile: Profile) -> Profile:
    """As Mattermost stores it: email and user name in lower case."""
    wanted = replace(profile, email=profile.email.lower(), username=profile.username.lower())
    if not _USERNAME.fullmatch(wanted.username):
        raise LoginFailed("model.user.is_valid.username.app_error", "Username is not valid.")
    if "@" not in wanted.email:
        raise LoginFailed("model.user.is_valid.email.app_error", "Email is not valid.")
    if len(wanted.id or wanted.email) > _AUTH_DATA_LENGTH:
        raise LoginFailed("model.user.is_valid.auth_data.app_error", "auth_data is too long.")
    return wanted
