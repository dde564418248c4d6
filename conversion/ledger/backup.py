"""Backups of the ledger: encrypted, read back before they count, verified before they replace.

A backup is an SQLite file of one moment: SQLite's own online copy, or the tables of a database that
hosts share, read in one snapshot. Commands may go on meanwhile; what happened after it is brought
back from the mirror when the restored ledger is opened.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from conversion.errors import LedgerError
from conversion.ledger.copying import copy_tables, settle_in
from conversion.ledger.database import FileDatabase, errors_translated, keep_name, new_file
from conversion.ledger.postgresql import SCHEMA, PostgresDatabase, has_ledger
from conversion.ledger.sealed_file import seal, unseal
from conversion.ledger.sql import check_version
from idp_proxy.audit.log import verify_log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

    from conversion.ledger.database import Database

_READ_AT_ONCE = 1 << 20


def backup(database: Database, target: Path, key: bytes) -> None:
    """Write an encrypted copy of the ledger to `target`, a new file (0600), and read it back.

    `key` has 32 octets. Raises `LedgerError`; then there is no file at `target`.
    """
    if target.exists():
        raise LedgerError(f"{target} exists: name a new file, a backup overwrites nothing")
    beside = database.path if isinstance(database, FileDatabase) else target
    with _passing(beside.with_name(f"{beside.name}.copy")) as copy:
        _copy(database, copy)
        with _passing(target.with_name(f"{target.name}.new")) as fresh:
            with _opened(copy) as plain, _opened(fresh) as sealed:
                seal(plain, sealed, key)
                _onto_disk(sealed)
            _read_back(copy, fresh, key)
            with errors_translated(target):
                fresh.rename(target)
    keep_name(target)


def restore(source: Path, place: Path | URL, mirror: Path, key: bytes, *, host: str) -> None:
    """Put the ledger of the backup `source` at `place`, where there must be none.

    It is verified first: SQLite's own check, the version, the audit chain. The lock of bulk
    commands is released. What was a file may become a database and the other way round; `mirror`
    and `host` are those of this host. Raises `LedgerError`; then nothing is at `place`.
    """
    if not isinstance(place, Path):
        with _passing(mirror.with_name(f"{mirror.name}.restored")) as fresh:
            _unsealed(source, fresh, key)
            _verify(fresh, host, host)
            _into_database(fresh, place)
        return
    if place.exists():
        raise LedgerError(f"{place} exists: move it away first, it is not overwritten")
    with _passing(place.with_name(f"{place.name}.restored")) as fresh:
        _unsealed(source, fresh, key)
        _verify(fresh, "", host)
        with errors_translated(place):
            fresh.rename(place)
    keep_name(place)


def _unsealed(source: Path, fresh: Path, key: bytes) -> None:
    with errors_translated(source), source.open("rb") as sealed, _opened(fresh) as plain:
        unseal(sealed, plain.write, key)
        _onto_disk(plain)


def _into_database(fresh: Path, url: URL) -> None:
    plain, database = FileDatabase(fresh), PostgresDatabase(url)
    with closing(plain), closing(database):
        database.make_schema()
        with plain.reading() as source, database.writing() as target:
            if has_ledger(target):
                raise LedgerError(
                    f"{database.name}: there is a ledger in schema {SCHEMA}: rename the schema"
                    " first, it is not overwritten"
                )
            copy_tables(source, target)


def _copy(database: Database, copy: Path) -> None:
    if not isinstance(database, FileDatabase):
        plain = FileDatabase(copy)
        with closing(plain), database.reading() as source, plain.writing() as into:
            copy_tables(source, into)
    with errors_translated(copy), closing(sqlite3.connect(copy)) as target:
        if isinstance(database, FileDatabase):
            with database.reading() as connection:
                database.driver(connection).backup(target)
        # One file, without a write-ahead log beside it.
        target.execute("PRAGMA journal_mode=DELETE")


def _read_back(copy: Path, sealed: Path, key: bytes) -> None:
    """What was written opens again, and is what was copied."""
    written, meant = hashlib.sha256(), hashlib.sha256()
    with _opened(sealed) as file:
        unseal(file, written.update, key)
    with _opened(copy) as file:
        for octets in iter(partial(file.read, _READ_AT_ONCE), b""):
            meant.update(octets)
    if meant.digest() != written.digest():
        raise LedgerError(f"{sealed}: what was written is not what was read; check the disk")


def _verify(path: Path, mirror_of: str, host: str) -> None:
    database = FileDatabase(path)
    try:
        check_version(database)
        with database.writing() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            if found != "ok":
                raise LedgerError(f"the restored ledger is damaged: {found}")
            verdict = verify_log(connection)
            if verdict.broken is not None:
                raise LedgerError(f"the restored ledger's audit is broken: {verdict.broken}")
            settle_in(connection, mirror_of, host)
    finally:
        database.close()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with errors_translated(path), path.open("r+b") as file:
        yield file


def _onto_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextmanager
def _passing(path: Path) -> Iterator[Path]:
    """A new file (0600) at `path`, gone at the end unless it was renamed."""
    with suppress(FileNotFoundError):
        path.unlink()
    os.close(new_file(path))
    try:
        yield path
    finally:
        for leftover in (path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm"))):
            with suppress(FileNotFoundError):
                leftover.unlink()
