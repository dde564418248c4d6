"""The users table with the constraints of the real one."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SAML = "saml"


class DuplicateError(Exception):
    """A unique constraint; the message names the column."""


@dataclass(frozen=True, slots=True)
class User:
    """A row. `auth_data` is None as in the database; times are milliseconds."""

    id: str
    username: str
    email: str
    auth_service: str = ""
    auth_data: str | None = None
    password: str = ""
    roles: str = "system_user"
    first_name: str = ""
    last_name: str = ""
    create_at: int = 0
    update_at: int = 0
    delete_at: int = 0
    last_password_update: int = 0
    mfa_active: bool = False
    mfa_secret: str = ""
    email_verified: bool = False
    is_bot: bool = False
    remote_id: str = ""
    failed_attempts: int = 0
    props: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_admin(self) -> bool:
        return "system_admin" in self.roles.split()

    @property
    def is_guest(self) -> bool:
        return "system_guest" in self.roles.split()


class Users(MutableMapping[str, User]):
    """Users by id. Writing a row that breaks a constraint raises `DuplicateError`.

    UNIQUE(AuthData) holds over all services and over deactivated rows, compares verbatim, and
    knows no difference between services.
    """

    def __init__(self) -> None:
        self._rows: dict[str, User] = {}
        self._of: dict[str, dict[str, str]] = {"auth_data": {}, "username": {}, "email": {}}
        self._ordered: list[str] | None = None

    def __getitem__(self, key: str) -> User:
        return self._rows[key]

    def __setitem__(self, key: str, row: User) -> None:
        assert key == row.id
        for column, index in self._of.items():
            holder = index.get(getattr(row, column))
            if holder is not None and holder != key:
                raise DuplicateError(column)
        before = self._rows.get(key)
        if before is not None:
            self._unlist(before)
        self._rows[key] = row
        for column, index in self._of.items():
            value = getattr(row, column)
            if value is not None:
                index[value] = key
        if before is None or before.username != row.username:
            self._ordered = None

    def __delitem__(self, key: str) -> None:
        self._unlist(self._rows.pop(key))
        self._ordered = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, column: str, value: str) -> User | None:
        """The row with this value in a unique column."""
        key = self._of[column].get(value)
        return None if key is None else self._rows[key]

    def ordered(self) -> list[str]:
        """All ids in order of user name."""
        if self._ordered is None:
            self._ordered = sorted(self._rows, key=lambda key: self._rows[key].username)
        return self._ordered

    def _unlist(self, row: User) -> None:
        for column, index in self._of.items():
            value = getattr(row, column)
            if value is not None:
                index.pop(value, None)
