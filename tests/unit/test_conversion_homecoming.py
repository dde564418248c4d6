"""Return, verify, reconcile: everybody back by the binding they had, or open with a reason."""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from conversion import converted_file
from conversion.campaign import convert
from conversion.converted_file import ConvertedFile
from conversion.decision.lifecycle import RowState
from conversion.errors import (
    CampaignIncomplete,
    ConfigError,
    LedgerBusy,
    LedgerError,
    MattermostError,
    ProofMissing,
    Unauthorized,
)
from conversion.homecoming import Orders, return_people, verify
from conversion.ledger.tables import inventory
from conversion.mattermost import Version, capabilities_of
from conversion.reconciliation import reconcile
from conversion.report import report_of
from tests.support.conversion_stage import Stage
from tests.support.mattermost_api import Fault, Kind, RateLimit, SamlRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conversion.ledger.base import InventoryRow

KEY = bytes(range(32))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as opened:
        yield opened


@pytest.fixture(params=["5.37", "9.3", "10.11", "11.0", "11.8", "11.10"])
def any_release(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path, version=request.param) as opened:
        yield opened


def _inventory(stage: Stage) -> list[InventoryRow]:
    return list(stage.ledger.inventory())


def _replace_inventory(stage: Stage, rows: list[InventoryRow]) -> None:
    """As if `prepare` had never known better."""
    with stage.ledger.database.writing() as connection:
        connection.execute(delete(inventory))
    stage.ledger.put_inventory(rows, stage.now())


def _note(stage: Stage, username: str) -> tuple[RowState, str]:
    campaign = stage.ledger.current_campaign()
    assert campaign is not None
    row = stage.ledger.row(campaign.id, stage.user(username).id)
    assert row is not None
    return row.state, row.note


def test_everybody_comes_back_by_the_binding_they_had(any_release: Stage) -> None:
    stage = any_release
    stage.convert()
    told = return_people(stage.bulk, stage.orders())
    assert told.closed
    assert (told.verified, told.open_rows) == (12, 0)
    assert stage.bindings() == stage.before
    assert stage.ledger.current_campaign() is None
    assert all(not user.password for user in stage.server.users.values() if user.auth_service)


def test_an_empty_patch_follows_each_return_below_9_3_and_only_there(any_release: Stage) -> None:
    stage = any_release
    stage.convert()
    return_people(stage.bulk, stage.orders())
    assert stage.server.calls["PUT patch"] == (12 if stage.version == "5.37" else 0)


def test_nobody_can_undo_a_return_by_the_stale_cache(tmp_path: Path) -> None:
    with Stage(tmp_path, version="5.37") as stage:
        stage.convert()
        for user_id in stage.before:
            stage.server.profile(user_id)
        return_people(stage.bulk, stage.orders())
        assert all(
            found is not None and found.auth_service == "saml"
            for found in map(stage.server.profile, stage.before)
        )


# --- proof, pilot, waves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orders", "says"),
    [
        (Orders(), "campaign.operator_user"),
        (Orders(operator="nobody"), "no active account is called nobody"),
        (Orders(operator="sysadmin"), "not on SAML"),
        (Orders(operator="operator"), "no SAML session younger than 10 minutes"),
        (Orders(operator="operator", proxy_works=False), "no SAML session"),
    ],
)
def test_without_proof_nobody_is_returned(stage: Stage, orders: Orders, says: str) -> None:
    stage.convert()
    with pytest.raises(ProofMissing, match=says):
        return_people(stage.bulk, orders)
    assert stage.states() == {RowState.CONVERTED: 12}
    assert stage.server.calls["PUT auth"] == 0


@pytest.mark.parametrize("is_saml", [True, False])
def test_a_login_of_eleven_minutes_ago_or_by_password_proves_nothing(
    stage: Stage, is_saml: bool
) -> None:
    stage.convert()
    stage.server.give_session(stage.user("operator").id, is_saml=is_saml)
    stage.sleep(661 if is_saml else 0)
    with pytest.raises(ProofMissing):
        return_people(stage.bulk, Orders(operator="operator"))


def test_the_proxys_word_is_proof(stage: Stage) -> None:
    stage.convert("user000001")
    told = return_people(stage.bulk, Orders(proxy_works=True))
    assert told.closed
    assert told.proof is not None
    assert told.proof.kind == "proxy"


def test_the_rest_waits_until_one_of_the_pilot_has_logged_in_by_saml(stage: Stage) -> None:
    stage.convert()
    orders = stage.orders(no_wait_reason="", pilot=3)
    told = return_people(stage.bulk, orders)
    assert (told.verified, len(told.waiting), told.closed) == (3, 3, False)
    with pytest.raises(CampaignIncomplete, match="9 people are open: 9 converted"):
        told.must_be_complete()
    waiting = return_people(stage.bulk, replace(orders, login_wait=timedelta(seconds=60)))
    assert (waiting.verified, waiting.open_rows) == (0, 9)
    one = stage.server.users[told.waiting[1]]
    stage.server.saml_login(one.auth_data or "", one.email, one.username)
    assert return_people(stage.bulk, stage.orders(no_wait_reason="", pilot=3)).closed
    assert stage.bindings() == stage.before


def test_a_login_of_the_pilot_in_the_desktop_app_counts_and_no_other_that_saml_did_not_make(
    any_release: Stage,
) -> None:
    """Mattermost marks the logins of its desktop app as made by password (9.1 and later)."""
    stage = any_release
    stage.convert()
    for user_id in stage.before:
        stage.server.give_session(user_id)
    orders = stage.orders(no_wait_reason="", pilot=2)
    one, other = return_people(stage.bulk, orders).waiting
    stage.server.session_by(stage.server.give_token(one).token)
    stage.server.give_session(one).is_oauth = True
    assert len(return_people(stage.bulk, orders).waiting) == 2
    stage.server.give_session(other)
    assert return_people(stage.bulk, orders).closed


def test_who_was_brought_back_by_somebody_else_is_told_where_no_binding_shows(
    any_release: Stage,
) -> None:
    stage = any_release
    stage.convert()
    stage.server.put_auth(stage.user("user000003").id, "saml", "another")
    stage.server.put_auth(stage.user("user000004").id, "saml", "nameid-user000004")
    told = return_people(stage.bulk, stage.orders())
    if stage.version in {"5.37", "9.3"}:
        said = [one.user_id for one in told.remarks if "somebody else" in one.says]
        assert said == [stage.user(f"user00000{number}").id for number in (3, 4)]
    else:
        assert _note(stage, "user000003")[0] is RowState.CONFLICT
        assert told.remarks == []


def test_a_session_that_began_before_the_outage_is_no_login_of_the_pilot(stage: Stage) -> None:
    for user_id in stage.before:
        stage.server.give_session(user_id, is_saml=True)
    stage.sleep(3600)
    stage.convert()
    stage.sleep(3600)
    told = return_people(stage.bulk, stage.orders(no_wait_reason="", pilot=2))
    assert len(told.waiting) == 2


def test_a_quick_return_takes_no_session_of_before_for_a_login(stage: Stage) -> None:
    for user_id in stage.before:
        stage.server.give_session(user_id, is_saml=True)
    stage.convert()
    told = return_people(stage.bulk, stage.orders(pilot=2, no_wait_reason=""))
    assert len(told.waiting) == 2


def test_a_volunteer_joins_a_pilot_of_whom_nobody_can_be_reached(stage: Stage) -> None:
    stage.convert()
    orders = stage.orders(no_wait_reason="", pilot=2)
    assert len(return_people(stage.bulk, orders).waiting) == 2
    volunteer = stage.user("user000009")
    joined = replace(orders, first=frozenset({volunteer.id}))
    told = return_people(stage.bulk, joined)
    assert (told.verified, len(told.waiting)) == (1, 3)
    # The same line again moves nobody more.
    assert return_people(stage.bulk, joined).verified == 0
    stage.server.saml_login(f"nameid-{volunteer.username}", volunteer.email, volunteer.username)
    assert return_people(stage.bulk, stage.orders(no_wait_reason="")).closed


def test_where_only_people_are_left_who_cannot_log_in_nobody_is_waited_for(stage: Stage) -> None:
    stage.convert("user000001", "user000002")
    for name in ("user000001", "user000002"):
        stage.server.change(stage.user(name).id, delete_at=7)
    told = return_people(stage.bulk, stage.orders(no_wait_reason=""))
    assert (told.verified, told.waiting, told.closed) == (2, (), True)
    assert stage.bindings() == stage.before


def test_volunteers_go_first_and_who_cannot_log_in_does_not(stage: Stage) -> None:
    stage.convert()
    stage.server.change(stage.user("user000000").id, delete_at=7)
    volunteer = stage.user("user000009").id
    orders = stage.orders(no_wait_reason="", pilot=2, first=frozenset({volunteer}))
    told = return_people(stage.bulk, orders)
    assert set(told.waiting) == {volunteer, stage.user("user000001").id}


def test_waves_end_where_somebody_says_stop(stage: Stage) -> None:
    stage.convert()
    bulk = replace(stage.bulk, stop=lambda: stage.server.calls["PUT auth"] >= 7)
    told = return_people(bulk, stage.orders(pilot=2, wave=3))
    assert told.stopped == "asked to stop"
    assert not told.closed
    assert return_people(stage.bulk, stage.orders(wave=3)).closed
    assert stage.bindings() == stage.before
    assert stage.server.calls["PUT auth"] == 12


def test_whoever_was_only_planned_is_withdrawn(stage: Stage) -> None:
    bulk = replace(stage.bulk, stop=lambda: stage.server.calls["PUT password"] >= 3)
    convert(bulk, stage.plan())
    back = return_people(stage.bulk, stage.orders())
    assert back.withdrawn + back.verified == 12
    assert back.closed


# --- what can go wrong ---------------------------------------------------------------------------


def test_lost_updates_are_repaired_and_looked_at_again(stage: Stage) -> None:
    stage.convert()
    stage.server.trouble.lost_updates = 0.3
    told = return_people(stage.bulk, stage.orders())
    assert told.repaired > 0
    assert told.closed
    assert stage.bindings() == stage.before


def test_whoever_cannot_be_kept_back_is_open_with_the_reason(stage: Stage) -> None:
    stage.convert()
    stage.server.trouble.lost_updates = 1.0
    told = return_people(stage.bulk, stage.orders())
    assert not told.closed
    assert stage.states() == {RowState.CONVERTED: 12}
    assert "undone by concurrent updates" in _note(stage, "user000003")[1]
    stage.server.trouble.lost_updates = 0.0
    assert return_people(stage.bulk, stage.orders()).closed


@pytest.mark.parametrize("kind", [Kind.ERROR_AFTER, Kind.CUT_AFTER, Kind.HALF_JSON])
def test_a_lost_answer_restores_nobody_twice_and_the_patch_is_not_forgotten(
    tmp_path: Path, kind: Kind
) -> None:
    with Stage(tmp_path, version="5.37") as stage:
        stage.convert()
        stage.server.trouble.faults.append(Fault(kind, "PUT", "/auth$"))
        assert return_people(stage.bulk, stage.orders()).closed
        assert stage.server.calls["PUT auth"] == 12
        assert stage.server.calls["PUT patch"] == 12


def test_a_patch_that_fails_is_made_again_before_anybody_counts_as_back(tmp_path: Path) -> None:
    with Stage(tmp_path, version="5.37") as stage:
        stage.convert()
        stage.server.trouble.faults.append(Fault(Kind.UNAVAILABLE, "PUT", "/patch$", times=2))
        assert return_people(stage.bulk, stage.orders()).closed
        assert stage.server.calls["PUT patch"] == 14


def test_a_token_revoked_half_way_leaves_open_rows_and_a_new_one_ends_it(stage: Stage) -> None:
    stage.convert()
    stage.server.trouble.faults.append(Fault(Kind.REVOKED, "PUT", "/auth$", spare=5))
    with pytest.raises(Unauthorized):
        return_people(stage.bulk, stage.orders())
    assert stage.ledger.current_campaign() is not None
    with stage.new_client() as client:
        assert return_people(replace(stage.bulk, server=client), stage.orders()).closed
    assert stage.bindings() == stage.before


@pytest.mark.parametrize("after", ["password", "auth"])
def test_a_server_that_restarts_half_way_loses_nobody(tmp_path: Path, after: str) -> None:
    """It is away for longer than anybody waits, and comes back without what it remembered."""
    with Stage(tmp_path, version="5.37") as stage:
        away: list[float] = []

        def restart_once() -> bool:
            if stage.server.calls[f"PUT {after}"] >= 5 and not away:
                away.append(stage.server.now)
                stage.server.restart(down_s=90)
            return False

        bulk = replace(stage.bulk, stop=restart_once)
        digest = stage.plan()
        for _ in range(3):
            with suppress(MattermostError):
                convert(bulk, digest)
            stage.sleep(60)
        for _ in range(3):
            with suppress(MattermostError):
                return_people(bulk, stage.orders())
            stage.sleep(60)
            if stage.ledger.current_campaign() is None:
                break
        assert away
        assert stage.ledger.current_campaign() is None
        assert stage.bindings() == stage.before


def test_storms_and_a_rate_limit_cost_time_and_nobody(stage: Stage) -> None:
    stage.convert()
    stage.server.trouble.rate_limit = RateLimit(per_second=10, burst=20)
    stage.server.trouble.faults.append(Fault(Kind.UNAVAILABLE, times=5, probability=0.2))
    for _ in range(6):
        if return_people(stage.bulk, stage.orders()).closed:
            break
    assert stage.bindings() == stage.before
    assert stage.ledger.current_campaign() is None


def test_a_binding_that_somebody_else_holds_is_a_conflict_that_names_the_holder(
    any_release: Stage,
) -> None:
    stage = any_release
    stage.convert()
    taken = stage.before[stage.user("user000004").id]
    # Just in time: with another address the server takes the person for a new one.
    stage.server.saml_login(taken, "new@corp.test", "newcomer")
    told = return_people(stage.bulk, stage.orders())
    state, note = _note(stage, "user000004")
    assert (state, told.open_rows, told.closed) == (RowState.CONFLICT, 1, False)
    assert "newcomer" in note
    stage.server.change(stage.user("newcomer").id, auth_data="other")
    assert return_people(stage.bulk, stage.orders()).closed
    assert stage.before.items() <= stage.bindings().items()


def test_an_account_bound_to_something_else_is_never_overwritten_unasked(stage: Stage) -> None:
    stage.convert()
    victim = stage.server.change(
        stage.user("user000002").id, auth_service="saml", auth_data="by-another-admin"
    )
    told = return_people(stage.bulk, stage.orders())
    assert told.open_rows == 1
    assert _note(stage, "user000002")[0] is RowState.CONFLICT
    assert stage.bindings()[victim.id] == "by-another-admin"
    orders = stage.orders(decided=frozenset({victim.id}))
    assert return_people(stage.bulk, orders).closed
    assert stage.bindings() == stage.before


def test_a_deleted_account_is_open_and_says_so(stage: Stage) -> None:
    stage.convert()
    gone = stage.user("user000006")
    campaign = stage.ledger.current_campaign()
    assert campaign is not None
    del stage.server.users[gone.id]
    assert return_people(stage.bulk, stage.orders()).open_rows == 1
    row = stage.ledger.row(campaign.id, gone.id)
    assert row is not None
    assert (row.state, "not in the server's list" in row.note) == (RowState.FAILED, True)


def test_people_deactivated_meanwhile_are_returned_and_told(stage: Stage) -> None:
    stage.convert()
    leaver = stage.user("user000007").id
    stage.server.change(leaver, delete_at=7)
    told = return_people(stage.bulk, stage.orders())
    assert told.closed
    assert [(one.user_id, "deactivated" in one.says) for one in told.remarks] == [(leaver, True)]


# --- MFA, sessions, profiles ---------------------------------------------------------------------


@pytest.mark.parametrize("version", ["5.37", "10.11"])
def test_a_login_of_before_the_outage_goes_on_where_one_by_password_is_ended(
    tmp_path: Path, version: str
) -> None:
    with Stage(tmp_path, version=version) as stage:
        person = stage.user("user000001").id
        before = stage.server.give_session(person)
        stage.sleep(60)
        stage.convert("user000001")
        stage.sleep(60)
        during = [stage.server.give_session(person) for _ in range(2)]
        told = return_people(stage.bulk, stage.orders())
        assert stage.server.session_by(before.token) is not None
        assert [stage.server.session_by(one.token) for one in during] == [None, None]
    (remark,) = [one for one in told.remarks if one.user_id == person]
    assert remark.says == "had logged in by password; 2 such logins were ended"


def test_of_an_unknown_release_it_is_not_believed_that_a_return_ends_logins(stage: Stage) -> None:
    stage.bulk = replace(stage.bulk, capabilities=capabilities_of(Version(12, 0)))
    person = stage.user("user000001").id
    stage.convert("user000001")
    stage.sleep(60)
    during = stage.server.give_session(person)
    told = return_people(stage.bulk, stage.orders())
    assert stage.server.session_by(during.token) is None
    assert [one.says for one in told.remarks if one.user_id == person] == [
        "had logged in by password; 1 such logins were ended"
    ]


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("10.11", "1 personal access tokens came into use while converted: look at them"),
        ("11.10", "came into use while converted, perhaps before: look at them"),
    ],
)
def test_a_token_that_outlives_the_return_is_told(tmp_path: Path, version: str, says: str) -> None:
    with Stage(tmp_path, version=version) as stage:
        person = stage.user("user000001").id
        stage.convert("user000001", "user000002")
        stage.sleep(60)
        token = stage.server.give_token(person)
        assert stage.server.session_by(token.token) is not None
        told = return_people(stage.bulk, stage.orders())
        assert token.token in stage.server.tokens
    (remark,) = [one for one in told.remarks if "token" in one.says]
    assert remark.user_id == person
    assert says in remark.says
    assert token.token not in remark.says


def test_mfa_enrolled_while_converted_is_cleared_and_older_mfa_is_never_touched(
    stage: Stage,
) -> None:
    old = stage.user("user000001").id
    lost = stage.user("user000002").id
    for user_id in (old, lost):
        stage.server.change(user_id, mfa_active=True, mfa_secret="s")
    stage.prepare()
    stage.convert()
    new = stage.user("user000003").id
    stage.server.change(new, mfa_active=True, mfa_secret="n")
    stage.server.change(lost, mfa_active=False)
    told = return_people(stage.bulk, stage.orders())
    assert told.closed
    assert stage.server.users[old].mfa_active
    assert not stage.server.users[new].mfa_active
    assert stage.server.calls["PUT mfa"] == 1
    says = {one.user_id: one.says for one in told.remarks}
    assert "cleared" in says[new]
    assert "had MFA before" in says[lost]
    # Whoever asks afterwards reads it too, and who answers for it.
    campaign = stage.ledger.last_campaign()
    assert campaign is not None
    found = report_of(stage.ledger, campaign, stage.now(), "it@corp.test")
    reasons = {one.user_id: (one.reason, one.owner) for one in found.exceptions}
    assert reasons == {one: (said, "it@corp.test") for one, said in says.items()}


def test_logins_by_password_end_and_logins_by_saml_go_on(stage: Stage) -> None:
    quiet, guest = stage.user("user000001").id, stage.user("user000002").id
    kept = stage.server.give_session(quiet, is_saml=True)
    stage.sleep(60)
    stage.convert()
    ended = stage.server.give_session(guest)
    return_people(stage.bulk, stage.orders())
    assert stage.server.session_by(kept.token) is not None
    assert stage.server.session_by(ended.token) is None


def test_profiles_changed_while_converted_are_told(stage: Stage) -> None:
    stage.convert()
    stage.server.change(stage.user("user000001").id, email="mallory@example.org")
    told = return_people(stage.bulk, stage.orders())
    assert ["mallory@example.org" in one.says for one in told.remarks] == [True]
    # Afterwards the report still tells it: nobody may have read what the command said.
    campaign = stage.ledger.last_campaign()
    assert campaign is not None
    (exception,) = report_of(stage.ledger, campaign, stage.now()).exceptions
    assert "is user000001, mallory@example.org" in exception.reason


# --- reconcile, verify ---------------------------------------------------------------------------


def test_a_password_set_by_hand_is_adopted_and_brought_back(stage: Stage) -> None:
    victim = stage.user("user000003").id
    stage.server.put_password(victim, "$2a$10$x")
    told = reconcile(stage.bulk)
    assert told.adopted == (victim,)
    assert return_people(stage.bulk, stage.orders()).closed
    assert stage.bindings() == stage.before


def test_nothing_to_adopt_opens_no_campaign(stage: Stage) -> None:
    assert reconcile(stage.bulk).campaign == ""
    assert stage.ledger.current_campaign() is None


def test_a_campaign_does_not_close_over_somebody_moved_by_hand(stage: Stage) -> None:
    stage.convert("user000001")
    victim = stage.user("user000002").id
    stage.server.put_password(victim, "$2a$10$x")
    told = return_people(stage.bulk, stage.orders())
    assert (told.closed, told.strays) == (False, (victim,))
    with pytest.raises(CampaignIncomplete, match="run reconcile"):
        told.must_be_complete()
    reconcile(stage.bulk)
    assert return_people(stage.bulk, stage.orders()).closed
    assert stage.bindings() == stage.before


def test_an_unknown_way_back_is_held_back_until_somebody_allows_the_email(tmp_path: Path) -> None:
    with Stage(tmp_path, version="5.37") as stage:
        victim = stage.user("user000003")
        stage.server.put_password(victim.id, "$2a$10$x")
        rows = [
            replace(row, binding=None if row.user_id == victim.id else row.binding)
            for row in _inventory(stage)
        ]
        _replace_inventory(stage, rows)
        assert reconcile(stage.bulk).makeshift == (victim.id,)
        told = return_people(stage.bulk, stage.orders())
        assert (told.held_back, told.closed) == ((victim.id,), False)
        told = return_people(stage.bulk, stage.orders(email_fallback=True))
        assert told.closed
        assert stage.bindings()[victim.id] == victim.email
        # The next SAML login binds the account to its id again.
        stage.server.saml_login(stage.before[victim.id], victim.email, victim.username)
        assert stage.bindings() == stage.before


def test_a_way_back_that_prepare_learns_later_replaces_the_makeshift(tmp_path: Path) -> None:
    with Stage(tmp_path, version="5.37") as stage:
        known = list(_inventory(stage))
        victim = stage.user("user000003")
        stage.server.put_password(victim.id, "$2a$10$x")
        _replace_inventory(
            stage,
            [replace(row, binding=None) if row.user_id == victim.id else row for row in known],
        )
        reconcile(stage.bulk)
        stage.sleep(1)
        stage.ledger.put_inventory(known, stage.now())
        assert return_people(stage.bulk, stage.orders(email_fallback=True)).closed
        assert stage.bindings() == stage.before


def test_verify_sees_who_fell_back_after_everything_was_fine(stage: Stage) -> None:
    stage.convert()
    stage.server.trouble.faults.append(Fault(Kind.UNAVAILABLE, "PUT", "user000009|0009/auth$"))
    return_people(stage.bulk, stage.orders(pilot=3, no_wait_reason=""))
    fallen = stage.user("user000000").id
    stage.server.put_password(fallen, "$2a$10$x")
    told = verify(stage.bulk)
    assert told.counts[RowState.CONVERTED] == 10
    assert _note(stage, "user000000")[0] is RowState.CONVERTED
    assert not told.closed


def test_verify_takes_the_word_of_who_returned_people_by_hand_only_after_a_look(
    stage: Stage,
) -> None:
    stage.convert()
    for user_id, value in stage.before.items():
        stage.server.put_auth(user_id, "saml", value)
    told = verify(stage.bulk)
    assert told.closed
    assert told.verified == 12


def test_without_a_campaign_there_is_nothing_to_return(stage: Stage) -> None:
    with pytest.raises(LedgerError, match="no campaign is open"):
        return_people(stage.bulk, stage.orders())
    with pytest.raises(LedgerError, match="no campaign is open"):
        verify(stage.bulk)


def test_every_bulk_command_takes_the_lock(stage: Stage) -> None:
    stage.convert()
    with stage.ledger.lock("convert", "somebody", stage.now()):
        for command in (verify, reconcile):
            with pytest.raises(LedgerBusy):
                command(stage.bulk)
        with pytest.raises(LedgerBusy):
            return_people(stage.bulk, stage.orders())


# --- the proxy's file ----------------------------------------------------------------------------


def _pseudonym(value: str) -> str:
    return hmac.new(KEY, value.encode(), hashlib.sha256).hexdigest()


def test_the_proxys_file_names_who_is_at_a_password_and_nobody_else(
    stage: Stage, tmp_path: Path
) -> None:
    path = tmp_path / "converted"
    bulk = replace(stage.bulk, converted=ConvertedFile(path, KEY))
    stage.bulk = bulk
    stage.convert("user000001", "user000002")
    wanted = {_pseudonym(stage.before[stage.user(f"user00000{n}").id]) for n in (1, 2)}
    assert set(path.read_text().split()) == wanted
    assert oct(path.stat().st_mode & 0o777) == "0o640"
    return_people(bulk, stage.orders(pilot=1, no_wait_reason=""))
    assert len(path.read_text().split()) == 1
    return_people(bulk, stage.orders())
    assert path.read_text() == ""


def test_the_proxy_can_read_its_file_whatever_the_umask_and_whoever_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    monkeypatch.setattr(os, "fchown", lambda _file, _owner, group: groups.append(group))
    monkeypatch.setattr(converted_file, "_group_of", lambda _path: 4711)
    path = tmp_path / "converted"
    before = os.umask(0o077)
    try:
        ConvertedFile(path, KEY).write([])
    finally:
        os.umask(before)
    assert oct(path.stat().st_mode & 0o777) == "0o640"
    assert groups == [4711]

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refused)
    assert ConvertedFile(path, KEY).write([]).listed == 0


def test_the_files_group_stays_and_a_new_one_has_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "converted"
    assert converted_file._group_of(path) == tmp_path.stat().st_gid
    path.touch()
    assert converted_file._group_of(path) == path.stat().st_gid


def test_the_file_is_right_before_the_pilot_is_asked_to_log_in(
    stage: Stage, tmp_path: Path
) -> None:
    path = tmp_path / "converted"
    sizes: list[int] = []

    def wait(seconds: float) -> None:
        if seconds == 7.0:
            sizes.append(len(path.read_text().split()))
        stage.sleep(seconds)

    stage.bulk = replace(stage.bulk, converted=ConvertedFile(path, KEY), sleep=wait)
    stage.convert()
    asked = stage.orders(
        pilot=2, no_wait_reason="", login_wait=timedelta(seconds=6), poll=timedelta(seconds=7)
    )
    return_people(stage.bulk, asked)
    assert sizes == [10]


def test_a_makeshift_binding_is_left_out_of_the_file_and_told(tmp_path: Path) -> None:
    with Stage(tmp_path, version="5.37") as stage:
        stage.bulk = replace(stage.bulk, converted=ConvertedFile(tmp_path / "converted", KEY))
        victim = stage.user("user000003")
        stage.server.put_password(victim.id, "$2a$10$x")
        rows = [
            replace(row, binding=None) if row.user_id == victim.id else row
            for row in _inventory(stage)
        ]
        _replace_inventory(stage, rows)
        assert reconcile(stage.bulk).not_in_file == (victim.id,)
        assert (tmp_path / "converted").read_text() == ""


def test_a_disk_that_refuses_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    folder = tmp_path / "away"
    with pytest.raises(LedgerError, match="converted_file"):
        ConvertedFile(folder / "converted", KEY).write([])
    assert not folder.exists()


def test_a_short_key_is_refused_and_no_key_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 32"):
        ConvertedFile(tmp_path / "c", KEY[:31])
    assert repr(KEY) not in repr(ConvertedFile(tmp_path / "c", KEY))


def test_nobody_logs_in_by_saml_while_converted_and_everybody_does_afterwards(
    stage: Stage,
) -> None:
    stage.convert()
    one = stage.user("user000001")
    login = (stage.before[one.id], one.email, one.username)
    with pytest.raises(SamlRefusedError):
        stage.server.saml_login(*login)
    return_people(stage.bulk, stage.orders())
    assert stage.server.saml_login(*login).user_id == one.id
