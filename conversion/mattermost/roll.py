"""All accounts of a server in little memory: 100,000 of them in some 12 MiB.

As objects they would take five times as much, and every command holds the whole list at least once.
So each account is one packed record, found by its id in a sorted index, and made anew when it is
asked for. A list on disk would be smaller still; it would also be a file of everybody's name.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Mapping, ValuesView
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NEVER: Final = -1
#: Octets of id, user name, email and auth_data; kind of login, roles, flags; when it was deleted.
_HEAD: Final = struct.Struct("<HHHHHHBq")
_BOT, _REMOTE, _MFA, _BOUND = 1, 2, 4, 8


class Roll(Mapping[str, Account]):
    """Accounts by user id, in order of user id."""

    __slots__ = ("_ids", "_kinds", "_offsets", "_records", "_width")

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        """Of two accounts with one id the later one stays: it was read later."""
        self._kinds = _Kinds()
        self._records, starts = bytearray(), array("Q")
        for account in accounts:
            starts.append(len(self._records))
            self._records += _packed(account, self._kinds)
        latest = {self._id_at(start): start for start in starts}
        ordered = sorted(latest)
        self._offsets = array("Q", (latest[one] for one in ordered))
        self._width = max(map(len, ordered), default=0)
        self._ids = b"".join(one.ljust(self._width, b"\0") for one in ordered)

    def __getitem__(self, user_id: str) -> Account:
        wanted = _octets(user_id)
        found = bisect_left(range(len(self)), wanted.ljust(self._width, b"\0"), key=self._key)
        if found < len(self) and self._id_at(self._offsets[found]) == wanted:
            return self._at(self._offsets[found])
        raise KeyError(user_id)

    def __iter__(self) -> Iterator[str]:
        return (_text(self._id_at(start)) for start in self._offsets)

    def __len__(self) -> int:
        return len(self._offsets)

    def values(self) -> ValuesView[Account]:
        """The accounts themselves; they may be gone through again and again."""
        return _Accounts(self)

    def in_order(self) -> Iterator[Account]:
        """The accounts in order of user id, one after the other."""
        return map(self._at, self._offsets)

    def ids(self) -> bytes:
        """Who is in it, as octets that two rolls of the same people share."""
        return self._ids

    def _key(self, number: int) -> bytes:
        start = number * self._width
        return self._ids[start : start + self._width]

    def _id_at(self, start: int) -> bytes:
        (length,) = struct.unpack_from("<H", self._records, start)
        first = start + _HEAD.size
        return bytes(self._records[first : first + length])

    def _at(self, start: int) -> Account:
        *lengths, service, roles, flags, deleted = _HEAD.unpack_from(self._records, start)
        first, texts = start + _HEAD.size, []
        for length in lengths:
            texts.append(_text(self._records[first : first + length]))
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


def _packed(account: Account, kinds: _Kinds) -> bytes:
    texts = [
        _octets(text)
        for text in (account.id, account.username, account.email, account.auth_data or "")
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


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(octets: bytes | bytearray) -> str:
    return octets.decode("utf-8", "surrogatepass")
