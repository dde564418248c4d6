"""`rehearse` at the command line: the link, and waiting for what comes of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.adapters import open_store, open_switchboard, open_upstreams
from idp_proxy.cli import rehearsing, terminal
from idp_proxy.cli.session import actor
from idp_proxy.config import load
from idp_proxy.links import read
from idp_proxy.rehearsal import PURPOSE, Ticket, link_of
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT, REFEDS_MFA
from idp_proxy.seal import KeyRing
from idp_proxy.store.base import Evidence
from tests.support.keys import rsa_pair, tls_pair
from tests.support.upstream_metadata import upstream_metadata
from tests.unit.at_the_terminal import Program
from tests.unit.config_folder import private_file
from tests.unit.test_config_directory import DIRECTORY, PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder


class Waiting:
    """The time while a command waits: `then` happens at its next look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.looks = 0
        self.then: Callable[[], None] = lambda: None
        monkeypatch.setattr(terminal, "pause", self._pause)
        monkeypatch.setattr(rehearsing, "clock", lambda: self.now)

    def _pause(self, seconds: float) -> None:
        self.looks += 1
        self.now += timedelta(seconds=seconds)
        self.then()


@pytest.fixture
def program(folder: Folder, empty_database: bytes, capsys: pytest.CaptureFixture[str]) -> Program:
    for name in ("okta", "entra"):
        metadata = upstream_metadata(rsa_pair(f"{name}-idp"), entity_id=f"https://{name}.example")
        (folder.path / f"{name}.xml").write_bytes(metadata)
    folder.set('{ url = "https://idp.example.org/metadata" }', '{ file = "entra.xml" }')
    made = Program(folder, capsys)
    made.write()
    made.make_store(empty_database)
    return made


@pytest.fixture
def settings(program: Program) -> Settings:
    return load(program.file)


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlStore]:
    opened = open_store(settings)
    open_switchboard(opened, open_upstreams(settings)).current()
    yield opened
    opened.close()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    return Waiting(monkeypatch)


def facts_of(shown: str, settings: Settings) -> dict[str, Any]:
    """What the link in a command's output says."""
    (token,) = re.findall(r"https://sso\.example\.org/rehearse/(\S+)", shown)
    return read(token.rstrip('",'), KeyRing(settings.proxy.state_keys, PURPOSE))


def test_the_link_says_what_was_asked_and_by_whom(
    program: Program, settings: Settings, waiting: Waiting
) -> None:
    program("rehearse", "entra", "--no-wait")
    assert program.code == 3
    facts = facts_of(program.out, settings)
    assert (facts["kind"], facts["up"], facts["by"]) == ("rehearsal", "entra", actor())
    assert facts["until"] == int(waiting.now.timestamp()) + 600
    assert '"The login by entra works"' in program.out
    assert program.next == f"next: idp-proxy rehearse entra --config {program.file}"
    assert waiting.looks == 0


def test_nothing_is_stored_by_making_a_link(program: Program, store: SqlStore) -> None:
    program("rehearse", "entra", "--no-wait")
    assert store.evidence(Evidence.REHEARSAL) == {}
    program.ok("verify-audit")
    assert "0 rows" in program.out


def test_the_command_waits_until_somebody_has_logged_in(
    program: Program,
    settings: Settings,
    store: SqlStore,
    waiting: Waiting,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Ticket] = []

    def noted(ticket: Ticket, ring: KeyRing) -> str:
        made.append(ticket)
        return link_of(ticket, ring)

    def log_in_at_last() -> None:
        if waiting.looks == 70:
            with store.transaction() as transaction:
                transaction.consume(made[0].use)
                transaction.note_evidence(made[0].kind, made[0].upstream, waiting.now)

    monkeypatch.setattr(rehearsing, "link_of", noted)
    waiting.then = log_in_at_last
    program.ok("rehearse", "entra", "--json")
    read_answer = json.loads(program.out)
    assert read_answer["proven_at"] == waiting.now.isoformat()
    assert facts_of(program.out, settings)["up"] == "entra"
    assert read_answer["next"] == f"idp-proxy status --config {program.file}"
    assert program.err.count("Ctrl-C leaves the link open") == 2
    waiting.looks = 0
    made.clear()
    program.ok("rehearse", "entra")
    assert program.out.splitlines()[-2].startswith("the login by entra works, proven ")


def test_evidence_of_somebody_else_does_not_end_the_waiting(
    program: Program, store: SqlStore, waiting: Waiting
) -> None:
    waiting.then = lambda: store.note_evidence(Evidence.REHEARSAL, "entra", waiting.now)
    program("rehearse", "entra")
    assert program.code == 1
    assert "nobody logged in by the link in time" in program.err
    assert program.next == f"next: idp-proxy rehearse entra --config {program.file}"
    assert 600 <= waiting.looks <= 602


def test_ctrl_c_leaves_the_link_open(program: Program, waiting: Waiting) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    waiting.then = interrupted
    program("rehearse", "entra")
    assert program.code == 3
    assert "the link is left open until" in program.out
    assert "Traceback" not in program.err


def test_without_waiting_json_has_the_link_and_nothing_else_is_on_stdout(
    program: Program, settings: Settings, waiting: Waiting
) -> None:
    program("rehearse", "entra", "--no-wait", "--json")
    answer = json.loads(program.out)
    assert facts_of(program.out, settings)["up"] == "entra"
    assert answer["proven_at"] is None
    assert answer["valid_until"] == (waiting.now + timedelta(minutes=10)).isoformat()


def test_what_cannot_be_asked_is_refused_before_a_link_is_made(program: Program) -> None:
    program("rehearse", "nobody", "--no-wait")
    assert program.code == 2
    assert "no upstream is called nobody; there are okta, entra" in program.err
    program.ok("upstream", "disable", "entra", "--reason", "broken")
    program("rehearse", "entra", "--no-wait")
    assert program.code == 1
    assert "entra is disabled: idp-proxy upstream enable entra" in program.err
    program.ok("upstream", "enable", "entra", "--reason", "repaired")
    (program.folder.path / "entra.xml").write_text("<not-metadata/>")
    program("rehearse", "entra", "--no-wait")
    assert program.code == 1
    assert "entra cannot be asked" in program.err
    assert "/rehearse/" not in program.out


def at_a_directory(program: Program, mapped: str) -> None:
    """From now on a directory stands by under a floor, with this said of what it proves."""
    folder = program.folder
    private_file(folder.path / "keys/corp.password", b"a word\n")
    (folder.path / "keys/corp-ca.crt").write_bytes(tls_pair("ca").certificate_pem)
    contexts = f"\n[upstream.assurance.contexts]\n{mapped}\n" if mapped else ""
    folder.set('levels = ["password"]', 'levels = ["password", "mfa"]')
    folder.set('floor = "password"', 'floor = "mfa"')
    folder.set(PLACE, DIRECTORY + contexts + PLACE)
    program.write()


@pytest.mark.parametrize(
    ("context", "second_step"), [(REFEDS_MFA, True), (PASSWORD_PROTECTED_TRANSPORT, False)]
)
def test_where_a_password_does_not_suffice_the_command_says_what_else_it_takes(
    program: Program, context: str, second_step: bool
) -> None:
    at_a_directory(program, f'"{context}" = "mfa"')
    program("rehearse", "corp", "--no-wait")
    assert program.code == 3, program.err
    assert ("set up at https://sso.example.org/enroll" in program.out) is second_step
    program("rehearse", "okta", "--no-wait")
    assert "/enroll" not in program.out


def test_where_nothing_reaches_the_floor_no_link_is_made(program: Program) -> None:
    at_a_directory(program, "")
    program("rehearse", "corp", "--no-wait")
    assert program.code == 1
    assert "FO-04: no login by corp reaches the floor mfa" in program.err
    assert "[upstream.assurance]" in program.err
    assert "/rehearse/" not in program.out


def test_the_return_is_tested_at_the_preferred_upstream_unless_another_is_named(
    program: Program, settings: Settings
) -> None:
    program("failback", "test", "--no-wait")
    assert program.code == 3
    facts = facts_of(program.out, settings)
    assert (facts["kind"], facts["up"]) == ("failback_test", "okta")
    assert program.next == f"next: idp-proxy failback test okta --config {program.file}"
    program("failback", "test", "entra", "--no-wait")
    assert facts_of(program.out, settings)["up"] == "entra"


def test_an_operator_is_asked_for_once_there_are_operators(program: Program) -> None:
    program("rehearse", "entra", "--no-wait", "--as", "olga")
    assert program.code == 1
    assert "there is no operator yet" in program.err
    assert "/rehearse/" not in program.out
