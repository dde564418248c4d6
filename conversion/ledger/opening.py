"""How a ledger begins, and how it goes on when one of its two files is lost."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import structlog
from sqlalchemy import insert, select, update

from conversion.errors import LedgerError
from conversion.ledger import inventory, plans
from conversion.ledger.database import Database, errors_translated, keep_name, new_file
from conversion.ledger.mirror import Mirror, carry_on, write_mirror
from conversion.ledger.records import campaign_from
from conversion.ledger.sql import SqlLedger, check_version
from conversion.ledger.tables import (
    VERSION,
    campaign,
    ledger_mirror,
    ledger_schema,
    metadata,
    person,
)
from conversion.ledger.work import campaign_done, person_done
from idp_proxy.audit.tables import metadata as audit_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from conversion.ledger.mirror import Group

_log = structlog.get_logger("conversion.ledger")

_AT_ONCE: Final = 500
_ID_OCTETS: Final = 16


def open_ledger(
    path: Path, mirror: Path, *, host: str, crash: Callable[[str], None] = carry_on
) -> SqlLedger:
    """The ledger at `path`; both files are made where neither exists.

    A lost mirror is made again from the ledger. A lost ledger is never made by itself, because
    nobody would notice that its inventory and its audit are gone: `rebuild`, or restore a backup.
    Raises `LedgerError`.
    """
    with _alone_in(path.parent):
        if not path.exists():
            if mirror.exists():
                raise LedgerError(
                    f"{path} is missing, and {mirror} remembers who was moved: restore the newest "
                    "backup (the mirror brings it up to date), or sso-conversion restore --mirror"
                )
            _make(path, mirror_id="", mirror_end=0)
        if not mirror.exists():
            _make_mirror(path, mirror)
        return SqlLedger(path, mirror, host=host, crash=crash)


def rebuild(path: Path, mirror: Path, *, host: str) -> SqlLedger:
    """A ledger made from its mirror alone: all of it but the audit chain, which begins anew.

    Raises `LedgerError`, also when there is a ledger.
    """
    with _alone_in(path.parent):
        if path.exists():
            raise LedgerError(f"{path} exists: move it away first, it is not overwritten")
        known = Mirror(mirror)
        mirror_id, begin = known.id, known.begin
        known.close()
        _make(path, mirror_id, begin)
        return SqlLedger(path, mirror, host=host)


def _make(path: Path, mirror_id: str, mirror_end: int) -> None:
    """An empty ledger, in its place only once it is whole."""
    fresh = path.with_name(f"{path.name}.new")
    for leftover in (fresh, fresh.with_name(f"{fresh.name}-wal")):
        with suppress(FileNotFoundError):
            leftover.unlink()
    os.close(new_file(fresh))
    database = Database(fresh)
    try:
        with database.writing() as connection:
            metadata.create_all(connection)
            audit_metadata.create_all(connection)
            connection.execute(insert(ledger_schema).values(id=1, version=VERSION))
            connection.execute(
                insert(ledger_mirror).values(host="", mirror_id=mirror_id, mirror_end=mirror_end)
            )
    finally:
        # The last connection to close folds the write-ahead log into the file.
        database.close()
    with errors_translated(path):
        fresh.rename(path)
    keep_name(path)


def _make_mirror(path: Path, mirror: Path) -> None:
    """A mirror of what the ledger has; in its place only after the ledger knows it as its own."""
    _make_folder(mirror.parent)
    database = Database(path)
    try:
        check_version(database)
        staged = mirror.with_name(f"{mirror.name}.staged")
        with database.writing() as connection:
            mirror_id = secrets.token_hex(_ID_OCTETS)
            end = write_mirror(staged, mirror_id, _contents(connection))
            connection.execute(update(ledger_mirror).values(mirror_id=mirror_id, mirror_end=end))
        with errors_translated(mirror):
            staged.rename(mirror)
        keep_name(mirror)
    finally:
        database.close()
    _log.warning("ledger_mirror_made", octets=end)


def _contents(connection: Connection) -> Iterator[Group]:
    """Everything that a ledger is rebuilt from."""
    for operation in plans.contents(connection):
        yield _group([operation])
    for operations in inventory.contents(connection):
        yield _group(operations)
    opened = [campaign_from(row) for row in connection.execute(select(campaign)).mappings()]
    yield _group([campaign_done(one) for one in opened])
    people = connection.execute(
        select(person).execution_options(yield_per=_AT_ONCE)
    ).mappings()  # fmt: skip
    for some in people.partitions():
        yield _group([person_done(dict(row)) for row in some])


def _group(operations: list[tuple[str, dict[str, Any]]]) -> Group:
    return {"operations": operations, "events": []}


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time makes files in `folder`; a lock that ends with its process."""
    _make_folder(folder)
    with errors_translated(folder):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _make_folder(folder: Path) -> None:
    with errors_translated(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
