"""What commands ask of people before they act: one, two, or one who overrides."""

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

from idp_proxy.audit.log import AuditLog
from idp_proxy.cli import approving, terminal
from idp_proxy.cli.alarming import alarm
from idp_proxy.cli.approving import Approved, Waiting
from idp_proxy.cli.signing_in import Means, signed_in, who
from idp_proxy.decision.approval import Act
from idp_proxy.decision.notices import Kind
from idp_proxy.decision.proposal import PROPOSAL_LASTS, ProposalState
from idp_proxy.errors import ConfigError, StoreConflict
from idp_proxy.operators import proposals
from idp_proxy.operators.consent import Wish
from idp_proxy.operators.refusals import ApprovalRefused
from tests.conformance.rooms import state
from tests.support.launch import PROGRAM
from tests.support.processes import free_port
from tests.unit.approving_bench import (
    INELIGIBLE,
    SWITCH,
    agrees,
    asked,
    bench,
    program,
    settings,
    store,
)
from tests.unit.at_the_terminal import PASSWORD, Bench, Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore


__all__ = ["bench", "program", "settings", "store"]


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
