"""What ends a drill by itself: the watch's turn at which the serving upstream is suspected."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from idp_proxy.decision.drill import Drill, person_digest
from idp_proxy.decision.eligibility import FailoverLimits
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Track, Verdict
from idp_proxy.decision.notices import Kind, Notice
from idp_proxy.decision.switching import Departure, Left, first_state
from idp_proxy.drill import Guard, begin, stop
from idp_proxy.errors import StoreError
from idp_proxy.lookout import Hearers
from idp_proxy.store.memory import MemoryStore
from idp_proxy.survey import Standards, Survey, survey
from idp_proxy.watch import Turn

NOW = datetime.now(UTC)
STATE = first_state(["okta", "entra"], NOW - timedelta(days=1))
STANDARDS = Standards(
    usable=lambda _: {"okta": None, "entra": None},
    limits=FailoverLimits(),
    fresh=timedelta(seconds=30),
    canaries=frozenset(),
    findings=dict,
)
DRILL = Drill(
    id="d1",
    version=1,
    upstream="entra",
    serving="okta",
    since=STATE.since,
    started_at=NOW,
    until=NOW + timedelta(minutes=30),
    people=frozenset({person_digest("alice")}),
    actor="operator:olga",
    reason="a test",
)


class Counted(MemoryStore):
    """A store that counts how often it was asked for the drill."""

    asked = 0

    def drill(self) -> Drill | None:
        self.asked += 1
        return super().drill()


@pytest.fixture
def store() -> Counted:
    made = Counted("sso1")
    with made.transaction() as transaction:
        transaction.swap(0, STATE)
        begin(transaction, None, DRILL)
    return made


def seen(store: MemoryStore, **verdicts: Verdict) -> Survey:
    """What the fleet sees when this host thinks so."""
    tracks = {
        name: Track(verdict, 3, 0, NOW, NOW, NOW, "no answer", "")
        for name, verdict in verdicts.items()
    }
    store.publish(HostReport("sso1", NOW, tracks, reference_answers=True))
    return survey(store, STATE, STANDARDS, store.clock())


@pytest.mark.parametrize("verdict", [Verdict.SUSPECT, Verdict.DOWN])
def test_a_suspected_serving_upstream_ends_the_drill_on_record(
    store: Counted, verdict: Verdict
) -> None:
    guard = Guard(store, "sso1")
    ended = guard.look(seen(store, okta=verdict, entra=Verdict.UP))
    assert ended is not None
    assert ended == store.drill()
    assert ended.ended is not None
    assert ended.ended.how is Departure.FAILOVER
    assert ended.why_ended.startswith(f"okta is {verdict}: ")
    row = store.audit_rows()[-1]
    assert (row.kind, row.content["actor"]) == ("drill_stopped", "watch:sso1")
    assert guard.look(seen(store, okta=verdict)) is None


def test_while_all_is_well_or_the_standby_fails_it_goes_on_and_nothing_is_read(
    store: Counted,
) -> None:
    guard = Guard(store, "sso1")
    for okta, entra in (
        (Verdict.UP, Verdict.UP),
        (Verdict.UNKNOWN, Verdict.UP),
        (Verdict.UP, Verdict.DOWN),
    ):
        assert guard.look(seen(store, okta=okta, entra=entra)) is None
    assert store.asked == 0


def test_where_two_hosts_end_it_at_once_it_is_ended_once(
    store: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = seen(store, okta=Verdict.DOWN)
    stop(store, DRILL, Departure.FAILOVER, "okta is down", "watch:sso2", NOW)
    monkeypatch.setattr(store, "drill", lambda: DRILL)
    assert Guard(store, "sso1").look(looked) is None
    assert [row.kind for row in store.audit_rows()].count("drill_stopped") == 1


def test_the_alarms_hear_of_every_turn_and_a_store_that_fails_stops_nobody(
    store: Counted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Turn] = []
    notices: list[Notice] = []
    hearers = Hearers(told.append, Guard(store, "sso1"), notices.append)
    turns = [Turn(None, "away"), Turn(seen(store, okta=Verdict.UP))]
    for turn in turns:
        hearers(turn)
    assert store.asked == 0

    def fails() -> Drill | None:
        raise StoreError("away")

    turns.append(Turn(seen(store, okta=Verdict.DOWN)))
    with monkeypatch.context() as patch:
        patch.setattr(store, "drill", fails)
        hearers(turns[-1])
    assert "drill_not_ended" in capsys.readouterr().out
    hearers(turns[-1])
    assert "drill_ended" in capsys.readouterr().out
    assert told == [*turns, turns[-1]]
    (notice,) = notices
    assert (notice.kind, notice.key) == (Kind.DRILL, "drill:d1:over")
    assert "okta is down" in str(notice.facts["what"])
    kept = store.drill()
    assert kept is not None
    assert kept.ended == Left(turns[-1].survey.at, Departure.FAILOVER)  # type: ignore[union-attr]
    assert replace(kept, ended=None, why_ended="", version=1, people=DRILL.people) == DRILL
    assert kept.people == frozenset()
