"""A whole ledger from one database to another, table by table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select, update

from conversion.ledger.tables import VERSION, bulk_lock, ledger_mirror, ledger_schema, metadata
from idp_proxy.audit.tables import metadata as audit_metadata

if TYPE_CHECKING:
    from sqlalchemy import Connection

_AT_ONCE: Final = 500


def make_tables(connection: Connection) -> None:
    """The tables of an empty ledger."""
    metadata.create_all(connection)
    audit_metadata.create_all(connection)
    connection.execute(insert(ledger_schema).values(id=1, version=VERSION))


def copy_tables(source: Connection, target: Connection) -> None:
    """Everything in `source`, one snapshot of it, into `target`, which has no tables yet."""
    for described in (metadata, audit_metadata):
        described.create_all(target)
        for table in described.sorted_tables:
            found = source.execute(select(table).execution_options(yield_per=_AT_ONCE))
            for some in found.mappings().partitions():
                target.execute(insert(table), [dict(record) for record in some])


def settle_in(connection: Connection, mirror_of: str, host: str) -> None:
    """Fit a copied ledger to its new place: nobody holds it, and the mirror of `host` is known by
    the name `mirror_of` (the host's own in a shared database, none in a file).
    """
    connection.execute(delete(bulk_lock))
    names = frozenset(connection.execute(select(ledger_mirror.c.host)).scalars())
    was = host if host in names else ""
    if was != mirror_of and was in names:
        renamed = update(ledger_mirror).where(ledger_mirror.c.host == was).values(host=mirror_of)
        connection.execute(renamed)
    if not mirror_of:
        connection.execute(delete(ledger_mirror).where(ledger_mirror.c.host != mirror_of))
