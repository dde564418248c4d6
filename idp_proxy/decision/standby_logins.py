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
#: session was made then, whatever the difference of the clocks; it takes a moment to make one.
BEFORE: Final = timedelta(seconds=120)
AFTER: Final = timedelta(seconds=300 + 30)
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
        """Whether a SAML login made it."""

    @property
    def is_token(self) -> bool:
        """Whether it belongs to an access token or a bot."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """No account is surely this person's; `reason` says why."""

    reason: str


def could_be(account: Account, wanted: Wanted) -> bool:
    """Whether this account has to be looked at for the person."""
    return not account.is_bot and (
        account.auth_data == wanted.person
        or (bool(wanted.email) and account.email.casefold() == wanted.email.casefold())
        or (bool(wanted.username) and account.username.casefold() == wanted.username.casefold())
    )


def account_of(candidates: Sequence[Account], wanted: Wanted) -> str | NotFound:
    """The id of the one account that is this person's: by auth_data, else, where the server does
    not show it, by email and user name leading to the same single account.
    """
    exact = {one.id for one in candidates if one.auth_data == wanted.person}
    if len(exact) == 1:
        return exact.pop()
    alike = {one.id: one for one in candidates}
    if not alike:
        return NotFound("Mattermost has no account by this id, email or user name")
    if len(alike) > 1:
        return NotFound(f"{len(alike)} accounts have this id, email or user name")
    (only,) = alike.values()
    if only.auth_data is not None:
        return NotFound("the account with this email or user name is bound to somebody else")
    return only.id


def to_end(
    sessions: Iterable[MadeSession], logins: Iterable[datetime], now: datetime
) -> tuple[MadeSession, ...]:
    """The live SAML sessions that these logins made."""
    windows = [(_ms(at - BEFORE), _ms(at + AFTER)) for at in logins]
    return tuple(
        one
        for one in sessions
        if one.is_saml
        and not one.is_token
        and (one.expires_at == 0 or one.expires_at > _ms(now))
        and any(first <= one.create_at <= last for first, last in windows)
    )


def settled_at(login: StandbyLogin) -> datetime:
    """From when on no session can be made by this login any more."""
    return login.at + BEFORE + AFTER


def _ms(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)
