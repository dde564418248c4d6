"""All accounts of a server in little memory: 100,000 of them in some 12 MiB.

As objects they would take five times as much, and every command holds the whole list at least once.
So each account is one packed record, found by its id in a sorted index, and made anew when it is
asked for. A list on disk would be smaller still; it would also be a file of everybody's name.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Mapping, ValuesView
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from conversion.decision.account import Account
from conversion.decision.people import People, octets, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NEVER: Final = -1
#: Octets of id, user name, email and auth_data; kind of login, roles, flags; when it was deleted.
_HEAD: Final = struct.Struct("<HHHHHHBq")
_BOT, _REMOTE, _MFA, _BOUND = 1, 2, 4, 8


class Roll(Mapping[str, Account]):
    """Accounts by user id, in order of user id."""

    __slots__ = ("_kinds", "_last", "_offsets", "_records", "people")

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        """Of two accounts with one id the later one stays: it was read later."""
        self._kinds = _Kinds()
        self._records, starts, ids = bytearray(), array("Q"), []
        for account in accounts:
            starts.append(len(self._records))
            ids.append(account.id)
            self._records += _packed(account, self._kinds)
        # Sorting keeps the order of equals, so that the last of them is the one read last.
        order = sorted(range(len(ids)), key=ids.__getitem__)
        last = [one for one, after in zip_longest(order, order[1:]) if _differ(ids, one, after)]
        del order
        self._offsets = array("Q", (starts[one] for one in last))
        self.people = People(ids[one] for one in last)
        self._last: tuple[str, Account] | None = None

    def __getitem__(self, user_id: str) -> Account:
        # Whoever is looked up is often looked up again at once.
        last = self._last
        if last is not None and last[0] == user_id:
            return last[1]
        position = self.people.position(user_id)
        if position is None:
            raise KeyError(user_id)
        account = self._at(self._offsets[position])
        self._last = user_id, account
        return account

    def __iter__(self) -> Iterator[str]:
        return iter(self.people)

    def __len__(self) -> int:
        return len(self._offsets)

    def values(self) -> ValuesView[Account]:
        """The accounts themselves; they may be gone through again and again."""
        return _Accounts(self)

    def in_order(self) -> Iterator[Account]:
        """The accounts in order of user id, one after the other."""
        return map(self._at, self._offsets)

    def _at(self, start: int) -> Account:
        *lengths, service, roles, flags, deleted = _HEAD.unpack_from(self._records, start)
        first, texts = start + _HEAD.size, []
        for length in lengths:
            texts.append(text(self._records[first : first + length]))
            first += length
        user_id, username, email, auth_data = texts
        return Account(
            id=user_id,
            username=username,
            email=email,
            auth_service=self._kinds.services[service],
            auth_data=auth_data if flags & _BOUND else None,
            roles=self._kinds.roles[roles],
            deleted_at=None if deleted == _NEVER else _EPOCH + deleted * _MILLISECOND,
            is_bot=bool(flags & _BOT),
            is_remote=bool(flags & _REMOTE),
            mfa_active=bool(flags & _MFA),
        )


class _Accounts(ValuesView[Account]):
    """Goes through the records in their order, without a search for each."""

    def __init__(self, roll: Roll) -> None:
        super().__init__(roll)
        self._roll = roll

    def __iter__(self) -> Iterator[Account]:
        return self._roll.in_order()


class _Kinds:
    """What thousands share, kept once: kinds of login, and sets of roles."""

    __slots__ = ("_known", "roles", "services")

    def __init__(self) -> None:
        self.services: list[str] = []
        self.roles: list[frozenset[str]] = []
        self._known: dict[str | frozenset[str], int] = {}

    def service(self, name: str) -> int:
        """The number of a kind of login."""
        number = self._known.setdefault(name, len(self.services))
        if number == len(self.services):
            self.services.append(name)
        return number

    def role(self, roles: frozenset[str]) -> int:
        """The number of a set of roles."""
        number = self._known.setdefault(roles, len(self.roles))
        if number == len(self.roles):
            self.roles.append(roles)
        return number


def _differ(ids: Sequence[str], one: int, after: int | None) -> bool:
    return after is None or ids[one] != ids[after]


def _packed(account: Account, kinds: _Kinds) -> bytes:
    texts = [
        octets(told)
        for told in (account.id, account.username, account.email, account.auth_data or "")
    ]
    flags = (
        _BOT * account.is_bot
        | _REMOTE * account.is_remote
        | _MFA * account.mfa_active
        | _BOUND * (account.auth_data is not None)
    )
    deleted = account.deleted_at
    head = _HEAD.pack(
        *map(len, texts),
        kinds.service(account.auth_service),
        kinds.role(account.roles),
        flags,
        _NEVER if deleted is None else (deleted - _EPOCH) // _MILLISECOND,
    )
    return b"".join((head, *texts))
