"""What logins by a standby may rely on, in both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.standby_logins import Forgotten, StandbyLogin, Unsettled
from idp_proxy.store.sql import SqlStore
from idp_proxy.store.standby_logins import forget_standby_logins, standby_logins, unsettled
from tests.conformance.rooms import NOW, SOON

if TYPE_CHECKING:
    from tests.conformance.rooms import Room

EARLIER = NOW - timedelta(days=1)
ANN, ANN_AGAIN = StandbyLogin("p-1", "entra", 2, NOW), StandbyLogin("p-1", "corp", 3, SOON)
BEN = StandbyLogin("p-2", "entra", 2, EARLIER)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def room(room: Room) -> Room:
    """A store with a database: these are read from no other."""
    return room


@pytest.fixture
def database(room: Room) -> SqlStore:
    found = room.open()
    assert isinstance(found, SqlStore)
    with found.transaction() as tx:
        for one in (ANN, ANN_AGAIN, BEN):
            tx.note_standby_login(one)
    return found


def test_they_come_back_from_the_oldest_on_by_one_standby_or_by_all(database: SqlStore) -> None:
    with database.reading() as connection:
        assert standby_logins(connection, EARLIER) == (BEN, ANN, ANN_AGAIN)
        assert standby_logins(connection, NOW) == (ANN, ANN_AGAIN)
        assert standby_logins(connection, EARLIER, "corp") == (ANN_AGAIN,)
        assert unsettled(connection) == Unsettled(2, EARLIER)


def test_what_is_settled_is_forgotten_and_nobody_else_s(database: SqlStore) -> None:
    with database.writing() as connection:
        assert forget_standby_logins(connection, "p-1", [NOW, EARLIER]) == 1
    with database.reading() as connection:
        assert standby_logins(connection, EARLIER) == (BEN, ANN_AGAIN)
    with database.writing() as connection:
        forget_standby_logins(connection, "p-1", [SOON])
        forget_standby_logins(connection, "p-2", [EARLIER])
        assert unsettled(connection) is None


def test_those_before_a_time_are_forgotten_once(room: Room, database: SqlStore) -> None:
    with database.transaction() as tx:
        assert tx.forget_standby_logins_before(SOON) == Forgotten(2, 2)
    other = room.open("other")
    with other.transaction() as tx:
        assert tx.forget_standby_logins_before(SOON) == Forgotten(0, 0)
    with database.reading() as connection:
        assert standby_logins(connection, EARLIER) == (ANN_AGAIN,)


def test_a_login_that_is_rolled_back_was_none(database: SqlStore) -> None:
    def interrupted() -> None:
        with database.transaction() as tx:
            tx.note_standby_login(StandbyLogin("p-3", "entra", 2, SOON))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    with database.reading() as connection:
        assert unsettled(connection) == Unsettled(2, EARLIER)
