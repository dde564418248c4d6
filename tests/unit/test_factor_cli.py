"""`factor list` and `factor reset` as a person types them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.second_factor import COPIED, Factor, Method, Tries
from tests.unit.roster_bench import WHY, bench, known, person, settings, store

if TYPE_CHECKING:
    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench

__all__ = ["bench", "settings", "store"]


@pytest.fixture
def people(bench: Bench, store: SqlStore) -> SqlStore:
    """Alice has everything, one passkey looks copied, one code is used; Bob has nothing."""
    known(store, person(bench, "alice"), person(bench, "bob"))
    totp = Factor("f1", "e-alice", Method.TOTP, bench.now, 5, b"very secret")
    key = replace(totp, id="f2", method=Method.PASSKEY, mark=COPIED)
    codes = [replace(totp, id=f"f{n}", method=Method.RECOVERY, mark=n - 3) for n in (3, 4)]
    locked = Tries("e-alice", 0, 1, bench.now, bench.now + timedelta(minutes=9))
    with store.transaction() as tx:
        tx.add_factors([totp, key, *codes])
        tx.factor_tries("e-alice")
        tx.save_factor_tries(locked)
    return store


@pytest.mark.usefixtures("people")
def test_the_list_counts_who_has_one_and_who_has_none(bench: Bench) -> None:
    shown = bench.program.ok("factor", "list")
    assert "1 of 2 people in the roster have a second factor" in shown.out
    assert "1 have none" in shown.out
    assert shown.next.startswith("next: idp-proxy roster forecast")
    found = json.loads(bench.program.ok("factor", "list", "--json").out)
    assert (found["people"], found["with"], found["without"]) == (2, 1, 1)


@pytest.mark.usefixtures("people")
def test_one_person_s_are_shown_without_any_secret(bench: Bench) -> None:
    shown = bench.program.ok("factor", "list", "alice@example.org")
    for word in ("totp", "looks copied", "used", "locked until", "factor reset e-alice"):
        assert word in shown.out
    assert "secret" not in shown.out
    found = json.loads(bench.program.ok("factor", "list", "alice", "--json").out)
    assert [one["kind"] for one in found["factors"]] == ["totp", "passkey", "recovery", "recovery"]
    assert found["usable"]
    assert "no second factor" in bench.program.ok("factor", "list", "bob").out
    assert bench("factor", "list", "nobody").code == 1


def test_a_reset_takes_everything_is_on_record_and_names_the_way_back(
    bench: Bench,
    people: SqlStore,
) -> None:
    done = bench.program.ok("factor", "reset", "alice", *WHY)
    assert "4 removed" in done.out
    assert "/enroll" in done.out
    assert people.factors_of("e-alice") == ()
    assert people.factor_tries_of("e-alice") == Tries("e-alice")
    assert [kind for kind, _ in bench.audit()].count("factor_reset") == 1
    again = bench("factor", "reset", "alice", *WHY)
    assert (again.code, "no second factor" in again.err) == (1, True)


def test_with_operators_a_reset_takes_an_approver(bench: Bench, people: SqlStore) -> None:
    bench.staff()
    words = ("factor", "reset", "alice", *WHY)
    by_operator = bench(*words, "--as", "olga", typed=bench.signs_in("olga"))
    assert (by_operator.code, "role approver" in by_operator.err) == (1, True)
    bench.uid = 0
    assert "takes an override" in bench(*words).err
    assert len(people.factors_of("e-alice")) == 4
    bench.now += timedelta(seconds=30)
    done = bench(*words, "--as", "anna", typed=bench.signs_in("anna"))
    assert done.code == 0, done.err
    assert ("factor_reset", "operator:anna") in bench.audit()
