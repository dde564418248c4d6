"""Convert: from a stored plan to people at email and password, whatever comes in between."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import bcrypt
import pytest
from sqlalchemy import select

from conversion.bulk import Limits, Progress
from conversion.campaign import Manner, convert
from conversion.decision.lifecycle import RowState
from conversion.decision.plan import Envelope, parse_envelope
from conversion.errors import LedgerBusy, PlanStale, PlanUnsafe, Unauthorized
from conversion.homecoming import return_people
from conversion.passwords import COST, hash_of_an_unknown_password
from conversion.planning import OUT, Choice, Surroundings, draw_up
from conversion.reconciliation import reconcile
from idp_proxy.audit.tables import audit_row
from tests.support.conversion_stage import ANSWERED, Stage
from tests.support.mattermost_api import Fault, Kind, RateLimit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as opened:
        yield opened


def test_everybody_planned_is_moved_and_every_binding_is_on_record(stage: Stage) -> None:
    told = stage.convert()
    assert (told.moved, told.stopped, told.problems) == (12, "", [])
    rows = list(stage.ledger.rows(told.campaign))
    assert {row.user_id: row.binding.auth_data for row in rows}.items() <= stage.before.items()
    assert [stage.user("operator").id] == list(stage.bindings())


def test_the_binding_is_on_disk_before_the_first_call(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(user_id: str, _hash: str) -> None:
        campaign = stage.ledger.current_campaign()
        assert campaign is not None
        row = stage.ledger.row(campaign.id, user_id)
        assert row is not None
        assert row.state is RowState.CONVERTING
        seen.append(row.binding.auth_data)

    monkeypatch.setattr(stage.client, "set_password_hash", look)
    convert(replace(stage.bulk, limits=replace(stage.limits, attempts=0)), stage.plan())
    assert sorted(seen) == sorted(
        value for user_id, value in stage.before.items() if user_id != stage.user("operator").id
    )


def test_nobody_can_log_in_with_the_password_that_was_set(stage: Stage) -> None:
    stage.convert()
    row = stage.user("user000001")
    assert re.fullmatch(rf"\$2a\$0{COST}\$.{{53}}", row.password)
    assert not bcrypt.checkpw(b"", row.password.encode())


def test_each_password_is_another_one() -> None:
    assert len({hash_of_an_unknown_password() for _ in range(20)}) == 20


def test_the_password_has_all_the_randomness_it_was_given() -> None:
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return bytes(range(count))

    hashed = hash_of_an_unknown_password(random_bytes)
    assert asked == [32]
    assert bcrypt.checkpw(b"009C61O)~M2nh-c3=Iws5D^j+6crX17#SKH9337X", hashed.encode())


def test_addresses_are_verified_only_where_the_server_wants_it(stage: Stage) -> None:
    stage.convert("user000001")
    assert not stage.user("user000001").email_verified
    stage.server.settings["EmailSettings"]["RequireEmailVerification"] = True
    stage.convert("user000002")
    assert stage.user("user000002").email_verified


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"delete_at": 5}, "deactivated"),
        ({"auth_data": "somebody-else"}, "not the one that was planned"),
        ({"auth_service": "", "auth_data": None}, "by hand"),
        ({"is_bot": True}, "bot"),
        ({"remote_id": "r" * 26}, "another server"),
    ],
)
def test_who_changed_since_the_plan_is_not_touched(
    stage: Stage, change: dict[str, object], reason: str
) -> None:
    plan = stage.plan()
    victim = stage.user("user000003").id
    stage.server.change(victim, **change)
    told = convert(stage.bulk, plan)
    row = stage.ledger.row(told.campaign, victim)
    assert row is not None
    assert reason in row.note
    assert stage.server.users[victim].password == ""
    assert told.moved == 11


def test_a_plan_older_than_an_hour_is_refused(stage: Stage) -> None:
    plan = stage.plan()
    stage.sleep(3601)
    with pytest.raises(PlanStale, match="plan again"):
        convert(stage.bulk, plan)
    assert stage.bindings() == stage.before


def test_an_unknown_plan_is_refused(stage: Stage) -> None:
    with pytest.raises(PlanStale, match="no plan"):
        convert(stage.bulk, "0" * 64)


def test_a_plan_cannot_open_a_second_campaign(stage: Stage) -> None:
    plan = stage.plan()
    convert(stage.bulk, plan)
    assert return_people(stage.bulk, stage.orders()).closed
    with pytest.raises(PlanStale, match="carried out before"):
        convert(stage.bulk, plan)
    assert stage.bindings() == stage.before


def test_a_later_plan_must_keep_to_the_envelope(stage: Stage) -> None:
    stage.convert("user000001")
    campaign = stage.ledger.current_campaign()
    assert campaign is not None
    plan = stage.plan("user000002", until=stage.now() + timedelta(hours=12, seconds=30))
    stage.sleep(3000)
    assert convert(stage.bulk, plan).campaign == campaign.id
    stage.sleep(12 * 3600)
    late = stage.plan("user000003", until=stage.now() + timedelta(days=9))
    with pytest.raises(PlanUnsafe, match=r"envelope ended.*\n.*--new-envelope"):
        convert(stage.bulk, late)
    assert stage.states() == {RowState.CONVERTED: 2}


def test_an_outage_that_outlasts_its_envelope_goes_on_in_a_new_one(stage: Stage) -> None:
    stage.convert("user000001")
    campaign = stage.ledger.current_campaign()
    assert campaign is not None
    stage.sleep(13 * 3600)
    until = stage.now() + timedelta(hours=5)
    anew = Manner(new_envelope=True)
    with pytest.raises(PlanUnsafe, match=r"2 people, and the envelope allows 1\n.*whole campaign"):
        convert(stage.bulk, stage.plan("user000002", until=until, at_most=1), manner=anew)
    assert stage.ledger.current_campaign() == campaign
    assert convert(
        stage.bulk, stage.plan("user000002", until=until, at_most=2), manner=anew
    ).campaign == campaign.id  # fmt: skip
    widened = stage.ledger.current_campaign()
    assert widened is not None
    assert (widened.id, parse_envelope(widened.envelope).until) == (campaign.id, until)
    with pytest.raises(PlanUnsafe, match="3 people, and the envelope allows 2"):
        convert(stage.bulk, stage.plan("user000003", until=until))
    with stage.ledger.database.reading() as connection:
        kinds = list(connection.execute(select(audit_row.c.kind)).scalars())
    assert kinds.count("campaign_opened") == kinds.count("envelope_replaced") == 1


def test_after_changes_by_hand_more_people_can_be_moved_in_an_envelope_that_is_confirmed(
    stage: Stage,
) -> None:
    stage.server.put_password(stage.user("user000004").id, "by hand")
    opened = reconcile(stage.bulk).campaign
    plan = stage.plan("user000001")
    with pytest.raises(PlanUnsafe, match="--new-envelope"):
        convert(stage.bulk, plan)
    assert convert(stage.bulk, plan, manner=Manner(new_envelope=True)).campaign == opened
    assert return_people(stage.bulk, stage.orders()).closed
    assert stage.bindings() == stage.before


def test_who_waits_for_another_plan_does_not_wait_for_this_one(stage: Stage) -> None:
    assert convert(stage.bulk, stage.plan("user000001", "user000002"), pilot=1).waiting == 1
    done = convert(stage.bulk, stage.plan("user000003"))
    assert (done.waiting, done.counts[RowState.PLANNED]) == (0, 1)


def test_a_plan_larger_than_its_envelope_is_never_stored(stage: Stage) -> None:
    with pytest.raises(PlanUnsafe, match="allows 3"):
        stage.plan(at_most=3)


def test_a_name_nobody_has_is_told_and_nothing_is_planned(stage: Stage) -> None:
    with pytest.raises(PlanUnsafe, match="user00000l"):
        stage.plan("user000001", "user00000l")


def test_objections_must_be_answered(stage: Stage) -> None:
    with pytest.raises(PlanUnsafe, match="too_many"):
        stage.plan(accepted=frozenset())


def test_the_locked_out_are_chosen_by_their_sessions(stage: Stage) -> None:
    stage.server.give_session(stage.user("user000001").id, is_saml=True, hours=100)
    stage.server.give_session(stage.user("user000002").id, is_saml=True, hours=5)
    choice = Choice(everybody=True, standings=OUT, within=timedelta(hours=8))
    envelope = Envelope(frozenset(), 99, frozenset(), stage.now() + timedelta(hours=1))
    draft = draw_up(stage.bulk, choice, envelope, Surroundings("double"), ANSWERED)
    names = {person.username: person.standing for person in draft.plan.people()}
    assert "user000001" not in names
    assert names["user000002"] == "locked out soon"
    assert names["user000003"] == "locked out now"


def test_the_first_people_of_a_plan_can_go_alone(stage: Stage) -> None:
    plan = stage.plan()
    assert convert(stage.bulk, plan, pilot=3).moved == 3
    assert convert(stage.bulk, plan).moved == 9


def test_lost_updates_are_repaired(stage: Stage) -> None:
    stage.server.trouble.lost_updates = 0.3
    told = stage.convert()
    assert told.repaired > 0
    assert (told.moved, len(stage.bindings())) == (12, 1)


def test_whoever_is_undone_again_and_again_is_open_and_says_why(stage: Stage) -> None:
    stage.server.trouble.lost_updates = 1.0
    told = stage.convert()
    assert told.moved == 0
    assert stage.bindings() == stage.before
    rows = list(stage.ledger.rows(told.campaign))
    assert {row.state for row in rows} == {RowState.RETURNED}
    assert all("undone by concurrent updates 5 times" in row.note for row in rows)


@pytest.mark.parametrize("kind", [Kind.ERROR_AFTER, Kind.CUT_AFTER, Kind.HALF_JSON])
def test_an_answer_that_is_lost_after_the_server_did_it_converts_nobody_twice(
    stage: Stage, kind: Kind
) -> None:
    stage.server.trouble.faults.append(Fault(kind, "PUT", "/password$"))
    assert stage.convert().moved == 12
    assert stage.server.calls["PUT password"] == 12


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.SERVER_ERROR, Kind.JUNK])
def test_a_call_that_never_arrived_is_made_again(stage: Stage, kind: Kind) -> None:
    stage.server.trouble.faults.append(Fault(kind, "PUT", "/password$"))
    assert stage.convert().moved == 12
    assert stage.server.calls["PUT password"] == 13


def test_a_storm_of_errors_stops_the_command_within_its_budget(stage: Stage) -> None:
    stage.server.trouble.faults.append(Fault(Kind.UNAVAILABLE, "PUT", "/password$", times=99))
    told = stage.convert()
    assert "more than 5 %" in told.stopped
    assert stage.server.calls["PUT password"] < 12
    stage.server.trouble.faults.clear()
    assert stage.convert().moved == 12


def test_a_token_that_is_revoked_half_way_stops_it_and_a_new_one_goes_on(stage: Stage) -> None:
    fault = Fault(Kind.REVOKED, "PUT", "/password$", spare=4)
    stage.server.trouble.faults.append(fault)
    plan = stage.plan()
    with pytest.raises(Unauthorized):
        convert(stage.bulk, plan)
    assert 0 < stage.states()[RowState.CONVERTED] < 12
    with stage.new_client() as client:
        convert(replace(stage.bulk, server=client), plan)
    assert stage.states() == {RowState.CONVERTED: 12}


def test_whom_the_server_refuses_is_left_out_with_its_reason(stage: Stage) -> None:
    stage.server.trouble.faults.append(Fault(Kind.SERVER_ERROR, "PUT", "/password$"))
    plan = stage.plan()
    victim = stage.user("user000005").id
    with pytest.MonkeyPatch.context() as patch:
        real = stage.client.set_password_hash

        def refusing(user_id: str, hashed: str) -> None:
            real(user_id, "garbage" if user_id == victim else hashed)

        patch.setattr(stage.client, "set_password_hash", refusing)
        told = convert(replace(stage.bulk, limits=Limits(error_budget_percent=50)), plan)
    assert told.moved == 11
    assert [user_id for user_id, _ in told.skipped] == [victim]


def test_it_stops_between_people_when_asked_and_goes_on_later(stage: Stage) -> None:
    plan = stage.plan()
    told = convert(replace(stage.bulk, stop=lambda: stage.server.calls["PUT password"] >= 5), plan)
    assert told.stopped == "asked to stop"
    assert 5 <= told.moved <= 5 + stage.limits.threads
    assert set(stage.states()) == {RowState.CONVERTED, RowState.PLANNED}
    convert(stage.bulk, plan)
    assert stage.states() == {RowState.CONVERTED: 12}
    assert stage.server.calls["PUT password"] == 12


def test_a_rate_limit_of_ten_a_second_is_kept(stage: Stage) -> None:
    stage.server.trouble.rate_limit = RateLimit(per_second=10, burst=5)
    assert stage.convert().moved == 12


def test_two_operators_cannot_run_at_once(stage: Stage) -> None:
    plan = stage.plan()
    with stage.ledger.lock("return", "somebody", stage.now()), pytest.raises(LedgerBusy):
        convert(stage.bulk, plan)
    assert stage.bindings() == stage.before


def test_progress_is_told_after_every_person(stage: Stage) -> None:
    told: list[Progress] = []
    convert(replace(stage.bulk, tell=told.append), stage.plan())
    assert [progress.done for progress in told] == list(range(1, 13))
    assert told[-1] == Progress("convert", 12, 0, 12)
