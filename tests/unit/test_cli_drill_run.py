"""`drill run` as a person types it: the scorecard, the two rows in the audit, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy import adapters
from idp_proxy.audit.log import AuditLog, rows
from idp_proxy.decision.health import Cadence, Outcome
from idp_proxy.decision.traffic import TrafficCount
from idp_proxy.errors import StoreError
from idp_proxy.store.sql import SqlStore
from idp_proxy.upstream.probing import Probed
from tests.support.keys import rsa_pair
from tests.support.scenario.clockwork import LeapingLoop
from tests.support.upstream_metadata import upstream_metadata
from tests.unit.at_the_terminal import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tests.unit.config_folder import Folder


@dataclass(slots=True)
class Site:
    """What the upstreams answer, and what happens at the first real look."""

    broken: frozenset[str] = frozenset()
    canaries: tuple[str, ...] = ("entra",)
    at_first: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A probe and a canary that answer as the site says."""

    site: Site
    upstream: str
    name: str = "staff"

    async def look(self, _cadence: Cadence, _now: datetime) -> Probed:
        if self.site.at_first is not None:
            act, self.site.at_first = self.site.at_first, None
            act()
        await asyncio.sleep(0)
        broken = self.upstream in self.site.broken
        return Probed(Outcome.BROKEN if broken else Outcome.PASSED, "takes no connection")

    async def log_in(self, _now: datetime) -> Probed:
        await asyncio.sleep(0)
        return Probed(Outcome.PASSED, "logs in")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """Upstreams of which nobody is asked over a network, in a time that leaps."""
    made = Site()

    def probes(_upstreams: object) -> dict[str, Look]:
        return {name: Look(made, name) for name in ("okta", "entra")}

    def canaries(_settings: object, _upstreams: object) -> tuple[Look, ...]:
        return tuple(Look(made, name) for name in made.canaries)

    def run(act: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LeapingLoop) as runner:
            runner.run(act)

    monkeypatch.setattr(adapters, "open_probes", probes)
    monkeypatch.setattr(adapters, "open_canaries", canaries)
    monkeypatch.setattr(asyncio, "run", run)
    return made


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
def store(program: Program) -> Iterator[SqlStore]:
    program.ok("status")
    url = f"sqlite:///{program.folder.path / 'var' / 'idp-proxy.db'}"
    opened = SqlStore(url, AuditLog("sso1"))
    yield opened
    opened.close()


def audited(store: SqlStore) -> list[dict[str, Any]]:
    with store.reading() as connection:
        found = [(row.kind, row.content["facts"]) for row in rows(connection)]
    return [{"kind": kind, **facts} for kind, facts in found if isinstance(facts, dict)]


def test_the_scorecard_is_shown_and_nothing_real_has_changed(
    program: Program, store: SqlStore, site: Site
) -> None:
    assert site.canaries
    minute = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    store.add_traffic("sso1", [TrafficCount("okta", minute, 3600, 3600)])
    before = store.switch_state()
    program.ok("drill", "run", "active-killed")
    for shown in ("okta is seen to be down", "the switch goes to entra", "PASSED", "nothing real"):
        assert shown in program.out
    for told in ("DRILL active-killed: nothing real changes", "serving_down", "canary staff came"):
        assert told in program.err
    assert program.next == f"next: idp-proxy status --config {program.file}"
    assert store.switch_state() == before
    assert (store.reports(), store.canaries()) == ((), ())
    began, ended = audited(store)
    assert (began["kind"], began["scenario"], began["serving"]) == (
        "drill_began",
        "active-killed",
        "okta",
    )
    assert (ended["kind"], ended["passed"], ended["ended"]) == ("drill_ended", True, "complete")


def test_as_json_the_answer_is_alone_on_stdout(
    program: Program, store: SqlStore, site: Site
) -> None:
    program.folder.text += "\n[failover]\ncanary_interval_s = 0.5\ncanary_retry_s = 0.1\n"
    program.write()
    site.canaries = ()
    with store.transaction() as transaction:
        transaction.note_proof("entra", datetime.now(UTC))
    found = json.loads(program.ok("drill", "run", "login-broken", "--json").out)
    assert (found["passed"], found["serving"], found["standby"]) == (True, "okta", "entra")
    assert found["seconds"]["bar"] == 180
    assert found["seconds"]["first_login"] is None
    assert "entra has no canary" in found["not_shown"]
    assert found["real_state"] == {"epoch_before": 1, "epoch_after": 1}
    assert [one["rule"] for one in found["rules"]][-1] == "serving_down"
    assert (found["logins_lost"], found["problems"]) == (None, [])
    assert len(audited(store)) == 2


def test_a_standby_that_nobody_ever_logged_in_by_cannot_be_drilled(
    program: Program, store: SqlStore, site: Site
) -> None:
    site.canaries = ()
    program("drill", "run", "active-killed")
    assert program.code == 1
    assert "there is no failover to show (entra: it was never rehearsed" in program.out
    assert len(audited(store)) == 2


def test_real_trouble_ends_it_with_1_and_the_reason(
    program: Program, store: SqlStore, site: Site
) -> None:
    site.broken = frozenset({"okta"})
    program("drill", "run", "active-killed")
    assert program.code == 1
    assert "FAILED" in program.out
    assert "okta is" in program.out
    assert "down: takes no connection" in audited(store)[1]["ended"]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_who_stops_it_gets_the_scorecard_and_the_last_row_is_written(
    program: Program, store: SqlStore, site: Site, sent: signal.Signals
) -> None:
    site.at_first = lambda: os.kill(os.getpid(), sent)
    program("drill", "run", "active-killed")
    assert program.code == 1
    assert "the drill ended early: stopped by hand" in program.out
    assert audited(store)[1]["ended"] == "stopped by hand"


def test_a_store_that_is_gone_at_the_end_is_said(
    program: Program, store: SqlStore, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_self: SqlStore) -> None:
        raise StoreError("connection refused")

    def leave() -> None:
        monkeypatch.setattr(SqlStore, "transaction", away)
        monkeypatch.setattr(SqlStore, "switch_state", away)

    site.at_first = leave
    found = json.loads(program("drill", "run", "active-killed", "--json").out)
    assert (program.code, found["real_state"]["epoch_after"]) == (1, None)
    assert "the store cannot be read: connection refused" in found["ended"]
    assert "the end of the drill is not in the audit" in program.err
    assert len(audited(store)) == 1


def test_what_cannot_be_drilled_is_refused_before_anything_is_written(
    program: Program, store: SqlStore, site: Site
) -> None:
    assert site.canaries
    program("drill", "run", "meteor")
    assert program.code == 2
    assert "active-hangs" in program.err
    program("drill", "run", "active-killed", "--minutes", "61")
    assert program.code == 2
    state = store.switch_state()
    assert state is not None
    board = adapters.open_switchboard(store, {}, lambda: datetime.now(UTC))
    board.hold("mine", "host:eve")
    program("drill", "run", "active-killed")
    assert program.code == 1
    assert "the switch is held" in program.err
    assert [one["kind"] for one in audited(store)] == ["hold"]
