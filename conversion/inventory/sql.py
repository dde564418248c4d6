"""Mattermost's own database: the best source below 10.11. Nothing but one SELECT is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from conversion.decision.account import Binding, Source
from conversion.errors import ConfigError
from conversion.inventory.merge import Key, Said
from conversion.ledger.postgresql import is_on_this_host, tls_problem

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import URL, Engine

#: As Mattermost writes it: MySQL on Linux tells `Users` from `users`, PostgreSQL folds both.
_SELECT: Final = text("SELECT Id AS id, AuthData AS authdata FROM Users WHERE AuthService = 'saml'")
#: What makes the transaction read-only, by kind of database; the account should be so too.
_READ_ONLY: Final = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET TRANSACTION READ ONLY",
    "mariadb": "SET TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}
_DRIVERS: Final = {
    "postgresql": "pip install 'mattermost-sso-failover[postgresql]', and postgresql+psycopg://",
    "mysql": "pip install 'mattermost-sso-failover[mysql]', and mysql+pymysql://",
}
#: The driver of each kind of database where the URL names none.
_USUAL: Final = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
#: Seconds to connect, and for the one answer: cron must not hang on a database that went silent.
_CONNECT_S: Final = 10
_ANSWER_S: Final = 300
_PATIENCE: Final[dict[str, dict[str, object]]] = {
    "psycopg": {
        "connect_timeout": _CONNECT_S,
        "options": f"-c statement_timeout={_ANSWER_S * 1000} -c default_transaction_read_only=on",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    },
    "pymysql": {"connect_timeout": _CONNECT_S, "read_timeout": _ANSWER_S},
}


def read_sql(url: str, now: datetime) -> tuple[Said, ...]:
    """What the users table says. The URL may hold a password and is never shown.

    Raises `ConfigError` when the URL, its driver or the database cannot be used.
    """
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(_READ_ONLY[engine.dialect.name])
            rows = connection.execute(_SELECT).all()
    except SQLAlchemyError as error:
        raise ConfigError([f"--sql: {_described(error)}"]) from error
    finally:
        engine.dispose()
    return tuple(
        Said(Key.USER_ID, str(row.id), Binding(str(row.authdata), Source.SQL, now))
        for row in rows
        if row.authdata
    )


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        parsed = parsed.set(drivername=_USUAL.get(parsed.drivername, parsed.drivername))
        patience = _PATIENCE.get(parsed.get_driver_name(), {})
        engine = create_engine(parsed, hide_parameters=True, connect_args=dict(patience))
    except (NoSuchModuleError, ImportError):
        known = "; ".join(f"{kind}: {cure}" for kind, cure in _DRIVERS.items())
        raise ConfigError([f"--sql: no driver for this kind of database. {known}"]) from None
    except (ArgumentError, ValueError):
        raise ConfigError(
            ["--sql: no database URL; it has the form postgresql+psycopg://user:word@host/name"]
        ) from None
    if engine.dialect.name not in _READ_ONLY:
        raise ConfigError(
            [f"--sql: {engine.dialect.name} is none of {', '.join(sorted(_READ_ONLY))}"]
        )
    if problem := _impostor_problem(parsed):
        raise ConfigError([f"--sql: {problem}"])
    return engine


def _impostor_problem(url: URL) -> str:
    """Why somebody else could answer: whoever names the bindings says who is whom at the return."""
    kind = url.get_backend_name()
    if kind == "postgresql":
        return tls_problem(url)
    if kind == "sqlite" or is_on_this_host(url) or "unix_socket" in url.query:
        return ""
    unchecked = str(url.query.get("ssl_check_hostname", "true")).lower() not in _YES
    if url.get_driver_name() != "pymysql" or "ssl_ca" not in url.query or unchecked:
        return (
            f"{url.host or 'the host'} is another machine: use mysql+pymysql:// with ?ssl_ca=FILE,"
            " so that nobody else can answer as this database"
        )
    return ""


_YES: Final = frozenset({"true", "1", "yes"})


def _described(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    first, _, _ = str(cause).partition("\n")
    return f"{type(cause).__name__}: {first}; is it Mattermost's database, and may we read it?"
