"""The run of `prepare`: list, learn, merge, keep. Made for cron: it may run at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from conversion.decision.account import SAML, Binding, Source
from conversion.errors import Unreachable
from conversion.inventory.merge import Key, Merge, Said

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from conversion.decision.account import Account
    from conversion.inventory.merge import Prepared
    from conversion.ledger.base import Ledger
    from conversion.mattermost import ExportedUser


class Directory(Protocol):
    """The server's list."""

    def all_accounts(self) -> Mapping[str, Account]:
        """All accounts by user id, in order of it, read until two passes agree."""


def prepare(
    server: Directory,
    ledger: Ledger,
    said: Iterable[Said],
    now: datetime,
    *,
    makeshift: bool = False,
) -> Prepared:
    """Learn the way back of everybody on SAML, and keep it; with `makeshift` the email of whom no
    source knows: the next login by SAML finds the account by it (facts of the API, section 4).

    Raises `Unreachable` for an empty list: the old inventory is worth more than that. The ledger
    keeps people whom this run does not find on SAML, if their way back is known.
    """
    accounts = server.all_accounts()
    if not accounts:
        raise Unreachable("the server lists nobody; the inventory stays as it was")
    given_up = frozenset(row.user_id for row in ledger.given_up())
    merge = Merge(accounts, ledger.inventory, said, now, given_up, makeshift=makeshift)
    prepared = merge.prepared()
    ledger.put_inventory(merge.rows(), now)
    return prepared


def from_export(users: Iterable[ExportedUser], now: datetime) -> tuple[Said, ...]:
    """What the bulk export says."""
    return tuple(
        Said(Key.USERNAME, user.username, Binding(user.auth_data, Source.EXPORT, now))
        for user in users
        if user.auth_service == SAML and user.auth_data
    )
