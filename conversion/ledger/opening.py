"""How a ledger begins, and how it goes on when one of its two files is lost."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from sqlalchemy import select

from conversion.errors import LedgerError
from conversion.ledger import inventory, plans
from conversion.ledger.copying import make_tables
from conversion.ledger.database import FileDatabase, errors_translated, keep_name, new_file
from conversion.ledger.mirror import Mirror, carry_on, write_mirror
from conversion.ledger.postgresql import SCHEMA, PostgresDatabase, has_ledger
from conversion.ledger.records import campaign_from
from conversion.ledger.sql import SqlLedger, check_version, mirror_host
from conversion.ledger.tables import (
    campaign,
    ledger_mirror,
    person,
    upsert,
)
from conversion.ledger.work import campaign_done, person_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Connection

    from conversion.ledger.mirror import Group

_log = structlog.get_logger("conversion.ledger")

_AT_ONCE: Final = 500
_ID_OCTETS: Final = 16


def open_ledger(
    place: Path | URL, mirror: Path, *, host: str, crash: Callable[[str], None] = carry_on
) -> SqlLedger:
    """The ledger at `place`, a file or a database of PostgreSQL; it and its mirror are made where
    neither exists.

    A lost mirror is made again from the ledger. A lost ledger is never made by itself, because
    nobody would notice that its inventory and its audit are gone: `rebuild`, or restore a backup.
    Raises `LedgerError`.
    """
    if not isinstance(place, Path):
        return _open_shared(place, mirror, host, crash)
    with _alone_in(place.parent):
        if not place.exists():
            _must_not_remember(mirror, str(place))
            _make(place)
        return _opened(FileDatabase(place), mirror, host, crash)


def rebuild(place: Path | URL, mirror: Path, *, host: str) -> SqlLedger:
    """A ledger made from its mirror alone: all of it but the audit chain, which begins anew.

    In a database that hosts share each has a mirror of what was written from there: it is done on
    one host after the other, and of each person the newest row stays. Raises `LedgerError`, also
    when there is a ledger.
    """
    known = Mirror(mirror)
    whole = known.id, known.begin
    known.close()
    if not isinstance(place, Path):
        return _rebuild_shared(place, mirror, host, *whole)
    with _alone_in(place.parent):
        if place.exists():
            raise LedgerError(f"{place} exists: move it away first, it is not overwritten")
        _make(place, *whole)
        return SqlLedger(FileDatabase(place), mirror, host=host)


def _open_shared(url: URL, mirror: Path, host: str, crash: Callable[[str], None]) -> SqlLedger:
    database = PostgresDatabase(url)
    with _given_back_on_error(database), _alone_in(mirror.parent):
        database.make_schema()
        with database.writing() as connection:
            if not has_ledger(connection):
                _must_not_remember(mirror, database.name)
                make_tables(connection)
        return _opened(database, mirror, host, crash)


def _rebuild_shared(url: URL, mirror: Path, host: str, mirror_id: str, begin: int) -> SqlLedger:
    database = PostgresDatabase(url)
    with _given_back_on_error(database), _alone_in(mirror.parent):
        database.make_schema()
        with database.writing() as connection:
            if not has_ledger(connection):
                make_tables(connection)
            known = select(ledger_mirror).where(ledger_mirror.c.host == host)
            if connection.execute(known).first() is not None:
                raise LedgerError(
                    f"{database.name}: the ledger in schema {SCHEMA} knows this host's mirror:"
                    " rename the schema first, it is not overwritten"
                )
            _know_mirror(connection, host, mirror_id, begin)
        return SqlLedger(database, mirror, host=host)


def _opened(
    database: FileDatabase | PostgresDatabase,
    mirror: Path,
    host: str,
    crash: Callable[[str], None],
) -> SqlLedger:
    with _given_back_on_error(database):
        check_version(database)
        if not mirror.exists():
            _make_mirror(database, mirror, mirror_host(database, host))
        return SqlLedger(database, mirror, host=host, crash=crash)


@contextmanager
def _given_back_on_error(database: FileDatabase | PostgresDatabase) -> Iterator[None]:
    try:
        yield
    except BaseException:
        database.close()
        raise


def _must_not_remember(mirror: Path, name: str) -> None:
    if mirror.exists():
        raise LedgerError(
            f"{name} is missing, and {mirror} remembers who was moved: restore the newest "
            "backup (the mirror brings it up to date), or sso-conversion restore --mirror"
        )


def _make(path: Path, mirror_id: str = "", mirror_end: int = 0) -> None:
    """An empty ledger, in its place only once it is whole."""
    fresh = path.with_name(f"{path.name}.new")
    for leftover in (fresh, fresh.with_name(f"{fresh.name}-wal")):
        with suppress(FileNotFoundError):
            leftover.unlink()
    os.close(new_file(fresh))
    database = FileDatabase(fresh)
    try:
        with database.writing() as connection:
            make_tables(connection)
            _know_mirror(connection, "", mirror_id, mirror_end)
    finally:
        # The last connection to close folds the write-ahead log into the file.
        database.close()
    with errors_translated(path):
        fresh.rename(path)
    keep_name(path)


def _know_mirror(connection: Connection, host: str, mirror_id: str, end: int) -> None:
    record = {"host": host, "mirror_id": mirror_id, "mirror_end": end}
    connection.execute(upsert(connection.dialect.name, ledger_mirror), record)


def _make_mirror(database: FileDatabase | PostgresDatabase, mirror: Path, host: str) -> None:
    """A mirror of what the ledger has; in its place only after the ledger knows it as its own."""
    _make_folder(mirror.parent)
    staged = mirror.with_name(f"{mirror.name}.staged")
    with database.writing() as connection:
        mirror_id = secrets.token_hex(_ID_OCTETS)
        end = write_mirror(staged, mirror_id, _contents(connection))
        _know_mirror(connection, host, mirror_id, end)
    with errors_translated(mirror):
        staged.rename(mirror)
    keep_name(mirror)
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
