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


@dataclass(frozen=True, slots=True)
class Came:
    """A person who came through a standby. `account` is Mattermost's id, or why there is none."""

    wanted: Wanted
    logins: tuple[StandbyLogin, ...]
    account: str | NotFound


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is true for one person: live sessions found, ended, and why something is left."""

    came: Came
    found: int
    ended: int = 0
    open: str | None = None


def find(
    api: Api, logins: Iterable[StandbyLogin], describe: Callable[[str], Wanted]
) -> tuple[Came, ...]:
    """Whose accounts these are, by one walk through everybody."""
    by_person: dict[str, list[StandbyLogin]] = defaultdict(list)
    for login in logins:
        by_person[login.person].append(login)
    if not by_person:
        return ()
    people = {person: describe(person) for person in by_person}
    candidates = _candidates(api.users(), people)
    return tuple(
        Came(wanted, tuple(by_person[person]), account_of(candidates[person], wanted))
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
    return Outcome(came, len(_due(api, came.account, came, now)))


def end(api: Api, came: Came, now: datetime) -> Outcome:
    """End them, and look again. Raises `MattermostError`."""
    if isinstance(came.account, NotFound):
        return Outcome(came, 0, open=came.account.reason)
    due = _due(api, came.account, came, now)
    refused = ""
    for session_id in due:
        try:
            api.revoke(came.account, session_id)
        except errors.MattermostUnauthorized:
            raise
        except errors.MattermostRefused as error:
            # It may be over already; the second look says.
            refused = error.detail
    left = _due(api, came.account, came, now) if due else ()
    why = f"{len(left)} of {len(due)} sessions are still there {refused}".strip() if left else None
    return Outcome(came, len(due), len(due) - len(left), why)


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


def is_settled(outcome: Outcome, now: datetime) -> bool:
    """Whether nothing can be left of this person's logins by a standby."""
    return outcome.open is None and all(settled_at(one) <= now for one in outcome.came.logins)


def _due(api: Api, account: str, came: Came, now: datetime) -> tuple[str, ...]:
    times = [login.at for login in came.logins]
    return tuple(one.id for one in to_end(api.sessions(account), times, now))
