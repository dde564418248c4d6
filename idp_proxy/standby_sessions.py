"""JOURNEY: sessions of people who came through a standby are found in Mattermost, and ended.

A person at a time: look, end, look again (a 200 proves nothing), put it on record, and only then
forget the login. Whoever runs it again goes on where it stopped; to end a session twice does no
harm.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from idp_proxy import errors
from idp_proxy.decision.standby_logins import (
    NotFound,
    StandbyLogin,
    Theirs,
    Wanted,
    account_of,
    could_be,
    settled_at,
    to_end,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from idp_proxy.decision.standby_logins import Account, MadeSession

#: So many people in a row for whom Mattermost fails: it is Mattermost, not the people.
_MOST_FAILURES = 5


class Api(Protocol):
    """What is asked of Mattermost."""

    def users(self) -> Iterable[Account]:
        """Everybody."""

    def sessions(self, user_id: str) -> Sequence[MadeSession]:
        """All sessions of an account."""

    def revoke(self, user_id: str, session_id: str) -> None:
        """End one."""


class NotAsked:
    """In Mattermost's place where the proxy has no access to it: nobody's account is certain."""

    reason = "no [service_provider.api]: Mattermost is not asked"

    def users(self) -> Iterable[Account]:
        """Nobody is known."""
        return ()

    def sessions(self, user_id: str) -> Sequence[MadeSession]:
        """Raises `MattermostError`, as the other one."""
        raise errors.MattermostUnreachable(f"{self.reason} for sessions of {user_id}")

    def revoke(self, user_id: str, session_id: str) -> None:
        """Ends nothing."""
        raise errors.MattermostUnreachable(f"{self.reason} to end {session_id} of {user_id}")


@dataclass(frozen=True, slots=True)
class Came:
    """A person who came through a standby. `account` is theirs in Mattermost, or why none is."""

    wanted: Wanted
    logins: tuple[StandbyLogin, ...]
    account: Theirs | NotFound


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is true for one person: live sessions found, ended, and why something is left or may
    still come.
    """

    came: Came
    found: int
    ended: int = 0
    open: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing can be left of this person's logins by a standby."""
        return self.open is None and self.ended >= self.found


def find(
    api: Api, logins: Iterable[StandbyLogin], describe: Callable[[str], Wanted]
) -> tuple[Came, ...]:
    """Whose accounts these are, by one walk through everybody."""
    unasked = NotFound(api.reason) if isinstance(api, NotAsked) else None
    by_person: dict[str, list[StandbyLogin]] = defaultdict(list)
    for login in logins:
        by_person[login.person].append(login)
    if not by_person:
        return ()
    people = {person: describe(person) for person in by_person}
    candidates = _candidates(api.users(), people)
    return tuple(
        Came(wanted, tuple(by_person[person]), unasked or account_of(candidates[person], wanted))
        for person, wanted in people.items()
    )


def _candidates(
    accounts: Iterable[Account], people: Mapping[str, Wanted]
) -> Mapping[str, list[Account]]:
    by_name: dict[str, set[str]] = defaultdict(set)
    for person, wanted in people.items():
        for name in (person, wanted.email.casefold(), wanted.username.casefold()):
            by_name[name].add(person)
    found: dict[str, list[Account]] = defaultdict(list)
    for account in accounts:
        names = {account.auth_data or "", account.email.casefold(), account.username.casefold()}
        for person in {one for name in names for one in by_name.get(name, ())}:
            if could_be(account, people[person]):
                found[person].append(account)
    return found


def look(api: Api, came: Came, now: datetime) -> Outcome:
    """The live sessions of this person's logins. Raises `MattermostError`."""
    if isinstance(came.account, NotFound):
        return Outcome(came, 0, open=came.account.reason)
    return Outcome(came, len(_due(api, came.account, came, now)), open=_may_still_come(came, now))


def end(api: Api, came: Came, now: datetime) -> Outcome:
    """End them, and look again. Raises `MattermostError` only as long as nothing was ended."""
    if isinstance(came.account, NotFound):
        return Outcome(came, 0, open=came.account.reason)
    due = _due(api, came.account, came, now)
    trouble = ""
    try:
        for session_id in due:
            trouble = _ended(api, came.account, session_id) or trouble
        left = _due(api, came.account, came, now) if due else ()
    except errors.MattermostError as error:
        return Outcome(came, len(due), open=f"whether they ended is not known: {error.detail}")
    why = f"{len(left)} of {len(due)} sessions are still there {trouble}".strip() if left else None
    return Outcome(came, len(due), len(due) - len(left), why or _may_still_come(came, now))


def by_hand(came: Came, now: datetime) -> Outcome:
    """What counts where somebody looked after a person's sessions in Mattermost themselves."""
    return Outcome(came, 0, open=_may_still_come(came, now))


def _ended(api: Api, theirs: Theirs, session_id: str) -> str:
    """End it; gives what Mattermost had against it, for it may be over already."""
    try:
        api.revoke(theirs.id, session_id)
    except errors.MattermostUnauthorized:
        raise
    except errors.MattermostRefused as error:
        return error.detail
    return ""


def _may_still_come(came: Came, now: datetime) -> str | None:
    """Why this is too early: whoever holds the Response of a login may still use it."""
    until = settled_at(came.logins)
    if until <= now:
        return None
    return f"a login may still make a session until {until:%H:%M:%S} UTC: again after that"


def each(people: Iterable[Came], act: Callable[[Came], Outcome]) -> Iterator[Outcome]:
    """`act` on one after the other. Raises `MattermostError` when it fails for five in a row, or
    for a token that is not taken; what was given until then is true.
    """
    failures = 0
    for came in people:
        try:
            outcome = act(came)
            failures = 0
        except errors.MattermostUnauthorized:
            raise
        except errors.MattermostError as error:
            failures += 1
            if failures >= _MOST_FAILURES:
                raise
            outcome = Outcome(came, 0, open=error.detail)
        yield outcome


def _due(api: Api, theirs: Theirs, came: Came, now: datetime) -> tuple[str, ...]:
    times = [login.at for login in came.logins]
    found = to_end(api.sessions(theirs.id), times, now, any_login=theirs.any_login)
    return tuple(one.id for one in found)
