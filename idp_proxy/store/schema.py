"""The shape of the database: brought up to date by Alembic, and checked before anything is read."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect, text

from idp_proxy.errors import StoreError
from idp_proxy.store.database import Database, make_file

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection


#: The newest revision in migrations/versions; a test holds it against Alembic's own answer.
HEAD: Final = "r0015"


def migrate(url: str | URL) -> None:
    """Bring the database at `url` up to date, and make it where there is none.

    Everything or nothing; several processes, of several hosts too, may try at once: one does it,
    and the others wait for it. Raises `StoreError`.
    """
    # Alembic takes a fifth of a second to import, which no worker and no command needs to wait for.
    from alembic import command  # noqa: PLC0415 - a fifth of a second, for migrations alone
    from alembic.config import Config  # noqa: PLC0415 - a fifth of a second, for migrations alone
    from alembic.util import CommandError  # noqa: PLC0415 - a fifth of a second, for migrations alone

    make_file(url)
    database = Database(url)
    try:
        with database.writing(patient=True) as connection:
            database.take_turn(connection)
            config = Config()
            config.set_main_option("script_location", migrations())
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
    """Raises `StoreError` unless the database has exactly the shape this version works with.

    Reads the one row that Alembic keeps.
    """
    found = None
    if inspect(connection).has_table("alembic_version"):
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found != HEAD:
        raise StoreError(
            f"the database has the shape {found or 'of an empty file'}, this version works with "
            f"{HEAD}: `idp-proxy serve` brings an older one up to date when it starts; for "
            "one made by a newer version install that version"
        )


def migrations() -> str:
    """Where Alembic finds the revisions, as its configuration writes it."""
    return str(files("idp_proxy.store") / "migrations").replace("%", "%%")
