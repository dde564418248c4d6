"""A switch in mid-login: whose answers still count, and for how long (FO-01, FO-03, FO-05)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors
from idp_proxy.decision.switching import Departure, Left
from tests.flows.configuration import Wanted, provider
from tests.flows.stage import Stage, demand_refusal
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    from tests.flows.conftest import Builder
    from tests.flows.stage import Begun


def fail_over(stage: Stage, to: str) -> None:
    """As `switch`, but unplanned."""
    stage.switch(to)
    with stage.store.transaction() as transaction:
        state = stage.switchboard.current()
        left = {name: Left(one.at, Departure.FAILOVER) for name, one in state.left.items()}
        transaction.swap(state.epoch, replace(state, epoch=state.epoch + 1, left=left))
    stage.clock.pass_by(seconds=1)


def let_in(stage: Stage, begun: Begun) -> None:
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert stage.accepted(page, begun).profile.id == "e-1001"


def turned_away(stage: Stage, begun: Begun) -> None:
    before = stage.on_record()
    page = stage.post(begun, stage.answer(begun, ALICE))
    demand_refusal(page, errors.LoginNotAsked)
    assert stage.on_record() == before


def test_after_a_planned_switch_a_login_under_way_ends_where_it_began(stage: Stage) -> None:
    begun = stage.begin()
    stage.switch("standby")
    stage.clock.pass_by(seconds=270)
    let_in(stage, begun)
    assert stage.store.proofs().keys() == {"active"}


def test_a_new_login_goes_to_the_upstream_that_serves_now(stage: Stage) -> None:
    stage.switch("standby")
    assert stage.begin().upstream == "standby"
    stage.switch("active")
    assert stage.begin().upstream == "active"


@pytest.mark.parametrize(("seconds", "counts"), [(118, True), (121, False)])
def test_after_a_failover_a_late_answer_counts_for_two_minutes(
    stage: Stage, seconds: int, *, counts: bool
) -> None:
    begun = stage.begin()
    fail_over(stage, "standby")
    stage.clock.pass_by(seconds=seconds - 2)
    (let_in if counts else turned_away)(stage, begun)


def test_the_grace_of_a_planned_switch_ends_with_the_life_of_a_login(stage: Stage) -> None:
    """Whoever began before the switch has run out of time by then: the page says that."""
    begun = stage.begin()
    stage.switch("standby")
    stage.clock.pass_by(seconds=281)
    page = stage.post(begun, stage.answer(begun, ALICE))
    demand_refusal(page, errors.LoginExpired)


def test_a_login_begun_by_a_worker_that_had_not_heard_of_the_switch_counts(stage: Stage) -> None:
    stage.begin()
    stage.switchboard.to("standby", "a test", "host:test")
    begun = stage.begin()
    assert begun.upstream == "active"
    stage.clock.pass_by(seconds=1)
    let_in(stage, begun)


def test_a_switch_is_known_after_one_second_at_most(stage: Stage) -> None:
    assert stage.begin().upstream == "active"
    stage.switchboard.to("standby", "a test", "host:test")
    stage.clock.pass_by(seconds=0.99)
    assert stage.begin().upstream == "active"
    stage.clock.pass_by(seconds=0.01)
    assert stage.begin().upstream == "standby"


def test_logins_at_a_disabled_upstream_stop_at_once(stage: Stage) -> None:
    begun = stage.begin()
    stage.switchboard.disable("active", "broken into", "host:test")
    stage.clock.pass_by(seconds=1)
    turned_away(stage, begun)
    query = stage.sso_query(stage.request())
    demand_refusal(stage.client().get(f"/saml/sso?{query}"), errors.UpstreamUnavailable)


def test_a_disabled_upstream_that_was_left_has_no_grace(stage: Stage) -> None:
    begun = stage.begin()
    stage.switch("standby")
    stage.switchboard.disable("active", "broken into", "host:test")
    stage.clock.pass_by(seconds=1)
    turned_away(stage, begun)
    assert stage.begin().upstream == "standby"


def test_an_upstream_that_is_enabled_again_serves_again(stage: Stage) -> None:
    begun = stage.begin()
    stage.switchboard.disable("active", "a mistake", "host:test")
    stage.switchboard.enable("active", "mended", "host:test")
    stage.clock.pass_by(seconds=1)
    let_in(stage, begun)


def test_an_answer_of_another_upstream_to_this_question_is_refused(stage: Stage) -> None:
    """The standby answers, validly signed by itself, what the active was asked."""
    begun = stage.begin()
    stage.switch("standby")
    message = stage.answer(begun, ALICE, by=provider("standby"))
    demand_refusal(stage.post(begun, message), errors.AssertionInvalid)
    assert stage.nothing_happened()


def test_another_acs_takes_no_answer_with_this_logins_cookie(stage: Stage) -> None:
    begun = stage.begin()
    stage.switch("standby")
    aimed = replace(
        begun.question,
        issuer="https://sso.example.org/upstream/standby/metadata",
        acs_url="https://sso.example.org/upstream/standby/acs",
    )
    message = stage.answer(replace(begun, question=aimed), ALICE, by=provider("standby"))
    demand_refusal(stage.post(begun, message, upstream="standby"), errors.LoginNotAsked)
    assert stage.nothing_happened()


def test_an_answer_does_not_pass_at_the_acs_of_another_upstream(stage: Stage) -> None:
    active, client = stage.begin(), stage.client()
    stage.switch("standby")
    standby = stage.begin(client)
    message = stage.answer(active, ALICE)
    demand_refusal(stage.post(standby, message), errors.AssertionInvalid)
    assert stage.nothing_happened()


def test_who_was_left_twice_counts_from_the_last_time(stage: Stage) -> None:
    stage.switch("standby")
    stage.clock.pass_by(seconds=200)
    stage.switch("active")
    begun = stage.begin()
    fail_over(stage, "standby")
    stage.clock.pass_by(seconds=60)
    let_in(stage, begun)


def test_three_upstreams_keep_their_graces_apart(set_up: Builder) -> None:
    stage = set_up(Wanted(upstreams={"active": "", "standby": "", "third": ""}))
    stage.log_in(ALICE)
    first = stage.begin()
    stage.switch("standby")
    second = stage.begin()
    fail_over(stage, "third")
    third = stage.begin()
    assert (first.upstream, second.upstream, third.upstream) == ("active", "standby", "third")
    stage.clock.pass_by(seconds=60)
    for begun in (first, second, third):
        let_in(stage, begun)
    assert stage.store.proofs().keys() == {"active", "standby", "third"}


def test_a_login_that_was_begun_at_a_standby_stays_a_standbys(stage: Stage) -> None:
    """Switching back meanwhile does not let it bring in somebody new."""
    stage.switch("standby")
    begun = stage.begin()
    stage.switch("active")
    page = stage.post(begun, stage.answer(begun, BOB))
    demand_refusal(page, errors.PersonUnknown)
    assert stage.store.person("e-1002") is None


def test_the_epoch_on_record_is_the_one_in_which_the_login_began(stage: Stage) -> None:
    begun = stage.begin()
    stage.switch("standby")
    let_in(stage, begun)
    (row,) = stage.audit_rows("login")
    assert (row.facts["epoch"], stage.switchboard.current().epoch) == (1, 2)


def test_a_switch_long_ago_leaves_no_way_in_for_a_forgotten_upstream(stage: Stage) -> None:
    begun = stage.begin()
    stage.switch("standby")
    stage.clock.at += timedelta(hours=2)
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.LoginExpired)
