"""Every place of the database that names a person, emptied in one transaction.

SQLite overwrites what is deleted (`secure_delete`), and its write-ahead log is folded in afterwards
(`SqlStore.fold_log`). PostgreSQL keeps old versions of rows until it vacuums. Backups keep all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import delete, func, select, update

from idp_proxy.audit.log import forget, pseudonyms
from idp_proxy.decision.drill import person_digest
from idp_proxy.decision.forgetting import Kept
from idp_proxy.store.base import Transaction
from idp_proxy.store.records import drill_from, drill_record, person_from
from idp_proxy.store.tables import (
    drill,
    factor,
    factor_try,
    roster,
    roster_admission,
    standby_login,
)

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection

#: What of `Kept` is counted in which column, beside the row of the roster and the audit's links.
PLACES: Final[tuple[tuple[str, Column[Any]], ...]] = (
    ("admissions", roster_admission.c.person),
    ("factors", factor.c.person),
    ("tries", factor_try.c.person),
    ("standby_logins", standby_login.c.person),
)


class ForgettingTransaction(Transaction, Protocol):
    """Writes of a command that forgets somebody, committed together or not at all."""

    def forget_person(self, person_id: str) -> Kept:
        """Erase them; returns what there was."""


def kept_of(connection: Connection, person_id: str) -> Kept:
    """What the database knows of this person. In a write transaction their row stays as it is."""
    wanted = select(roster).where(roster.c.id == person_id).with_for_update()
    row = connection.execute(wanted).first()
    counts = {
        name: connection.execute(
            select(func.count()).select_from(column.table).where(column == person_id)
        ).scalar_one()
        for name, column in PLACES
    }
    return Kept(
        row=None if row is None else person_from(row._asdict()),
        pseudonyms=len(pseudonyms(connection, person_id)),
        **counts,
    )


def erase(connection: Connection, person_id: str) -> Kept:
    """See `ForgettingTransaction.forget_person`."""
    known = kept_of(connection, person_id)
    for _, column in PLACES:
        connection.execute(delete(column.table).where(column == person_id))
    forget(connection, person_id)
    if known.row is not None:
        connection.execute(delete(roster).where(roster.c.id == person_id))
        if known.row.lookup_key is not None:
            _leave_drill(connection, person_digest(known.row.lookup_key))
    return known


def _leave_drill(connection: Connection, mine: str) -> None:
    found = connection.execute(select(drill).with_for_update()).first()
    if found is None:
        return
    last = drill_from(found._asdict())
    if mine in last.people:
        rest = replace(last, version=last.version + 1, people=last.people - {mine})
        connection.execute(update(drill).values(drill_record(rest)))
