"""One store of each kind for every test of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.ledgers import Place
from tests.conformance.rooms import Room
from tests.support.postgresql import PostgreSQL, running_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A real server for everybody; who stops or freezes one has one of their own."""
    with running_postgresql() as running:
        yield running


@pytest.fixture
def postgresql(server: PostgreSQL) -> str:
    """The URL of a database on a real server."""
    return server.url


@pytest.fixture
def in_file(tmp_path: Path) -> Iterator[Place]:
    """A place for a ledger that is a file."""
    found = Place(tmp_path)
    yield found
    found.close()


@pytest.fixture
def in_postgresql(tmp_path: Path, postgresql: str) -> Iterator[Place]:
    """A place for a ledger in a database that hosts share."""
    found = Place(tmp_path, postgresql)
    found.lose_ledger()
    yield found
    found.close()


@pytest.fixture(params=["in_file", pytest.param("in_postgresql", marks=pytest.mark.e2e)])
def place(request: pytest.FixtureRequest) -> Place:
    """A place for a ledger of each kind; a real server is for `make e2e`."""
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def empty_database(server: PostgreSQL) -> Iterator[str]:
    """The URL of a database with nothing in it, on a real server."""
    name = server.new_database()
    yield server.url_of(name)
    server.drop_database(name)


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    """Where a store of each kind is; a real server is for `make e2e`."""
    url = request.getfixturevalue("empty_database") if request.param == "postgresql" else ""
    kept = Room(request.param, tmp_path, url)
    yield kept
    kept.close()


@pytest.fixture
def store(room: Room) -> MemoryStore | SqlStore:
    return room.open()
