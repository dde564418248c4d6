"""What the server lists, read strictly: a row that lacks what is relied on is a broken answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from conversion.decision.account import Account

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Session:
    """One row of a person's sessions; expired ones are listed too. Times are UTC.

    `expires_at` is None for a session without an end. A `is_token` row is a personal access token
    in use, no login; `is_oauth` one is an app that somebody let in.
    """

    id: str
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime | None
    is_saml: bool
    is_mobile: bool
    is_token: bool
    is_oauth: bool = False

    def live(self, now: datetime) -> bool:
        """Whether a person is logged in by it at `now`."""
        return not self.is_token and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class Token:
    """A personal access token, without the token itself."""

    id: str
    description: str
    is_active: bool
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What somebody did, as the server keeps it. `actor` is a user id."""

    id: str
    at: datetime
    actor: str
    action: str
    extra: str


def moment(milliseconds: object) -> object:
    """UTC for Mattermost's milliseconds; None for 0, which stands for never."""
    if milliseconds is None or milliseconds == 0:
        return None
    if not isinstance(milliseconds, int) or milliseconds < 0:
        raise ValueError("not a time in milliseconds")
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise ValueError("beyond the calendar") from None


_Time = Annotated[datetime | None, BeforeValidator(moment)]
_SureTime = Annotated[datetime, BeforeValidator(moment)]
_Id = Annotated[str, Field(pattern=r"^[a-z0-9]{26}$")]


class _WithId(BaseModel):
    id: _Id


class _User(_WithId):
    username: str
    auth_service: str
    roles: str
    email: str = ""
    auth_data: str | None = None
    delete_at: _Time = None
    is_bot: bool = False
    remote_id: str | None = None
    mfa_active: bool = False


class _Named(BaseModel):
    id: _Id
    name: str | None = None
    display_name: str = ""


class _Members(BaseModel):
    members: list[_User]


class _Session(BaseModel):
    id: str
    create_at: _SureTime
    last_activity_at: _SureTime
    expires_at: _Time
    is_oauth: bool = False
    props: dict[str, Any] | None = None


class _Token(BaseModel):
    id: str
    description: str = ""
    is_active: bool
    expires_at: _Time = None


class _Audit(BaseModel):
    id: str
    create_at: _SureTime
    user_id: str
    action: str
    extra_info: str


class Total(BaseModel):
    """The answer of users/stats/filtered."""

    total_users_count: Annotated[int, Field(ge=0)]


class Job(BaseModel):
    """One job of the server's."""

    id: _Id
    status: str


USER: Final = TypeAdapter(_User)
USER_IDS: Final = TypeAdapter(list[_WithId])
USERS: Final = TypeAdapter(list[_User])
NAMED: Final = TypeAdapter(_Named)
ALL_NAMED: Final = TypeAdapter(list[_Named])
MEMBERS: Final = TypeAdapter(_Members)
SESSIONS: Final = TypeAdapter(list[_Session])
TOKENS: Final = TypeAdapter(list[_Token])
AUDITS: Final = TypeAdapter(list[_Audit])
TOTAL: Final = TypeAdapter(Total)
JOB: Final = TypeAdapter(Job)
NAMES: Final = TypeAdapter(list[str] | None)
SECTIONS: Final = TypeAdapter(dict[str, Any])


def account(row: _User) -> Account:
    """The account. An empty `auth_data` is what a server below 10.11 shows for every account, so
    that it says nothing; nobody can be bound to an empty one.
    """
    return Account(
        id=row.id,
        username=_one_line(row.username),
        email=_one_line(row.email),
        auth_service=row.auth_service,
        auth_data=row.auth_data or None,
        roles=_roles(row.roles),
        deleted_at=row.delete_at,
        is_bot=row.is_bot,
        is_remote=bool(row.remote_id),
        mfa_active=row.mfa_active,
    )


def _one_line(text: str) -> str:
    """A name as it may go to a terminal; Mattermost itself lets in no other."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


@lru_cache(maxsize=1024)
def _roles(roles: str) -> frozenset[str]:
    """One set for the thousands who have the same roles."""
    return frozenset(roles.split())


def session(row: _Session) -> Session:
    """The session. Mattermost's props are texts, `"true"` and `"false"`."""
    props = row.props or {}
    return Session(
        id=row.id,
        created_at=row.create_at,
        last_activity_at=row.last_activity_at,
        expires_at=row.expires_at,
        is_saml=props.get("isSaml") == "true",
        is_mobile=props.get("isMobile") == "true",
        is_token=props.get("type") == "UserAccessToken",
        is_oauth=row.is_oauth,
    )


def token(row: _Token) -> Token:
    """The token's description."""
    return Token(row.id, row.description, row.is_active, row.expires_at)


def audit(row: _Audit) -> AuditRow:
    """The audit row."""
    return AuditRow(row.id, row.create_at, row.user_id, row.action, row.extra_info)
