"""`operator ...` and `override ...` as people type them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from idp_proxy.cli import terminal
from idp_proxy.operators.refusals import OperatorRefused
from tests.unit.approving_bench import bench, program
from tests.unit.at_the_terminal import PASSWORD, STEP, Bench

if TYPE_CHECKING:
    from pathlib import Path


__all__ = ["bench", "program"]


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
