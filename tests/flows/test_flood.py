"""Logins that are begun and never answered (L3) are counted, and people are told. Nothing else
changes, and no number of them hides an outage.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from idp_proxy.adapters import open_standards
from idp_proxy.alarms import matters
from idp_proxy.decision.failover import Action
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Track, Verdict
from idp_proxy.decision.notices import Kind
from idp_proxy.decision.traffic import TrafficCount, TrafficLimits, judge_traffic
from idp_proxy.lookout import TrafficSight
from idp_proxy.store.sql import SqlStore
from idp_proxy.store.tables import metadata
from idp_proxy.survey import survey
from idp_proxy.watch import Turn
from tests.flows.configuration import provider
from tests.flows.stage import code_of
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    from idp_proxy.decision.traffic import Unanswered
    from idp_proxy.survey import Survey
    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage

FLOOD, SMALL = 300, 40
UP = Track(Verdict.UP, passes=9, reason="answers as it should")
DOWN = Track(Verdict.DOWN, failures=9, reason="no answer within 5 s")


@pytest.fixture
def stage(set_up: Builder) -> Stage:
    """Its clock is five minutes late: what begins now has long had its time to be answered."""
    made = set_up(sqlite=True)
    made.clock.pass_by(minutes=-5)
    return made


def store_of(stage: Stage) -> SqlStore:
    assert isinstance(stage.store, SqlStore)
    return stage.store


def flood(stage: Stage, logins: int) -> None:
    """Somebody begins logins and answers none. They need no browser, and no new request either."""
    query = stage.sso_query(stage.request())
    with stage.client() as client:
        for _ in range(logins):
            client.cookies.clear()
            assert client.get(f"/saml/sso?{query}").status_code == 302
    stage.meter.tell(store_of(stage), "sso1")


def rows(stage: Stage) -> dict[str, int]:
    """How many rows each table has."""
    with store_of(stage).reading() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def look(stage: Stage, active: Track = UP) -> Survey:
    """What the watch of a fleet of one host sees; both upstreams were logged in by of late."""
    store = store_of(stage)
    now = store.clock()
    with store.transaction() as transaction:
        for name in stage.upstreams:
            transaction.note_proof(name, now)
    store.publish(HostReport("sso1", now, {"active": active, "standby": UP}))
    standards = open_standards(stage.settings, stage.upstreams)
    return survey(store, stage.switchboard.current(), standards, store.clock())


def shares(stage: Stage) -> dict[str, Unanswered]:
    """As the watch reads them."""
    sight = TrafficSight(store_of(stage), tuple(stage.upstreams), lambda: 0.0, TrafficLimits())
    return dict(sight())


def test_a_flood_is_one_count_and_changes_nothing_else(stage: Stage) -> None:
    before, rows_before = look(stage), rows(stage)
    flood(stage, FLOOD)
    after, rows_after = look(stage), rows(stage)
    (count,) = store_of(stage).traffic(stage.clock.now() - timedelta(hours=1))
    assert (count.upstream, count.begun, count.answered) == ("active", FLOOD, 0)
    assert rows_after == rows_before | {"traffic": 1}
    assert (after.state, after.decision) == (before.state, before.decision)
    assert after.situation.fleet.health == before.situation.fleet.health
    assert stage.meter.counts() == ()
    assert stage.on_record() == []


def test_people_are_told_and_a_move_is_proposed_to_them_alone(stage: Stage) -> None:
    flood(stage, SMALL)
    seen, before = look(stage), rows(stage)
    found = matters(Turn(seen), "sso1", (), shares(stage), seen.at)
    assert [one.kind for one in found] == [Kind.L3, Kind.PROPOSED]
    warned, proposed = found
    assert warned.facts == {"upstream": "active", "share": "100%"}
    assert warned.next == "idp-proxy rehearse active"
    assert proposed.facts["target"] == "standby"
    assert "40 of 40 logins at active stayed unanswered" in str(proposed.facts["cause"])
    assert seen.decision.action is Action.STAY
    # No proposal waits for a yes: a stranger would have written it.
    assert rows(stage) == before


def test_a_larger_flood_says_nothing_more(stage: Stage) -> None:
    """One matter, one row: neither the pager nor the store is filled by it."""
    keys = []
    for _ in range(3):
        flood(stage, 30)
        seen = look(stage)
        keys.append([one.key for one in matters(Turn(seen), "sso1", (), shares(stage), seen.at)])
    assert keys == [["unanswered:active", "proposed:unanswered:standby"]] * 3
    assert rows(stage)["traffic"] == 1


def test_an_outage_is_left_behind_a_flood_as_without_it(stage: Stage) -> None:
    flood(stage, SMALL)
    seen = look(stage, DOWN)
    assert (seen.decision.action, seen.decision.target) == (Action.SWITCH, "standby")
    assert seen.decision.reason == "active is down: no answer within 5 s"


def test_people_log_in_during_a_flood(stage: Stage) -> None:
    flood(stage, SMALL)
    stage.clock.pass_by(minutes=5)
    assert stage.log_in(ALICE).profile.id == ALICE.employee_number
    assert stage.on_record() == ["login"]


def test_a_flood_of_a_day_buys_no_silence(stage: Stage) -> None:
    """Whoever makes unanswered logins usual hides an outage behind them, but not a whole one."""
    flood(stage, 30)
    now = store_of(stage).clock()
    hours = [TrafficCount("active", now - timedelta(hours=n), 5_000, 50) for n in range(1, 24)]
    recent = store_of(stage).traffic(now - timedelta(minutes=10))
    found = judge_traffic("active", [*hours, *recent], TrafficLimits(), now)
    assert found.baseline > 0.9
    assert found.warning is not None


def test_one_answer_posted_again_and_again_is_one(stage: Stage) -> None:
    begun = stage.begin()
    answer = stage.answer(begun, BOB)
    pages = [code_of(stage.post(begun, answer)) for _ in range(30)]
    assert pages == ["200", *["login_repeated"] * 29]
    flood(stage, SMALL)
    (count,) = store_of(stage).traffic(stage.clock.now() - timedelta(hours=1))
    assert (count.begun, count.answered) == (41, 1)
    assert shares(stage)["active"].warning is not None


def test_answers_that_do_not_verify_answer_nothing(stage: Stage) -> None:
    begun = stage.begin()
    forged = stage.answer(begun, BOB, by=provider("standby"))
    for _ in range(5):
        stage.post(begun, forged)
    assert [one.answered for one in stage.meter.counts()] == [0]
