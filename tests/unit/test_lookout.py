"""The watch as `serve` starts it: what it proposes to people, and what it knows of traffic."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from idp_proxy import lookout
from idp_proxy.adapters import open_standards, open_store, open_upstreams
from idp_proxy.audit.log import rows
from idp_proxy.decision.approval import Act
from idp_proxy.decision.failover import Action, Decision
from idp_proxy.decision.switching import first_state
from idp_proxy.decision.traffic import TrafficCount, TrafficLimits
from idp_proxy.errors import StoreError
from idp_proxy.lookout import Proposer, TrafficSight
from idp_proxy.operators import proposals
from idp_proxy.operators.tables import proposal
from idp_proxy.store.schema import migrate
from idp_proxy.survey import survey
from tests.unit.config_folder import private_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.survey import Survey
    from tests.unit.config_folder import Folder

NAMES = ("okta", "entra")
SWITCH = Decision(Action.PROPOSE, "held", "okta is down: no answer", "entra")
RETURN = Decision(Action.PROPOSE, "failback_approve", "okta is up again", "okta")


@pytest.fixture
def settings(folder: Folder) -> Settings:
    return folder.read()


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlStore]:
    migrate(settings.store.url)
    opened = open_store(settings)
    with opened.transaction() as transaction:
        transaction.swap(0, first_state(NAMES, opened.clock()))
    yield opened
    opened.close()


@pytest.fixture
def seen(settings: Settings, store: SqlStore) -> Survey:
    state = store.switch_state()
    assert state is not None
    standards = open_standards(settings, open_upstreams(settings))
    return replace(survey(store, state, standards, store.clock()), decision=SWITCH)


def made(store: SqlStore, proposal_id: str | None) -> tuple[Act, str, tuple[str, ...]]:
    with store.reading() as connection:
        found = proposals.find(connection, proposal_id or "")
    assert found is not None
    return found.act, found.target, found.people


def count(store: SqlStore) -> int:
    with store.reading() as connection:
        return len(connection.execute(select(proposal.c.id)).all())


def test_the_watch_proposes_and_agrees_to_nothing(store: SqlStore, seen: Survey) -> None:
    assert made(store, Proposer(store, "sso1")(seen)) == (Act.SWITCH, "entra", ())
    with store.reading() as connection:
        last = list(rows(connection))[-1]
    assert last.kind == "proposed"
    assert '"watch:sso1"' in last.body


def test_a_return_is_proposed_as_a_failback(store: SqlStore, seen: Survey) -> None:
    found = Proposer(store, "sso1")(replace(seen, decision=RETURN))
    assert made(store, found) == (Act.FAILBACK, "okta", ())


def test_all_hosts_propose_the_same_once(store: SqlStore, seen: Survey) -> None:
    first = Proposer(store, "sso1")(seen)
    later = replace(seen, at=seen.at + timedelta(minutes=9))
    assert [Proposer(store, host)(later) for host in ("sso1", "sso2")] == [first, first]
    assert count(store) == 1


def test_an_expired_proposal_and_one_of_a_former_epoch_are_made_anew(
    store: SqlStore, seen: Survey
) -> None:
    propose = Proposer(store, "sso1")
    first = propose(seen)
    expired = propose(replace(seen, at=seen.at + timedelta(minutes=11)))
    moved = propose(replace(seen, state=replace(seen.state, epoch=7)))
    assert len({first, expired, moved}) == 3


def test_without_a_target_there_is_nothing_to_confirm(store: SqlStore, seen: Survey) -> None:
    assert Proposer(store, "sso1")(replace(seen, decision=replace(SWITCH, target=None))) is None
    assert count(store) == 0


def test_the_unanswered_share_is_read_now_and_then(store: SqlStore) -> None:
    at = store.clock() - timedelta(minutes=4)
    minute = at.replace(second=0, microsecond=0)
    store.add_traffic("sso1", [TrafficCount("okta", minute, begun=30, answered=3)])
    ticks = [0.0]
    sight = TrafficSight(store, NAMES, lambda: ticks[0], TrafficLimits())
    assert sight()["okta"].warning is not None
    assert sight()["entra"].warning is None
    store.add_traffic("sso1", [TrafficCount("okta", minute, begun=0, answered=27)])
    assert sight()["okta"].warning is not None
    ticks[0] = 60.0
    assert sight()["okta"].warning is None


def test_while_the_store_is_away_the_share_is_what_it_was(store: SqlStore) -> None:
    ticks = [0.0]
    sight = TrafficSight(store, NAMES, lambda: ticks[0], TrafficLimits())
    known = sight()

    def away() -> None:
        raise StoreError("away")

    store.clock = away  # type: ignore[method-assign, assignment] # the store is away from here on
    ticks[0] = 60.0
    assert sight() == known


def test_it_runs_reports_and_stops(settings: Settings, store: SqlStore) -> None:
    quick = replace(settings.failover, tick=timedelta(milliseconds=10))
    stop = lookout.start(replace(settings, failover=quick), store, open_upstreams(settings))
    try:
        until = time.monotonic() + 10
        while not store.reports():
            assert time.monotonic() < until, "no report came"
            time.sleep(0.01)
    finally:
        stop()
    (report,) = store.reports()
    assert (report.host, sorted(report.tracks)) == ("sso1", sorted(NAMES))


def test_a_configured_canary_counts_and_runs(folder: Folder) -> None:
    private_file(folder.path / "keys" / "canary.pw", b"geheim-im-wald\n")
    table = (
        '[[upstream.canary]]\nname = "staff"\nusername = "canary"\nsubject = "e-9001"\n'
        'password = "file:keys/canary.pw"\n'
    )
    settings = folder.set("[audit]\n", f"{table}\n[audit]\n").read()
    upstreams = open_upstreams(settings)
    assert open_standards(settings, upstreams).canaries == {("entra", "staff")}
    migrate(settings.store.url)
    store = open_store(settings)
    quick = replace(settings.failover, tick=timedelta(milliseconds=10))
    stop = lookout.start(replace(settings, failover=quick), store, upstreams)
    try:
        until = time.monotonic() + 10
        while not any(one.track.at for one in store.canaries()):
            assert time.monotonic() < until, "it never ran"
            time.sleep(0.01)
    finally:
        stop()
    (canary,) = store.canaries()
    assert (canary.upstream, canary.name, canary.host) == ("entra", "staff", "sso1")
    assert "approved metadata" in canary.track.reason
    store.close()
