"""Who came through a standby, which account that is, and which sessions that login made.

Mattermost ignores SessionNotOnOrAfter: a session made by a standby outlives the outage, so that it
is ended afterwards (DESIGN section 8). Times of sessions are Mattermost's milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Mattermost takes a Response from its NotBefore to its NotOnOrAfter by its own clock, so that the
#: session was made then, whatever the difference of the clocks. Its desktop app takes three minutes
#: at most to redeem the token that the browser was handed, and it takes a moment to make a session.
DESKTOP: Final = timedelta(seconds=180)
BEFORE: Final = timedelta(seconds=120)
AFTER: Final = timedelta(seconds=300 + 30) + DESKTOP
_SAML: Final = "saml"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StandbyLogin:
    """One login by a standby that was let in. `person` is the canonical id."""

    person: str
    upstream: str
    epoch: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Logins by standbys whose sessions nobody has looked after yet: of how many people, and since
    when.
    """

    people: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten though nobody looked after it: so many logins, of so many people."""

    people: int
    logins: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom to find in Mattermost: the canonical id, and how the roster describes the person."""

    person: str
    email: str
    username: str


def fo_13_session_end(end: datetime | None, now: datetime, at_most: timedelta) -> datetime:
    """When a session ends that a standby made: when the standby says, but not after `at_most`
    (SAML core 2.7.2, SessionNotOnOrAfter; FO-13).
    """
    latest = now + at_most
    return latest if end is None else min(end, latest)


def fo_13_kept_until(at: datetime, kept: timedelta) -> datetime:
    """Until when a login by a standby is kept where nobody looks after the session that it made:
    as long as Mattermost lets one live that is not used, and no table says in clear for ever who
    logged in. A session that is used every day may outlive it; until then it can be ended.
    """
    return at + AFTER + kept


def fo_13_forgotten_before(now: datetime, kept: timedelta) -> datetime:
    """Logins from before this are no longer kept."""
    return now - AFTER - kept


class Account(Protocol):
    """What is asked of one of Mattermost's accounts."""

    @property
    def id(self) -> str:
        """Mattermost's own id."""

    @property
    def username(self) -> str:
        """The name shown."""

    @property
    def email(self) -> str:
        """The address."""

    @property
    def auth_service(self) -> str:
        """By what it logs in: "saml", or "" for a password of its own."""

    @property
    def auth_data(self) -> str | None:
        """Whom a login must name; None where the server does not show it."""

    @property
    def is_bot(self) -> bool:
        """Whether nobody logs in by it."""


class MadeSession(Protocol):
    """What is asked of one session."""

    @property
    def id(self) -> str:
        """Mattermost's id of it."""

    @property
    def create_at(self) -> int:
        """When it was made."""

    @property
    def expires_at(self) -> int:
        """When it ends; 0 is never."""

    @property
    def is_saml(self) -> bool:
        """Whether Mattermost marks it as one that a SAML login made."""

    @property
    def is_login(self) -> bool:
        """Whether a person logged in by it: it belongs to no access token, bot or OAuth app."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """The account of a person. `any_login`: whatever logged in there then was the person, so that
    all of it ends; else only what Mattermost marks as SAML's.
    """

    id: str
    any_login: bool


@dataclass(frozen=True, slots=True)
class NotFound:
    """No account is surely this person's; `reason` says why."""

    reason: str


def could_be(account: Account, wanted: Wanted) -> bool:
    """Whether this account has to be looked at for the person."""
    return not account.is_bot and (
        account.auth_data == wanted.person
        or _alike(account.email, wanted.email)
        or _alike(account.username, wanted.username)
    )


def account_of(candidates: Sequence[Account], wanted: Wanted) -> Theirs | NotFound:
    """The one account that is this person's: by auth_data, else, where the server does not show
    it, by email and user name leading to the same single account.
    """
    exact = {one.id for one in candidates if one.auth_data == wanted.person}
    if len(exact) == 1:
        return Theirs(exact.pop(), any_login=True)
    alike = {one.id: one for one in candidates}
    if not alike:
        return NotFound("Mattermost has no account by this id, email or user name")
    if len(alike) > 1:
        return NotFound(f"{len(alike)} accounts have this id, email or user name")
    (only,) = alike.values()
    if only.auth_data is not None:
        return NotFound("the account with this email or user name is bound to somebody else")
    # Who logs in by a password now was moved there since, or is somebody else of the same name.
    both = _alike(only.email, wanted.email) and _alike(only.username, wanted.username)
    return Theirs(only.id, any_login=both or only.auth_service == _SAML)


def to_end(
    sessions: Iterable[MadeSession], logins: Iterable[datetime], now: datetime, *, any_login: bool
) -> tuple[MadeSession, ...]:
    """The live sessions that these logins made. That Mattermost marks them as SAML's is asked for
    only where it must be (`Theirs`): those of its desktop app bear no such mark.
    """
    windows = [(_ms(at - BEFORE), _ms(at + AFTER)) for at in logins]
    return tuple(
        one
        for one in sessions
        if one.is_login
        and (any_login or one.is_saml)
        and (one.expires_at == 0 or one.expires_at > _ms(now))
        and any(first <= one.create_at <= last for first, last in windows)
    )


def settled_at(logins: Iterable[StandbyLogin]) -> datetime:
    """From when on no session can be made by any of these logins any more."""
    return max(login.at for login in logins) + BEFORE + AFTER


def _alike(ours: str, theirs: str) -> bool:
    return bool(theirs) and ours.casefold() == theirs.casefold()


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)
