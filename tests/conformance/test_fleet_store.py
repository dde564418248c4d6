"""What the hosts may rely on when they tell each other what they see."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.audit.log import AuditLog
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Canary, Track, Verdict
from idp_proxy.decision.membership import Membership
from idp_proxy.decision.traffic import TrafficCount
from idp_proxy.errors import StoreError
from idp_proxy.store.base import Evidence
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.schema import migrate
from idp_proxy.store.sql import SqlStore
from idp_proxy.store.tables import host
from tests.conformance.rooms import sqlite_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.store.base import FleetStore

SOON = timedelta(seconds=30)
THEN = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
TRACK = Track(Verdict.SUSPECT, 0, 3, THEN, THEN, None, "no answer", "expired")


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqlStore]:
    migrate(sqlite_url(tmp_path))
    store = SqlStore(sqlite_url(tmp_path), AuditLog("proxy-1"))
    yield store
    store.close()


@pytest.fixture
def postgresql_store(empty_database: str) -> Iterator[SqlStore]:
    migrate(empty_database)
    store = SqlStore(empty_database, AuditLog("proxy-1"))
    yield store
    store.close()


@pytest.fixture(
    params=["sqlite", "memory", pytest.param("postgresql_store", marks=pytest.mark.e2e)]
)
def fleet(request: pytest.FixtureRequest) -> FleetStore:
    if request.param == "memory":
        return MemoryStore()
    kept: SqlStore = request.getfixturevalue(request.param)
    return kept


def report(name: str = "proxy-1", track: Track = TRACK) -> HostReport:
    return HostReport(
        name,
        THEN,
        {"okta": track},
        {"okta": "no reference"},
        reference_answers=True,
        member=Membership(("okta", "entra"), ("aa", "bb"), "here", "r1"),
        barred={"entra": ("SP-08: AES-CBC", "it is not as Rita signed it")},
    )


def test_a_new_store_knows_no_host_and_no_canary(fleet: FleetStore) -> None:
    assert (fleet.reports(), fleet.canaries(), fleet.traffic(THEN)) == ((), (), ())
    assert fleet.evidence(Evidence.REHEARSAL) == {}


def test_a_report_comes_back_as_it_was_with_the_store_s_time_and_replaces_the_last(
    fleet: FleetStore,
) -> None:
    fleet.publish(report())
    fleet.publish(report(track=Track()))
    fleet.publish(report())
    (known,) = fleet.reports()
    assert abs(known.at - fleet.clock()) < SOON
    assert replace(known, at=THEN) == report()


def test_of_two_hosts_of_one_name_the_one_that_came_later_is_refused(fleet: FleetStore) -> None:
    first = report()
    second = replace(first, member=replace(first.member, installation="there", run="r2"))
    fleet.publish(first, begins=True)
    for begins in (True, False):
        with pytest.raises(StoreError, match="somebody else runs as host proxy-1"):
            fleet.publish(second, begins=begins)
    fleet.publish(first)
    again = replace(first, member=replace(first.member, run="r3"))
    fleet.publish(again, begins=True)  # started anew on the same machine
    with pytest.raises(StoreError, match="somebody else"):
        fleet.publish(first)
    (known,) = fleet.reports()
    assert known.member.run == "r3"


def test_sqlite_is_for_one_host_and_the_refusal_says_what_to_do(sqlite: SqlStore) -> None:
    sqlite.publish(report())
    with pytest.raises(StoreError, match=r"host proxy-1 uses this SQLite store too.*PostgreSQL"):
        sqlite.publish(report("proxy-2"))
    assert [one.host for one in sqlite.reports()] == ["proxy-1"]
    assert sqlite.forget_host("proxy-1")
    assert not sqlite.forget_host("proxy-1")
    sqlite.publish(report("proxy-2"))


def test_a_host_that_was_renamed_long_ago_is_no_second_one(sqlite: SqlStore) -> None:
    sqlite.publish(report())
    with sqlite.writing() as connection:
        connection.execute(host.update().values(at=sqlite.clock() - timedelta(minutes=11)))
    sqlite.publish(report("proxy-2"))
    assert [one.host for one in sqlite.reports()] == ["proxy-1", "proxy-2"]


def test_of_many_who_want_a_lease_one_gets_it_until_it_ends(fleet: FleetStore) -> None:
    until = fleet.clock() + SOON

    def wants(name: str) -> bool:
        return fleet.lease_canary("okta", "staff", name, until)

    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(wants, [f"proxy-{number}" for number in range(8)]))
    assert got.count(True) == 1
    (canary,) = fleet.canaries()
    assert (canary.track, canary.lease_until) == (Track(), until)


def test_a_lease_that_ran_out_is_free_and_its_former_holder_writes_nothing(
    fleet: FleetStore,
) -> None:
    assert fleet.lease_canary("okta", "staff", "proxy-1", fleet.clock() - SOON)
    assert fleet.lease_canary("okta", "staff", "proxy-2", fleet.clock() + SOON)
    late = Canary("okta", "staff", TRACK, host="proxy-1")
    assert not fleet.save_canary(late)
    assert fleet.save_canary(replace(late, host="proxy-2"))
    assert fleet.canaries() == (replace(late, host="proxy-2"),)
    assert fleet.lease_canary("okta", "staff", "proxy-1", fleet.clock() + SOON)
    assert fleet.canaries()[0].track == TRACK


def test_canaries_that_are_no_longer_configured_are_forgotten(fleet: FleetStore) -> None:
    for name in ("staff", "guests"):
        fleet.lease_canary("okta", name, "proxy-1", fleet.clock())
    assert fleet.forget_canaries([("okta", "staff")]) == 1
    assert [one.name for one in fleet.canaries()] == ["staff"]
    assert fleet.forget_canaries([]) == 1


def test_of_each_kind_of_evidence_the_newest_is_kept(fleet: FleetStore) -> None:
    fleet.note_evidence(Evidence.REHEARSAL, "okta", THEN + SOON)
    fleet.note_evidence(Evidence.REHEARSAL, "okta", THEN)
    fleet.note_evidence(Evidence.FAILBACK_TEST, "entra", THEN)
    assert fleet.evidence(Evidence.REHEARSAL) == {"okta": THEN + SOON}
    assert fleet.evidence(Evidence.FAILBACK_TEST) == {"entra": THEN}
    assert fleet.prune_evidence(THEN) == 0
    assert fleet.prune_evidence(THEN + SOON) == 1
    assert fleet.evidence(Evidence.FAILBACK_TEST) == {}
    assert fleet.evidence(Evidence.REHEARSAL) == {"okta": THEN + SOON}


def test_traffic_is_summed_over_hosts_and_tellings_and_old_counts_go(fleet: FleetStore) -> None:
    later = THEN + timedelta(minutes=1)
    fleet.add_traffic(
        "proxy-1", [TrafficCount("okta", THEN, 3, 1), TrafficCount("okta", later, 1, 0)]
    )
    fleet.add_traffic("proxy-1", [TrafficCount("okta", THEN, 1, 1)])
    fleet.add_traffic("proxy-2", [TrafficCount("okta", THEN, 2, 2)])
    assert fleet.traffic(THEN) == (
        TrafficCount("okta", THEN, 6, 4),
        TrafficCount("okta", later, 1, 0),
    )
    assert fleet.prune_traffic(later) == 2
    assert fleet.traffic(THEN) == (TrafficCount("okta", later, 1, 0),)
