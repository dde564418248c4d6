"""What is true: the server's list held against the ledger's rows, and intents settled by it.

A crash, a time-out or another administrator leaves a row that says less than the server knows. The
list is read from the database; it decides, by the table of `conversion.decision.settlement`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from conversion.bulk import FINISHED, groups
from conversion.decision.account import EMAIL
from conversion.decision.lifecycle import INTENTS, Event, RowState
from conversion.decision.settlement import settle
from conversion.errors import LedgerError
from conversion.ledger.base import ELSEWHERE, MOVED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conversion.bulk import Bulk
    from conversion.decision.account import Account
    from conversion.decision.settlement import Settled
    from conversion.ledger.base import Campaign, Change, InventoryRow, Row

_AT_ONCE: Final = 500
#: States that may only have come from an account at email and password.
_MOVED: Final = frozenset({RowState.CONVERTED, RowState.CLAIMED, RowState.RETURNED})


def look(bulk: Bulk) -> Mapping[str, Account]:
    """All accounts by id, in order of it, as the database has them now."""
    return bulk.server.all_accounts()


def open_campaign(bulk: Bulk) -> Campaign:
    """The campaign that is open. Raises `LedgerError` where there is none."""
    found = bulk.ledger.current_campaign()
    if found is None:
        raise LedgerError(
            "no campaign is open: nobody was moved by this tool; for changes by hand run reconcile"
        )
    return found


def wait_for_calls_of_the_dead(bulk: Bulk, campaign: str) -> None:
    """Where there are intents, wait until no call behind them can still be under way.

    A process that was killed may have sent a change a moment ago; asking at once would be too soon.
    """
    if next(bulk.ledger.rows(campaign, *INTENTS), None) is not None:
        bulk.settle()


def settle_rows(
    bulk: Bulk, campaign: str, accounts: Mapping[str, Account], *states: RowState
) -> Counter[RowState]:
    """Bring the rows in `states` to what the list says; how many came to which state."""
    came: Counter[RowState] = Counter()

    def judged(row: Row) -> Change | None:
        return settled(bulk, row, accounts.get(row.user_id))

    for changes in change_each(bulk, campaign, judged, *states):
        came.update(change.row.state for change in changes)
    return came


def settled(bulk: Bulk, row: Row, account: Account | None) -> Change | None:
    """The change that brings `row` to what the list says; None where they agree."""
    moved = MOVED in row.facts or row.state in _MOVED
    found = settle(row.state, row.binding, account, moved=moved)
    return None if found is None else _change(bulk, row, found)


def settle_everybody(
    bulk: Bulk, campaign: str, accounts: Mapping[str, Account]
) -> Counter[RowState]:
    """`settle_rows` for every state but those that a look alone does not decide."""
    states = set(RowState) - {RowState.RETURNED, RowState.WRITTEN_OFF}
    return settle_rows(bulk, campaign, accounts, *states)


def strays(bulk: Bulk, campaign: str, accounts: Mapping[str, Account]) -> Iterator[InventoryRow]:
    """Who was on SSO by the inventory, is at email and password now, and is in no row.

    Whom two operators wrote off in an earlier campaign stays where they are.
    """
    given_up = frozenset(row.user_id for row in bulk.ledger.given_up())
    for known, row in inventory_with_rows(bulk, campaign):
        account = accounts.get(known.user_id)
        left = row is None and account is not None and is_astray(account)
        if left and known.user_id not in given_up:
            yield known


def is_astray(account: Account) -> bool:
    """Whether somebody who was on SSO is at email and password."""
    return account.auth_service == EMAIL and not account.is_bot


def inventory_with_rows(bulk: Bulk, campaign: str) -> Iterator[tuple[InventoryRow, Row | None]]:
    """The inventory, each with the row of the campaign; both are read in order of user id."""
    rows = bulk.ledger.rows(campaign)
    row = next(rows, None)
    for known in bulk.ledger.inventory():
        while row is not None and row.user_id < known.user_id:
            row = next(rows, None)
        yield known, row if row is not None and row.user_id == known.user_id else None


def change_each(
    bulk: Bulk, campaign: str, change: Callable[[Row], Change | None], *states: RowState
) -> Iterator[list[Change]]:
    """Commit what `change` makes of each row in `states`; gives what was committed, by groups.

    Nothing happens unless it is read. Who comes into one of `states` by this is not asked again.
    """
    for rows in groups(bulk.ledger.rows(campaign, *states), _AT_ONCE):
        changes = [made for row in rows if (made := change(row)) is not None]
        lost = {row.user_id for row in bulk.ledger.commit(changes)} if changes else set()
        yield [made for made in changes if made.row.user_id not in lost]


def _change(bulk: Bulk, row: Row, found: Settled) -> Change:
    """The follow-up calls of an intent that was found done may be missing: it is not finished."""
    change = bulk.step(row, found.event, found.reason)
    facts = {name: value for name, value in row.facts.items() if name != FINISHED}
    if change.row.state in _MOVED:
        facts.setdefault(MOVED, row.updated_at.isoformat())
    if found.event is Event.FOUND_RETURNED:
        facts[ELSEWHERE] = "yes"
    return bulk.step(row, found.event, found.reason, facts)


def refresh_converted_file(bulk: Bulk, campaign: str) -> tuple[str, ...]:
    """Write the proxy's list; gives the user ids left out, because their auth_data is unknown."""
    if bulk.converted is None:
        return ()
    return bulk.converted.refresh(bulk.ledger, campaign).left_out
