"""`person forget` and `person confirm`: two people erase what is kept of a third."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import pseudonyms, rows
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.decision.standby_logins import StandbyLogin
from tests.unit.roster_bench import WHY, bench, known, person, settings, store

if TYPE_CHECKING:
    from idp_proxy.audit.chain import Row
    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench, Program

__all__ = ["bench", "settings", "store"]


def logged_in(bench: Bench, store: SqlStore, *names: str) -> None:
    known(store, *(person(bench, name) for name in names))
    with store.transaction() as tx:
        for name in names:
            tx.record(Event("login", "idp-proxy", bench.now, person=f"e-{name}"))


def about_people(store: SqlStore) -> list[Row]:
    with store.reading() as connection:
        return [row for row in rows(connection) if row.kind.startswith("person_")]


def links(store: SqlStore, person_id: str) -> frozenset[str]:
    with store.reading() as connection:
        return pseudonyms(connection, person_id)


def proposal_of(done: Program) -> str:
    return done.next.split()[-3]


def test_two_people_forget_somebody_and_the_audit_still_verifies(
    bench: Bench, store: SqlStore
) -> None:
    bench.staff()
    logged_in(bench, store, "alice", "bob")
    (before,) = links(store, "e-alice")
    words = ("person", "forget", "Alice@example.org", *WHY)
    asked = bench(*words, "--as", "olga", typed=bench.signs_in("olga"))
    assert asked.code == 3
    assert "e-alice, alice, alice@example.org" in asked.err
    assert "1 pseudonyms in the audit" in asked.err
    assert asked.next.startswith("next: idp-proxy person confirm Alice@example.org ")
    assert store.person("e-alice") is not None
    again = bench(
        "person",
        "confirm",
        "alice",
        proposal_of(asked),
        "--as",
        "olga",
        typed=bench.signs_in("olga"),
    )
    assert again.code == 1
    assert store.person("e-alice") is not None
    status = bench("status")
    assert f"person confirm WHO {proposal_of(asked)}" in status.out
    done = bench(
        "person",
        "confirm",
        "alice",
        proposal_of(asked),
        "--as",
        "anna",
        typed=bench.signs_in("anna"),
    )
    assert done.code == 0, done.err
    assert "nothing leads to them any more" in done.out
    assert store.person("e-alice") is None
    assert links(store, "e-alice") == frozenset()
    assert store.person("e-bob") is not None
    assert links(store, "e-bob")
    asking, forgotten = about_people(store)
    assert asking.content["person"] == before
    assert forgotten.content["person"] is None
    assert forgotten.content["actor"] == "operator:olga (confirmed by operator:anna)"
    assert forgotten.content["facts"] == {
        "cause": "a test",
        "row": True,
        "factors": 0,
        "pseudonyms": 1,
    }
    assert bench("verify-audit").code == 0
    assert "called 'alice'" in bench(*words).err.replace("Alice@example.org", "alice")


def test_one_person_does_it_alone_only_after_a_countdown_that_everybody_hears_of(
    bench: Bench, store: SqlStore
) -> None:
    bench.staff()
    logged_in(bench, store, "alice")
    done = bench(
        "person",
        "forget",
        "alice",
        *WHY,
        "--as",
        "olga",
        "--override",
        "nobody is here",
        typed=bench.signs_in("olga"),
    )
    assert done.code == 0, done.err
    assert bench.paused == 60
    assert [kind for kind, _ in bench.told] == ["override"]
    assert all("alice" not in str(facts) for _, facts in bench.told)
    assert store.person("e-alice") is None


def test_a_proposal_is_for_one_person_and_no_other(bench: Bench, store: SqlStore) -> None:
    """Whom no login brought into the audit has a pseudonym from then on, so that none fits two."""
    bench.staff()
    known(store, person(bench, "alice"), person(bench, "bob"))
    asked = bench("person", "forget", "alice", *WHY, "--as", "olga", typed=bench.signs_in("olga"))
    for name in ("bob", "alice"):
        bench("person", "forget", name, *WHY, "--as", "olga", typed=bench.signs_in("olga"))
    done = bench("person", "confirm", "bob", proposal_of(asked), "--as", "anna")
    assert done.code == 1
    assert "the proposal is about somebody else" in done.err
    assert store.person("e-bob") is not None


def test_a_word_that_is_to_stay_names_nobody(bench: Bench, store: SqlStore) -> None:
    logged_in(bench, store, "alice")
    before = about_people(store)
    done = bench("person", "forget", "alice", "--reason", "Alice left")
    assert done.code == 1
    assert "--reason names the person, and it stays in the audit" in done.err
    again = bench("person", "forget", "alice", *WHY, "--override", "e-ALICE is gone")
    assert "--override names the person" in again.err
    assert about_people(store) == before
    assert store.person("e-alice") is not None


@pytest.mark.parametrize("late", [False, True])
def test_what_protects_others_keeps_a_person(bench: Bench, store: SqlStore, *, late: bool) -> None:
    """Also when it came to be so while a second person was waited for."""
    bench.staff()
    logged_in(bench, store, "alice", "bob")

    def blocks_and_logins() -> None:
        known(store, person(bench, "alice", blocks=frozenset({BY_OPERATOR})))
        with store.transaction() as tx:
            tx.note_standby_login(StandbyLogin("e-bob", "entra", 2, bench.now))

    words = ("--override", "nobody is here", "--as", "olga")
    if late:
        bench.during_pause = blocks_and_logins
    else:
        blocks_and_logins()
    for name, why in (("alice", "blocked no more"), ("bob", "standby-logins revoke comes first")):
        typed = bench.signs_in("olga") if late else ()
        done = bench("person", "forget", name, *WHY, *words, typed=typed)
        assert done.code == 1
        assert why in done.err
        assert store.person(f"e-{name}") is not None
        assert links(store, f"e-{name}")
        if late and name == "alice":
            known(store, replace(person(bench, "alice"), blocks=frozenset()))
            with store.writing() as connection:
                connection.exec_driver_sql("DELETE FROM standby_login")
    assert "person_forgotten" not in {row.kind for row in about_people(store)}


def test_who_stands_in_the_audit_alone_is_named_by_id(bench: Bench, store: SqlStore) -> None:
    with store.transaction() as tx:
        tx.record(Event("login_refused", "idp-proxy", bench.now, person="e-gone"))
    done = bench("person", "forget", "e-gone", *WHY, "--override", "set-up")
    assert done.code == 0, done.err
    assert "e-gone\n  no row in the roster" in done.err
    assert links(store, "e-gone") == frozenset()
    nobody = bench("person", "forget", "e-gone", *WHY)
    assert nobody.code == 1
    assert "nobody in the roster is called 'e-gone'" in nobody.err


def test_a_log_that_is_still_read_is_told(
    bench: Bench, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged_in(bench, store, "alice")
    monkeypatch.setattr("idp_proxy.store.sql.SqlStore.fold_log", lambda _: False)
    done = bench("person", "forget", "alice", *WHY, "--override", "set-up")
    assert done.code == 0
    assert "the database's log holds what was erased" in done.err
