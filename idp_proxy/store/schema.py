"""The shape of the database: brought up to date by Alembic, and checked before anything is read."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from idp_proxy.errors import StoreError
from idp_proxy.store.database import Database, make_file

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection


def migrate(url: str | URL) -> None:
    """Bring the database at `url` up to date, and make it where there is none.

    Everything or nothing; several processes may try at once. Raises `StoreError`.
    """
    make_file(url)
    database = Database(url)
    try:
        with database.writing() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"the database cannot be brought up to date: {error}; a newer version of the proxy "
            "made it: install that version"
        ) from error
    finally:
        database.close()


def check(connection: Connection) -> None:
    """Raises `StoreError` unless the database has exactly the shape this version works with."""
    found = MigrationContext.configure(connection).get_current_revision()
    expected = ScriptDirectory.from_config(_config()).get_current_head()
    if found != expected:
        raise StoreError(
            f"the database has the shape {found or 'of an empty file'}, this version works with "
            f"{expected}: `idp-proxy serve` brings an older one up to date when it starts; for "
            "one made by a newer version install that version"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option(
        "script_location", str(files("idp_proxy.store") / "migrations").replace("%", "%%")
    )
    return config
