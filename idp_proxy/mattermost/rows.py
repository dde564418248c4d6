"""People and sessions as Mattermost lists them, read strictly: half a row is a broken answer.

Times are milliseconds since 1970, as Mattermost writes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, TypeAdapter

_Id = Annotated[str, Field(pattern=r"^[a-z0-9]{26}$")]
_Time = Annotated[int, Field(ge=0, le=2**53, strict=True)]
_ADMIN: Final = "system_admin"


@dataclass(frozen=True, slots=True)
class User:
    """One account. `auth_service` is "" for one with a password of its own. `auth_data` is what the
    login says who somebody is; None where the server does not show it (below 10.11).
    `delete_at` is 0 for an active account.
    """

    id: str
    username: str
    email: str
    auth_service: str
    auth_data: str | None
    roles: tuple[str, ...]
    delete_at: int
    is_bot: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether this is a system administrator."""
        return _ADMIN in self.roles


@dataclass(frozen=True, slots=True)
class Session:
    """One row of a person's sessions; expired ones are listed too. `expires_at` 0 is for ever."""

    id: str
    create_at: int
    expires_at: int
    is_saml: bool
    is_token: bool
    is_oauth: bool = False

    @property
    def is_login(self) -> bool:
        """Whether a person logged in by it: it belongs to no access token, bot or OAuth app."""
        return not self.is_token and not self.is_oauth


class UserRow(BaseModel):
    """An account in JSON."""

    id: _Id
    username: str
    email: str
    roles: str
    delete_at: _Time
    auth_service: str
    auth_data: str | None = None
    is_bot: bool = False

    def user(self) -> User:
        """An empty `auth_data` says nothing: nobody can be bound to an empty one."""
        return User(
            id=self.id,
            username=self.username,
            email=self.email,
            auth_service=self.auth_service,
            auth_data=self.auth_data or None,
            roles=tuple(self.roles.split()),
            delete_at=self.delete_at,
            is_bot=self.is_bot,
        )


class SessionRow(BaseModel):
    """A session in JSON; `props` are texts, "true" and "false"."""

    id: _Id
    user_id: _Id
    create_at: _Time
    expires_at: _Time
    is_oauth: bool = False
    props: dict[str, Any] | None = None

    def session(self) -> Session:
        """Its value."""
        props = self.props or {}
        return Session(
            id=self.id,
            create_at=self.create_at,
            expires_at=self.expires_at,
            is_saml=props.get("isSaml") == "true",
            is_token="type" in props,
            is_oauth=self.is_oauth,
        )


class Problem(BaseModel):
    """The body of every error but 429."""

    id: str
    message: str = ""


class Total(BaseModel):
    """The answer of users/stats/filtered."""

    total_users_count: Annotated[int, Field(ge=0, strict=True)]


USER: Final = TypeAdapter(UserRow)
USERS: Final = TypeAdapter(list[UserRow])
SESSIONS: Final = TypeAdapter(list[SessionRow])
SECTIONS: Final = TypeAdapter(dict[str, Any])
PROBLEM: Final = TypeAdapter(Problem)
TOTAL: Final = TypeAdapter(Total)
