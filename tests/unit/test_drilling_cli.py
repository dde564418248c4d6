"""`drill cohort` and `drill stop` at the command line."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.adapters import open_store, open_switchboard, open_upstreams
from idp_proxy.cli import drilling
from idp_proxy.cli.session import actor
from idp_proxy.config import load
from idp_proxy.decision.drill import person_digest
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Track, Verdict
from idp_proxy.decision.roster import RosterRow
from idp_proxy.drill_pass import PURPOSE
from idp_proxy.links import read
from idp_proxy.seal import KeyRing
from idp_proxy.store.base import Evidence
from tests.support.keys import rsa_pair
from tests.support.upstream_metadata import upstream_metadata
from tests.unit.at_the_terminal import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder

COHORT = ("drill", "cohort", "--upstream", "entra", "--reason", "a test")


@pytest.fixture
def program(
    folder: Folder,
    empty_database: bytes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Program:
    for name in ("okta", "entra"):
        metadata = upstream_metadata(rsa_pair(f"{name}-idp"), entity_id=f"https://{name}.example")
        (folder.path / f"{name}.xml").write_bytes(metadata)
    folder.set('{ url = "https://idp.example.org/metadata" }', '{ file = "entra.xml" }')
    made = Program(folder, capsys)
    made.write()
    made.make_store(empty_database)
    monkeypatch.chdir(folder.path)
    return made


@pytest.fixture
def settings(program: Program) -> Settings:
    return load(program.file)


def person(name: str, **other: Any) -> RosterRow:
    usual: dict[str, Any] = {
        "id": f"e-{name}",
        "link_key": f"{name.title()}@example.org",
        "lookup_key": f"{name}@example.org",
        "email": f"{name}@example.org",
        "username": name,
        "attributes": {},
        "source": "okta",
        "confirmed_at": datetime.now(UTC),
    }
    return RosterRow(**usual | other)


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlStore]:
    opened = open_store(settings)
    open_switchboard(opened, open_upstreams(settings)).current()
    old = datetime.now(UTC) - timedelta(days=100)
    with opened.transaction() as transaction:
        for row in (person("alice"), person("bob"), person("carol", confirmed_at=old)):
            transaction.save_person(row)
    yield opened
    opened.close()


def test_a_drill_begins_with_a_link_for_each_person(
    program: Program, settings: Settings, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(drilling, "alarm", lambda *words: told.append(words[1:]))
    file = program.folder.path / "people.txt"
    file.write_text("# who\n\nALICE@example.org  # by link key\n")
    program.ok(*COHORT, "--minutes", "20", "--people", "people.txt", "--person", "e-bob")
    drill = store.drill()
    assert drill is not None
    assert drill.until - drill.started_at == timedelta(minutes=20)
    assert drill.people == {person_digest(f"{one}@example.org") for one in ("alice", "bob")}
    assert (drill.upstream, drill.serving, drill.actor) == ("entra", "okta", actor())
    ring = KeyRing(settings.proxy.state_keys, PURPOSE)
    tokens = re.findall(r"https://sso\.example\.org/drill/join/(\S+)", program.out)
    facts = [read(token, ring) for token in tokens]
    assert sorted(one["who"] for one in facts) == ["e-alice", "e-bob"]
    assert {one["drill"] for one in facts} == {drill.id}
    assert len({one["id"] for one in facts}) == 2
    assert program.next == (
        f"next: idp-proxy drill stop --reason 'it is over' --config {program.file}"
    )
    (notice,) = told
    assert "2 people by entra until" in notice[2]["what"]
    assert "alice" not in str(notice)
    program.ok("verify-audit")


def test_as_json_it_holds_the_same(program: Program, store: SqlStore) -> None:
    program.ok(*COHORT, "--person", "e-alice", "--json")
    answer = json.loads(program.out)
    assert [one["person"] for one in answer["people"]] == ["e-alice"]
    drill = store.drill()
    assert drill is not None
    assert (answer["drill"], answer["until"]) == (drill.id, drill.until.isoformat())


def test_status_shows_a_drill_that_goes_on_and_what_a_rehearsal_proved(
    program: Program, store: SqlStore
) -> None:
    assert program.status()["drill"] is None
    program.ok(*COHORT, "--person", "e-alice")
    drill = store.drill()
    assert drill is not None
    shown = {"id": drill.id, "upstream": "entra", "people": 1, "reason": "a test"}
    assert program.status()["drill"] == shown | {"until": drill.until.isoformat()}
    assert "drill:   1 person by entra until" in program.ok("status").out
    program.ok("drill", "stop", "--reason", "enough")
    assert "drill:" not in program.ok("status").out
    store.note_evidence(Evidence.REHEARSAL, "entra", drill.started_at)
    proven = {one["name"]: one["proven_at"] for one in program.status()["upstreams"]}
    assert proven == {"okta": None, "entra": drill.started_at.isoformat()}


def test_one_drill_at_a_time_and_a_stopped_one_makes_room(
    program: Program, store: SqlStore
) -> None:
    program("drill", "stop", "--reason", "x")
    assert program.code == 1
    assert "no drill is going on" in program.err
    program.ok(*COHORT, "--person", "e-alice")
    program(*COHORT, "--person", "e-bob")
    assert program.code == 1
    assert "a drill by entra is going on until" in program.err
    program.ok("drill", "stop", "--reason", "enough")
    assert "everybody logs in by okta" in program.out
    program("drill", "stop", "--reason", "x")
    assert program.code == 1
    program.ok(*COHORT, "--person", "e-bob")
    drill = store.drill()
    assert drill is not None
    assert drill.people == {person_digest("bob@example.org")}
    assert drill.version == 3


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "name 1 to 200 people, not 0"),
        (("--people", "nobody.txt"), "--people: nobody.txt cannot be read: No such file"),
        (("--people", "binary.txt"), "binary.txt cannot be read: it is no text in UTF-8"),
        (
            ("--person", "e-mallory"),
            "--person: 'e-mallory': a standby would refuse them: no roster",
        ),
        (("--person", "e-carol"), "'e-carol': a standby would refuse them: FO-08: last login"),
        (
            ("--person", "e-bob", "--person", "BOB@example.org"),
            "'BOB@example.org' was named before",
        ),
        (("--people", "list.txt"), "--people: list.txt:2: 'm\\u20acllory'"),
    ],
)
def test_who_cannot_take_part_is_named_and_nothing_begins(
    program: Program, words: tuple[str, ...], problem: str
) -> None:
    folder = program.folder.path
    (folder / "binary.txt").write_bytes(b"\xff\xfe")
    (folder / "list.txt").write_text("e-alice\nm€llory\n", "utf-8")
    program(*COHORT, *words)
    assert program.code == 2
    assert problem in program.err
    program("drill", "stop", "--reason", "x")
    assert "no drill is going on" in program.err


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--upstream", "okta"), "okta is no standby of okta: entra"),
        (("--upstream", "other"), "other is no standby"),
        (("--minutes", "61"), "equal to 60"),
        (("--minutes", "0"), "equal to 1 "),
        (("--reason", " "), "--reason: empty"),
    ],
)
def test_what_is_no_drill_is_refused(
    program: Program, words: tuple[str, ...], problem: str
) -> None:
    program(*COHORT, "--person", "e-alice", *words)
    assert program.code in {1, 2}
    assert problem in program.err
    assert "/drill/join/" not in program.out


def test_while_the_serving_upstream_is_suspected_is_no_time_for_a_drill(
    program: Program, store: SqlStore
) -> None:
    now = datetime.now(UTC)
    suspect = Track(Verdict.SUSPECT, 0, 2, now, now, None, "no answer", "")
    store.publish(HostReport("sso1", now, {"okta": suspect}))
    program(*COHORT, "--person", "e-alice")
    assert program.code == 1
    assert "okta is suspect: this is no time for a drill" in program.err
    assert store.drill() is None
