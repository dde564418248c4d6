"""`sso-conversion` as somebody at night types it: against the double, over HTTP on loopback."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine

from conversion.cli import main
from conversion.cli.session import actor, opened_bulk
from conversion.config import load
from conversion.ledger.opening import open_ledger
from tests.support.mattermost_api import Fault, Kind
from tests.unit.conversion_night import Night, convert, night, night_of, planned

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["night"]


def test_the_whole_story_from_prepare_to_report(night: Night) -> None:
    assert night.run("prepare") == 0
    assert night.out == "10 accounts on SSO, 10 with a way back (10 api)\n"
    assert night.next() == ["preflight"]
    assert night.run("preflight") == 0, night.out
    assert night.run("status") == 0

    digest = planned(night, "--locked-out")
    assert night.next() == ["convert", "--plan", digest]
    assert "moves 9 people" in night.out
    assert night.on_saml() == 10

    assert night.run("convert", "--plan", digest, "--yes") == 0, night.out + night.err
    assert "9 people are at email and password now" in night.out
    assert night.on_saml() == 1
    assert len((night.folder / "converted.txt").read_text().splitlines()) == 9
    assert night.run("status") == 3
    assert night.next() == ["return"]
    assert night.run("now") == 3
    assert night.run("report") == 3

    night.server.give_session("o" * 26, is_saml=True)
    # SSO is back: the operator's session of a moment ago proves it, the pilot is still to log in.
    assert night.run("return") == 3
    assert "waiting: ask one of the pilot to log in by SSO" in night.out
    assert night.on_saml() == 3
    pilot = night.out.partition("log in by SSO: ")[2].split(",")[0].split()[0]
    found = night.server.users.find("username", pilot)
    assert found is not None, pilot
    night.server.give_session(found.id, is_saml=True)
    assert night.run("return") == 0, night.out + night.err
    assert "0 left: the campaign is closed" in night.out
    assert night.next() == ["report"]
    assert night.on_saml() == 10
    assert {one.auth_data for one in night.server.users.values() if one.auth_data} == {
        "nameid-olga",
        *(f"nameid-user{number:06d}" for number in range(9)),
    }
    assert (night.folder / "converted.txt").read_text() == ""

    assert night.run("report") == 0
    assert "9 moved, 9 back, 0 left" in night.out
    assert night.run("status") == 0


@pytest.mark.parametrize("version", ["5.37", "11.10"])
def test_the_story_holds_on_old_and_new_servers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], version: str
) -> None:
    with night_of(tmp_path, capsys, version) as night:
        csv = tmp_path / "people.csv"
        lines = [f"user{number:06d},nameid-user{number:06d}" for number in range(9)]
        csv.write_text("\n".join(["username,auth_data", "olga,nameid-olga", *lines]))
        assert night.run("prepare", "--csv", str(csv)) == 0, night.out + night.err
        night.server.give_session("o" * 26, is_saml=True)
        convert(night, "--user", "user000001", "--user", "user000002")
        assert night.run("return", "--no-wait-for-login", "two people only") == 0, night.out
        assert night.server.users[night.person(1)].auth_data == "nameid-user000001"


def test_prepare_on_an_old_server_tells_whose_way_back_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with night_of(tmp_path, capsys, "5.37") as night:
        assert night.run("prepare") == 3
        assert "0 with a way back" in night.out
        assert "10 WITHOUT a way back" in night.out
        assert night.next() == ["prepare", "--export"]
        assert night.run("prepare", "--export") == 0, night.out + night.err
        assert "10 with a way back (10 export)" in night.out


def test_at_night_with_no_better_source_people_go_by_their_email_and_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with night_of(tmp_path, capsys, "5.37") as night:
        assert night.run("prepare") == 3
        ones = ("--user", "user000001", "--user", "user000002")
        assert night.run("plan", *ones, "--at-most", "5") == 1
        assert "unknown_binding" in night.err
        assert "--email-fallback" in night.err
        assert night.run("prepare", "--email-fallback") == 0, night.err
        assert "10 with a way back (10 email_fallback)" in night.out
        assert night.run("plan", *ones, "--at-most", "5") == 1
        assert "fallback_binding: 2 people" in night.err
        convert(night, *ones, "--accept", "fallback_binding")
        night.server.give_session("o" * 26, is_saml=True)
        assert night.run("return") == 3
        assert "held back: no way back but the email: user000001, user000002" in night.out
        assert night.run("return", "--email-fallback", "--no-wait-for-login", "two") == 0
        assert "remark: user000001: bound by email as a makeshift" in night.out
        # Their next login by SSO finds the account and binds it to the true Id.
        night.server.saml_login("nameid-user000001", "user000001@corp.test", "user000001")
        assert night.server.users[night.person(1)].auth_data == "nameid-user000001"


def test_a_shut_door_is_told_before_anybody_is_moved(night: Night) -> None:
    night.run("prepare")
    mail = night.server.settings["EmailSettings"]
    mail["EnableSignInWithEmail"] = mail["EnableSignInWithUsername"] = False
    night.run("now")
    assert "door:       SHUT: sign-in with email and with user name are off" in night.out
    assert night.json("now")["door"] == {"by_email": False, "by_user_name": False}


def test_a_plan_is_shown_again_in_every_form_for_whoever_is_to_agree(night: Night) -> None:
    night.run("prepare")
    digest = planned(night, "--user", "user000001")
    for form in ("text", "json", "csv", "html"):
        assert night.run("plan", "--show", digest, "--format", form) == 0
        assert "user000001" in night.out
    assert night.run("plan", "--show", "f" * 64) == 1
    assert "no plan" in night.err
    assert night.run("plan", "--user", "user000001") == 2
    assert "--at-most: missing" in night.err


def test_a_team_narrows_whoever_is_meant(night: Night) -> None:
    night.run("prepare")
    team = night.server.new_id()
    night.server.names[team] = "ops"
    night.server.teams[team] = {night.person(1), night.person(2)}
    night.server.give_session(night.person(1), hours=40)
    told = night.json("plan", "--team", "ops", "--at-most", "5")
    assert [one["username"] for one in told["people"]] == ["user000001", "user000002"]
    assert told["groups"] == ["team:ops"]
    assert told["standings"] == {"in for longer": 1, "locked out now": 1}
    told = night.json("plan", "--team", "ops", "--locked-out", "--at-most", "5")
    assert [one["username"] for one in told["people"]] == ["user000002"]
    assert night.run("plan", "--team", "ops", "--user", "user000003", "--at-most", "5") == 1
    assert "in no group of the envelope: user000003" in night.err
    assert night.run("plan", "--never-locked-out", "--at-most", "5") == 1
    assert "the plan names nobody" in night.err
    night.server.give_session(night.person(3)).expires_at = 0
    told = night.json("plan", "--never-locked-out", "--at-most", "5")
    assert [one["username"] for one in told["people"]] == ["user000003"]


def test_an_exception_has_an_owner(night: Night) -> None:
    night.run("prepare")
    digest = planned(night, "--user", "user000001", "--user", "user000002")
    night.server.change(night.person(1), delete_at=5)
    night.run("convert", "--plan", digest, "--yes")
    assert night.run("report") == 3
    assert f"user000001: skipped: the account was deactivated since the plan; owner: {actor()}" in (
        night.out
    )
    assert (
        "user000002: converted: still at a password; owner: nobody yet: set campaign.owner"
        in night.out
    )
    config = night.folder / "c.toml"
    config.write_text(config.read_text() + 'owner = "Identity team"\n')
    night.run("report", "--format", "csv")
    assert night.out.count("Identity team") == 2


def test_conflicts_of_sources_are_told_and_leave_work(night: Night) -> None:
    csv = night.folder / "people.csv"
    csv.write_text("username,auth_data\nuser000001,another\nnobody,x\n")
    assert night.run("prepare", "--csv", str(csv)) == 3
    assert "warning: user000001: csv of" in night.err
    assert "1 conflicts; 1 lines of sources were of nobody on SSO" in night.out


def test_a_stopped_return_says_why_and_goes_on(night: Night) -> None:
    night.run("prepare")
    convert(night, "--everybody")
    night.server.give_session("o" * 26, is_saml=True)
    night.server.trouble.faults.append(Fault(Kind.SERVER_ERROR, "PUT", "/auth$", times=50))
    assert night.run("return", "--no-wait-for-login", "night") == 3
    assert "STOPPED: " in night.out
    assert "people are open: " in night.out
    night.server.trouble.faults.clear()
    assert night.run("return", "--no-wait-for-login", "night") == 0, night.out
    assert night.on_saml() == 10


def test_a_duplicate_is_told_and_comes_back_by_a_persons_decision(night: Night) -> None:
    night.run("prepare")
    convert(night, "--user", "user000001")
    twin = night.server.add_saml("twin", auth_data="nameid-user000001")
    night.server.give_session("o" * 26, is_saml=True)
    assert night.run("return", "--no-wait-for-login", "one") == 3
    assert "1 conflict" in night.out
    night.server.change(twin.id, auth_data="nameid-twin")
    assert "problem: user000001: the binding is held by the account twin" in night.out
    assert night.run("return", "--decide", "user00000l") == 2
    assert "--decide: nobody in the inventory has the user name or id 'user00000l'" in night.err
    assert night.run("return", "--decide", "user000001", "--no-wait-for-login", "one") == 0
    assert night.server.users[night.person(1)].auth_data == "nameid-user000001"


def test_who_was_deleted_is_told_and_no_command_turns_in_a_circle(night: Night) -> None:
    night.run("prepare")
    convert(night, "--user", "user000001", "--user", "user000002")
    assert night.run("report") == 3
    assert "user000001: converted: still at a password" in night.out
    del night.server.users[night.person(1)]
    night.server.give_session("o" * 26, is_saml=True)
    assert night.run("return", "--no-wait-for-login", "two people") == 3
    assert "1 people are open: 1 verified, 1 failed" in night.out
    assert night.next() == ["report"]
    assert night.run("report") == 3
    assert "user000001: failed: the account is not in the server's list" in night.out


def test_changes_by_hand_are_adopted_and_brought_back(night: Night) -> None:
    night.run("prepare")
    night.server.put_password(night.person(4), night.server.hashed("by hand, at night"))
    assert night.run("prepare") == 3
    assert "1 at a password now: user000004" in night.out
    assert night.next() == ["reconcile"]
    assert night.run("reconcile") == 3
    assert "1 adopted who were moved by hand" in night.out
    night.server.give_session("o" * 26, is_saml=True)
    assert night.run("return", "--no-wait-for-login", "only one") == 0
    assert night.server.users[night.person(4)].auth_data == "nameid-user000004"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("plan", "--at-most", "5"), 2, "say who, in one way"),
        (("plan", "--at-most", "5", "--everybody", "--locked-out"), 2, "say who, in one way"),
        (("plan", "--at-most", "5", "--file", "none.txt"), 2, "--file: none.txt: cannot be read"),
        (("plan", "--at-most", "5", "--user", "nobody"), 1, "no account on SSO is called nobody"),
        (
            ("plan", "--at-most", "5", "--everybody", "--exclude", "nobody"),
            2,
            "--exclude: no account is called nobody",
        ),
        (
            ("plan", "--at-most", "5", "--user", "olga"),
            2,
            "--user: olga is campaign.operator_user",
        ),
        (("plan", "--at-most", "0", "--everybody"), 2, "equal to 1"),
        (("plan", "--everybody"), 2, "at-most"),
        (("plan", "--at-most", "5", "--everybody"), 1, "9 people"),
        (("convert", "--plan", "f" * 64, "--yes"), 1, "no plan ffffffffffffffff is stored"),
        (("convert", "--plan", "f" * 64), 1, "no plan ffffffffffffffff is stored"),
        (("return",), 1, "no campaign is open"),
        (("verify",), 1, "no campaign is open"),
        (("report",), 1, "there was no campaign yet"),
        (("restore",), 2, "name a backup, or --mirror"),
        (("restore", "x", "--mirror"), 2, "name a backup, or --mirror"),
        (("restore", "--mirror"), 1, "exists: move it away first"),
        (("prepare", "--csv", "none.csv"), 2, "none.csv: cannot be read"),
        (("prepare", "--sql", "sqlite:///x"), 2, "a secret may not stand"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_bad_input_is_one_clear_message_and_changes_nothing(
    night: Night, words: tuple[str, ...], code: int, told: str
) -> None:
    night.run("prepare")
    before = dict(night.server.users)
    assert night.run(*words) == code, night.err
    assert told in night.err
    assert "Traceback" not in night.err
    assert dict(night.server.users) == before


def test_a_return_without_proof_is_refused(night: Night) -> None:
    night.run("prepare")
    convert(night, "--user", "user000001")
    assert night.run("return") == 1
    assert "olga has no SAML session younger than 10 minutes" in night.err
    assert night.next() == ["return"]
    assert night.on_saml() == 9


def test_a_plan_is_confirmed_by_the_number_of_people(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.run("prepare")
    digest = planned(night, "--user", "user000001", "--user", "user000002")
    for answer in ("y", "3", ""):
        monkeypatch.setattr("typer.prompt", lambda _text, answer=answer, **_rest: answer)
        assert night.run("convert", "--plan", digest) == 1
        assert "not confirmed" in night.err
        assert night.on_saml() == 10
    monkeypatch.setattr("typer.prompt", lambda _text, **_rest: "2")
    assert night.run("convert", "--plan", digest) == 0
    assert night.on_saml() == 8


def test_a_plan_beyond_the_campaign_is_told_and_goes_on_in_a_new_envelope(night: Night) -> None:
    night.run("prepare")
    digest = planned(night, "--user", "user000001", at_most=1)
    assert night.run("convert", "--plan", digest, "--yes") == 0
    digest = planned(night, "--user", "user000002", at_most=2)
    assert "2 people, and the envelope allows 1" in night.err
    assert night.next() == ["convert", "--plan", digest, "--new-envelope"]
    assert night.run("convert", "--plan", digest, "--yes") == 1
    assert "--new-envelope" in night.err
    assert night.on_saml() == 9
    assert night.run("convert", "--plan", digest, "--new-envelope", "--yes") == 0, night.err
    assert "2 people are at email and password now, 1 of them by this command" in night.out
    # Inside it, a plan needs nothing more.
    assert night.run("plan", "--show", digest) == 0
    assert night.next() == ["convert", "--plan", digest]


def test_a_pilot_is_converted_first_and_the_plan_goes_on(night: Night) -> None:
    night.run("prepare")
    digest = planned(night, "--everybody", at_most=9)
    assert night.run("convert", "--plan", digest, "--pilot", "2", "--yes") == 0
    assert night.on_saml() == 8
    assert night.run("convert", "--plan", digest, "--yes") == 0
    assert night.on_saml() == 1


def test_a_second_operator_is_told_who_is_at_work(night: Night) -> None:
    night.run("prepare")
    digest = planned(night, "--user", "user000001")
    mine = open_ledger(
        night.folder / "ledger" / "c.db", night.folder / "mirror" / "c.jsonl", host="ops-1"
    )
    with mine.lock("convert", "host:bob", datetime.now(UTC)):
        assert night.run("convert", "--plan", digest, "--yes") == 1
    mine.close()
    assert "convert holds the ledger: host:bob on ops-1" in night.err
    assert night.on_saml() == 10


def test_a_token_revoked_half_way_leaves_a_record_and_a_way(night: Night) -> None:
    night.run("prepare")
    night.server.trouble.faults.append(Fault(Kind.REVOKED, "PUT", "/password$", spare=3))
    digest = planned(night, "--everybody")
    assert night.run("convert", "--plan", digest, "--yes") == 1
    assert "401" in night.err
    assert night.next() == ["preflight"]
    token = night.server.give_token(night.server.admin.id, "second").token
    (night.folder / "token").write_text(token)
    assert night.run("convert", "--plan", digest, "--yes") == 0, night.out + night.err
    assert night.on_saml() == 1


def test_a_server_away_is_one_message(night: Night) -> None:
    night.run("prepare")
    night.server.trouble.down_until = night.server.now + 3600
    text = (night.folder / "c.toml").read_text()
    (night.folder / "c.toml").write_text(text.replace("[ledger]", "timeout_s = 1.0\n[ledger]"))
    assert night.run("now", "--no-sessions") == 0
    assert "DOES NOT ANSWER" in night.out


def test_backup_and_restore_bring_a_lost_ledger_back(night: Night) -> None:
    night.run("prepare")
    convert(night, "--user", "user000001")
    copy = night.folder / "copy.bak"
    assert night.run("backup", str(copy)) == 0
    assert b"user000001" not in copy.read_bytes()
    convert(night, "--user", "user000002")
    for path in (night.folder / "ledger").iterdir():
        path.unlink()
    assert night.run("status") == 1
    assert "restore" in night.err
    assert night.run("restore", str(copy)) == 0, night.err
    assert night.json("status")["campaign"]["left"] == 2
    for path in (night.folder / "ledger").iterdir():
        path.unlink()
    assert night.run("restore", "--mirror") == 0
    assert night.next() == ["prepare"]
    assert night.json("status")["campaign"]["left"] == 2


def test_a_database_is_a_source_by_reference(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    path = night.folder / "mm.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("create table users (id, authservice, authdata)")
    engine.dispose()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    assert night.run("prepare", "--sql", "env:DATABASE_URL") == 0, night.err
    assert night.run("prepare", "--sql", "env:NOT_SET") == 2
    assert "--sql: the environment variable NOT_SET is not set" in night.err


def test_the_environment_names_the_configuration(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSO_CONVERSION_CONFIG", str(night.folder / "c.toml"))
    with pytest.raises(SystemExit) as ended:
        main(["prepare"])
    assert ended.value.code == 0
    assert night.capsys.readouterr().err.endswith("next: sso-conversion preflight\n")
    monkeypatch.setenv("SSO_CONVERSION_CONFIG", str(night.folder / "other.toml"))
    with pytest.raises(SystemExit) as ended:
        main(["prepare"])
    assert ended.value.code == 2
    assert "no such file" in night.capsys.readouterr().err


# What is set


def test_what_is_set_reaches_every_command(night: Night) -> None:
    file = night.folder / "c.toml"
    text = file.read_text().replace("[campaign]", "[campaign]\nattempts = 9", 1)
    file.write_text(text.replace("[mattermost]", "[mattermost]\nplain_concurrency = 3", 1))
    with opened_bulk(load(file), lambda _at: None) as bulk:
        assert (bulk.limits.attempts, bulk.limits.plain_threads) == (9, 3)
