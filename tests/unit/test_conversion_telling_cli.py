"""What the commands of the conversion tell: now, status, brief, logs and progress."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from conversion.cli.progress import steps
from conversion.cli.session import actor
from tests.support.mattermost_api import Fault, Kind
from tests.unit.conversion_night import Night, convert, night, planned

__all__ = ["night"]


def test_every_answer_is_json_on_request(night: Night) -> None:
    assert night.json("prepare")["known"] == 10
    assert night.json("preflight")["blocked"] is False
    seen = night.json("now")
    assert [load["people"] for load in seen["locked_out"]] == [10, 10, 10]
    assert seen["sso_works"] is None
    assert night.json("status")["campaign"] is None
    plan = night.json("plan", "--user", "user000003", "--at-most", "1")
    assert [one["username"] for one in plan["people"]] == ["user000003"]
    done = night.json("convert", "--plan", plan["digest"], "--yes")
    assert (done["moved"], done["problems"]) == (1, {})
    assert night.json("status")["campaign"]["left"] == 1
    assert night.json("reconcile")["adopted"] == []
    night.server.give_session("o" * 26, is_saml=True)
    assert night.json("verify")["closed"] is False
    assert night.json("return", "--no-wait-for-login", "one")["closed"] is True
    assert night.run("report", "--format", "json") == 0
    assert json.loads(night.out)["back"] == 1


def test_now_takes_ten_lines(night: Night) -> None:
    night.run("prepare")
    night.server.give_session(night.person(1), hours=4)
    assert night.run("now", "--within-h", "5") == 0
    lines = night.out.splitlines()
    assert len(lines) == 10
    assert "locked out: 9 now (olga, user000000, user000002, 6 more), 10 within 5 h" in night.out
    assert "door:       open: people can log in with email or user name" in night.out
    assert night.run("now", "--no-sessions") == 0
    assert "locked out: not looked at" in night.out


def test_now_looks_ahead_to_a_time_of_day(night: Night) -> None:
    night.run("prepare")
    night.server.give_session(night.person(1), hours=4)
    at = datetime.now(UTC) + timedelta(hours=6)
    told = night.json("now", "--by", f"{at:%H:%M}")
    assert [load["people"] for load in told["locked_out"]] == [9, 10]
    assert 5 < told["locked_out"][1]["within_h"] <= 6
    assert len(told["locked_out_now"]) == 9
    assert "user000001" not in told["locked_out_now"]
    # A time of day that has passed is tomorrow's.
    past = datetime.now(UTC) - timedelta(hours=1)
    ahead = night.json("now", "--by", f"{past:%H:%M}")["locked_out"][1]["within_h"]
    assert 22 < ahead <= 24


@pytest.mark.parametrize(("text", "said"), [("soon", "no time of day"), ("06:30+02:00", "UTC")])
def test_a_time_of_day_that_is_none_is_refused(night: Night, text: str, said: str) -> None:
    assert night.run("now", "--by", text) == 2
    assert said in night.err


def test_now_does_not_guess_sessions_by_settings_it_could_not_read(night: Night) -> None:
    night.run("prepare")
    night.server.trouble.faults.append(Fault(Kind.SERVER_ERROR, "GET", "/config$", times=10_000))
    assert night.run("now") == 0
    assert "token:      good for the list, not for the settings" in night.out
    assert "door:       not known" in night.out


def test_the_management_gets_six_lines_in_its_language(night: Night) -> None:
    night.run("prepare")
    assert night.run("brief") == 0
    assert len(night.out.splitlines()) == 6
    assert "10 of 10 people cannot log in now" in night.out
    assert night.next() == ["plan", "--locked-out", "--at-most", "10"]
    convert(night, "--user", "user000001")
    assert night.run("brief", "--language", "de", "--no-sessions") == 3
    assert len(night.out.splitlines()) == 6
    assert "umgestellt: 1 Personen; zurück bei SSO: 0, noch offen: 1" in night.out


def test_who_is_away_for_too_long_is_told_by_status_and_now(night: Night) -> None:
    night.run("prepare")
    convert(night, "--user", "user000001")
    assert night.run("status") == 3
    assert "to end by" in night.out
    config = night.folder / "c.toml"
    config.write_text(config.read_text() + "remind_h = 1e-9\ndeadline_h = 2e-9\n")
    assert night.run("status") == 3
    assert "OVERDUE: 1 people are past the deadline" in night.out
    assert night.run("now", "--no-sessions") == 3
    assert "OVERDUE" in night.out
    told = night.json("status")["campaign"]
    assert (told["overdue"], told["reminded"]) == (1, 1)
    # It tells; it returns nobody.
    assert night.server.users[night.person(1)].auth_service == ""


def test_a_reminder_behind_the_deadline_is_refused(night: Night) -> None:
    config = night.folder / "c.toml"
    config.write_text(config.read_text() + "remind_h = 80\n")
    assert night.run("status") == 2
    assert "campaign.remind_h: 80 hours is no reminder of a deadline after 72" in night.err


def test_now_still_answers_when_the_token_is_gone(night: Night) -> None:
    night.run("prepare")
    night.server.revoke_tokens(night.server.admin.id)
    assert night.run("now") == 0
    assert "token:      REFUSED" in night.out
    assert "put it into the file that mattermost.token names" in night.out
    assert "whose way back is known was not looked at" in night.out
    assert night.next() == ["preflight"]
    assert night.run("preflight") == 1
    assert "unknown.token" in night.out


@pytest.mark.parametrize(
    ("path", "kind", "token"),
    [
        ("/sessions$", Kind.REVOKED, "REFUSED"),
        ("/sessions$", Kind.SERVER_ERROR, "good for the list, then"),
        ("/users$", Kind.SERVER_ERROR, "not known"),
    ],
)
def test_now_tells_how_far_it_came(night: Night, path: str, kind: Kind, token: str) -> None:
    night.run("prepare")
    night.server.trouble.faults.append(Fault(kind, "GET", path, times=10_000))
    assert night.run("now") == 0
    assert f"token:      {token}" in night.out
    assert "locked out: not looked at" in night.out


def test_who_commands_is_known_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "olga")
    assert actor() == "host:root (sudo by olga)"
    monkeypatch.setenv("SUDO_USER", "x\nhost:root")
    assert actor() == "host:root"
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    assert actor() == "host:uid-4000000000"


def test_a_verbose_log_tells_calls_and_no_secret(night: Night) -> None:
    night.run("prepare")
    digest = planned(night, "--user", "user000001")
    assert night.run("--verbose", "convert", "--plan", digest, "--yes") == 0
    told = [json.loads(line) for line in night.err.splitlines() if line.startswith("{")]
    (call,) = [one for one in told if one.get("call") == "PUT /users/{id}/password"]
    assert call["request_id"]
    assert night.person(1) not in night.err


def test_a_log_gets_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    with steps() as step:
        for done in range(1, 101):
            step("convert", done, 100, 1 if done > 50 else 0)
        step("nothing", 0, 0, 0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("convert: 10 of 100, ")
    assert lines[9].startswith("convert: 100 of 100, 1 failed, ")
    assert lines[9].endswith("0 s left")


def test_the_rest_after_a_pilot_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    with steps() as step:
        for done in range(1, 3):
            step("return", done, 2, 0)
        for done in range(1, 21):
            step("return", done, 20, 0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines[:3]] == [
        "return: 1 of 2",
        "return: 2 of 2",
        "return: 2 of 20",
    ]
    assert len(lines) == 12


def test_a_terminal_sees_a_bar_with_rate_and_failures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with steps() as step:
        for done in range(1, 11):
            step("convert", done, 10, 1)
    shown = capsys.readouterr().err
    assert "convert" in shown
    assert "10/10" in shown
    assert "1 failed" in shown


def test_times_of_a_plan_are_utc(night: Night) -> None:
    night.run("prepare")
    later = datetime.now(UTC) + timedelta(hours=3)
    stamp = later.strftime("%Y-%m-%dT%H:%M")
    plan = night.json("plan", "--user", "user000001", "--at-most", "1", "--until", stamp)
    assert plan["until"] == later.replace(second=0, microsecond=0).isoformat()
    past = "2020-01-01T00:00"
    assert night.run("plan", "--user", "user000001", "--at-most", "1", "--until", past) == 1
    assert "the envelope ended at 2020-01-01 00:00 UTC" in night.err
