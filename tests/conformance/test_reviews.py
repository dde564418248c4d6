"""What a review's signatures and waivers may rely on, in both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from idp_proxy.decision.review import Policy, Signed, Waiver
from idp_proxy.errors import StoreError
from idp_proxy.store import reviews
from idp_proxy.store.sql import SqlStore
from idp_proxy.store.tables import review_waiver
from tests.conformance.rooms import NOW, SOON

if TYPE_CHECKING:
    from tests.conformance.rooms import Room

KEY, OLD_KEY = b"k" * 32, b"o" * 32
SIGNED = Signed(
    id="s1",
    name="Zoë Ångström",
    at=NOW,
    policy=Policy({"upstream.entra.kind": "saml", "upstream.corp.guid": "☃", "a": "1"}),
    open_findings=3,
)
WAIVER = Waiver(
    id="w1",
    rule="FO-17",
    subject="entra",
    checks=("fo_17_apart", "fo_17_named"),
    people=("operator:ann", "operator:ben"),
    reason="both are in one hall until März",
    given_at=NOW,
    ends_at=SOON,
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def room(room: Room) -> Room:
    """A store with a database: reviews are kept in no other."""
    return room


@pytest.fixture
def database(room: Room) -> SqlStore:
    found = room.open()
    assert isinstance(found, SqlStore)
    return found


def test_what_was_signed_comes_back_and_the_last_one_counts(database: SqlStore) -> None:
    with database.reading() as connection:
        assert reviews.last_signed(connection, [KEY]) is None
        assert reviews.waivers(connection, NOW, [KEY]) == ()
    later = replace(SIGNED, id="s2", at=SOON, policy=Policy({}))
    with database.writing() as connection:
        reviews.keep_signed(connection, later, [KEY])
        reviews.keep_signed(connection, SIGNED, [KEY])
    with database.reading() as connection:
        assert reviews.last_signed(connection, [KEY]) == later
        assert reviews.signed_as(connection, "s1", [KEY]) == SIGNED
        assert reviews.signed_as(connection, "s3", [KEY]) is None


def test_a_waiver_counts_until_its_end_and_a_time_is_one_in_every_zone(database: SqlStore) -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    elsewhere = replace(WAIVER, id="w2", given_at=NOW.astimezone(east))
    with database.writing() as connection:
        reviews.keep_waiver(connection, WAIVER, [KEY])
        reviews.keep_waiver(connection, elsewhere, [KEY])
    with database.reading() as connection:
        found = reviews.waivers(connection, NOW, [KEY])
        assert sorted(found, key=lambda one: one.id) == [WAIVER, elsewhere]
        assert reviews.waivers(connection, SOON, [KEY]) == ()
        assert reviews.altered(connection, NOW, [KEY]) == ()


def test_what_the_database_alone_could_write_counts_for_nothing(database: SqlStore) -> None:
    with database.writing() as connection:
        reviews.keep_waiver(connection, WAIVER, [KEY])
        connection.execute(update(review_waiver).values(ends_at=SOON + timedelta(days=90)))
    with database.reading() as connection:
        assert reviews.waivers(connection, NOW, [KEY]) == ()
        assert reviews.altered(connection, NOW, [KEY]) == ("waiver w1",)


def test_an_old_key_may_go_when_its_marks_were_renewed(database: SqlStore) -> None:
    with database.writing() as connection:
        reviews.keep_signed(connection, SIGNED, [OLD_KEY])
        reviews.keep_waiver(connection, WAIVER, [OLD_KEY])
    with database.writing() as connection:
        assert reviews.renew(connection, [KEY, OLD_KEY]) == 2
        assert reviews.renew(connection, [KEY, OLD_KEY]) == 0
    with database.reading() as connection:
        assert reviews.waivers(connection, NOW, [KEY]) == (WAIVER,)
        assert reviews.last_signed(connection, [KEY]) == SIGNED


def test_of_two_hosts_that_keep_one_waiver_at_once_one_does(room: Room) -> None:
    """It was confirmed once: a second row under its id is an error, and changes nothing."""
    stores = [room.open("host"), room.open("other")]

    def keep(store: object) -> bool:
        assert isinstance(store, SqlStore)
        try:
            with store.writing() as connection:
                reviews.keep_waiver(connection, WAIVER, [KEY])
        except StoreError:
            return False
        return True

    with ThreadPoolExecutor(2) as hosts:
        assert sorted(hosts.map(keep, stores)) == [False, True]
    assert isinstance(stores[0], SqlStore)
    with stores[0].reading() as connection:
        assert reviews.waivers(connection, NOW, [KEY]) == (WAIVER,)
