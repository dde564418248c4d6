"""Backups of the ledger: encrypted, read back before they count, verified before they replace.

A backup is SQLite's own online copy of one moment, so commands may go on meanwhile. What happened
after it is brought back from the mirror when the restored ledger is opened.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import IO, TYPE_CHECKING

from sqlalchemy import delete

from conversion.errors import LedgerError
from conversion.ledger.database import Database, errors_translated, keep_name, new_file
from conversion.ledger.sealed_file import seal, unseal
from conversion.ledger.sql import check_version
from conversion.ledger.tables import bulk_lock
from idp_proxy.audit.log import verify_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READ_AT_ONCE = 1 << 20


def backup(database: Database, target: Path, key: bytes) -> None:
    """Write an encrypted copy of the ledger to `target`, a new file (0600), and read it back.

    `key` has 32 octets. Raises `LedgerError`; then there is no file at `target`.
    """
    if target.exists():
        raise LedgerError(f"{target} exists: name a new file, a backup overwrites nothing")
    with _passing(database.path.with_name(f"{database.path.name}.copy")) as copy:
        _copy(database, copy)
        with _passing(target.with_name(f"{target.name}.new")) as fresh:
            with _opened(copy) as plain, _opened(fresh) as sealed:
                seal(plain, sealed, key)
                _onto_disk(sealed)
            _read_back(copy, fresh, key)
            with errors_translated(target):
                fresh.rename(target)
    keep_name(target)


def restore(source: Path, path: Path, key: bytes) -> None:
    """Put the ledger of the backup `source` at `path`, where there must be none.

    It is verified first: SQLite's own check, the version, the audit chain. The lock of bulk
    commands is released. Raises `LedgerError`; then nothing is at `path`.
    """
    if path.exists():
        raise LedgerError(f"{path} exists: move it away first, it is not overwritten")
    with _passing(path.with_name(f"{path.name}.restored")) as fresh:
        with errors_translated(source), source.open("rb") as sealed, _opened(fresh) as plain:
            unseal(sealed, plain.write, key)
            _onto_disk(plain)
        _verify(fresh)
        with errors_translated(path):
            fresh.rename(path)
    keep_name(path)


def _copy(database: Database, copy: Path) -> None:
    with (
        database.reading() as connection,
        errors_translated(copy),
        closing(sqlite3.connect(copy)) as target,
    ):
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


def _verify(path: Path) -> None:
    database = Database(path)
    try:
        check_version(database)
        with database.writing() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
            if found != "ok":
                raise LedgerError(f"the restored ledger is damaged: {found}")
            verdict = verify_log(connection)
            if verdict.broken is not None:
                raise LedgerError(f"the restored ledger's audit is broken: {verdict.broken}")
            connection.execute(delete(bulk_lock))
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
