"""Compare-and-swap of people's rows on (state, version), many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, update

from conversion.decision.lifecycle import RowState, leads
from conversion.errors import LedgerConflict
from conversion.ledger.tables import person

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
_MOVED: Final = ("state", "version", "updated_at", "note", "facts")
_ALL: Final = (*_LEARNT, *_MOVED)

_REPLAN = update(person).where(*_WHERE_IT_WAS).values({name: bindparam(name) for name in _ALL})
_SWAP = (
    update(person)
    .where(*_WHERE_IT_WAS, *(person.c[name] == bindparam(f"of_{name}") for name in _LEARNT))
    .values({name: bindparam(name) for name in _MOVED})
)


def swap(
    connection: Connection, changes: Sequence[Change], records: Sequence[Mapping[str, Any]]
) -> frozenset[int]:
    """Make the changes whose row is where they say; returns the numbers of those that lost.

    `records` are their rows, in the same order. Raises `LedgerConflict` on a step that the
    lifecycle does not know.
    """
    for change in changes:
        if not leads(change.was, change.row.state):
            raise LedgerConflict(
                f"{change.row.user_id}: no way leads from {change.was.value} to "
                f"{change.row.state.value}"
            )
    wanted = [_parameters(change, record) for change, record in zip(changes, records, strict=True)]
    if _all_at_once(connection, changes, wanted):
        return frozenset()
    return frozenset(
        number
        for number, change in enumerate(changes)
        if not _one(connection, change, wanted[number])
    )


def _all_at_once(
    connection: Connection, changes: Sequence[Change], wanted: Sequence[Mapping[str, Any]]
) -> bool:
    """The common case in one go. Whether it was the case; if not, nothing was done."""
    if any(_is_replan(change) for change in changes):
        return False
    attempt = connection.begin_nested()
    done = connection.execute(_SWAP, wanted)
    if done.rowcount == len(changes):
        attempt.commit()
        return True
    attempt.rollback()
    return False


def _one(connection: Connection, change: Change, wanted: Mapping[str, Any]) -> bool:
    statement = _REPLAN if _is_replan(change) else _SWAP
    return connection.execute(statement, wanted).rowcount == 1


def _is_replan(change: Change) -> bool:
    return change.row.state is RowState.PLANNED and change.was is not RowState.CONVERTING


def _parameters(change: Change, record: Mapping[str, Any]) -> dict[str, Any]:
    replan = _is_replan(change)
    wanted = {name: record[name] for name in (_ALL if replan else _MOVED)}
    wanted["of_campaign"], wanted["of_user"] = record["campaign"], record["user_id"]
    wanted["was"], wanted["version_was"] = change.was.value, change.row.version - 1
    if not replan:
        for name in _LEARNT:
            wanted[f"of_{name}"] = record[name]
    return wanted
