"""Mattermost's users table as a source of bindings, on a real server of each kind it runs on."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url, text

from conversion.errors import ConfigError
from conversion.inventory import Key, read_sql, sql
from tests.support.mariadb import execute, running_mariadb

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADA, BOB, CY, EVE = (letter * 26 for letter in "abce")
#: As Mattermost's own migrations write it; what a conversion does not read is left out.
TABLE = (
    "CREATE TABLE Users (Id VARCHAR(26) PRIMARY KEY, Username VARCHAR(64), Password VARCHAR(128),"
    " AuthData VARCHAR(128) UNIQUE, AuthService VARCHAR(32))"
)
PEOPLE = (
    f"INSERT INTO Users VALUES ('{ADA}', 'ada', '', '00123', 'saml'),"
    f" ('{BOB}', 'bob', 'hash', NULL, ''), ('{CY}', 'cy', '', 'Zoë+1@corp.test', 'saml'),"
    f" ('{EVE}', 'eve', '', 'cn=eve', 'ldap')"
)
COLUMNS = "Id, AuthService, AuthData"


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    """A server of its own; its socket's path must be short."""
    folder = Path(tempfile.mkdtemp(prefix="mm-"))
    try:
        with running_mariadb(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def in_mariadb(mariadb: str) -> Iterator[tuple[str, str]]:
    """The URLs of an account that may read three columns, and of the administrator."""
    execute(mariadb, "CREATE DATABASE mm CHARACTER SET utf8mb4")
    execute(
        f"{mariadb}mm?charset=utf8mb4",
        TABLE,
        PEOPLE,
        "CREATE USER reader@localhost IDENTIFIED BY 'word'",
        f"GRANT SELECT ({COLUMNS}) ON mm.Users TO reader@localhost",
    )
    port = make_url(mariadb).port
    yield f"mysql://reader:word@localhost:{port}/mm", f"{mariadb}mm"
    execute(mariadb, "DROP DATABASE mm", "DROP USER reader@localhost")


@pytest.fixture
def in_postgresql(empty_database: str) -> tuple[str, str]:
    """The same on PostgreSQL; the driver is to be chosen by the tool."""
    execute(
        empty_database,
        TABLE,
        PEOPLE,
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN PASSWORD 'word'",
        f"GRANT SELECT ({COLUMNS}) ON Users TO reader",
    )
    url = make_url(empty_database).set(drivername="postgresql", username="reader", password="word")
    return url.render_as_string(hide_password=False), empty_database


@pytest.fixture(params=["in_postgresql", "in_mariadb"])
def urls(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Of an account that may read three columns of `Users` and nothing else, and of one that may do
    everything.
    """
    found: tuple[str, str] = request.getfixturevalue(request.param)
    return found


def test_bindings_are_read_to_the_byte_by_an_account_that_may_do_nothing_else(
    urls: tuple[str, str],
) -> None:
    said = read_sql(urls[0], NOW)
    assert {one.name: one.binding.auth_data for one in said} == {
        ADA: "00123",
        CY: "Zoë+1@corp.test",
    }
    assert {one.key for one in said} == {Key.USER_ID}


def test_nothing_can_be_written_even_by_an_administrator(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "_SELECT", text(f"DELETE FROM Users WHERE Id = '{ADA}'"))
    with pytest.raises(ConfigError, match=r"(?i)read.only"):
        read_sql(urls[1], NOW)
    monkeypatch.undo()
    assert len(read_sql(urls[1], NOW)) == 2
