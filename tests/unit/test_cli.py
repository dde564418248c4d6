from __future__ import annotations

import io
import json
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from idp_proxy.adapters import open_store
from idp_proxy.audit.log import AuditLog
from idp_proxy.cli.session import actor
from idp_proxy.config import load
from tests.support.keys import rsa_pair
from tests.support.upstream_metadata import service, upstream_metadata
from tests.unit.at_the_terminal import Program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.config_folder import Folder

BY_URL = '{ url = "https://idp.example.org/metadata" }'


@pytest.fixture
def program(folder: Folder, empty_database: bytes, capsys: pytest.CaptureFixture[str]) -> Program:
    for name in ("okta", "entra"):
        metadata = upstream_metadata(rsa_pair(f"{name}-idp"), entity_id=f"https://{name}.example")
        (folder.path / f"{name}.xml").write_bytes(metadata)
    folder.set(BY_URL, '{ file = "entra.xml" }')
    made = Program(folder, capsys)
    made.write()
    made.make_store(empty_database)
    return made


def test_check_config_shows_what_was_read(program: Program) -> None:
    program.ok("check-config")
    for shown in ("https://sso.example.org/saml/metadata", "active okta", "standby entra"):
        assert shown in program.out
    assert program.next == f"next: idp-proxy serve --config {program.file}"
    assert program.err == ""


def test_check_config_names_each_problem_on_a_line_of_its_own(program: Program) -> None:
    program.folder.set("workers = 2", "workers = 0").set('"keys/idp.key"', '"none.key"')
    program.write()
    program("check-config")
    assert program.code == 2
    assert program.out == ""
    assert program.err.splitlines() == [
        "error: The configuration is not usable.",
        "  - proxy.workers: 0 is too small: at least 1",
        "  - proxy.signing_key: no such file: none.key",
        f"next: idp-proxy check-config --config {program.file}",
    ]


def test_check_config_never_shows_a_password(program: Program) -> None:
    secret = program.folder.path / "store.url"
    secret.touch(mode=0o600)
    secret.write_text("postgresql://proxy:geheim@db.example.org/proxy\n")
    program.folder.set('"sqlite:///var/idp-proxy.db"', '"file:store.url"')
    program.write()
    program.ok("check-config")
    assert "db.example.org" in program.out
    assert "geheim" not in program.out + program.err


def test_the_configuration_is_found_by_option_variable_or_folder(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program.bare("--config", str(program.file), "check-config").code == 0
    monkeypatch.setenv("IDP_PROXY_CONFIG", str(program.file))
    assert program.bare("check-config").code == 0
    assert program.next == "next: idp-proxy serve"
    monkeypatch.delenv("IDP_PROXY_CONFIG")
    monkeypatch.chdir(program.folder.path)
    assert program.bare("check-config").code == 0
    monkeypatch.chdir("/")
    assert program.bare("check-config").code == 2
    assert "IDP_PROXY_CONFIG" in program.err


def test_status_before_the_first_start_says_what_to_do(program: Program) -> None:
    (program.folder.path / "var/idp-proxy.db").unlink()
    program("status")
    assert program.code == 1
    assert "idp-proxy.db" in program.err
    assert program.next == f"next: idp-proxy check-config --config {program.file}"


def test_status_shows_who_serves_and_how_each_upstream_is(program: Program) -> None:
    program.ok("status")
    assert "serving: okta" in program.out
    assert "mode:    auto (epoch 1)" in program.out
    assert "never" in program.out
    assert program.next == f"next: idp-proxy status --config {program.file}"


def test_status_as_json_holds_the_same_facts(program: Program) -> None:
    read = program.status()
    assert read["since"].endswith("+00:00")
    expected = {
        "serving": "okta",
        "logins_go_to": "okta",
        "cause": "first start",
        "actor": "idp-proxy",
        "mode": "auto",
        "epoch": 1,
        "watched": False,
        "automatic_switches_left": 2,
        "would_take_over": None,
        "hosts": [],
        "host_findings": [],
        "canaries": [],
        "proposals": [],
        "overrides_to_review": 0,
        "left_by_standbys": None,
        "next": f"idp-proxy status --config {program.file}",
    }
    assert {name: read[name] for name in expected} == expected
    assert [one["name"] for one in read["upstreams"]] == ["okta", "entra"]
    for one in read["upstreams"]:
        assert (one["enabled"], one["usable"], one["proven_at"]) == (True, True, None)
        assert one["verdict"] == "unknown"


def test_status_says_when_nobody_watches(program: Program) -> None:
    assert "NO HOST WATCHES" in program.ok("status").out


def test_a_switch_is_shown_recorded_and_verified(program: Program) -> None:
    program.ok("switch", "to", "entra", "--reason", "okta is down")
    assert program.out.startswith("entra serves new logins (epoch 2, held)\n")
    read = program.status()
    assert (read["serving"], read["mode"], read["cause"]) == ("entra", "held", "okta is down")
    assert read["actor"] == actor()
    assert read["actor"].startswith("host:")
    program.ok("verify-audit")
    assert "1 rows in 1 chains" in program.out
    assert "intact" in program.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("switch", "to", "okta", "--reason", "x"), "okta is serving already"),
        (("switch", "to", "nobody", "--reason", "x"), "no upstream is called nobody"),
        (("upstream", "enable", "entra", "--reason", "x"), "entra is not disabled"),
        (("upstream", "disable", "nobody", "--reason", "x"), "no upstream is called nobody"),
    ],
)
def test_what_is_refused_exits_with_1_and_changes_nothing(
    program: Program, words: tuple[str, ...], message: str
) -> None:
    program(*words)
    assert program.code == 1
    assert program.err.startswith("error: The switch was refused.\n")
    assert message in program.err
    assert program.next == f"next: idp-proxy status --config {program.file}"
    assert program.status()["epoch"] == 1


@pytest.mark.parametrize(
    ("words", "helped_by"),
    [
        (("switch", "to", "entra"), "switch to "),
        (("switch", "to", "entra", "--reason", " "), "switch to "),
        (("failback",), "failback "),
        (("hold",), "hold "),
        (("switch", "to"), "switch to "),
        (("upstream", "disable", "okta"), "upstream disable "),
        (("status", "--xml"), "status "),
        (("drill", "run", "nonsense"), "drill run "),
        (("nonsense",), ""),
        (("metadata", "show", "nobody"), "metadata show "),
    ],
)
def test_wrong_usage_exits_with_2_and_says_where_help_is(
    program: Program, words: tuple[str, ...], helped_by: str
) -> None:
    assert program(*words).code == 2
    assert program.next == f"next: idp-proxy {helped_by}--help"
    assert "The configuration is not usable" not in program.err
    assert program.status()["epoch"] == 1


def test_an_upstream_without_metadata_cannot_serve(program: Program) -> None:
    program.folder.set('{ file = "entra.xml" }', BY_URL)
    program.write()
    program("switch", "to", "entra", "--reason", "x")
    assert program.code == 1
    assert "entra cannot serve: " in program.err
    entra = program.status()["upstreams"][1]
    assert not entra["usable"]
    assert entra["reason"]


def test_disabling_the_serving_one_asks_for_its_name_again(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in ("yes\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        program("upstream", "disable", "okta", "--reason", "stolen key")
        assert program.code == 1
        assert "okta is serving" in program.err
        assert "in a script: --yes-disable NAME" in program.err
        assert program.status()["logins_go_to"] == "okta"
    monkeypatch.setattr("sys.stdin", io.StringIO("okta\n"))
    program.ok("upstream", "disable", "okta", "--reason", "stolen key")
    assert "NO LOGINS" in program.out
    assert program.next == (
        f"next: idp-proxy switch to entra --reason 'okta is disabled' --config {program.file}"
    )
    assert program.status()["logins_go_to"] is None


def test_a_script_disables_by_naming_it_twice_and_not_otherwise(program: Program) -> None:
    words = ("upstream", "disable", "okta", "--reason", "stolen key", "--yes-disable")
    assert program(*words, "entra").code == 1
    assert program.status()["logins_go_to"] == "okta"
    program.ok(*words, "okta")
    read = program.status()
    assert read["logins_go_to"] is None
    assert read["next"].startswith("idp-proxy switch to entra --reason ")
    assert "NO LOGINS: okta is disabled" in program.ok("status").out
    program.ok("upstream", "enable", "okta", "--reason", "new key")
    assert program.status()["logins_go_to"] == "okta"


def test_disabling_a_standby_asks_nothing(program: Program) -> None:
    program.ok("upstream", "disable", "entra", "--reason", "maintenance")
    read = program.status()
    assert [one["enabled"] for one in read["upstreams"]] == [True, False]
    assert read["logins_go_to"] == "okta"
    program("switch", "to", "entra", "--reason", "x")
    assert "entra is disabled: idp-proxy upstream enable entra" in program.err


def test_when_nothing_else_can_serve_the_advice_is_to_enable_again(program: Program) -> None:
    program.ok("upstream", "disable", "entra", "--reason", "x")
    program.ok("upstream", "disable", "okta", "--reason", "x", "--yes-disable", "okta")
    assert program.status()["next"].startswith("idp-proxy upstream enable okta --reason ")


def test_metadata_of_a_file_counts_as_it_is(program: Program) -> None:
    program.ok("metadata", "show", "okta")
    assert "entity ID:  https://okta.example" in program.out
    assert "(file)" in program.out
    assert "nothing of okta waits" in program.ok("metadata", "diff", "okta").out


def test_metadata_from_a_url_waits_for_the_digest_that_was_shown(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = upstream_metadata(rsa_pair("entra-idp"), entity_id="https://entra.example")
    monkeypatch.setattr(
        "idp_proxy.upstream.metadata_feed.MetadataFeed._offered",
        lambda feed, _now: feed._read(document),
    )
    program.folder.set('{ file = "entra.xml" }', BY_URL)
    program.write()
    assert "nobody can log in here" in program.ok("metadata", "show", "entra").out
    assert program.next.startswith("next: idp-proxy metadata show entra --fetch")
    program.ok("metadata", "diff", "entra", "--fetch")
    assert "+ key sha256:" in program.out
    approve = program.next.removeprefix("next: idp-proxy ").split(" --config")[0].split()
    assert program("metadata", "approve", "entra").code == 3
    assert program("metadata", "approve", "entra", "--digest", f"sha256:{'0' * 64}").code == 1
    assert "Nothing was approved" in program.err
    assert "nobody can log in here" in program.ok("metadata", "show", "entra").out
    program.ok(*approve)
    assert "https://entra.example" in program.ok("metadata", "show", "entra").out
    assert program(*approve).code == 1
    verified = json.loads(program.ok("verify-audit", "--json").out)
    assert verified["rows"] == 1


def test_another_party_s_text_cannot_steer_the_terminal(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "https://entra.example/\u009b31m\u202e"
    document = upstream_metadata(rsa_pair("entra-idp"), entity_id=hostile, services=(service(),))
    monkeypatch.setattr(
        "idp_proxy.upstream.metadata_feed.MetadataFeed._offered",
        lambda feed, _now: feed._read(document),
    )
    program.folder.set('{ file = "entra.xml" }', BY_URL)
    program.write()
    program("metadata", "diff", "entra", "--fetch")
    said = program.out + program.err
    assert "\u009b" not in said
    assert "\u202e" not in said


def test_a_broken_audit_is_named_and_exits_with_1(program: Program) -> None:
    program.ok("switch", "to", "entra", "--reason", "okta is down")
    database = program.folder.path / "var/idp-proxy.db"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE audit_row SET body = replace(body, 'okta is', 'all was')")
    connection.close()
    program("verify-audit")
    assert program.code == 1
    assert "BROKEN: sso1 row 1: altered" in program.err
    assert program("verify-audit", "--json").code == 1
    broken = json.loads(program.out)["broken"]
    assert (broken["chain"], broken["row"], broken["why"]) == ("sso1", 1, "altered")


def test_a_tail_that_was_cut_off_shows_by_the_checkpoint(program: Program) -> None:
    program.ok("switch", "to", "entra", "--reason", "first")
    settings = load(program.file)
    assert settings.audit.checkpoints is not None
    store = open_store(settings)
    with store.reading() as connection:
        AuditLog("sso1").write_checkpoint(
            connection,
            settings.audit.checkpoints.file,
            settings.audit.checkpoints.key,
            datetime.now(UTC),
        )
    store.close()
    elsewhere = program.folder.path / "copy.log"
    elsewhere.write_bytes(settings.audit.checkpoints.file.read_bytes())
    assert json.loads(program.ok("verify-audit", "--json").out)["checkpoints"] == 1
    with sqlite3.connect(program.folder.path / "var/idp-proxy.db") as cut:
        cut.execute("DELETE FROM audit_row")
        cut.execute("DELETE FROM audit_head")
    cut.close()
    settings.audit.checkpoints.file.unlink()
    program.ok("verify-audit")
    assert "no checkpoint was written yet" in program.err
    assert program("verify-audit", "--checkpoint", str(elsewhere)).code == 1
    assert "BROKEN: sso1 row 1" in program.err


def test_a_checkpoint_file_that_is_missing_or_forged_is_refused(
    program: Program, tmp_path: Path
) -> None:
    assert program("verify-audit", "--checkpoint", str(tmp_path / "none")).code == 1
    assert "cannot be trusted" in program.err
    program.folder.set('checkpoint_file = "var/checkpoints.log"', "")
    program.folder.set('checkpoint_key = "keys/audit.key"', "")
    program.write()
    assert program("verify-audit", "--checkpoint", str(tmp_path / "none")).code == 2
    assert "audit.checkpoint_key: missing" in program.err


def test_serve_hands_over_the_checked_settings(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Path] = []
    monkeypatch.setattr("idp_proxy.serve.serve", lambda settings: served.append(settings.path))
    program.ok("serve")
    assert served == [program.file]
    assert program.err.splitlines()[-1].startswith("next: idp-proxy status")
    program.folder.set("workers = 2", "workers = 0")
    program.write()
    assert program("serve").code == 2
    assert len(served) == 1


@pytest.mark.parametrize(
    ("uid", "sudo", "expected"),
    [
        (0, "", "host:root"),
        (0, "alice", "host:root (sudo by alice)"),
        (0, "root", "host:root"),
        (0, "evil\nname", "host:root"),
        (4_000_000, "alice", "host:uid-4000000"),
    ],
)
def test_the_actor_is_whom_the_kernel_knows(
    monkeypatch: pytest.MonkeyPatch, uid: int, sudo: str, expected: str
) -> None:
    monkeypatch.setattr("os.getuid", lambda: uid)
    monkeypatch.setenv("SUDO_USER", sudo)
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert actor() == expected
