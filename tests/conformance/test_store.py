"""What a journey may rely on, held against every kind of store."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from idp_proxy.audit.chain import PersonKey, append, start
from idp_proxy.decision.drill import stopped
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.decision.switching import Departure
from idp_proxy.errors import ReplayDetected, StoreConflict
from idp_proxy.store.base import Evidence
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
    from idp_proxy.store.base import UsedId
    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore
    from tests.conformance.rooms import Room

    AnyStore = MemoryStore | SqlStore


class Interrupted(Exception):
    """What a test throws into a transaction."""


def test_a_new_store_knows_nothing(store: AnyStore) -> None:
    assert store.switch_state() is None
    assert store.person("p-1") is None
    assert store.person_by_lookup_key("p-1") is None
    assert store.proofs() == {}
    assert audit_rows(store) == []
    assert store.known_head().seq == 0


def test_what_is_committed_comes_back_as_it_was(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person())
        transaction.note_proof("okta", NOW)
        transaction.swap(0, state())
        transaction.record(event(epoch=1))
    assert store.person("p-1") == person()
    assert store.person_by_lookup_key("p-1") == person()
    assert store.proofs() == {"okta": NOW}
    assert store.switch_state() == state()
    (row,) = audit_rows(store)
    assert (row.chain, row.seq, row.kind, row.at, row.facts) == (
        "host",
        1,
        "login",
        NOW,
        {"epoch": 1},
    )
    assert store.known_head() == row.head


def test_an_error_in_the_block_leaves_nothing_behind(store: AnyStore) -> None:
    def interrupted() -> None:
        with store.transaction() as transaction:
            transaction.consume(used())
            transaction.save_person(person())
            transaction.note_proof("okta", NOW)
            transaction.swap(0, state())
            transaction.record(event())
            raise Interrupted

    with pytest.raises(Interrupted):
        interrupted()
    assert store.switch_state() is None
    assert store.person("p-1") is None
    assert store.person_by_lookup_key("p-1") is None
    assert store.proofs() == {}
    assert audit_rows(store) == []
    assert store.known_head().seq == 0
    with store.transaction() as transaction:
        transaction.consume(used())


def test_even_an_exit_in_the_block_leaves_nothing_behind(store: AnyStore) -> None:
    def interrupted() -> None:
        with store.transaction() as transaction:
            transaction.consume(used())
            raise SystemExit

    with pytest.raises(SystemExit):
        interrupted()
    with store.transaction() as transaction:
        transaction.consume(used())


def test_nobody_sees_what_is_not_committed_yet(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person())
        transaction.swap(0, state())
        assert store.person("p-1") is None
        assert store.switch_state() is None
    assert store.person("p-1") == person()


def test_a_transaction_sees_its_own_writes(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person())
        assert transaction.person("p-1") == person()
        assert transaction.person_by_lookup_key("p-1") == person()
        transaction.save_person(person(lookup_key="new"))
        assert transaction.person_by_lookup_key("p-1") is None
        assert transaction.person_by_lookup_key("new") == person(lookup_key="new")
    with store.transaction() as transaction:
        assert transaction.person("p-1") == person(lookup_key="new")
        assert transaction.person("p-2") is None


def test_an_id_counts_once(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.consume(used())
    with pytest.raises(ReplayDetected), store.transaction() as transaction:
        transaction.consume(used())


def test_an_id_counts_once_within_one_transaction(store: AnyStore) -> None:
    def twice() -> None:
        with store.transaction() as transaction:
            transaction.consume(used())
            transaction.consume(used())

    with pytest.raises(ReplayDetected):
        twice()
    with store.transaction() as transaction:
        transaction.consume(used())


def test_the_attempt_that_used_an_id_may_use_it_again_and_nobody_else(store: AnyStore) -> None:
    """A commit whose answer was lost is tried again elsewhere, under the same name."""

    def consume(*ids: UsedId) -> None:
        with store.transaction() as transaction:
            transaction.consume(*ids)

    consume(used("_1", attempt="mine"))
    consume(used("_1", attempt="mine"), used("_2", attempt="mine"))
    for other in ("", "theirs"):
        for value in ("_1", "_2"):
            with pytest.raises(ReplayDetected):
                consume(used(value, attempt=other), used("_3", attempt=other))
    consume(used("_3", attempt="theirs"))
    consume(used("_4"))
    with pytest.raises(ReplayDetected):
        consume(used("_4"))


def test_an_id_counts_once_for_all_hosts(room: Room) -> None:
    with room.open("host").transaction() as transaction:
        transaction.consume(used())
    with pytest.raises(ReplayDetected), room.open("other").transaction() as transaction:
        transaction.consume(used())


def test_a_replay_that_is_caught_leaves_the_transaction_usable(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.consume(used())
        with pytest.raises(ReplayDetected):
            transaction.consume(used())
        transaction.record(event("replay"))
    assert [row.kind for row in audit_rows(store)] == ["replay"]


@pytest.mark.parametrize(
    "other",
    [
        used("_2"),
        used(kind="request"),
        used(issuer="https://other"),
        used("_1 "),
        used("_1\x00"),
        used("\ud800"),
        used("x" * 100_000),
        used('1"', issuer='https://idp","_'),
    ],
)
def test_ids_of_other_kinds_issuers_and_values_are_other_ids(
    store: AnyStore, other: object
) -> None:
    with store.transaction() as transaction:
        transaction.consume(used())
        transaction.consume(other)  # type: ignore[arg-type]  # parametrize forgets the type
    with pytest.raises(ReplayDetected), store.transaction() as transaction:
        transaction.consume(other)  # type: ignore[arg-type]  # parametrize forgets the type


def test_parts_of_an_id_do_not_run_into_each_other(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.consume(used("b|c", issuer="a"))
        transaction.consume(used("c", issuer="a|b"))


def test_of_many_threads_with_one_id_exactly_one_wins(room: Room) -> None:
    stores = [room.open("host"), room.open("host")]
    ready = threading.Barrier(8)

    def attempt(number: int) -> bool:
        ready.wait()
        try:
            with stores[number % 2].transaction() as transaction:
                transaction.consume(used())
                transaction.record(event(number=number))
        except ReplayDetected:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(attempt, range(8)))
    assert won.count(True) == 1
    (row,) = audit_rows(stores[0])
    assert row.facts == {"number": won.index(True)}


def test_pruning_forgets_what_expired_and_nothing_else(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.consume(used("old"))
        transaction.consume(replace(used("fresh"), expires_at=SOON + timedelta(seconds=2)))
    assert store.prune(SOON) == 0
    assert store.prune(SOON + timedelta(seconds=1)) == 1
    assert store.prune(SOON + timedelta(seconds=1)) == 0
    with store.transaction() as transaction:
        transaction.consume(used("old"))
    with pytest.raises(ReplayDetected), store.transaction() as transaction:
        transaction.consume(used("fresh"))


def test_a_switch_needs_the_epoch_it_started_from(store: AnyStore) -> None:
    with pytest.raises(StoreConflict), store.transaction() as transaction:
        transaction.swap(1, state(2))
    with store.transaction() as transaction:
        transaction.swap(0, state(1))
    for stale in (0, 2, -1):
        with pytest.raises(StoreConflict), store.transaction() as transaction:
            transaction.swap(stale, state(7))
    with store.transaction() as transaction:
        transaction.swap(1, state(2, "entra"))
    assert store.switch_state() == state(2, "entra")


def test_a_switch_state_without_optional_parts_comes_back(store: AnyStore) -> None:
    bare = replace(state(), disabled=frozenset(), left={}, hold_until=None, recent_switches=())
    with store.transaction() as transaction:
        transaction.swap(0, bare)
    assert store.switch_state() == bare


@pytest.mark.parametrize("epoch", [0, 1])
def test_of_hosts_that_switch_at_once_exactly_one_wins(room: Room, epoch: int) -> None:
    stores = [room.open("a"), room.open("b"), room.open("c")]
    if epoch:
        with stores[0].transaction() as transaction:
            transaction.swap(0, state(1))
    ready = threading.Barrier(6)

    def attempt(number: int) -> bool:
        ready.wait()
        try:
            with stores[number % 3].transaction() as transaction:
                transaction.swap(epoch, state(epoch + 1, f"upstream-{number}"))
                transaction.record(event("switch", None, number=number))
        except StoreConflict:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        won = list(threads.map(attempt, range(6)))
    assert won.count(True) == 1
    found = stores[0].switch_state()
    assert found is not None
    assert found.serving == f"upstream-{won.index(True)}"
    assert [row.facts["number"] for row in audit_rows(stores[0])] == [won.index(True)]


def test_a_lookup_key_belongs_to_one_person(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person("p-1", lookup_key="key"))
    with pytest.raises(StoreConflict), store.transaction() as transaction:
        transaction.save_person(person("p-2", lookup_key="key"))
    assert store.person("p-2") is None


def test_a_lookup_key_belongs_to_one_person_within_one_transaction_too(store: AnyStore) -> None:
    def both() -> None:
        with store.transaction() as transaction:
            transaction.save_person(person("p-1", lookup_key="key"))
            transaction.save_person(person("p-2", lookup_key="key"))

    with pytest.raises(StoreConflict):
        both()
    assert store.person("p-1") is None


def test_many_people_may_have_no_lookup_key(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person("p-1", lookup_key=None, conflict=True))
        transaction.save_person(person("p-2", lookup_key=None, blocks=frozenset({BY_OPERATOR})))
    assert store.person("p-1") == person("p-1", lookup_key=None, conflict=True)
    assert store.person("p-2") == person("p-2", lookup_key=None, blocks=frozenset({BY_OPERATOR}))


def test_a_lookup_key_moves_when_its_holder_is_saved_first(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person("p-1", lookup_key="key"))
    with store.transaction() as transaction:
        transaction.save_person(person("p-1", lookup_key="other"))
        transaction.save_person(person("p-2", lookup_key="key"))
    assert store.person_by_lookup_key("key") == person("p-2", lookup_key="key")
    assert store.person_by_lookup_key("other") == person("p-1", lookup_key="other")


def test_two_people_exchange_their_keys_in_three_steps(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person("p-1", lookup_key="a"))
        transaction.save_person(person("p-2", lookup_key="b"))
    with store.transaction() as transaction:
        transaction.save_person(person("p-1", lookup_key=None))
        transaction.save_person(person("p-2", lookup_key="a"))
        transaction.save_person(person("p-1", lookup_key="b"))
    assert store.person_by_lookup_key("a") == person("p-2", lookup_key="a")
    assert store.person_by_lookup_key("b") == person("p-1", lookup_key="b")


def test_a_person_is_found_by_the_exact_id_only(store: AnyStore) -> None:
    with store.transaction() as transaction:
        transaction.save_person(person("Ada"))
    for other in ("ada", "Ada ", "ADA", "Ad%", "", "Ada' OR '1'='1"):
        assert store.person(other) is None
        assert store.person_by_lookup_key(other) is None


def test_a_proof_never_goes_back_in_time(store: AnyStore) -> None:
    for at in (NOW, NOW - timedelta(hours=1)):
        with store.transaction() as transaction:
            transaction.note_proof("okta", at)
    assert store.proofs() == {"okta": NOW}
    with store.transaction() as transaction:
        transaction.note_proof("okta", SOON)
        transaction.note_proof("okta", NOW)
        transaction.note_proof("entra", NOW)
    assert store.proofs() == {"okta": SOON, "entra": NOW}


def test_evidence_is_noted_with_what_belongs_to_it_or_not_at_all(store: AnyStore) -> None:
    for at in (SOON, NOW):
        with store.transaction() as transaction:
            transaction.note_evidence(Evidence.REHEARSAL, "okta", at)
    assert store.evidence(Evidence.REHEARSAL) == {"okta": SOON}
    assert store.evidence(Evidence.FAILBACK_TEST) == {}

    def interrupted() -> None:
        with store.transaction() as transaction:
            transaction.note_evidence(Evidence.REHEARSAL, "entra", NOW)
            raise Interrupted

    with pytest.raises(Interrupted):
        interrupted()
    assert store.evidence(Evidence.REHEARSAL) == {"okta": SOON}


def test_a_drill_comes_back_as_it_was_and_changes_by_compare_and_swap(store: AnyStore) -> None:
    assert store.drill() is None
    with store.transaction() as transaction:
        transaction.swap_drill(0, drill())
    assert store.drill() == drill()
    ended = stopped(drill(), Departure.FAILOVER, "okta is suspect", SOON)
    for expected in (0, 2):
        with pytest.raises(StoreConflict), store.transaction() as transaction:
            transaction.swap_drill(expected, ended)
    assert store.drill() == drill()
    with store.transaction() as transaction:
        transaction.swap_drill(1, ended)
    assert store.drill() == ended


def test_whether_an_id_was_used_can_be_asked(store: AnyStore) -> None:
    assert not store.is_used(used())
    with store.transaction() as transaction:
        transaction.consume(used())
    assert store.is_used(used())


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(store: AnyStore) -> None:
    east = timezone(timedelta(hours=9))
    with store.transaction() as transaction:
        transaction.note_proof("okta", NOW.astimezone(east))
        transaction.save_person(person(confirmed_at=NOW.astimezone(east)))
    assert store.proofs() == {"okta": NOW}
    found = store.person("p-1")
    assert found is not None
    assert found.confirmed_at == NOW
    assert found.confirmed_at.tzinfo is not None


def test_one_person_has_one_pseudonym_and_nobody_else_has_it(store: AnyStore) -> None:
    for person_id in ("p-1", "p-1", "p-2", None):
        with store.transaction() as transaction:
            transaction.record(event(person_id=person_id))
    names = [row.content["person"] for row in audit_rows(store)]
    assert names[0] == names[1] != names[2]
    assert names[3] is None
    assert "p-1" not in str(audit_rows(store))


def test_events_of_one_transaction_follow_each_other(store: AnyStore) -> None:
    with store.transaction() as transaction:
        for number in range(3):
            transaction.record(event(number=number))
    assert [row.seq for row in audit_rows(store)] == [1, 2, 3]
    assert verdict(store).ok


def test_an_event_that_cannot_be_written_takes_its_transaction_along(store: AnyStore) -> None:
    def unwritable() -> None:
        with store.transaction() as transaction:
            transaction.consume(used())
            transaction.record(event(share=float("nan")))

    with pytest.raises(ValueError, match="JSON"):
        unwritable()
    with store.transaction() as transaction:
        transaction.consume(used())
    assert audit_rows(store) == []


def test_threads_that_record_at_once_make_one_unbroken_chain(room: Room) -> None:
    stores = [room.open("host"), room.open("host")]

    def work(number: int) -> None:
        with stores[number % 2].transaction() as transaction:
            transaction.record(event(person_id=f"p-{number % 5}", number=number))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(60)))
    found = verdict(stores[0])
    assert found.ok
    assert found.rows == 60
    assert {row.facts["number"] for row in audit_rows(stores[0])} == set(range(60))


def test_rows_of_another_chain_are_adopted_once_and_as_they_are(store: AnyStore) -> None:
    first = append(start("guest"), event(), "name")
    second = append(first.head, event(), None)
    third = append(second.head, event(), None)
    key = PersonKey("name", "p-1", b"k" * 32)
    with store.transaction() as transaction:
        assert transaction.adopt([], []) == 0
        assert transaction.adopt([first, second], [key]) == 0
    with store.transaction() as transaction:
        assert transaction.adopt([first, second], [key]) == 2
        assert transaction.adopt([second, third], []) == 2
    assert audit_rows(store) == [first, second, third]
    assert verdict(store).ok


def test_rows_that_do_not_continue_a_chain_are_not_adopted(store: AnyStore) -> None:
    first = append(start("guest"), event(), None)
    second = append(first.head, event(), None)
    fork = append(start("guest"), event("evil"), None)
    with store.transaction() as transaction:
        transaction.adopt([first], [])
    for wrong in ([fork], [replace(second, kind="evil")], [append(second.head, event(), None)]):
        with pytest.raises(StoreConflict), store.transaction() as transaction:
            transaction.adopt(wrong, [])
    with pytest.raises(StoreConflict), store.transaction() as transaction:
        transaction.adopt([fork, append(fork.head, event(), None)], [])
    assert audit_rows(store) == [first]
