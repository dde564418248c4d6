"""What several sources say, and what was known before, becomes one inventory.

The server's own word (API, database, export: all of them its users table) stands above what others
say of it; of equal trust the newer reading wins. A disagreement is never silent. A binding that two
accounts would share is a mistake in one of them, for the server keeps them unique: it goes to whom
the server itself gives it, or to nobody.
"""

from __future__ import annotations

import enum
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from conversion.decision.account import EMAIL, SAML, Binding, Source
from conversion.ledger.base import InventoryRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from conversion.decision.account import Account

_SERVER: Final = frozenset({Source.API, Source.SQL, Source.EXPORT})
_SOURCES: Final = tuple(Source)


class Key(enum.Enum):
    """By what a source names an account."""

    USER_ID = "user_id"
    USERNAME = "username"
    EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Said:
    """What one source says of one account, named by `key`."""

    key: Key
    name: str
    binding: Binding


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why somebody has to look at this person; holds no binding."""

    user_id: str
    username: str
    says: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found, and what was odd about it; the rows themselves are in the ledger.

    `unknown` are user names without a known way back, `by_source` is how many bindings each source
    gave. `left_sso` are people of the former inventory who log in by email and password now; `gone`
    those the server does not list any more; `strangers` counts what sources said of accounts that
    are not on SAML, or that do not exist.
    """

    people: int
    unknown: tuple[str, ...]
    by_source: Mapping[Source, int]
    conflicts: tuple[Conflict, ...]
    left_sso: tuple[str, ...]
    gone: tuple[str, ...]
    strangers: int


class Merge:
    """One merge: `accounts` is the whole list, `former` the inventory so far in order of user id.

    Both are gone through several times, person by person: no list of all rows is ever made. So
    `prepared` is to be asked before the ledger is given `rows`.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account],
        former: Callable[[], Iterable[InventoryRow]],
        said: Iterable[Said],
        now: datetime,
        given_up: frozenset[str] = frozenset(),
        *,
        makeshift: bool = False,
    ) -> None:
        """`given_up` are the user ids of who was written off: they are at a password for good.
        `makeshift` lets the email stand in for an unknown binding.
        """
        self._makeshift = makeshift
        self._given_up = given_up
        self._accounts = accounts
        self._former = former
        self._now = now
        self._spoken, self._strangers = _assigned(accounts, said)
        self._losers = self._collisions()

    def rows(self) -> Iterator[InventoryRow]:
        """The inventory of now for all SAML accounts, in order of user id."""
        for account, best, _ in self._judged():
            lost = account.id in self._losers
            yield _row(account, None if lost else best, self._now)

    def prepared(self) -> Prepared:
        """What the merge found."""
        by_source: Counter[Source] = Counter()
        conflicts: list[Conflict] = []
        unknown: list[str] = []
        people = 0
        for account, best, bindings in self._judged():
            people += 1
            conflicts += _disagreements(account, best, bindings)
            if best is None or account.id in self._losers:
                unknown.append(account.username)
            else:
                by_source[best.source] += 1
        left_sso, gone = self._missing()
        return Prepared(
            people=people,
            unknown=tuple(unknown),
            by_source=by_source,
            conflicts=(*conflicts, *self._losers.values()),
            left_sso=left_sso,
            gone=gone,
            strangers=self._strangers,
        )

    def _judged(self) -> Iterator[tuple[Account, Binding | None, Sequence[Binding]]]:
        """Each account on SAML with the believed binding and all that were named."""
        former = iter(self._former())
        known = next(former, None)
        for account in self._accounts.values():
            while known is not None and known.user_id < account.id:
                known = next(former, None)
            if account.auth_service != SAML:
                continue
            bindings = [*_api(account, self._now), *self._spoken.get(account.id, ())]
            if known is not None and known.user_id == account.id and known.binding is not None:
                bindings.append(known.binding)
            if self._makeshift and not bindings and "@" in account.email:
                bindings.append(Binding(account.email, Source.EMAIL_FALLBACK, self._now))
            yield account, min(bindings, key=_rank, default=None), bindings

    def _collisions(self) -> Mapping[str, Conflict]:
        """Who would share a binding and does not get it, by user id.

        Eight octets of each value tell whether there is any such pair at all.
        """
        marks = array("q", (hash(best.auth_data) for _, best, _ in self._judged() if best))
        often = {mark for mark, following in pairwise(sorted(marks)) if mark == following}
        if not often:
            return {}
        rows = [
            _row(account, best, self._now)
            for account, best, _ in self._judged()
            if best is not None and hash(best.auth_data) in often
        ]
        return _losers(rows)

    def _missing(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        left_sso, gone = [], []
        for known in self._former():
            account = self._accounts.get(known.user_id)
            if account is None:
                gone.append(known.username)
            elif account.auth_service == EMAIL and known.user_id not in self._given_up:
                left_sso.append(known.username)
        return tuple(left_sso), tuple(gone)


def _api(account: Account, now: datetime) -> tuple[Binding, ...]:
    return () if account.auth_data is None else (Binding(account.auth_data, Source.API, now),)


def _assigned(
    accounts: Mapping[str, Account], said: Iterable[Said]
) -> tuple[Mapping[str, tuple[Binding, ...]], int]:
    """What was said, by user id. Mattermost keeps user names and addresses in lower case."""
    ids: dict[Key, Mapping[str, str]] = {}
    found: dict[str, tuple[Binding, ...]] = {}
    strangers = 0
    for one in said:
        if one.key not in ids:
            ids[one.key] = _ids_by(one.key, accounts)
        user_id = ids[one.key].get(one.name.lower())
        if user_id is None:
            strangers += 1
        else:
            found[user_id] = (*found.get(user_id, ()), one.binding)
    return found, strangers


def _ids_by(key: Key, accounts: Mapping[str, Account]) -> Mapping[str, str]:
    """The user id for every name of this kind, of accounts on SAML."""
    on_saml = (account for account in accounts.values() if account.auth_service == SAML)
    if key is Key.USER_ID:
        return {account.id: account.id for account in on_saml}
    if key is Key.USERNAME:
        return {account.username.lower(): account.id for account in on_saml}
    return {account.email.lower(): account.id for account in on_saml}


def _rank(binding: Binding) -> tuple[int, float, int]:
    """The smallest is believed."""
    source = binding.source
    trust = 0 if source in _SERVER else _SOURCES.index(source)
    return trust, -binding.learnt_at.timestamp(), _SOURCES.index(source)


def _disagreements(
    account: Account, best: Binding | None, bindings: Sequence[Binding]
) -> list[Conflict]:
    """Other values than the believed one; an email that stood in for the unknown is none."""
    if best is None:
        return []
    others = {
        binding.source: binding.learnt_at
        for binding in bindings
        if binding.auth_data != best.auth_data and binding.source is not Source.EMAIL_FALLBACK
    }
    return [
        Conflict(
            account.id,
            account.username,
            f"{source.value} of {at:%Y-%m-%d} contradicts {best.source.value}"
            f" of {best.learnt_at:%Y-%m-%d}, which is believed",
        )
        for source, at in others.items()
    ]


def _row(account: Account, binding: Binding | None, now: datetime) -> InventoryRow:
    return InventoryRow(
        user_id=account.id,
        username=account.username,
        email=account.email,
        binding=binding,
        roles=account.roles,
        active=account.active,
        is_bot=account.is_bot,
        mfa_active=account.mfa_active,
        seen_at=now,
    )


def _losers(rows: Sequence[InventoryRow]) -> Mapping[str, Conflict]:
    """Of `rows` those whose binding is somebody else's, or nobody's, by user id."""
    holders: dict[str, list[InventoryRow]] = defaultdict(list)
    for row in rows:
        if row.binding is not None:
            holders[row.binding.auth_data].append(row)
    losers: dict[str, Conflict] = {}
    for sharing in holders.values():
        keeper = _keeper(sharing)
        for row in sharing:
            if len(sharing) > 1 and row is not keeper:
                names = ", ".join(sorted(one.username for one in sharing if one is not row))
                says = f"would have the same auth_data as {names}: not used"
                losers[row.user_id] = Conflict(row.user_id, row.username, says)
    return losers


def _keeper(sharing: Sequence[InventoryRow]) -> InventoryRow | None:
    """The one whom the server gave it last; None where that is nobody, or several at once."""
    given = [row for row in sharing if row.binding is not None and row.binding.source in _SERVER]
    latest = max((row.binding.learnt_at for row in given if row.binding), default=None)
    last = [row for row in given if row.binding and row.binding.learnt_at == latest]
    return last[0] if len(last) == 1 else None
