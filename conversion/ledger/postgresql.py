"""The ledger in a PostgreSQL database that several hosts share.

It has a schema of its own, so that it may lie beside other tables. Write transactions take turns by
an advisory lock, as those of a file do; the place of the only bulk command is an advisory lock of a
connection that is kept for it, so that the server itself tells when its holder is gone. Every wait
has an end, for connecting, for a lock, for a statement, for a server that went silent.
"""

from __future__ import annotations

import ipaddress
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, create_engine, func, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateSchema

from conversion.errors import LedgerError
from conversion.ledger.database import errors_translated
from conversion.ledger.tables import ledger_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

SCHEMA: Final = "sso_conversion"
#: How messages and `pg_stat_activity` name this tool.
APPLICATION: Final = "sso-conversion"

#: Seconds to connect; milliseconds for all else.
_CONNECT_S: Final = 10
_STATEMENT_MS: Final = 30_000
_LOCK_MS: Final = 10_000
_IDLE_MS: Final = 60_000
_SILENT_MS: Final = 20_000
_POOL: Final = 4

#: Two numbers that nobody else takes: the ASCII codes of "ssoc", and what is locked.
_SPACE: Final = 0x73736F63
_WRITES, _BULK = 1, 2
_HAS_SCHEMA = select(func.to_regnamespace(SCHEMA))
_IN_TURN = select(func.pg_advisory_xact_lock(_SPACE, _WRITES))
_TRY = select(func.pg_try_advisory_lock(_SPACE, bindparam("what")))


class PostgresDatabase:
    """The `conversion.ledger.database.Database` at `url` (`postgresql+psycopg://...`)."""

    shared = True

    def __init__(self, url: URL) -> None:
        self.name = url.set(query={}).render_as_string(hide_password=True)
        self._engine = _engine(url)
        self._reader = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )

    def make_schema(self) -> None:
        """Make the schema where there is none. Raises `LedgerError`."""
        with errors_translated(self.name), self._engine.begin() as connection:
            connection.execute(_IN_TURN)
            # Looked for first: who may not make a schema may still use one that was made for them.
            if connection.execute(_HAS_SCHEMA).scalar() is None:
                connection.execute(CreateSchema(SCHEMA))

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """See `Database`."""
        with errors_translated(self.name), self._engine.begin() as connection:
            connection.execute(_IN_TURN)
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """See `Database`."""
        with errors_translated(self.name), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """See `Database`: the lock ends with the connection, whatever becomes of this process."""
        with errors_translated(self.name):
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with errors_translated(self.name):
                taken = bool(connection.execute(_TRY, {"what": _BULK}).scalar())
            yield taken
        finally:
            # Not given back to the pool: closed, the lock is open, also where nobody answers.
            with suppress(SQLAlchemyError):
                connection.invalidate()
            with suppress(SQLAlchemyError):
                connection.close()

    def close(self) -> None:
        """See `Database`."""
        self._engine.dispose()


def has_ledger(connection: Connection) -> bool:
    """Whether a ledger was made here."""
    return inspect(connection).has_table(ledger_schema.name, schema=SCHEMA)


def tls_problem(url: URL) -> str:
    """Why this connection could be read or answered by somebody else; empty where it could not."""
    if is_on_this_host(url) or url.query.get("sslmode") == "verify-full":
        return ""
    return (
        f"{url.host or 'the host'} is another machine: add ?sslmode=verify-full&sslrootcert=FILE,"
        " so that nobody else can answer as this database"
    )


def is_on_this_host(url: URL) -> bool:
    """Whether it is reached without a network: by a socket, or by an address of loopback.

    Drivers take hosts from the query too, and then these count.
    """
    named = [url.host or ""]
    for name in ("host", "hostaddr", "service"):
        value = url.query.get(name, ())
        named += [value] if isinstance(value, str) else value
    hosts = [host for several in named for host in several.split(",")]
    return all(not host or host.startswith("/") or _is_loopback(host) for host in hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _engine(url: URL) -> Engine:
    options = (
        ("search_path", SCHEMA),
        ("statement_timeout", _STATEMENT_MS),
        ("lock_timeout", _LOCK_MS),
        ("idle_in_transaction_session_timeout", _IDLE_MS),
        # What is committed is on disk, whatever the server's default.
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
    )
    try:
        return create_engine(
            url,
            hide_parameters=True,
            pool_size=_POOL,
            pool_timeout=_CONNECT_S,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": _CONNECT_S,
                "application_name": APPLICATION,
                "options": " ".join(f"-c {name}={value}" for name, value in options),
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": _SILENT_MS,
            },
        )
    except ImportError:
        raise LedgerError(
            "a ledger in PostgreSQL needs its driver: pip install"
            " 'mattermost-sso-failover[postgresql]'"
        ) from None
