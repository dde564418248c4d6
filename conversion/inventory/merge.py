"""What several sources say, and what was known before, becomes one inventory.

The server's own word (API, database, export: all of them its users table) stands above what others
say of it; of equal trust the newer reading wins. A disagreement is never silent. A binding that two
accounts would share is a mistake in one of them, for the server keeps them unique: it goes to whom
the server itself gives it, or to nobody.
"""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from conversion.decision.account import EMAIL, SAML, Binding, Source
from conversion.ledger.base import InventoryRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
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
    """The inventory as it shall be, and what was odd about it.

    `left_sso` are people of the former inventory who log in by email and password now; `gone` those
    the server does not list any more; `strangers` counts what sources said of accounts that are not
    on SAML, or that do not exist.
    """

    rows: tuple[InventoryRow, ...]
    conflicts: tuple[Conflict, ...]
    left_sso: tuple[str, ...]
    gone: tuple[str, ...]
    strangers: int

    @property
    def unknown(self) -> tuple[str, ...]:
        """User names without a known way back."""
        return tuple(row.username for row in self.rows if row.binding is None)

    @property
    def by_source(self) -> Mapping[Source, int]:
        """How many bindings each source gave."""
        return Counter(row.binding.source for row in self.rows if row.binding is not None)


def merge(
    accounts: Sequence[Account],
    former: Iterable[InventoryRow],
    said: Iterable[Said],
    now: datetime,
) -> Prepared:
    """The inventory of `now` for all SAML accounts in `accounts`, which is the whole list."""
    known = {row.user_id: row for row in former}
    spoken, strangers = _assigned(accounts, said)
    rows, conflicts = [], []
    for account in accounts:
        if account.auth_service != SAML:
            continue
        before = known.get(account.id)
        bindings = [*_api(account, now), *spoken.get(account.id, ())]
        if before is not None and before.binding is not None:
            bindings.append(before.binding)
        best = min(bindings, key=_rank, default=None)
        conflicts += _disagreements(account, best, bindings)
        rows.append(_row(account, best, now))
    unique, collisions = _without_collisions(rows)
    listed = {account.id: account.auth_service for account in accounts}
    return Prepared(
        rows=unique,
        conflicts=(*conflicts, *collisions),
        left_sso=tuple(one.username for one in known.values() if listed.get(one.user_id) == EMAIL),
        gone=tuple(one.username for one in known.values() if one.user_id not in listed),
        strangers=strangers,
    )


def _api(account: Account, now: datetime) -> tuple[Binding, ...]:
    return () if account.auth_data is None else (Binding(account.auth_data, Source.API, now),)


def _assigned(
    accounts: Sequence[Account], said: Iterable[Said]
) -> tuple[Mapping[str, list[Binding]], int]:
    """What was said, by user id. Mattermost keeps user names and addresses in lower case."""
    on_saml = [account for account in accounts if account.auth_service == SAML]
    ids = {
        Key.USER_ID: {account.id: account.id for account in on_saml},
        Key.USERNAME: {account.username.lower(): account.id for account in on_saml},
        Key.EMAIL: {account.email.lower(): account.id for account in on_saml},
    }
    found: dict[str, list[Binding]] = defaultdict(list)
    strangers = 0
    for one in said:
        user_id = ids[one.key].get(one.name.lower())
        if user_id is None:
            strangers += 1
        else:
            found[user_id].append(one.binding)
    return found, strangers


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


def _without_collisions(
    rows: Sequence[InventoryRow],
) -> tuple[tuple[InventoryRow, ...], list[Conflict]]:
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
    unique = (replace(row, binding=None) if row.user_id in losers else row for row in rows)
    return tuple(unique), list(losers.values())


def _keeper(sharing: Sequence[InventoryRow]) -> InventoryRow | None:
    """The one whom the server gave it last; None where that is nobody, or several at once."""
    given = [row for row in sharing if row.binding is not None and row.binding.source in _SERVER]
    latest = max((row.binding.learnt_at for row in given if row.binding), default=None)
    last = [row for row in given if row.binding and row.binding.learnt_at == latest]
    return last[0] if len(last) == 1 else None
