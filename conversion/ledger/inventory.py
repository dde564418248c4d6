"""The inventory: what `prepare` found, and what it found before and cannot find any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, case, delete, or_, select, tuple_
from sqlalchemy.dialects import sqlite

from conversion.decision.account import Source
from conversion.ledger.records import inventory_from, inventory_record
from conversion.ledger.tables import inventory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from conversion.ledger.base import InventoryRow
    from conversion.ledger.database import Database

_AT_ONCE: Final = 500
_BINDING: Final = frozenset({"auth_data", "source", "learnt_at"})

_NEW = sqlite.insert(inventory)
_IS_FALLBACK = _NEW.excluded.source == Source.EMAIL_FALLBACK.value
_KNOWS_BETTER = or_(
    _NEW.excluded.auth_data.is_(None),
    and_(
        _IS_FALLBACK,
        inventory.c.auth_data.is_not(None),
        inventory.c.source != Source.EMAIL_FALLBACK.value,
    ),
)
_FOUND = _NEW.on_conflict_do_update(
    index_elements=[inventory.c.user_id],
    set_={
        column.name: case((_KNOWS_BETTER, column), else_=_NEW.excluded[column.name])
        if column.name in _BINDING
        else _NEW.excluded[column.name]
        for column in inventory.c
        if not column.primary_key
    },
)


def replace(connection: Connection, rows: Sequence[InventoryRow], now: datetime) -> None:
    """Put `rows`, found by the run of `now`, in the place of what was known.

    Who is not found any more stays, as last seen, if the binding is known: somebody converted by
    hand is not listed as SAML, and this is the only way back.
    """
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        connection.execute(_FOUND, [inventory_record(row, now) for row in some])
    connection.execute(
        delete(inventory).where(inventory.c.prepared_at != now, inventory.c.auth_data.is_(None))
    )


def read(database: Database) -> Iterator[InventoryRow]:
    """The inventory in order of user name, read in batches."""
    wanted = select(inventory).order_by(inventory.c.username, inventory.c.user_id).limit(_AT_ONCE)
    page = wanted
    while True:
        with database.reading() as connection:
            found = connection.execute(page).mappings().all()
        yield from map(inventory_from, found)
        if len(found) < _AT_ONCE:
            return
        last = (found[-1]["username"], found[-1]["user_id"])
        page = wanted.where(tuple_(inventory.c.username, inventory.c.user_id) > last)
