"""Two approvers at once, held against every kind of store: one word counts, and no key has two."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.roster import Account, RosterPolicy
from idp_proxy.decision.switching import Changed, first_state, switch_by_hand
from idp_proxy.errors import RosterRefused, StoreError
from idp_proxy.roster_admission import RosterAdmission
from tests.conformance.rooms import NOW, audit_rows

if TYPE_CHECKING:
    from idp_proxy.roster_admission import Candidate
    from idp_proxy.store.memory import MemoryStore
    from idp_proxy.store.sql import SqlStore
    from tests.conformance.rooms import Room


def account(name: str) -> Account:
    return Account(f"{name}@example.org", name, "saml", f"e-{name}")


def desk(store: MemoryStore | SqlStore) -> RosterAdmission:
    return RosterAdmission(
        store=store,
        active="okta",
        policy=RosterPolicy(),
        problem=lambda *_: None,
        now=lambda: NOW,
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("alice", "1001"), ("zoe", "1001")),
        (("alice", "1001"), ("alice", "1002")),
        (("alice", "1001"), ("alice", "1001")),
    ],
    ids=["two people, one key", "one person, two keys", "the same twice"],
)
def test_of_two_approvers_at_once_one_is_told_to_look_again(
    room: Room, first: tuple[str, str], second: tuple[str, str]
) -> None:
    stores = [room.open("ann"), room.open("bob")]
    state = first_state(["okta", "entra"], NOW)
    usable = {"okta": None, "entra": None}
    away = switch_by_hand(state, "entra", usable, cause="it is down", actor="host:test", now=NOW)
    assert isinstance(away, Changed)
    with stores[0].transaction() as tx:
        tx.swap(0, state)
        tx.swap(1, away.state)
    asked: list[tuple[RosterAdmission, Candidate]] = []
    for store, (name, key) in zip(stores, (first, second), strict=True):
        asked.append((desk(store), desk(store).of_account(account(name), key, privileged=False)))
    gate = Barrier(2)

    def admit(one: tuple[RosterAdmission, Candidate]) -> bool:
        work, candidate = one
        gate.wait(10)
        try:
            work.admit(candidate, "operator:ann", "on call")
        except (RosterRefused, StoreError):
            return False
        return True

    with ThreadPoolExecutor(2) as operators:
        assert sorted(operators.map(admit, asked)) == [False, True]
    (row,) = stores[0].people_after("", 9)
    with stores[0].transaction() as tx:
        assert tx.admitted_by_hand(row.id) is not None
        assert tx.person_by_lookup_key(row.lookup_key or "") == row
    admitted = [one for one in audit_rows(stores[0]) if one.kind == "person_admitted"]
    assert len(admitted) == 1
