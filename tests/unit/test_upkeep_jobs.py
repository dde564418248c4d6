"""What the parent process does beside the logins: which jobs there are, and that each one works."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy import lookout, serve
from idp_proxy.adapters import open_store, open_upstreams
from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import rows
from idp_proxy.decision.approval import Act
from idp_proxy.decision.drill import Drill
from idp_proxy.decision.health import Canary, Track
from idp_proxy.decision.notices import Kind
from idp_proxy.decision.proposal import Proposal
from idp_proxy.decision.standby_logins import StandbyLogin
from idp_proxy.decision.switching import first_state
from idp_proxy.decision.traffic import TrafficCount
from idp_proxy.joining import Joining
from idp_proxy.operators import proposals
from idp_proxy.store.base import Evidence, UsedId
from idp_proxy.store.local import LocalSpool
from idp_proxy.store.people import ImportRun
from idp_proxy.store.schema import migrate
from idp_proxy.store.standby_logins import standby_logins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.config import Settings
    from idp_proxy.decision.notices import Notice
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upkeep import Job
    from tests.unit.config_folder import Folder

LONG_AGO = datetime.now(UTC) - timedelta(days=1)
TWICE = UsedId("transaction", "", "B" * 22, LONG_AGO + timedelta(days=2))
USED = UsedId("transaction", "", "A" * 22, LONG_AGO)


@pytest.fixture
def settings(folder: Folder) -> Settings:
    return folder.read()


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlStore]:
    migrate(settings.store.url)
    opened = open_store(settings)
    yield opened
    opened.close()


@pytest.fixture
def spool(store: SqlStore, tmp_path: Path) -> Iterator[LocalSpool]:
    opened = LocalSpool(
        tmp_path / "spool.db", "sso1", known_head=store.known_head, now=lambda: datetime.now(UTC)
    )
    yield opened
    opened.close()


def jobs(settings: Settings, store: SqlStore) -> dict[str, Job]:
    upstreams = open_upstreams(settings)
    joined = Joining(settings, upstreams, store, is_done=True)
    found = [*serve._jobs(settings, store, upstreams), *serve._shared_jobs(settings, joined)]
    return {job.name: job for job in found}


def test_the_usual_host_has_these(settings: Settings, store: SqlStore) -> None:
    assert {name: job.every_s for name, job in jobs(settings, store).items()} == {
        "prune": 600,
        "prune traffic": 600,
        "tidy": 21600,
        "standby logins": 21600,
        "metadata okta": 3600,
        "metadata entra": 3600,
        "checkpoint": 300,
        "review": 300,
    }


def test_people_hear_of_a_timer_that_does_not_import(
    folder: Folder, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing: dict[str, Notice] = {}

    class Pager:
        def raise_(self, notice: Notice) -> None:
            standing[notice.key] = notice

        def resolve(self, key: str) -> None:
            standing.pop(key, None)

        def close(self, _timeout_s: float) -> None: ...

    monkeypatch.setattr(lookout, "open_notifier", lambda *_: Pager())
    folder.text += '\n[roster]\ncsv = "people.csv"\nmattermost = true\n'
    job = jobs(folder.read(), store)["lists"]
    assert job.act() == (
        "the list csv was never imported whole; the list mattermost was never imported whole"
    )
    (notice,) = standing.values()
    assert (notice.kind, notice.next) == (Kind.FINDING, "idp-proxy roster check")
    now = store.clock()
    for days, said in ((3, "last imported whole 3 days ago"), (1, None)):
        at = now - timedelta(days=days)
        with store.writing_people() as tx:
            tx.note_import(ImportRun("csv", "a", "sso1", at, at, at, at, 9))
            tx.note_import(ImportRun("mattermost", "b", "sso1", now, now, now, now, 9))
            tx.note_import(ImportRun("ldap", "c", "sso1", at, at, at, None, 9))  # by hand, once
        told = job.act()
        assert (said or "") in (told or "")
        assert (told is None) is (said is None)
        assert bool(standing) is (said is not None)


def test_used_ids_are_forgotten_when_their_time_is_over(
    settings: Settings, store: SqlStore
) -> None:
    with store.transaction() as transaction:
        transaction.consume(USED)
    prune = jobs(settings, store)["prune"]
    assert prune.act() == "1 used ids forgotten"
    assert prune.act() is None


def test_counts_of_logins_are_forgotten_when_nobody_looks_back_to_them(
    settings: Settings, store: SqlStore
) -> None:
    now = store.clock().replace(second=0, microsecond=0)
    ages = (timedelta(minutes=1), timedelta(hours=24), timedelta(hours=25))
    store.add_traffic("sso1", [TrafficCount("okta", now - age, 1, 1) for age in ages])
    prune = jobs(settings, store)["prune traffic"]
    assert prune.act() == "1 counts of logins forgotten"
    assert prune.act() is None
    assert len(store.traffic(now - timedelta(days=2))) == 2


def test_who_came_through_a_standby_long_ago_is_forgotten_on_record(
    settings: Settings, store: SqlStore
) -> None:
    job, now = jobs(settings, store)["standby logins"], store.clock()
    assert job.act() is None
    with store.transaction() as transaction:
        for person, days in (("e-ann", 91), ("e-ann", 92), ("e-ben", 93), ("e-eve", 89)):
            at = now - timedelta(days=days)
            transaction.note_standby_login(StandbyLogin(person, "entra", 2, at))
    assert job.act() == "3 logins by standbys forgotten whose sessions nobody looked after"
    assert job.act() is None
    with store.reading() as connection:
        assert [
            one.person for one in standby_logins(connection, LONG_AGO - timedelta(days=99))
        ] == ["e-eve"]
        (row,) = rows(connection)
    assert (row.kind, row.facts["people"], row.facts["logins"]) == (
        "standby_logins_forgotten",
        2,
        3,
    )


def test_checkpoints_are_written(settings: Settings, store: SqlStore) -> None:
    with store.transaction() as transaction:
        transaction.record(Event("login", "idp-proxy", LONG_AGO))
    assert jobs(settings, store)["checkpoint"].act() is None
    assert settings.audit.checkpoints is not None
    assert settings.audit.checkpoints.file.read_text()


def test_a_host_with_a_spool_merges_it_and_forgets_in_it(
    settings: Settings, store: SqlStore, spool: LocalSpool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "open_spool", lambda *_: spool)
    told: list[tuple[Notice, bool]] = []

    class Teller:
        def raise_(self, notice: Notice) -> None:
            told.append((notice, False))

        def close(self, _timeout_s: float) -> None:
            told[-1] = (told[-1][0], True)

    monkeypatch.setattr(lookout, "open_notifier", lambda *_: Teller())
    merge, prune = (jobs(settings, store)[name] for name in ("merge", "prune spool"))
    assert (merge.act(), prune.act()) == (None, None)
    spool.remember([USED])
    assert merge.act() is None
    with spool.transaction() as transaction:
        transaction.record(Event("login", "idp-proxy", LONG_AGO))
    assert "audit rows merged" in str(merge.act())
    assert told == []
    with store.transaction() as transaction:
        transaction.consume(TWICE)
    with spool.transaction() as transaction:
        transaction.consume(TWICE)
        transaction.record(Event("login", "idp-proxy", LONG_AGO))
    merge.act()
    ((notice, ended),) = told
    assert (notice.kind, notice.facts) == (Kind.DOUBLE_USE, {"host": "sso1", "ids": 1})
    assert ended
    assert prune.act() == "1 used ids forgotten"
    assert merge.act() is None


def test_what_nothing_is_decided_by_any_more_is_forgotten(
    settings: Settings, store: SqlStore
) -> None:
    now = store.clock()
    tidy = jobs(settings, store)["tidy"]
    assert tidy.act() is None
    for name, at in (("old", now - timedelta(days=2)), ("new", now), ("never", None)):
        assert store.lease_canary("okta", name, "sso2", now + timedelta(minutes=1))
        store.save_canary(Canary("okta", name, Track(at=at), host="sso2"))
    assert store.lease_canary("okta", "runs", "sso2", now + timedelta(minutes=1))
    store.note_evidence(Evidence.REHEARSAL, "gone", now - timedelta(days=31))
    store.note_evidence(Evidence.REHEARSAL, "okta", now - timedelta(days=29))
    with store.writing() as connection:
        for name, age in (("old", 91), ("new", 89)):
            expired = now - timedelta(days=age)
            made = Proposal(
                id=name,
                act=Act.SWITCH,
                target="entra",
                reason="a test",
                epoch=1,
                created_at=expired,
                expires_at=expired,
                people=("ann",),
            )
            proposals.add(connection, made, lambda *_: None, actor="operator:ann")
    over = now - timedelta(minutes=1)
    people = frozenset({"a digest"})
    drill = Drill("d1", 1, "entra", "okta", over, over, over, people, "host:op", "a test")
    with store.transaction() as tx:
        tx.swap(0, first_state(["okta", "entra"], over))
        tx.swap_drill(0, drill)
    assert tidy.act() == (
        "2 canaries, 1 proofs of rehearsal, 1 proposals, the people of 1 drills forgotten"
    )
    assert store.drill() == replace(drill, version=2, people=frozenset())
    assert [one.name for one in store.canaries()] == ["new", "runs"]
    assert set(store.evidence(Evidence.REHEARSAL)) == {"okta"}
    with store.reading() as connection:
        assert proposals.find(connection, "old") is None
        assert proposals.find(connection, "new") is not None
    assert tidy.act() is None
