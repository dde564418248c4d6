"""The inventory: what `prepare` found, and what it found before and cannot find any more.

The mirror has it too, so that a ledger made from its mirror knows the way back of everybody. A line
a person and night would fill a disk: who is as before is not written again, and at the end of a run
one line says that it was, and whom it did not find.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, select, update

from conversion.decision.account import Source
from conversion.ledger.records import as_json, inventory_from, inventory_record
from conversion.ledger.tables import inventory, upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from conversion.ledger.base import InventoryRow
    from conversion.ledger.database import Database
    from conversion.ledger.work import Work

_AT_ONCE: Final = 500
_BINDING: Final = ("auth_data", "source", "learnt_at")
_REFRESHED: Final = frozenset({"seen_at", "prepared_at", "learnt_at"})

_SEEN_AGAIN = (
    update(inventory)
    .where(inventory.c.user_id == bindparam("of_user"))
    .values({name: bindparam(f"to_{name}") for name in sorted(_REFRESHED)})
)


def replace(work: Work, rows: Iterable[InventoryRow], now: datetime) -> None:
    """Put `rows`, found by the run of `now`, in the place of what was known.

    A binding that is known is never replaced by an unknown or a makeshift one. Who is not found any
    more stays, as last seen, if the binding is known: somebody converted by hand is not listed as
    SAML, and this is the only way back.
    """
    connection = work.connection
    put = upsert(connection.dialect.name, inventory)
    waiting = iter(rows)
    while some := list(islice(waiting, _AT_ONCE)):
        known = _known(connection, [row.user_id for row in some])
        records = [_kept(inventory_record(row, now), known.get(row.user_id)) for row in some]
        connection.execute(put, records)
        work.note(
            ("inventory", as_json(record))
            for record in records
            if not _is_as_before(record, known.get(record["user_id"]))
        )
        work.flush()
    absent = connection.execute(select(inventory.c.user_id).where(inventory.c.prepared_at != now))
    run = as_json({"prepared_at": now}) | {"absent": list(absent.scalars())}
    work.note([("inventory_run", run)])
    _drop_unknown(connection, now)


def carry(connection: Connection, records: Sequence[dict[str, Any]]) -> None:
    """Rows of the inventory that only the mirror has."""
    connection.execute(upsert(connection.dialect.name, inventory), records)


def carry_run(connection: Connection, records: Sequence[dict[str, Any]]) -> None:
    """The end of a run that only the mirror has: who is in no line of it was as before."""
    for run in records:
        now, absent = run["prepared_at"], frozenset(run["absent"])
        former = connection.execute(
            select(inventory.c.user_id, inventory.c.source, inventory.c.learnt_at).where(
                inventory.c.prepared_at != now
            )
        )
        again = [
            {
                "of_user": row.user_id,
                "to_seen_at": now,
                "to_prepared_at": now,
                "to_learnt_at": now if row.source == Source.API.value else row.learnt_at,
            }
            for row in former
            if row.user_id not in absent
        ]
        if again:
            connection.execute(_SEEN_AGAIN, again)
        _drop_unknown(connection, now)


def read(database: Database) -> Iterator[InventoryRow]:
    """The inventory in order of user id, read in batches."""
    wanted = select(inventory).order_by(inventory.c.user_id).limit(_AT_ONCE)
    page = wanted
    while True:
        with database.reading() as connection:
            found = connection.execute(page).mappings().all()
        yield from map(inventory_from, found)
        if len(found) < _AT_ONCE:
            return
        page = wanted.where(inventory.c.user_id > found[-1]["user_id"])


def contents(connection: Connection) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The whole inventory as operations for a new mirror, in batches."""
    found = connection.execute(select(inventory).execution_options(yield_per=_AT_ONCE))
    for some in found.mappings().partitions():
        yield [("inventory", as_json(dict(record))) for record in some]


def _known(connection: Connection, ids: Sequence[str]) -> Mapping[str, Mapping[Any, Any]]:
    found = connection.execute(select(inventory).where(inventory.c.user_id.in_(ids)))
    return {record["user_id"]: record for record in found.mappings()}


def _kept(record: dict[str, Any], known: Mapping[Any, Any] | None) -> dict[str, Any]:
    """`record` with the binding that was known, where that is better."""
    if known is None or known["auth_data"] is None:
        return record
    makeshift = Source.EMAIL_FALLBACK.value
    worse = record["source"] == makeshift and known["source"] != makeshift
    if record["auth_data"] is None or worse:
        return record | {name: known[name] for name in _BINDING}
    return record


def _is_as_before(record: Mapping[str, Any], known: Mapping[Any, Any] | None) -> bool:
    """Whether the end of the run says all there is to say: nothing but times was refreshed."""
    if known is None or record["seen_at"] != record["prepared_at"]:
        return False
    if any(record[name] != known[name] for name in record if name not in _REFRESHED):
        return False
    of_now = record["source"] == Source.API.value
    return bool(record["learnt_at"] == (record["seen_at"] if of_now else known["learnt_at"]))


def _drop_unknown(connection: Connection, now: datetime) -> None:
    """Who is not listed any more, and whose way back nobody knows."""
    connection.execute(
        delete(inventory).where(inventory.c.prepared_at != now, inventory.c.auth_data.is_(None))
    )
