"""Who is forgotten is in no place of either database any more, and the audit still verifies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.audit.log import pseudonyms
from idp_proxy.audit.tables import metadata as audit_tables
from idp_proxy.decision.drill import person_digest
from idp_proxy.decision.forgetting import Kept
from idp_proxy.decision.roster import AdmittedByHand
from idp_proxy.decision.second_factor import Factor, Method, Tries
from idp_proxy.decision.standby_logins import StandbyLogin
from idp_proxy.errors import StoreConflict
from idp_proxy.store.forgetting import PLACES, kept_of
from idp_proxy.store.sql import SqlStore
from idp_proxy.store.tables import metadata
from tests.conformance.rooms import NOW, SOON, audit_rows, drill, event, person, state, verdict

if TYPE_CHECKING:
    from tests.conformance.rooms import Room

ADA = person("p-canary-4711")
KEPT = Kept(ADA, admissions=1, factors=1, tries=1, standby_logins=1, pseudonyms=1)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def room(room: Room) -> Room:
    """A store with a database: nobody is forgotten in another one."""
    return room


@pytest.fixture
def database(room: Room) -> SqlStore:
    """Ada and Ben stand wherever somebody can."""
    found = room.open()
    assert isinstance(found, SqlStore)
    digests = frozenset({person_digest("p-canary-4711"), person_digest("p-ben")})
    with found.transaction() as tx:
        for row in (ADA, person("p-ben")):
            tx.save_person(row)
            tx.admit_by_hand(
                AdmittedByHand(row.id, NOW, "operator:ann", "a reason", privileged=False)
            )
            tx.add_factors([Factor(f"f-{row.id}", row.id, Method.TOTP, NOW, 1, b"sealed")])
            tx.factor_tries(row.id)
            tx.save_factor_tries(Tries(row.id, 1, 1, NOW, SOON))
            tx.note_standby_login(StandbyLogin(row.id, "entra", 2, NOW))
            tx.record(event(person_id=row.id))
        tx.swap_drill(0, replace(drill(), people=digests))
    return found


def test_who_is_forgotten_is_nowhere_and_nobody_else_is(database: SqlStore) -> None:
    with database.reading() as connection:
        assert kept_of(connection, ADA.id) == KEPT
    with database.forgetting() as tx:
        assert tx.forget_person(ADA.id) == KEPT
        assert tx.forget_person(ADA.id) == Kept()
        tx.record(event("person_forgotten", None))
    assert database.person(ADA.id) is None
    assert database.person_by_lookup_key("p-canary-4711") is None
    assert database.factors_of(ADA.id) == ()
    last = database.drill()
    assert last is not None
    assert (last.version, *last.people) == (2, person_digest("p-ben"))
    with database.reading() as connection:
        assert kept_of(connection, ADA.id).is_nothing
        ben = kept_of(connection, "p-ben")
    assert ben == replace(KEPT, row=person("p-ben"))


def test_the_audit_still_verifies_and_the_person_can_come_back_as_somebody_new(
    database: SqlStore,
) -> None:
    with database.reading() as connection:
        (before,) = pseudonyms(connection, ADA.id)
    with database.forgetting() as tx:
        tx.forget_person(ADA.id)
    with database.transaction() as tx:
        tx.record(event(person_id=ADA.id))
    assert verdict(database).ok
    with database.reading() as connection:
        (after,) = pseudonyms(connection, ADA.id)
    assert after != before
    assert [before in row.body for row in audit_rows(database)].count(True) == 1


def test_what_goes_wrong_erases_nothing(database: SqlStore) -> None:
    with pytest.raises(StoreConflict), database.forgetting() as tx:
        tx.swap(7, state(8) if tx.forget_person(ADA.id) == KEPT else state())
    with database.reading() as connection:
        assert kept_of(connection, ADA.id) == KEPT


def test_a_person_without_a_link_key_is_in_no_drill(database: SqlStore) -> None:
    with database.transaction() as tx:
        tx.save_person(replace(ADA, lookup_key=None))
    with database.forgetting() as tx:
        tx.forget_person(ADA.id)
        tx.forget_person("nobody")
    last = database.drill()
    assert last is not None
    assert last.version == 1


def test_every_column_that_names_a_person_is_among_the_places() -> None:
    """A table that is added must be emptied too, or be one of those that name nobody."""
    named = {
        f"{table.name}.{column.name}"
        for table in (*metadata.tables.values(), *audit_tables.tables.values())
        for column in table.c
        if column.name in {"person", "person_id", "people", "subject"}
    }
    counts = {"roster_forecast.people", "roster_import.people"}
    upstreams_and_operators = {"review_waiver.subject", "review_waiver.people"}
    beside = {"drill.people", "audit_person.person_id"}
    places = {f"{column.table.name}.{column.name}" for _, column in PLACES}
    assert named - counts - upstreams_and_operators == places | beside


def test_no_octet_of_the_file_names_who_was_forgotten(database: SqlStore) -> None:
    path = database._database.path
    if path is None:
        return  # what a server keeps on its disk is not for a client to see
    with database.transaction() as tx:
        tx.note_standby_login(StandbyLogin(ADA.id, "entra", 2, NOW + timedelta(days=1)))
    held = sorted(path.parent.glob(f"{path.name}*"))
    assert any(b"canary-4711" in file.read_bytes() for file in held)
    with database.forgetting() as tx:
        tx.forget_person(ADA.id)
    assert database.fold_log()
    assert not any(b"canary-4711" in file.read_bytes().lower() for file in held if file.exists())
