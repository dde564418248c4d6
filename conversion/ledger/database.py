"""Where the ledger lies: what it asks of its database, and the SQLite file that is the usual one.

Write-ahead log with synchronous=FULL: what is committed survives a power cut
(sqlite.org/pragma.html#pragma_synchronous). Every error leaves as `LedgerError`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import URL, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from conversion.errors import LedgerError
from idp_proxy.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection

#: How long a writer waits for another process, in seconds.
BUSY_S = 10.0


class Database(Protocol):
    """A database with the ledger in it, open for the threads of this process.

    `name` is for messages and holds no password. A `shared` one serves several hosts. One write
    transaction runs at a time, whoever asks. Every method raises `LedgerError`.
    """

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def shared(self) -> bool:
        """Whether other hosts may use it too."""

    def writing(self) -> AbstractContextManager[Connection]:
        """A connection in a write transaction: committed at the end, rolled back on any error."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection that sees one snapshot of what is committed."""

    def alone(self) -> AbstractContextManager[bool | None]:
        """Hold the place of the only bulk command. Whether this is the only one now; None where the
        database cannot tell, and whether a holder still lives must be found out otherwise.
        """

    def close(self) -> None:
        """Give back every connection."""


class FileDatabase:
    """One ledger file."""

    shared = False

    def __init__(self, path: Path) -> None:
        """Open what is there already. Raises `LedgerError` when there is no such file."""
        self.path = path
        self.name = str(path)
        self._file = file_identity(path)
        keep_private(path)
        url = URL.create("sqlite", database=str(path))
        self._engine = create_engine(
            url, connect_args={"timeout": BUSY_S}, hide_parameters=True, pool_timeout=BUSY_S
        )
        event.listen(self._engine, "connect", _set_up)
        # Threads of one process queue here in turn: SQLite's own waiting is polling.
        self._turn = threading.Lock()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See `Database`."""
        if not self._turn.acquire(timeout=BUSY_S):
            raise LedgerError(f"{self.path}: no write could begin within {BUSY_S:.0f} s")
        try:
            with self._transaction("BEGIN IMMEDIATE") as connection:
                yield connection
        finally:
            self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See `Database`."""
        with self._transaction("BEGIN") as connection:
            yield connection

    def alone(self) -> AbstractContextManager[None]:
        """See `Database`: who holds the lock is a process of this host, which can be looked at."""
        return nullcontext()

    def driver(self, connection: Connection) -> sqlite3.Connection:
        """The connection of Python's own driver, for SQLite's online backup."""
        raw = connection.connection.driver_connection
        if not isinstance(raw, sqlite3.Connection):
            raise LedgerError(f"{self.path}: not opened by SQLite")
        return raw

    def close(self) -> None:
        """See `Database`."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        with errors_translated(self.path):
            if file_identity(self.path) != self._file:
                raise LedgerError(
                    f"{self.path}: another file took its place; start again to use it"
                )
            with self._engine.begin() as connection:
                connection.exec_driver_sql(begin)
                yield connection


@contextmanager
def errors_translated(path: Path | str) -> Iterator[None]:
    """Turn what a database, the file system and the audit raise into `LedgerError`, no values."""
    try:
        yield
    except SQLAlchemyError as error:
        raise LedgerError(f"{path}: {_describe(error)}") from error
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {error}") from error
    except OSError as error:
        raise LedgerError(f"{path}: {in_words(error)}") from error
    except UnicodeEncodeError as error:
        raise LedgerError(f"{path}: a value is no text that UTF-8 can write") from error
    except ProxyError as error:
        raise LedgerError(f"{path}: {error.detail}") from error


_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def in_words(error: OSError) -> str:
    """What the file system says, and the way out where the disk is full."""
    if error.errno in _NO_ROOM:
        return f"{error.strerror}: make room there, and type it again; it goes on where it was"
    return str(error.strerror)


def file_identity(path: Path) -> tuple[int, int]:
    """Device and inode. Raises `LedgerError`: writes to a file that was removed would be lost."""
    try:
        found = path.stat()
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from error
    return found.st_dev, found.st_ino


def keep_private(path: Path) -> None:
    """Ledger, mirror and backups are for their owner: they tell who is whom at the provider."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise LedgerError(
            f"{path}: others may read this file, and its mode cannot be changed "
            f"({error.strerror}): chown it to who runs this command, chmod 600"
        ) from error


def new_file(path: Path) -> int:
    """A descriptor of a file that did not exist, 0600. Raises `LedgerError` when it cannot be."""
    try:
        return os.open(
            path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
    except OSError as error:
        raise LedgerError(f"{path}: cannot be made: {error.strerror}") from error


def keep_name(path: Path) -> None:
    """Make the name of a new file survive a power cut: fsync of its folder."""
    with errors_translated(path.parent):
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _describe(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {str(cause).partition(chr(10))[0]}"


def _set_up(connection: Any, _record: object) -> None:
    """Durability first; transactions begin when we say so, not when the driver thinks they do."""
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise LedgerError(f"SQLite keeps no write-ahead log here (journal_mode is {mode!r})")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
    finally:
        cursor.close()
