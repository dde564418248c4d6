"""The store is away: with a file of this host nobody logs in, with a spool the active's people do.

DESIGN section 6: a standby's people cannot be looked up then, and are refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors
from idp_proxy.audit.chain import host_of
from idp_proxy.store.memory import MemoryStore
from tests.flows.stage import Stage, audit_rows, demand_refusal
from tests.flows.stores import Outage
from tests.support.people import ALICE, BOB, CAROL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.flows.conftest import Builder


@pytest.fixture
def outage(tmp_path: Path) -> Iterator[Outage]:
    made = Outage(tmp_path)
    yield made
    made.local.close()


@pytest.fixture
def stage(set_up: Builder, outage: Outage) -> Stage:
    """The usual stage with a store that can go away."""
    return set_up(spool=outage)


# --- a file of this host -------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_without_its_file_the_proxy_serves_nobody(set_up: Builder, how: str) -> None:
    stage = set_up(sqlite=True)
    begun = stage.begin()
    file = stage.settings.path.parent / "var" / "idp-proxy.db"
    kept = file.read_bytes()
    file.unlink()
    if how == "replaced":
        file.write_bytes(kept)
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.StoreError)
    stage.clock.pass_by(seconds=1)
    page = stage.client().get(f"/saml/sso?{stage.sso_query(stage.request())}")
    demand_refusal(page, errors.StoreError)
    assert page.headers["retry-after"] == "30"
    assert stage.client().get("/readyz").status_code == 503
    assert stage.client().get("/healthz").status_code == 200
    assert stage.client().get("/status?format=json").json() == {
        "login": "fails",
        "proven_at": None,
    }


# --- with a spool --------------------------------------------------------------------------------


def test_the_actives_people_log_in_all_the_same(stage: Stage, outage: Outage) -> None:
    stage.log_in(ALICE)
    outage.way.away = True
    assert stage.log_in(ALICE).profile.id == "e-1001"
    assert stage.log_in(BOB).profile.id == "e-1002"
    assert stage.on_record() == ["login"]
    assert outage.local.pending() > 2
    assert stage.client().get("/readyz").status_code == 200
    assert "may be disturbed" in stage.client().get("/status").text


def test_what_happened_meanwhile_comes_home(stage: Stage, outage: Outage) -> None:
    stage.log_in(ALICE)
    outage.way.away = True
    stage.clock.pass_by(seconds=5)
    stage.log_in(ALICE)
    stage.log_in(BOB)
    assert outage.local.verify().ok
    outage.way.away = False
    assert outage.local.merge(outage.way) > 0
    assert outage.local.pending() == 0
    assert sorted(stage.on_record()) == ["login", "login", "login"]
    assert isinstance(stage.store, MemoryStore)
    assert stage.store.verify_audit().ok
    chains = {row.chain for row in audit_rows(stage.store)}
    assert {host_of(chain) for chain in chains} == {None, "sso1"}
    assert "replay_found_at_merge" not in {row.kind for row in audit_rows(stage.store)}
    row = stage.store.person("e-1002")
    assert row is not None
    assert row.confirmed_at == stage.clock.at
    assert stage.store.proofs() == {"active": stage.clock.at}


def test_who_logged_in_meanwhile_is_known_to_a_standby_afterwards(
    stage: Stage, outage: Outage
) -> None:
    outage.way.away = False
    stage.begin()
    outage.way.away = True
    stage.log_in(CAROL)
    outage.way.away = False
    outage.local.merge(outage.way)
    stage.switch("standby")
    assert stage.log_in(replace(CAROL, mail="c@other.example")).profile.email == CAROL.mail


def test_the_same_answer_counts_once_without_the_store(stage: Stage, outage: Outage) -> None:
    begun = stage.begin()
    outage.way.away = True
    message = stage.answer(begun, ALICE)
    stage.accepted(stage.post(begun, message), begun)
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)
    demand_refusal(stage.post(begun, stage.answer(begun, BOB)), errors.ReplayDetected)


def test_what_counted_just_before_the_outage_does_not_count_again(
    stage: Stage, outage: Outage
) -> None:
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    stage.accepted(stage.post(begun, message), begun)
    outage.way.away = True
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)
    assert outage.local.pending() == 0


def test_what_counted_in_the_outage_does_not_count_again_after_it(
    stage: Stage, outage: Outage
) -> None:
    """Before the merge the store does not know it yet, but this host does."""
    begun = stage.begin()
    outage.way.away = True
    message = stage.answer(begun, ALICE)
    stage.accepted(stage.post(begun, message), begun)
    outage.way.away = False
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)
    outage.local.merge(outage.way)
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)


def test_a_refusal_before_the_outage_uses_the_answer_up_too(stage: Stage, outage: Outage) -> None:
    stage.switch("standby")
    begun = stage.begin()
    message = stage.answer(begun, BOB)
    demand_refusal(stage.post(begun, message), errors.PersonUnknown)
    outage.way.away = True
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)


def test_a_standbys_people_have_to_wait(stage: Stage, outage: Outage) -> None:
    stage.log_in(ALICE)
    stage.switch("standby")
    begun = stage.begin()
    outage.way.away = True
    page = stage.post(begun, stage.answer(begun, ALICE))
    demand_refusal(page, errors.RosterUnavailable)
    assert page.headers["retry-after"] == "30"
    stage.clock.pass_by(seconds=2)
    assert stage.client().get("/readyz").status_code == 503
    outage.way.away = False
    outage.local.merge(outage.way)
    assert sorted(stage.on_record()) == ["login", "roster_unavailable"]
    assert stage.log_in(ALICE).profile.id == "e-1001"


def test_a_worker_that_never_read_the_store_serves_nobody(stage: Stage, outage: Outage) -> None:
    outage.way.away = True
    page = stage.client().get(f"/saml/sso?{stage.sso_query(stage.request())}")
    demand_refusal(page, errors.StoreError)
    assert stage.client().get("/readyz").status_code == 503


def test_a_worker_keeps_the_last_switch_state_it_knew(stage: Stage, outage: Outage) -> None:
    stage.log_in(ALICE)
    outage.way.away = True
    stage.switchboard.to("standby", "another host can write", "host:test")
    stage.clock.pass_by(seconds=600)
    assert stage.begin().upstream == "active"
    outage.way.away = False
    stage.clock.pass_by(seconds=1)
    assert stage.begin().upstream == "standby"


def test_a_commit_that_fails_leaves_the_login_to_the_spool(stage: Stage, outage: Outage) -> None:
    begun = stage.begin()
    outage.way.fails_at_commit = True
    stage.accepted(stage.post(begun, stage.answer(begun, ALICE)), begun)
    assert stage.nothing_happened()
    outage.way.fails_at_commit = False
    outage.local.merge(outage.way)
    assert stage.on_record() == ["login"]


def test_a_commit_whose_answer_is_lost_counts_once(stage: Stage, outage: Outage) -> None:
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    outage.way.loses_the_answer = True
    stage.accepted(stage.post(begun, message), begun)
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)
    outage.way.loses_the_answer = False
    outage.local.merge(outage.way)
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)
    assert "replay_found_at_merge" not in {row.kind for row in audit_rows(stage.store)}
    requests = {row.facts["request"] for row in stage.audit_rows("login")}
    assert len(requests) == 1


def test_where_neither_can_be_written_nothing_is_issued(stage: Stage, outage: Outage) -> None:
    begun = stage.begin()
    (outage.folder / "spool.db").unlink()
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.StoreError)
    again = stage.begin()
    outage.way.away = True
    demand_refusal(stage.post(again, stage.answer(again, ALICE)), errors.StoreError)
