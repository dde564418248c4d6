"""Mattermost's own database: the best source below 10.11. Nothing but one SELECT is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import create_engine, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from conversion.decision.account import Binding, Source
from conversion.errors import ConfigError
from conversion.inventory.merge import Key, Said

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

_SELECT: Final = text("SELECT id, authdata FROM users WHERE authservice = 'saml'")
#: What makes the transaction read-only, by kind of database; the account should be so too.
_READ_ONLY: Final = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET TRANSACTION READ ONLY",
    "mariadb": "SET TRANSACTION READ ONLY",
    "sqlite": "PRAGMA query_only = ON",
}
_DRIVERS: Final = {
    "postgresql": "pip install 'mattermost-sso-failover[postgresql]', and postgresql+psycopg://",
    "mysql": "pip install pymysql, and mysql+pymysql://",
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
        engine = create_engine(url, hide_parameters=True)
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
    return engine


def _described(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    first, _, _ = str(cause).partition("\n")
    return f"{type(cause).__name__}: {first}; is it Mattermost's database, and may we read it?"
