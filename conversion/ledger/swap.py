"""Compare-and-swap of people's rows on (state, version), many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, update

from conversion.decision.lifecycle import RowState, leads
from conversion.errors import LedgerConflict
from conversion.ledger.records import row_record
from conversion.ledger.tables import person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from conversion.ledger.base import Change

_WHERE_IT_WAS = (
    person.c.campaign == bindparam("of_campaign"),
    person.c.user_id == bindparam("of_user"),
    person.c.state == bindparam("was"),
    person.c.version == bindparam("version_was"),
)
#: Learnt before anything was touched: from then on it never changes, only a new plan replaces it.
_LEARNT: Final = ("auth_data", "source", "learnt_at", "mfa_active")

_REPLAN = (
    update(person)
    .where(*_WHERE_IT_WAS)
    .values({column.name: bindparam(column.name) for column in person.c if not column.primary_key})
)
_SWAP = (
    update(person)
    .where(*_WHERE_IT_WAS, *(person.c[name] == bindparam(f"of_{name}") for name in _LEARNT))
    .values({name: bindparam(name) for name in ("state", "version", "updated_at", "note", "facts")})
)


def swap(connection: Connection, changes: Sequence[Change]) -> tuple[Change, ...]:
    """Make the changes whose row is where they say; returns those that lost.

    Raises `LedgerConflict` on a step that the lifecycle does not know.
    """
    for change in changes:
        if not leads(change.was, change.row.state):
            raise LedgerConflict(
                f"{change.row.user_id}: no way leads from {change.was.value} to "
                f"{change.row.state.value}"
            )
    if _all_at_once(connection, changes):
        return ()
    return tuple(change for change in changes if not _one(connection, change))


def _all_at_once(connection: Connection, changes: Sequence[Change]) -> bool:
    """The common case in one go. Whether it was the case; if not, nothing was done."""
    if any(_is_replan(change) for change in changes):
        return False
    attempt = connection.begin_nested()
    done = connection.execute(_SWAP, [_parameters(change) for change in changes])
    if done.rowcount == len(changes):
        attempt.commit()
        return True
    attempt.rollback()
    return False


def _one(connection: Connection, change: Change) -> bool:
    statement = _REPLAN if _is_replan(change) else _SWAP
    return connection.execute(statement, _parameters(change)).rowcount == 1


def _is_replan(change: Change) -> bool:
    return change.row.state is RowState.PLANNED and change.was is not RowState.CONVERTING


def _parameters(change: Change) -> dict[str, Any]:
    record = row_record(change.row)
    learnt = {f"of_{name}": record[name] for name in _LEARNT}
    where = {
        "of_campaign": record.pop("campaign"),
        "of_user": record.pop("user_id"),
        "was": change.was.value,
        "version_was": change.row.version - 1,
    }
    return record | where if _is_replan(change) else record | where | learnt
