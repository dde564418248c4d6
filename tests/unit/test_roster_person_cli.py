"""`roster block`, `unblock`, `admit` and `resolve`: a word about one person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.audit.log import rows
from idp_proxy.decision.roster import BY_OPERATOR
from tests.unit.roster_bench import WHY, bench, known, outage, person, settings, store

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench
    from tests.unit.config_folder import Folder

__all__ = ["bench", "settings", "store"]


def test_a_person_is_blocked_and_let_in_again(bench: Bench, store: SqlStore) -> None:
    known(store, person(bench, "alice", blocks=frozenset({"missing:csv"})))
    bench.program.ok("roster", "block", "Alice@Example.org", *WHY)
    row = store.person("e-alice")
    assert row is not None
    assert row.blocks == {"missing:csv", BY_OPERATOR}
    done = bench("roster", "unblock", "alice", *WHY)
    assert done.code == 0, done.err
    assert "the next import blocks them again" in done.err
    assert bench("roster", "unblock", "alice", *WHY).code == 1
    assert store.person("e-alice") == person(bench, "alice")
    with store.reading() as connection:
        found = [row for row in rows(connection) if row.kind.startswith("person_")]
    assert [row.kind for row in found] == ["person_blocked", "person_unblocked"]
    assert all("alice" not in row.body for row in found)
    assert found[0].content["person"] == found[1].content["person"] != "e-alice"


def test_a_name_that_two_people_have_is_not_guessed_about(bench: Bench, store: SqlStore) -> None:
    known(store, person(bench, "alice"), person(bench, "bob", username="alice"))
    done = bench("roster", "block", "alice", *WHY)
    assert done.code == 1
    assert "could be any of these: e-alice, e-bob" in done.err
    assert "called 'nobody'" in bench("roster", "block", "nobody", *WHY).err
    bench.program.ok("roster", "block", "e-alice", *WHY)


def test_an_approver_lets_somebody_in_for_one_outage(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    bench.staff()
    old = bench.now - timedelta(days=100)
    known(store, person(bench, "alice", confirmed_at=old))
    words = ("roster", "admit", "alice", *WHY)
    assert "okta serves: there is no outage" in bench(*words).err
    outage(store, settings)
    by_operator = bench(*words, "--as", "olga", typed=bench.signs_in("olga"))
    assert by_operator.code == 1
    assert "role approver" in by_operator.err
    bench.uid = 0
    assert "takes an override" in bench(*words).err
    bench.now += timedelta(seconds=30)
    done = bench(*words, "--as", "anna", typed=bench.signs_in("anna"))
    assert done.code == 0, done.err
    with store.transaction() as tx:
        said = tx.admitted_by_hand("e-alice")
        state = store.switch_state()
    assert said is not None
    assert state is not None
    assert (said.actor, said.privileged) == ("operator:anna", False)
    assert said.in_force(replace(state, left={}), "okta") is False
    assert ("person_admitted", "operator:anna") in bench.audit()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"blocks": frozenset({BY_OPERATOR})}, "nobody admits who is blocked"),
        ({"conflict": True}, "say whose key it is: roster resolve"),
    ],
)
def test_an_approver_s_word_does_not_stand_in_for_everything(
    bench: Bench, store: SqlStore, settings: Settings, other: dict[str, Any], said: str
) -> None:
    known(store, person(bench, "alice", **other))
    outage(store, settings)
    done = bench("roster", "admit", "alice", *WHY)
    assert done.code == 1
    assert said in done.err


def test_an_administrator_is_admitted_only_in_so_many_words(
    bench: Bench, store: SqlStore, settings: Settings, folder: Folder
) -> None:
    folder.text = folder.text.replace(
        "signing_certificates = []",
        'signing_certificates = []\nenable_admin_attribute = true\nadmin_attribute = "firstname=X"',
    )
    bench.program.write()
    known(store, person(bench, "alice"))
    outage(store, settings)
    done = bench("roster", "admit", "alice", *WHY)
    assert "FO-11: has role admin" in done.err
    assert "--in-spite-of-role" in done.err
    bench.program.ok("roster", "admit", "alice", "--in-spite-of-role", *WHY)


def test_an_operator_says_whose_a_link_key_is(bench: Bench, store: SqlStore) -> None:
    known(
        store,
        person(bench, "alice", link_key="K", lookup_key="k", conflict=True),
        person(bench, "bob", link_key="k", lookup_key=None, conflict=True),
        person(bench, "carol"),
    )
    assert bench("roster", "resolve", "carol", *WHY).code == 1
    done = bench("roster", "resolve", "bob", *WHY)
    assert done.code == 0, done.err
    assert "without one now: e-alice" in done.out
    found = {row.id: row for row in store.people_after("", 9)}
    assert (found["e-bob"].lookup_key, found["e-bob"].conflict) == ("k", False)
    assert (found["e-alice"].lookup_key, found["e-alice"].conflict) == (None, False)
    assert bench("roster", "check").code == 3  # alice has no key
    bench.program.ok("roster", "resolve", "alice", *WHY)
    assert store.person_by_lookup_key("k") == replace(found["e-alice"], lookup_key="k")
