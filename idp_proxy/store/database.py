"""Connections to the store's database: how they are opened, made durable, and how they fail.

SQLite: write-ahead log with synchronous=FULL, so that what is committed survives a power cut
(sqlite.org/pragma.html#pragma_synchronous); a write transaction takes the write lock when it
begins, so that it never fails half-way for want of it. PostgreSQL: every wait has an end, and while
the server is away everybody is told so at once (`postgresql`, `circuit`). Every error leaves as
`StoreError`.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from idp_proxy.errors import StoreAway, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Connection, Engine

    from idp_proxy.store.postgresql import PostgresServer

#: How long a writer waits for another one, in seconds.
BUSY_S = 5.0

#: Octets free on a disk on which logins can be written down: pages of the log, and its index.
_LEAST_FREE = 256 * 1024
_POOL_SIZE = 8
_POOL_OVERFLOW = 32
_SUPPORTED = ("sqlite", "postgresql")


class Database:
    """One database, open for the threads of this process."""

    def __init__(self, url: str | URL, admit: Callable[[Connection], None] | None = None) -> None:
        """Open what is there already. Raises `StoreError` when there is no such database file.

        `admit` looks at the database when it is first reached, and raises if it is the wrong one.
        """
        parsed = parse_url(url)
        self.path = _file_of(parsed)
        self._file = None if self.path is None else _identity(self.path)
        if self.path is not None:
            _keep_private(self.path)
        self.dialect = parsed.get_backend_name()
        self._server = None if self.dialect == "sqlite" else _server(parsed)
        self._engine = self._server.engine if self._server else _sqlite_engine(parsed)
        self._admit = admit
        # SQLite gives every transaction its snapshot; PostgreSQL only when it is asked to.
        self._reader = (
            self._engine
            if self.dialect == "sqlite"
            else self._engine.execution_options(isolation_level="REPEATABLE READ")
        )
        # Threads of one process queue here in turn: SQLite's own waiting is polling.
        self._turn = threading.Lock() if self.dialect == "sqlite" else None

    @contextmanager
    def writing(self, *, patient: bool = False) -> Iterator[Connection]:
        """A connection in a write transaction: committed at the end, rolled back on any error.

        `patient` is for what may take longer than a login. Raises `StoreAway` when nobody answers,
        then also at the end, and nobody knows whether it was committed.
        """
        with self._translated(patient=patient), self._in_turn():
            self._check_file()
            with self._engine.begin() as connection:
                self._begin(connection, "BEGIN IMMEDIATE", patient=patient)
                yield connection
        if self._server is not None:
            self._server.circuit.wrote()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one snapshot of what is committed."""
        with self._translated():
            self._check_file()
            with self._reader.connect() as connection:
                self._begin(connection, "BEGIN")
                yield connection

    def take_turn(self, connection: Connection) -> None:
        """Nobody else changes the shape until this transaction ends. A write transaction of SQLite
        is alone anyway.
        """
        if self._server is not None:
            self._server.take_turn(connection)

    def has_room(self) -> bool:
        """Whether SQLite's disk takes writes and is not full. Of a server's disk nothing is known.

        Reading goes on where every login is refused, so that reading alone would not show it.
        """
        if self.path is None:
            return True
        try:
            disk = os.statvfs(self.path.parent)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error
        return disk.f_bavail * disk.f_frsize >= _LEAST_FREE and not disk.f_flag & os.ST_RDONLY

    def fold_log(self) -> bool:
        """Write SQLite's log into its file, and empty it (sqlite.org/wal.html#ckpt); False when
        somebody reads an older state for longer than `BUSY_S`. A server has none of it.
        """
        if self._server is not None:
            return True
        with self._translated(), self._in_turn(), self._engine.connect() as connection:
            raw: Any = connection.connection.driver_connection
            try:
                busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            except sqlite3.Error as error:
                raise StoreError(f"{self.path}: {error}") from error
        return not busy

    def close(self) -> None:
        """Give back every connection."""
        if self._server is not None:
            self._server.close()
        self._engine.dispose()

    @contextmanager
    def _translated(self, *, patient: bool = False) -> Iterator[None]:
        """Turn every error of SQLAlchemy into `StoreError`, without the values of the statement."""
        if self._server is not None:
            self._server.circuit.demand()
        try:
            yield
        except SQLAlchemyError as error:
            why = _describe(error) if self.path is None else f"{self.path}: {_describe(error)}"
            if self._server is not None and self._server.lost(error, why, patient=patient):
                raise StoreAway(why) from error
            raise StoreError(why) from error

    def _begin(self, connection: Connection, how: str, *, patient: bool = False) -> None:
        """Begin what the driver was told not to begin by itself. Straight on the driver: a listener
        of SQLAlchemy's engine events would be asked at every single statement.
        """
        if self._server is not None:
            self._server.begin(connection, patient=patient)
        else:
            raw: Any = connection.connection.driver_connection
            try:
                raw.execute(how)
            except sqlite3.Error as error:
                raise StoreError(f"{self.path}: {error}") from error
        if self._admit is not None:
            self._admit(connection)
            self._admit = None

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=BUSY_S):
            raise StoreError(f"no write transaction could begin within {BUSY_S:.0f} s")
        try:
            yield
        finally:
            self._turn.release()

    def _check_file(self) -> None:
        """Writes to a file that was removed or replaced would succeed, and be lost."""
        if self.path is not None and _identity(self.path) != self._file:
            raise StoreError(
                f"{self.path}: another file has taken the place of the one that was opened; "
                "restart to use it"
            )


def parse_url(url: str | URL) -> URL:
    """The database URL. Raises `StoreError` on one that cannot be used; never shows a password."""
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        raise StoreError(
            "[store] url is no database URL; an example: sqlite:///var/idp-proxy.db"
        ) from None
    if backend not in _SUPPORTED:
        raise StoreError(f"[store] url names {backend}; supported are {', '.join(_SUPPORTED)}")
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StoreError("[store] url names no file, and a store in memory would forget logins")
    return parsed


def make_file(url: str | URL) -> None:
    """Make an empty database file (0600) where SQLite has none, in a folder that is made 0700."""
    path = _file_of(parse_url(url))
    if path is None or path.exists():
        return
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise StoreError(f"{path}: the database cannot be made: {error.strerror}") from error


def _describe(error: SQLAlchemyError) -> str:
    if not isinstance(error, DBAPIError) or error.orig is None:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    # The first line only: what PostgreSQL says behind it repeats the values of the row.
    return f"{type(error.orig).__name__}: {str(error.orig).partition(chr(10))[0]}"


def _server(url: URL) -> PostgresServer:
    try:
        from idp_proxy.store.postgresql import (  # noqa: PLC0415 - its driver is an extra
            PostgresServer,
        )
    except ImportError:
        raise StoreError(
            "a store in PostgreSQL needs its driver: pip install"
            " 'mattermost-sso-failover[postgresql]'"
        ) from None
    return PostgresServer(url)


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_S},
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_OVERFLOW,
        pool_timeout=BUSY_S,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    """Durability first; transactions begin when we say so, not when the driver thinks they do."""
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(f"SQLite keeps no write-ahead log here (journal_mode is {mode!r})")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # Who is forgotten leaves no key in free pages of the file.
        cursor.execute("PRAGMA secure_delete=ON")
    finally:
        cursor.close()


def _file_of(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return Path(url.database)


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise StoreError(
            f"{path}: no such file: `idp-proxy serve` makes it at its first start; one that was "
            "there before comes back from the backup"
        ) from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return found.st_dev, found.st_ino


def _keep_private(path: Path) -> None:
    """The file is for its owner: it holds the roster. Its write-ahead log gets the same mode."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"{path}: others may read this file, and its mode cannot be changed "
            f"({error.strerror}): chown it to the user of the proxy, chmod 600"
        ) from error
