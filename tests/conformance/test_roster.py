"""The roster as a whole, held against every kind of store: pages, imports, an approver's word."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy import roster_import
from idp_proxy.decision.roster import AdmittedByHand, Forecast, Listed, Run, Tally, why_refused
from idp_proxy.errors import RosterRefused, StoreConflict, StoreError
from idp_proxy.listing.base import Staged
from idp_proxy.roster_import import RosterImport
from idp_proxy.store.people import ImportRun
from tests.conformance.rooms import NOW, SOON, audit_rows, person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore
    from tests.conformance.rooms import Room

    AnyStore = MemoryStore | SqlStore


def save(store: AnyStore, *rows: object) -> None:
    with store.writing_people() as tx:
        tx.save_people(rows)  # type: ignore[arg-type]  # rows of `person`


def test_people_come_page_by_page_in_order(store: AnyStore) -> None:
    assert store.people_after("", 10) == ()
    rows = [person(f"p-{number}") for number in (3, 1, 2)]
    save(store, *rows)
    assert [row.id for row in store.people_after("", 2)] == ["p-1", "p-2"]
    assert store.people_after("p-2", 2) == (rows[0],)
    assert store.people_after("p-3", 2) == ()


def test_somebody_is_found_by_whatever_they_are_called(store: AnyStore) -> None:
    anna = person("p-1", link_key="Anna", lookup_key="anna", email="A@Example.org", username="ann")
    save(store, anna, person("p-2", username="p-1"), person("p-3"))
    for text in ("ANNA", "a@example.ORG", "Ann"):
        assert store.named(text) == (anna,)
    assert [row.id for row in store.named("p-1")] == ["p-1", "p-2"]
    assert store.named("nobody") == store.named("%") == ()


def test_everything_about_a_person_comes_back(store: AnyStore) -> None:
    row = person(
        confirmed_at=None,
        imported_at=NOW,
        blocks=frozenset({"operator", "missing:csv"}),
        roles=frozenset({"system_admin"}),
    )
    save(store, row)
    assert store.person("p-1") == row
    with store.writing_people() as tx:
        assert tx.people(["p-1", "x"], ["p-1", "y"]) == (row,)


def test_keys_move_between_people_in_one_commit_and_never_to_two(store: AnyStore) -> None:
    save(store, person("p-1"), person("p-2"))
    save(store, person("p-1", lookup_key="p-2"), person("p-2", lookup_key="p-1"))
    assert store.person_by_lookup_key("p-1") == person("p-2", lookup_key="p-1")
    with pytest.raises(StoreConflict):
        save(store, person("p-3", lookup_key="p-1"))
    save(store, person("p-1", lookup_key=None), person("p-2", lookup_key=None))
    assert store.person_by_lookup_key("p-1") is None
    save(store)


def test_what_an_approver_said_is_kept_once_a_person(store: AnyStore) -> None:
    said = AdmittedByHand("p-1", NOW, "operator:ann", "on call")
    with store.transaction() as tx:
        assert tx.admitted_by_hand("p-1") is None
        tx.admit_by_hand(said)
        assert tx.admitted_by_hand("p-1") == said
    later = replace(said, at=SOON, privileged=True)
    with store.transaction() as tx:
        assert tx.admitted_by_hand("p-1") == said
        tx.admit_by_hand(later)
    with store.transaction() as tx:
        assert tx.admitted_by_hand("p-1") == later
        assert tx.admitted_by_hand("p-2") is None


def test_imports_and_the_forecast_are_remembered(store: AnyStore) -> None:
    assert store.import_runs() == ()
    assert store.forecast() is None
    first = ImportRun("csv", "r1", "sso1", NOW, NOW)
    found = Forecast(NOW, "entra", 10, 8, {"person_blocked": 2})
    with store.writing_people() as tx:
        tx.note_import(first)
        tx.note_import(replace(first, source="ldap"))
        tx.keep_forecast(found)
    done = replace(first, run="r2", ended_at=SOON, completed_at=SOON, people=10)
    with store.writing_people() as tx:
        assert [run.source for run in tx.import_runs()] == ["csv", "ldap"]
        tx.note_import(done)
        tx.keep_forecast(replace(found, get_in=9))
    assert store.import_runs() == (done, replace(first, source="ldap"))
    assert store.forecast() == replace(found, get_in=9)


# --- an import -----------------------------------------------------------------------------------


class People:
    """A list in memory."""

    def __init__(self, *ids: str, name: str = "csv") -> None:
        self.name = name
        self.exhaustive = True
        self.ids = ids

    def people(self) -> Iterator[tuple[str, Listed]]:
        for number, one in enumerate(self.ids):
            said = {"id": one, "email": f"{one}@example.org", "username": one}
            yield f"line {number}", Listed(one, one, said)


def work(store: AnyStore, host: str = "sso1") -> RosterImport:
    ids = iter(f"run-{host}-{number}" for number in range(100))
    return RosterImport(
        store=store, host=host, most_percent=50, now=lambda: NOW, new_id=lambda: next(ids)
    )


def bring_in(store: AnyStore, folder: Path, *ids: str, host: str = "sso1") -> Tally:
    with Staged(folder) as staged:
        staged.take(People(*ids))
        journey = work(store, host)
        plan = journey.plan(staged, Run("csv", NOW))
        journey.carry_out(staged, plan, "host:root", overridden=False)
        return plan.tally


def test_a_list_becomes_the_roster_and_who_left_it_is_blocked(
    store: AnyStore, tmp_path: Path
) -> None:
    bring_in(store, tmp_path, "a", "b", "c")
    assert [row.id for row in store.people_after("", 9)] == ["a", "b", "c"]
    tally = bring_in(store, tmp_path, "a", "b", "d")
    assert (tally.rows, tally.blocked, tally.effects.total()) == (3, 1, 3)
    blocked = [row.id for row in store.people_after("", 9) if row.blocked]
    assert blocked == ["c"]
    bring_in(store, tmp_path, "a", "b", "c", "d")
    assert not any(row.blocked for row in store.people_after("", 9))
    (run,) = store.import_runs()
    assert (run.completed_at, run.ended_at, run.people) == (NOW, NOW, 4)
    facts = [dict(row.facts) for row in audit_rows(store) if row.kind == "roster_import"]
    assert [one["blocked"] for one in facts] == [0, 1, 0]
    assert all(row.content["person"] is None for row in audit_rows(store))


def test_too_many_are_not_blocked_at_once(store: AnyStore, tmp_path: Path) -> None:
    bring_in(store, tmp_path, "a", "b", "c")
    with pytest.raises(RosterRefused, match="2 of 3 people"):
        bring_in(store, tmp_path, "a")
    with pytest.raises(RosterRefused, match="an empty list never blocks"):
        bring_in(store, tmp_path)
    assert not any(row.blocked for row in store.people_after("", 9))


def test_one_import_at_a_time(store: AnyStore, tmp_path: Path) -> None:
    going_on = ImportRun("ldap", "other", "sso2", NOW, NOW - timedelta(minutes=9))
    with store.writing_people() as tx:
        tx.note_import(going_on)
    with pytest.raises(RosterRefused, match=r"an import \(ldap\) goes on since .* on sso2"):
        bring_in(store, tmp_path, "a")
    assert store.people_after("", 9) == ()
    with store.writing_people() as tx:
        tx.note_import(replace(going_on, beat_at=NOW - timedelta(minutes=11)))
    bring_in(store, tmp_path, "a")
    assert [row.id for row in store.people_after("", 9)] == ["a"]


def test_an_import_that_stood_still_ends_when_another_one_took_over(
    store: AnyStore, tmp_path: Path
) -> None:
    """Its next part is not written, and it does not end the other one."""
    other = ImportRun("csv", "other", "sso2", NOW, NOW)
    with Staged(tmp_path) as staged:
        staged.take(People("a"))
        journey = work(store)
        plan = journey.plan(staged, Run("csv", NOW))
        chunks = staged.chunks

        def overtaken(size: int) -> Iterator[tuple[Listed, ...]]:
            with store.writing_people() as tx:
                tx.note_import(other)
            return chunks(size)

        staged.chunks = overtaken  # type: ignore[method-assign]
        with pytest.raises(RosterRefused, match="another import began"):
            journey.carry_out(staged, plan, "host:root", overridden=False)
    assert store.people_after("", 9) == ()
    assert store.import_runs() == (other,)


def test_a_login_during_an_import_is_not_undone(store: AnyStore, tmp_path: Path) -> None:
    """Who logged in for the first time since the list was read is not missing from it."""
    bring_in(store, tmp_path, "a", "b", "c")
    with Staged(tmp_path) as staged:
        staged.take(People("a", "b"))
        journey = work(store)
        plan = journey.plan(staged, Run("csv", NOW))
        chunks = staged.chunks

        def meanwhile(size: int) -> Iterator[tuple[Listed, ...]]:
            row = person("c", link_key="c", lookup_key="c", confirmed_at=SOON)
            newcomer = person("n", lookup_key="n", confirmed_at=SOON)
            anew = person("a", link_key="x", lookup_key="x", confirmed_at=SOON)
            save(store, row, newcomer, anew)
            return chunks(size)

        staged.chunks = meanwhile  # type: ignore[method-assign]
        journey.carry_out(staged, plan, "host:root", overridden=False)
    rows = {row.id: row for row in store.people_after("", 9)}
    assert not any(row.blocked for row in rows.values())
    assert (rows["a"].link_key, rows["a"].imported_at) == ("x", None)
    assert rows["b"].imported_at == NOW


def test_imports_of_several_hosts_at_once_leave_one_truth(room: Room, tmp_path: Path) -> None:
    stores = [room.open("host"), room.open("other")]
    ids = [f"p-{number:03}" for number in range(30)]

    def run(number: int) -> bool:
        try:
            bring_in(stores[number], tmp_path, *ids, host=f"sso{number}")
        except RosterRefused:
            return False
        return True

    with ThreadPoolExecutor(2) as hosts:
        assert any(hosts.map(run, range(2)))
    rows = stores[0].people_after("", 99)
    assert [row.id for row in rows] == ids
    assert not any(row.blocked or row.conflict for row in rows)


def test_an_import_that_is_interrupted_blocks_nobody_and_is_begun_again(
    store: AnyStore, tmp_path: Path
) -> None:
    bring_in(store, tmp_path, "a", "b", "c")
    with Staged(tmp_path) as staged:
        staged.take(People("a", "b"))
        journey = work(store)
        plan = journey.plan(staged, Run("csv", NOW))

        def interrupted(_size: int) -> Iterator[tuple[Listed, ...]]:
            raise KeyboardInterrupt

        staged.chunks = interrupted  # type: ignore[method-assign,assignment]
        with pytest.raises(KeyboardInterrupt):
            journey.carry_out(staged, plan, "host:root", overridden=False)
    assert not any(row.blocked for row in store.people_after("", 9))
    (run,) = store.import_runs()
    assert (run.ended_at, run.completed_at) == (NOW, NOW)
    assert bring_in(store, tmp_path, "a", "b").blocked == 1


def test_a_key_that_two_in_the_list_hold_lets_in_neither(store: AnyStore, tmp_path: Path) -> None:
    class Same(People):
        def people(self) -> Iterator[tuple[str, Listed]]:
            for place, one in super().people():
                yield place, replace(one, link_key="SAME")

    with Staged(tmp_path) as staged:
        staged.take(Same("a", "b"))
        journey = work(store)
        plan = journey.plan(staged, Run("csv", NOW))
        assert why_refused(plan.tally, plan.run, 5, overridden=False) is None
        journey.carry_out(staged, plan, "host:root", overridden=False)
    assert all(row.conflict for row in store.people_after("", 9))


def test_a_part_that_a_login_was_faster_than_is_tried_again(
    store: AnyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = [StoreConflict("another person holds this lookup key"), StoreError("deadlock detected")]
    real = roster_import._write

    def write(*words: Any) -> None:
        if fails:
            raise fails.pop()
        real(*words)

    monkeypatch.setattr(roster_import, "_write", write)
    bring_in(store, tmp_path, "a")
    assert [row.id for row in store.people_after("", 9)] == ["a"]
    fails += [StoreError("still")] * 3
    with pytest.raises(StoreError, match="still"):
        bring_in(store, tmp_path, "a", "b")
    assert [row.id for row in store.people_after("", 9)] == ["a"]
