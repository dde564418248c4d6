"""Operators at the command line: enrolment, two people, overrides, and who tries to do without."""

from __future__ import annotations

import os
import pty
import re
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import typer
from pyotp import TOTP

from idp_proxy.adapters import open_store
from idp_proxy.audit.log import AuditLog
from idp_proxy.cli import approving, terminal
from idp_proxy.cli.alarming import alarm
from idp_proxy.cli.approving import Approved, Waiting
from idp_proxy.cli.signing_in import Means, signed_in, who
from idp_proxy.config import load
from idp_proxy.decision.approval import Act
from idp_proxy.decision.notices import Kind
from idp_proxy.decision.proposal import PROPOSAL_LASTS, ProposalState
from idp_proxy.errors import ConfigError, StoreConflict
from idp_proxy.operators import proposals
from idp_proxy.operators.consent import Wish
from idp_proxy.operators.refusals import ApprovalRefused, OperatorRefused
from tests.conformance.rooms import state
from tests.support.launch import PROGRAM
from tests.support.processes import free_port
from tests.unit.at_the_terminal import PASSWORD, STEP, Bench, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder

SWITCH = Wish(Act.SWITCH, "entra", "okta is down")
INELIGIBLE = Wish(Act.SWITCH_INELIGIBLE, "entra", "okta is down")


@pytest.fixture
def program(folder: Folder, empty_database: bytes, capsys: pytest.CaptureFixture[str]) -> Program:
    made = Program(folder, capsys)
    made.write()
    made.make_store(empty_database)
    return made


@pytest.fixture
def bench(program: Program, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(program, monkeypatch)


@pytest.fixture
def settings(bench: Bench) -> Settings:
    return load(bench.program.file)


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlStore]:
    opened = open_store(settings)
    with opened.transaction() as transaction:
        transaction.swap(0, state(epoch=7))
    yield opened
    opened.close()


def asked(
    bench: Bench,
    settings: Settings,
    store: SqlStore,
    wish: Wish,
    by: str | None = None,
    override: str | None = None,
) -> Approved | Waiting:
    bench.typed = list(bench.signs_in(by)) if by else []
    return approving.request(settings, store, wish, Means(by, override))


def agrees(
    bench: Bench, settings: Settings, store: SqlStore, waiting: Approved | Waiting, by: str
) -> Approved:
    assert isinstance(waiting, Waiting)
    bench.typed = list(bench.signs_in(by))
    return approving.confirm(settings, store, waiting.proposal.id, Means(by), set(Act))[1]


def test_before_the_first_operator_the_list_says_how_to_add_one(bench: Bench) -> None:
    done = bench("operator", "list")
    assert done.out.startswith("there is no operator: the host's user acts alone\n")
    assert done.next.startswith("next: idp-proxy operator add NAME --role operator --role approver")


def test_the_first_operator_is_added_by_the_host_without_a_credential(bench: Bench) -> None:
    done = bench.add("olga", "operator", "approver")
    assert (done.code, bench.paused) == (0, 0.0)
    assert done.out.startswith("olga is an operator: approver, operator\n")
    assert done.next == f"next: idp-proxy operator list --config {bench.program.file}"
    assert "with one approver, what goes by approvals takes one person" in done.err
    assert bench.asked == [
        "a new password for olga, at least 12 characters (twice)",
        "the code that it shows",
    ]
    listed = bench.listed()["olga"]
    assert (listed["state"], listed["roles"]) == ("enabled", ["approver", "operator"])
    assert listed["created_by"].startswith("host:")
    assert [kind for kind, _ in bench.audit()] == ["operator_added"]


def test_the_secret_is_shown_once_as_picture_and_uri_and_kept_nowhere(bench: Bench) -> None:
    shown: list[str] = []
    line = bench._answer

    def catch(question: str) -> str:
        answer = line(question)
        shown.append(bench.secrets["olga"])
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "line", catch)
        done = bench.add("olga", "operator")
    (uri,) = shown
    assert uri.startswith("otpauth://totp/sso.example.org:olga?secret=")
    secret = re.findall(r"secret=(\w+)", uri)[0]
    assert secret not in done.out
    kept = (bench.program.folder.path / "var/idp-proxy.db").read_bytes()
    assert secret.encode() not in kept
    assert PASSWORD.encode() not in kept


def test_a_mistyped_code_is_forgiven_twice(bench: Bench) -> None:
    typed = (PASSWORD, "123", "", "123456")
    assert bench("operator", "add", "olga", "--role", "operator", typed=typed).code == 1
    assert bench.listed() == {}


@pytest.mark.parametrize(
    ("name", "typed", "why"),
    [
        ("Olga", (), "is no operator's name"),
        ("ol\u0261a", (), "is no operator's name"),
        ("o\x1b[31m", (), "is no operator's name"),
        ("olga", ("short",), "the password is too short"),
        ("olga", ("olga olga olga 1",), "the password holds the operator's name"),
    ],
)
def test_a_bad_enrolment_is_refused_before_anything_is_shown(
    bench: Bench, name: str, typed: tuple[str, ...], why: str
) -> None:
    done = bench("operator", "add", name, "--role", "operator", typed=typed)
    assert done.code == 1
    assert why in done.err
    assert "otpauth" not in done.err
    assert "\x1b" not in done.err
    assert bench.listed() == {}


def test_a_password_may_come_from_a_file_and_never_from_the_command_line(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text(PASSWORD + "\n")
    monkeypatch.chdir(tmp_path)
    words = ("operator", "add", "olga", "--role", "operator", "--new-password-from")
    assert bench(*words, PASSWORD).code == 2
    assert PASSWORD not in bench.program.err
    assert bench(*words, "env:NOT_THERE").code == 2
    file.chmod(0o644)
    assert bench(*words, "file:password").code == 2
    assert "chmod 600" in bench.program.err
    file.chmod(0o600)
    assert bench(*words, "file:password", typed=("CODE",)).code == 0
    monkeypatch.setenv("OLGA", PASSWORD)
    wanted = ("operator", "disable", "olga", "--reason", "x", "--as", "olga")
    done = bench(*wanted, "--password-from", "env:OLGA", typed=(bench.code("olga"),))
    assert (done.code, bench.asked) == (3, ["code of the authenticator"])


def test_a_second_operator_takes_two_people(bench: Bench) -> None:
    bench.staff()
    done = bench.add("bert", "approver", by="olga")
    assert done.code == 3
    assert "nothing has changed: operator_change takes two people" in done.out
    found = re.findall(r"operator confirm (\w+)", done.next)
    assert bench.listed()["bert"]["state"] == "pending"
    assert bench("operator", "list").next.startswith(f"next: idp-proxy operator confirm {found[0]}")
    done = bench("operator", "confirm", found[0], "--as", "anna", typed=bench.signs_in("anna"))
    assert done.code == 0, done.err
    assert "operator:olga asks: operator_change add bert as approver: a new operator" in done.err
    assert done.out.startswith("done: add bert as approver\n")
    assert bench.listed()["bert"]["state"] == "enabled"
    assert bench.audit()[-4:] == [
        ("proposed", "operator:olga"),
        ("operator_added", "operator:olga"),
        ("proposal_confirmed", "operator:anna"),
        ("operator_enabled", "operator:olga (confirmed by operator:anna)"),
    ]


def test_disabling_takes_two_people_and_then_counts_at_once(bench: Bench) -> None:
    bench.staff()
    words = ("operator", "disable", "adam", "--reason", "left us")
    done = bench(*words, "--as", "olga", typed=bench.signs_in("olga"))
    assert done.code == 3
    (found,) = re.findall(r"operator confirm (\w+)", done.next)
    assert bench.listed()["adam"]["state"] == "enabled"
    refused = bench("operator", "confirm", found, "--as", "olga", typed=bench.signs_in("olga"))
    assert refused.code == 1
    assert "olga has agreed to proposal" in refused.err
    assert bench("operator", "confirm", found, typed=("anna", *bench.signs_in("anna"))).code == 0
    assert bench.listed()["adam"]["state"] == "disabled"
    assert bench("operator", "disable", "adam", "--reason", "again").code == 1
    twice = bench("operator", "confirm", found, "--as", "anna")
    assert (twice.code, "was confirmed already" in twice.err) == (1, True)


def test_a_proposal_is_not_for_another_enrolment_under_the_same_name(bench: Bench) -> None:
    bench.staff()
    (first,) = re.findall(r"confirm (\w+)", bench.add("bert", "viewer", by="olga").next)
    (second,) = re.findall(r"confirm (\w+)", bench.add("bert", "approver", by="olga").next)
    done = bench("operator", "confirm", first, "--as", "anna", typed=bench.signs_in("anna"))
    assert done.code == 1
    assert "begin again" in done.err
    assert bench.listed()["bert"]["state"] == "pending"
    assert (
        bench("operator", "confirm", second, "--as", "anna", typed=bench.signs_in("anna")).code == 0
    )
    assert bench.listed()["bert"]["roles"] == ["approver"]


def test_an_enabled_operator_is_not_enrolled_again(bench: Bench) -> None:
    bench.staff()
    done = bench("operator", "add", "anna", "--role", "viewer")
    assert done.code == 1
    assert "disable them first" in done.err


def test_root_without_a_credential_acts_by_override_only(bench: Bench) -> None:
    bench.staff()
    bench.now += STEP
    bench.uid = 0
    words = ("operator", "disable", "adam", "--reason", "stolen laptop")
    done = bench(*words)
    assert done.code == 1
    assert "without an operator's credential takes an override" in done.err
    assert "(--override REASON); or sign in as an operator (--as NAME)" in done.err
    done = bench(*words, "--override", "nobody else is awake")
    assert (done.code, bench.paused) == (0, 60.0)
    assert bench.told == [
        (
            "override",
            {
                "what": "operator_change disable adam",
                "cause": "nobody else is awake",
                "key": f"override:{bench.overrides()[0]['id']}",
                "next": "override list",
            },
        )
    ]
    used = bench.overrides()[0]
    assert (used["people"], used["state"]) == (["host:root"], "open")
    assert bench.audit()[-2:] == [
        ("override", "host:root"),
        ("operator_disabled", f"host:root (override {used['id']})"),
    ]


def test_a_user_of_the_host_who_is_not_root_must_sign_in(bench: Bench) -> None:
    bench.staff()
    words = ("operator", "disable", "adam", "--reason", "x", "--override", "y")
    done = bench(*words, typed=("olga", PASSWORD, "000000"))
    assert done.code == 1
    assert bench.asked == ["operator", "password of 'olga'", "code of the authenticator"]
    assert bench.listed()["adam"]["state"] == "enabled"


def test_every_sign_in_that_fails_sounds_the_same(bench: Bench) -> None:
    bench.staff()
    words = ("operator", "disable", "adam", "--reason", "x", "--as")
    right = bench.code("olga")
    said = {
        bench(*words, name, typed=(password, code)).err
        for name, password, code in (
            ("olga", "a wrong password", right),
            ("olga", PASSWORD, "000000"),
            ("nobody", PASSWORD, right),
            ("OLGA", PASSWORD, right),
            *[("olga", "a wrong password", "000000")] * 4,
            ("olga", PASSWORD, right),
        )
    }
    after = f"next: idp-proxy operator list --config {bench.program.file}"
    assert said == {f"error: {OperatorRefused.public}\n{after}\n"}
    assert "warning: olga is locked until " in bench("operator", "list").err
    assert bench.listed()["olga"]["can_sign_in"] is False
    kinds = [kind for kind, _ in bench.audit()]
    assert (kinds.count("operator_login_failed"), kinds.count("operator_locked")) == (9, 1)


def test_an_override_is_reviewed_by_somebody_else(bench: Bench) -> None:
    bench.staff()
    for used in bench.overrides():
        assert used["people"] == ["olga"]
    newest = bench.overrides()[0]["id"]
    words = ("override", "review", newest, "--note", "as agreed on the phone", "--as")
    refused = bench(*words, "olga", typed=bench.signs_in("olga"))
    assert refused.code == 1
    assert "olga used this override: somebody else reviews it" in refused.err
    bench.uid = 0
    done = bench(*words[:-1], typed=("anna", *bench.signs_in("anna")))
    assert done.code == 0, done.err
    found = bench.overrides()[0]
    assert (found["state"], found["reviewed_by"]) == ("reviewed", "anna")
    assert found["review"] == "as agreed on the phone"
    again = bench(*words, "adam", typed=bench.signs_in("adam"))
    assert (again.code, "is reviewed already" in again.err) == (1, True)
    shown = bench("override", "list")
    assert "1 of 2 overrides wait for a review" in shown.out
    assert "override review " in shown.next
    assert bench.audit()[-1] == ("override_reviewed", "operator:anna")


def test_nobody_reviews_an_override_that_is_not_there(bench: Bench) -> None:
    bench.staff()
    words = ("override", "review", "ffffffff", "--note", "x", "--as", "anna")
    assert "there is no override 'ffffffff'" in bench(*words, typed=bench.signs_in("anna")).err


def test_without_operators_there_is_nobody_to_sign_in_as(bench: Bench) -> None:
    done = bench("override", "review", "ffffffff", "--note", "x")
    assert (done.code, "there is no operator yet" in done.err) == (1, True)
    done = bench("operator", "confirm", "ffffffff", "--as", "olga")
    assert (done.code, "there is no proposal 'ffffffff'" in done.err) == (1, True)


def test_ctrl_c_stops_an_override_and_nothing_is_done(bench: Bench) -> None:
    bench.staff()

    def interrupt() -> None:
        if bench.paused > 58:
            raise KeyboardInterrupt

    bench.during_pause = interrupt
    words = ("operator", "disable", "adam", "--reason", "x", "--override", "y", "--as", "olga")
    done = bench(*words, typed=bench.signs_in("olga"))
    assert done.code == 1
    assert "was stopped; nothing was done" in done.err
    assert [line for line in done.err.splitlines() if line.startswith("in ")][:2] == [
        "in 60 s; Ctrl-C stops it",
        "in 50 s; Ctrl-C stops it",
    ]
    assert bench.listed()["adam"]["state"] == "enabled"
    assert bench.overrides()[0]["state"] == "stopped"
    assert bench.audit()[-1] == ("override_stopped", "operator:olga")


def test_the_switch_takes_one_person_while_there_are_fewer_than_two_approvers(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.add("olga", "operator")
    approved = asked(bench, settings, store, SWITCH, "olga")
    assert approved == Approved(("olga",), epoch=7)
    assert approved.actor == "operator:olga"


def test_before_the_first_operator_the_host_switches_alone(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    approved = asked(bench, settings, store, INELIGIBLE)
    assert isinstance(approved, Approved)
    assert approved.actor.startswith("host:")
    with pytest.raises(ApprovalRefused, match="no override allows this"):
        asked(bench, settings, store, Wish(Act.BELOW_FLOOR, "x", "y"), override="please")


def test_two_people_switch_and_both_are_named(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()
    waiting = asked(bench, settings, store, SWITCH, "olga")
    approved = agrees(bench, settings, store, waiting, "anna")
    assert approved == Approved(("olga", "anna"), epoch=7)
    assert approved.actor == "operator:olga (confirmed by operator:anna)"
    with pytest.raises(ApprovalRefused, match="was confirmed already"):
        agrees(bench, settings, store, waiting, "adam")


def test_ask_leaves_with_3_and_tells_the_channels_who_must_decide(
    bench: Bench, settings: Settings, store: SqlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.staff()
    bench.typed = list(bench.signs_in("olga"))
    with pytest.raises(Exception, match="3") as caught:
        approving.ask(settings, store, SWITCH, Means("olga"))
    assert getattr(caught.value, "exit_code", None) == 3
    ((kind, facts),) = bench.told
    assert (kind, facts["target"], facts["cause"]) == ("proposed", "entra", "okta is down")
    assert f"next: idp-proxy {facts['next']}" in capsys.readouterr().out
    assert facts["next"].startswith("switch confirm ")


def test_ask_returns_when_one_is_enough(bench: Bench, settings: Settings, store: SqlStore) -> None:
    bench.staff()
    bench.typed = list(bench.signs_in("olga"))
    hold = Wish(Act.HOLD, "okta", "maintenance")
    assert approving.ask(settings, store, hold, Means("olga")).people == ("olga",)


def test_a_proposal_is_void_after_ten_minutes(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()
    waiting = asked(bench, settings, store, SWITCH, "olga")
    bench.now += PROPOSAL_LASTS
    with pytest.raises(ApprovalRefused, match="expired"):
        agrees(bench, settings, store, waiting, "anna")


def test_a_proposal_is_void_after_another_switch(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()
    waiting = asked(bench, settings, store, SWITCH, "olga")
    with store.transaction() as transaction:
        transaction.swap(7, state(epoch=8))
    with pytest.raises(ApprovalRefused, match="made for epoch 7, and the switch is at 8"):
        agrees(bench, settings, store, waiting, "anna")


@pytest.mark.parametrize("gone", ["olga", "anna"])
def test_who_was_disabled_meanwhile_does_not_count(
    bench: Bench, settings: Settings, store: SqlStore, gone: str
) -> None:
    bench.staff()
    waiting = asked(bench, settings, store, SWITCH, "olga")
    bench.uid = 0
    done = bench("operator", "disable", gone, "--reason", "x", "--override", "stolen")
    assert done.code == 0, done.err
    bench.uid = 1000
    if gone == "anna":
        with pytest.raises(Exception, match="1"):
            agrees(bench, settings, store, waiting, "anna")
    else:
        with pytest.raises(ApprovalRefused, match="olga began this and is disabled"):
            agrees(bench, settings, store, waiting, "anna")


def test_a_second_person_without_the_role_leaves_the_proposal_as_it_was(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()
    assert bench.add("vera", "viewer", by="olga", more=("--override", "x")).code == 0
    assert bench.add("omar", "operator", by="olga", more=("--override", "x")).code == 0
    waiting = asked(bench, settings, store, SWITCH, "olga")
    with pytest.raises(ApprovalRefused, match="role operator or approver"):
        agrees(bench, settings, store, waiting, "vera")
    with pytest.raises(Exception, match="3"):
        agrees(bench, settings, store, waiting, "omar")
    assert agrees(bench, settings, store, waiting, "anna").people == ("olga", "omar", "anna")


def test_a_proposal_of_another_kind_is_confirmed_by_its_own_command(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()
    waiting = asked(bench, settings, store, SWITCH, "olga")
    assert isinstance(waiting, Waiting)
    done = bench("operator", "confirm", waiting.proposal.id, "--as", "anna")
    assert (done.code, "is about switch: another command" in done.err) == (1, True)
    done = bench("operator", "confirm", "mistyped", "--as", "anna")
    assert f"open are: {waiting.proposal.id} (switch entra)" in done.err


def test_the_proposer_cannot_agree_as_the_user_behind_sudo(
    bench: Bench, settings: Settings, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.staff()
    waiting = asked(bench, settings, store, SWITCH, "olga")
    bench.uid = 0
    monkeypatch.setenv("SUDO_USER", "olga")
    with pytest.raises(ApprovalRefused, match="olga has agreed"):
        agrees(bench, settings, store, waiting, "olga")


def test_an_override_is_called_off_when_somebody_switched_during_the_countdown(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()

    def switch_meanwhile() -> None:
        if bench.paused == 30.0:
            with store.transaction() as transaction:
                transaction.swap(7, state(epoch=8))

    bench.during_pause = switch_meanwhile
    with pytest.raises(ApprovalRefused, match="somebody switched during the countdown"):
        asked(bench, settings, store, INELIGIBLE, "olga", override="no other way")
    assert bench.overrides()[0]["state"] == "stopped"


def test_an_override_is_called_off_when_its_operator_is_disabled_during_the_countdown(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()

    def disable_meanwhile() -> None:
        if bench.paused == 30.0:
            with closing(sqlite3.connect(bench.program.folder.path / "var/idp-proxy.db")) as opened:
                opened.execute("UPDATE operator SET state = 'disabled' WHERE name = 'olga'")
                opened.commit()

    bench.during_pause = disable_meanwhile
    with pytest.raises(ApprovalRefused, match="olga began this and is disabled"):
        asked(bench, settings, store, INELIGIBLE, "olga", override="no other way")
    assert bench.overrides()[0]["state"] == "stopped"


def test_an_override_is_granted_with_its_id_for_the_audit(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()
    approved = asked(bench, settings, store, INELIGIBLE, "olga", override="no other way")
    assert isinstance(approved, Approved)
    assert approved.override == bench.overrides()[0]["id"]
    assert (approved.epoch, approved.actor) == (7, f"operator:olga (override {approved.override})")
    assert bench.paused == 60.0


@pytest.mark.parametrize("text", ["", "   ", "a\nb", "x" * 501, "\u202eabc"])
def test_a_reason_is_one_line_of_the_audit(
    bench: Bench, settings: Settings, store: SqlStore, text: str
) -> None:
    with pytest.raises(ConfigError):
        asked(bench, settings, store, Wish(Act.HOLD, "okta", text))
    with pytest.raises(ConfigError):
        asked(bench, settings, store, SWITCH, override=text)


def test_two_first_operators_at_once_do_not_both_come_from_the_host(
    bench: Bench, settings: Settings, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is added after the other was taken for the host's user, before it is written."""

    def and_meanwhile(*words: Any) -> Any:
        person = who(*words)
        monkeypatch.setattr("idp_proxy.cli.approving.who", who)
        assert bench.add("first", "operator").code == 0
        return person

    monkeypatch.setattr("idp_proxy.cli.approving.who", and_meanwhile)
    wish = Wish(Act.OPERATOR_CHANGE, "add second as operator", "x")
    with pytest.raises(ApprovalRefused, match="without an operator's credential"):
        asked(bench, settings, store, wish)


def test_of_two_who_confirm_at_the_same_moment_one_counts(
    bench: Bench, settings: Settings, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.staff()
    waiting = asked(bench, settings, store, SWITCH, "olga")
    assert isinstance(waiting, Waiting)
    agreed: list[Approved] = []

    def and_meanwhile(*words: Any) -> Any:
        person = signed_in(*words)
        monkeypatch.setattr("idp_proxy.cli.approving.signed_in", signed_in)
        agreed.append(agrees(bench, settings, store, waiting, "adam"))
        return person

    monkeypatch.setattr("idp_proxy.cli.approving.signed_in", and_meanwhile)
    with pytest.raises(ApprovalRefused, match="was confirmed already"):
        agrees(bench, settings, store, waiting, "anna")
    assert [one.people for one in agreed] == [("olga", "adam")]


def test_a_stale_view_of_a_proposal_changes_nothing(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    bench.staff()
    waiting = asked(bench, settings, store, SWITCH, "olga")
    assert isinstance(waiting, Waiting)
    made = waiting.proposal
    agrees(bench, settings, store, waiting, "anna")
    later = replace(made, people=("olga", "adam"), version=2)
    with pytest.raises(StoreConflict), store.writing() as connection:
        proposals.agree(
            connection, made, later, by="adam", now=bench.now, record=AuditLog("sso1").append
        )
    with store.reading() as connection:
        found = proposals.find(connection, made.id)
        assert proposals.waiting(connection, bench.now) == ()
    assert found is not None
    assert (found.people, found.state) == (("olga", "anna"), ProposalState.CONFIRMED)


def test_who_is_alarmed_stops_an_override_while_it_counts_down(
    bench: Bench,
) -> None:
    """Anybody who protects may, the host's user too; whoever began it hears that nothing came of
    it, and nobody reviews what was never done.
    """
    bench.staff()
    shown: list[Any] = []

    def anna_steps_in() -> None:
        if shown:
            return
        own, bench.uid = bench.uid, 0
        counting = bench.overrides()[0]["id"]
        status = bench.program.status()
        shown.append((status["overrides_counting"], status["next"].split(" --config")[0]))
        shown.append(bench("override", "list").next.split(" --config")[0])
        review = ("override", "review", counting, "--note", "x", "--as", "anna")
        shown.append(bench(*review, typed=bench.signs_in("anna")).err)
        stop = ("override", "stop", counting, "--reason", "nobody told me")
        assert bench(*stop).code == 0
        assert "is not counting any more" in bench(*stop).err
        shown.append(counting)
        bench.uid = own

    bench.during_pause = anna_steps_in
    words = ("operator", "disable", "adam", "--reason", "x", "--override", "y", "--as", "olga")
    done = bench(*words, typed=bench.signs_in("olga"))
    assert done.code == 1
    in_status, listed, review, counting = shown
    assert in_status == ([counting], "idp-proxy override list")
    assert listed == f"next: idp-proxy override stop {counting} --reason 'nobody agreed to this'"
    assert "counts down, and has done nothing yet" in review
    assert f"override {counting} was stopped by somebody else; nothing was done" in done.err
    assert bench.overrides()[0]["state"] == "stopped"
    assert bench.audit()[-1] == ("override_stopped", "host:root")
    assert bench.listed()["adam"]["state"] == "enabled"


def test_an_override_that_was_used_cannot_be_stopped_any_more(
    bench: Bench, settings: Settings, store: SqlStore
) -> None:
    """Else who used it could keep it from being reviewed."""
    bench.staff()
    asked(bench, settings, store, INELIGIBLE, "olga", override="no other way")
    bench.uid = 0
    used = bench.overrides()[0]["id"]
    refused = bench("override", "stop", used, "--reason", "too late")
    assert refused.code == 1
    assert f"override {used} is not counting any more" in refused.err
    assert bench.overrides()[0]["state"] == "open"
    unknown = bench("override", "stop", "ffffffff", "--reason", "x")
    assert "there is no override 'ffffffff'" in unknown.err


def test_without_channels_the_alarm_says_that_nobody_was_told(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    alarm(settings, Kind.OVERRIDE, "override:1", {"what": "x", "cause": "y"}, "override", "list")
    assert "no channel is set, so nobody was told" in capsys.readouterr().err


def test_the_alarm_reaches_a_channel_and_names_one_that_it_does_not_reach(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[bytes] = []

    class Pager(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Pager)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    urls = (f"json://127.0.0.1:{server.server_port}/hidden", f"json://127.0.0.1:{free_port()}/x")
    wired = replace(settings, notify=replace(settings.notify, urls=urls))
    alarm(wired, Kind.OVERRIDE, "override:1", {"what": "x", "cause": "y"}, "override", "list")
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)
    (message,) = heard
    assert b"OVERRIDE" in message
    assert b"next: idp-proxy override list" in message
    said = capsys.readouterr().err
    assert "warning: notify.urls[1] was not told: " in said
    assert "notify.urls[0]" not in said
    assert "hidden" not in said


@pytest.mark.parametrize("ask", [terminal.line, terminal.secret])
def test_a_question_that_nobody_answers_changes_nothing(
    ask: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: Any, **__: Any) -> str:
        raise typer.Abort

    monkeypatch.setattr("typer.prompt", nobody)
    with pytest.raises(ApprovalRefused, match="the question was not answered"):
        ask("operator")


def test_a_pause_is_a_pause() -> None:
    began = time.monotonic()
    terminal.pause(0.02)
    assert time.monotonic() - began >= 0.02


def test_at_a_real_terminal_the_password_is_not_shown_and_the_questions_are(
    program: Program,
) -> None:
    leader, follower = pty.openpty()
    words = ("operator", "add", "olga", "--role", "operator", "--config", str(program.file))
    answers = {
        "characters: ": lambda _: PASSWORD,
        "confirmation: ": lambda _: PASSWORD,
        "it shows: ": lambda said: TOTP(re.findall(r"secret=(\w+)", said)[0]).at(datetime.now(UTC)),
    }
    with subprocess.Popen(
        [PROGRAM, *words],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        env=os.environ | {"TERM": "dumb", "COLUMNS": "200"},
    ) as process:
        os.close(follower)
        said = talk(leader, answers)
        os.close(leader)
    assert process.returncode == 0, said
    assert answers == {}
    assert PASSWORD not in said
    assert "olga is an operator: operator" in said


def talk(terminal_end: int, answers: dict[str, Callable[[str], str]]) -> str:
    """Read until the other end is closed; answer each question once, when it is seen."""
    heard = b""
    with suppress(OSError):  # Linux ends a terminal that nobody holds any more by an error
        while chunk := os.read(terminal_end, 4096):
            heard += chunk
            said = heard.decode(errors="replace")
            for question in [one for one in answers if one in said]:
                os.write(terminal_end, f"{answers.pop(question)(said)}\n".encode())
    return heard.decode()
