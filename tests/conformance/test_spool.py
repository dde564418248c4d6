"""The host's spool: what it keeps while the store is away, and how it comes home."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from idp_proxy.audit.chain import host_of, start
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.errors import ReplayDetected, StoreConflict, StoreError
from idp_proxy.store.base import Evidence
from idp_proxy.store.local import LocalSpool
from tests.conformance.rooms import (
    NOW,
    SOON,
    audit_rows,
    drill,
    event,
    person,
    state,
    used,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.store.base import Store, Transaction
    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore

    AnyStore = MemoryStore | SqlStore


@pytest.fixture
def spool(store: AnyStore, tmp_path: Path) -> Iterator[LocalSpool]:
    opened = open_spool(store, tmp_path)
    yield opened
    opened.close()


def open_spool(store: AnyStore, folder: Path) -> LocalSpool:
    path = folder / "spool" / "host.db"
    return LocalSpool(path, "host", known_head=store.known_head, now=lambda: NOW)


def log_in(target: Store | LocalSpool, number: int, person_id: str = "p-1") -> None:
    with target.transaction() as transaction:
        for kind in ("request", "transaction", "assertion"):
            transaction.consume(used(f"_{number}", kind))
        transaction.save_person(person(person_id, confirmed_at=NOW + timedelta(seconds=number)))
        transaction.note_proof("okta", NOW + timedelta(seconds=number))
        transaction.record(event(person_id=person_id, number=number))


class Away:
    """A store that cannot be reached."""

    def __init__(self) -> None:
        self.asked = 0

    def switch_state(self) -> None:
        self.asked += 1
        raise StoreError("no route to host")


class KilledError(BaseException):
    """The process ends here."""


@dataclass
class Killing:
    """A store whose process is killed at the given transaction, before or after its commit."""

    store: AnyStore
    at: int
    after_commit: bool
    count: int = 0

    def switch_state(self) -> object:
        return self.store.switch_state()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self.count += 1
        with self.store.transaction() as transaction:
            yield transaction
            if self.count == self.at and not self.after_commit:
                raise KilledError
        if self.count == self.at:
            raise KilledError


def test_a_new_spool_has_nothing_to_merge(store: AnyStore, spool: LocalSpool) -> None:
    assert spool.pending() == 0
    assert spool.merge(store) == 0
    assert audit_rows(store) == []


@pytest.mark.parametrize("content", [b"not a database" * 99, b"SQLite format 3\0" + bytes(4096)])
def test_a_spool_that_is_damaged_is_named_with_the_way_out(tmp_path: Path, content: bytes) -> None:
    """It may hold logins that nobody else knows of: it is neither used nor overwritten."""
    damaged = tmp_path / "spool.db"
    damaged.write_bytes(content)
    with pytest.raises(StoreError) as refused:
        LocalSpool(damaged, "sso1", known_head=lambda: start("sso1"), now=lambda: NOW)
    assert f"the host's spool {damaged} cannot be opened" in refused.value.detail
    assert "move it away, and start again" in refused.value.detail
    assert damaged.read_bytes() == content


def test_a_spool_is_for_its_owner_only(spool: LocalSpool, tmp_path: Path) -> None:
    log_in(spool, 1)
    folder = tmp_path / "spool"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_an_id_counts_once_on_this_host(spool: LocalSpool) -> None:
    log_in(spool, 1)
    with pytest.raises(ReplayDetected):
        log_in(spool, 1)
    assert spool.pending() == 2


def test_of_many_threads_with_one_id_exactly_one_wins(
    store: AnyStore, spool: LocalSpool, tmp_path: Path
) -> None:
    spools = [spool, open_spool(store, tmp_path)]
    ready = threading.Barrier(6)

    def attempt(number: int) -> bool:
        ready.wait()
        try:
            log_in(spools[number % 2], 1)
        except ReplayDetected:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(attempt, range(6))).count(True) == 1
    spools[1].close()


def test_an_error_in_the_block_leaves_nothing_behind(spool: LocalSpool) -> None:
    def interrupted() -> None:
        with spool.transaction() as transaction:
            transaction.consume(used())
            transaction.record(event())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert spool.pending() == 0
    log_in(spool, 1)


@pytest.mark.parametrize("question", ["person", "person_by_lookup_key"])
def test_the_roster_is_not_known_here(spool: LocalSpool, question: str) -> None:
    with pytest.raises(StoreError, match="away"), spool.transaction() as transaction:
        getattr(transaction, question)("p-1")


def test_nothing_is_switched_here(spool: LocalSpool) -> None:
    with pytest.raises(StoreError, match="away"), spool.transaction() as transaction:
        transaction.swap(0, state())
    with pytest.raises(StoreError, match="away"), spool.transaction() as transaction:
        transaction.adopt([], [])
    with pytest.raises(StoreError, match="away"), spool.transaction() as transaction:
        transaction.note_evidence(Evidence.REHEARSAL, "okta", NOW)
    with pytest.raises(StoreError, match="away"), spool.transaction() as transaction:
        transaction.swap_drill(0, drill())


def test_a_merge_brings_everything_home_in_order(store: AnyStore, spool: LocalSpool) -> None:
    log_in(store, 1)
    known = store.known_head()
    for number in (2, 3, 4):
        log_in(spool, number, f"p-{number}")
    assert spool.pending() == 4
    assert spool.verify().ok
    assert spool.merge(store) == 5
    assert spool.pending() == 0
    rows = audit_rows(store)
    spooled = [row for row in rows if host_of(row.chain)]
    assert [row.kind for row in spooled] == ["spool_opened", *["login"] * 3, "spool_sealed"]
    assert spooled[0].facts == {"after_seq": known.seq, "after_digest": known.digest}
    assert rows[-1].facts == {
        "spool": spooled[0].chain,
        "rows": 5,
        "digest": spooled[-1].digest,
    }
    assert verdict(store).ok
    assert verdict(store).unjoined == ()
    assert store.person("p-3") == person("p-3", confirmed_at=NOW + timedelta(seconds=3))
    assert store.proofs() == {"okta": NOW + timedelta(seconds=4)}
    with pytest.raises(ReplayDetected):
        log_in(store, 3)


def test_an_opening_row_of_a_host_that_never_saw_the_store_names_no_row(
    store: AnyStore, spool: LocalSpool
) -> None:
    log_in(spool, 1)
    spool.merge(store)
    assert audit_rows(store)[0].facts["after_seq"] == 0
    assert verdict(store).ok


def test_used_ids_stay_known_here_after_the_merge(store: AnyStore, spool: LocalSpool) -> None:
    log_in(spool, 1)
    spool.merge(store)
    with pytest.raises(ReplayDetected):
        log_in(spool, 1)
    assert spool.prune(SOON + timedelta(seconds=1)) == 3
    log_in(spool, 1)


def test_the_next_absence_of_the_store_has_a_chain_of_its_own(
    store: AnyStore, spool: LocalSpool
) -> None:
    for number in (1, 2, 3):
        log_in(spool, number)
        assert spool.merge(store) == 3
    found = verdict(store)
    assert found.ok
    assert len(found.chains) == 4


def test_a_double_use_is_recorded_and_the_merge_goes_on(store: AnyStore, spool: LocalSpool) -> None:
    log_in(store, 1)
    log_in(spool, 1)
    log_in(spool, 2)
    assert spool.merge(store) == 4
    alarms = [row.facts for row in audit_rows(store) if row.kind == "replay_found_at_merge"]
    assert [alarm["id_kind"] for alarm in alarms] == ["request", "transaction", "assertion"]
    assert verdict(store).ok
    with pytest.raises(ReplayDetected):
        log_in(store, 2)


def test_a_commit_whose_answer_was_lost_is_no_double_use(
    store: AnyStore, spool: LocalSpool
) -> None:
    """The login was recorded in the store, nobody heard of it, and it went on in the spool."""
    for target in (store, spool):
        with target.transaction() as transaction:
            transaction.consume(used("_1", attempt="mine"))
            transaction.record(event())
    with spool.transaction() as transaction:
        transaction.consume(used("_2", attempt="mine"))
        transaction.record(event())
    with store.transaction() as transaction:
        transaction.consume(used("_2", attempt="theirs"))
    assert spool.merge(store) == 4
    alarms = [row for row in audit_rows(store) if row.kind == "replay_found_at_merge"]
    assert [alarm.facts["spool_seq"] for alarm in alarms] == [3]
    assert verdict(store).ok


def test_nothing_is_sealed_for_a_store_that_is_still_away(
    store: AnyStore, spool: LocalSpool
) -> None:
    away = Away()
    for number in (1, 2, 3):
        log_in(spool, number)
        with pytest.raises(StoreError, match="no route"):
            spool.merge(away)  # type: ignore[arg-type]  # it never comes to the rest of it
    assert away.asked == 3
    assert spool.merge(store) == 5
    assert len(verdict(store).chains) == 2


@pytest.mark.parametrize("after_commit", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_merge_killed_at_any_batch_is_finished_by_the_next(
    store: AnyStore,
    spool: LocalSpool,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    after_commit: bool,
) -> None:
    monkeypatch.setattr("idp_proxy.store.local._BATCH_ROWS", 3)
    for number in range(6):
        log_in(spool, number, f"p-{number % 2}")
    killing = Killing(store, at, after_commit)
    with pytest.raises(KilledError):
        spool.merge(killing)  # type: ignore[arg-type]  # a merge asks no more of a store
    assert spool.pending() > 0
    moved = spool.merge(store)
    assert moved == {(1, False): 8, (1, True): 5, (2, False): 5, (2, True): 2}.get(
        (at, after_commit), 0 if after_commit else 2
    )
    assert spool.pending() == 0
    rows = audit_rows(store)
    assert [row.facts.get("number") for row in rows if row.kind == "login"] == list(range(6))
    assert [row.kind for row in rows if host_of(row.chain) is None] == ["spool_joined"]
    assert verdict(store).ok


def test_a_merge_with_other_batches_after_an_interruption_applies_nothing_twice(
    store: AnyStore, spool: LocalSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        log_in(spool, number)
    monkeypatch.setattr("idp_proxy.store.local._BATCH_ROWS", 3)
    with pytest.raises(KilledError):
        spool.merge(Killing(store, 1, after_commit=True))  # type: ignore[arg-type]  # as above
    monkeypatch.setattr("idp_proxy.store.local._BATCH_ROWS", 5)
    assert spool.merge(store) == 5
    assert "replay_found_at_merge" not in {row.kind for row in audit_rows(store)}
    assert verdict(store).ok


def test_workers_that_merge_at_once_move_everything_once(
    store: AnyStore, spool: LocalSpool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("idp_proxy.store.local._BATCH_ROWS", 4)
    spools = [spool, open_spool(store, tmp_path)]
    for number in range(20):
        log_in(spools[number % 2], number)
    with ThreadPoolExecutor(2) as threads:
        moved = list(threads.map(lambda one: one.merge(store), spools))
    assert sum(moved) == 22
    found = verdict(store)
    assert found.ok
    assert found.rows == 23
    assert "replay_found_at_merge" not in {row.kind for row in audit_rows(store)}
    spools[1].close()


def test_logins_go_on_in_the_spool_while_it_is_merged(store: AnyStore, spool: LocalSpool) -> None:
    log_in(spool, 1)

    class Racing(Killing):
        @contextmanager
        def transaction(self) -> Iterator[Transaction]:
            log_in(spool, 2)
            with self.store.transaction() as transaction:
                yield transaction

    racing = Racing(store, 0, after_commit=False)
    assert spool.merge(racing) == 3  # type: ignore[arg-type]  # as above
    assert spool.pending() == 2
    assert spool.merge(store) == 3
    assert verdict(store).ok
    assert len(verdict(store).chains) == 3


def test_what_was_written_after_the_last_event_comes_home_too(
    store: AnyStore, spool: LocalSpool
) -> None:
    log_in(spool, 1)
    with spool.transaction() as transaction:
        transaction.consume(used("late"))
        transaction.note_proof("entra", NOW)
    spool.merge(store)
    assert store.proofs()["entra"] == NOW
    with pytest.raises(ReplayDetected), store.transaction() as transaction:
        transaction.consume(used("late"))


def test_a_block_that_came_while_the_store_was_away_is_not_undone(
    store: AnyStore, spool: LocalSpool
) -> None:
    log_in(spool, 5, "p-1")
    with store.transaction() as transaction:
        transaction.save_person(person("p-1", blocks=frozenset({BY_OPERATOR})))
    spool.merge(store)
    found = store.person("p-1")
    assert found == person(
        "p-1", confirmed_at=NOW + timedelta(seconds=5), blocks=frozenset({BY_OPERATOR})
    )


def test_a_key_that_somebody_else_got_meanwhile_makes_a_conflict_of_both(
    store: AnyStore, spool: LocalSpool
) -> None:
    with spool.transaction() as transaction:
        transaction.save_person(person("p-1", lookup_key="key"))
        transaction.record(event())
    with store.transaction() as transaction:
        transaction.save_person(person("p-2", lookup_key="key"))
    spool.merge(store)
    assert store.person("p-1") == person("p-1", lookup_key=None, conflict=True)
    assert store.person("p-2") == person("p-2", lookup_key="key", conflict=True)


def test_one_person_twice_in_a_spool_ends_as_the_later_login_said(
    store: AnyStore, spool: LocalSpool
) -> None:
    later = person("p-1", lookup_key="new", confirmed_at=SOON)
    for row in (person("p-1", lookup_key="old"), later):
        with spool.transaction() as transaction:
            transaction.save_person(row)
            transaction.record(event())
    spool.merge(store)
    assert store.person("p-1") == later
    assert store.person_by_lookup_key("old") is None


def test_a_spool_whose_rows_were_altered_is_not_merged(store: AnyStore, spool: LocalSpool) -> None:
    log_in(spool, 1)
    with spool._database.writing() as connection:
        connection.execute(text("UPDATE audit_row SET body = replace(body, 'okta', 'evil')"))
    found = spool.verify().broken
    assert found is not None
    assert found.seq == 2
    with pytest.raises(StoreConflict, match="tampering"):
        spool.merge(store)
    assert audit_rows(store) == []


def test_a_spool_whose_rows_were_removed_is_not_merged(store: AnyStore, spool: LocalSpool) -> None:
    log_in(spool, 1)
    with spool._database.writing() as connection:
        connection.execute(text("DELETE FROM audit_row"))
        connection.execute(text("UPDATE spool_period SET sealed = 1"))
    with pytest.raises(StoreError, match="tampering"):
        spool.merge(store)


def test_a_journal_that_cannot_be_read_is_named(store: AnyStore, spool: LocalSpool) -> None:
    log_in(spool, 1)
    with spool._database.writing() as connection:
        connection.execute(text("UPDATE spool_entry SET body = '{'"))
    with pytest.raises(StoreError, match="entry 1 "):
        spool.merge(store)
    assert audit_rows(store) == []


def test_nothing_of_what_was_merged_is_left_behind(store: AnyStore, spool: LocalSpool) -> None:
    log_in(spool, 1)
    spool.merge(store)
    with spool._database.reading() as connection:
        for table in ("audit_row", "audit_head", "audit_person", "spool_entry", "spool_period"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0


def test_a_spool_survives_being_closed(store: AnyStore, tmp_path: Path) -> None:
    first = open_spool(store, tmp_path)
    log_in(first, 1)
    first.close()
    second = open_spool(store, tmp_path)
    log_in(second, 2)
    assert second.merge(store) == 4
    assert verdict(store).ok
    assert store.proofs() == {"okta": replace(event(), at=NOW + timedelta(seconds=2)).at}
    second.close()


def test_what_counted_in_the_store_does_not_count_again_here(
    store: AnyStore, spool: LocalSpool
) -> None:
    log_in(store, 1)
    spool.remember([used("_1", kind) for kind in ("request", "transaction", "assertion")])
    with pytest.raises(ReplayDetected):
        log_in(spool, 1)
    assert spool.pending() == 0
    assert spool.merge(store) == 0


def test_what_counted_here_is_told_when_the_store_is_back(spool: LocalSpool) -> None:
    log_in(spool, 1)
    with pytest.raises(ReplayDetected):
        spool.remember([used("_2"), used("_1")])
    spool.remember([used("_2")])


def test_what_was_remembered_is_forgotten_in_time(spool: LocalSpool) -> None:
    spool.remember([used("_1")])
    assert spool.prune(NOW) == 0
    assert spool.prune(NOW + timedelta(days=1)) == 1
    log_in(spool, 1)
