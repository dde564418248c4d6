"""Real processes on one SQLite file: killed, competing, out of room. What was promised is there."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from idp_proxy.audit.log import AuditLog
from idp_proxy.errors import ReplayDetected
from idp_proxy.store.local import LocalSpool
from idp_proxy.store.schema import migrate
from idp_proxy.store.sql import SqlStore
from tests.conformance.rooms import NOW, audit_rows, sqlite_url, used, verdict

ROOT = Path(__file__).resolve().parents[2]
POINTS = ["in_the_midst", "before_commit", "after_commit"]


class Site:
    """A database, a spool beside it, and the processes that work on both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        migrate(sqlite_url(folder))
        self.open_spool().close()

    def worker(
        self, job: str, count: int = 0, point: str = "-", at: int = 0
    ) -> subprocess.Popen[str]:
        where = [sqlite_url(self.folder), str(self.folder / "spool.db")]
        command = [sys.executable, "-m", "tests.conformance.worker"]
        return subprocess.Popen(
            [*command, job, *where, str(count), point, str(at)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def open(self) -> SqlStore:
        return SqlStore(sqlite_url(self.folder), AuditLog("host"))

    def open_spool(self) -> LocalSpool:
        known = SqlStore(sqlite_url(self.folder), AuditLog("host"))
        head = known.known_head()
        known.close()
        path = self.folder / "spool.db"
        return LocalSpool(path, "host", known_head=lambda: head, now=lambda: NOW)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def finish(process: subprocess.Popen[str]) -> list[str]:
    printed, _ = process.communicate(timeout=60)
    return printed.split()


def assert_kept(store: SqlStore, promised: list[int]) -> None:
    """Everything promised is there, at most one login more, and the chain is whole."""
    found = verdict(store)
    assert found.ok, found.broken
    logins = [row.facts["number"] for row in audit_rows(store) if row.kind == "login"]
    assert logins == list(range(len(logins)))
    assert len(promised) <= len(logins) <= len(promised) + 1
    for number in promised:
        with pytest.raises(ReplayDetected), store.transaction() as transaction:
            transaction.consume(used(f"_{number}"))


@pytest.mark.parametrize("point", POINTS)
def test_a_writer_killed_at_a_named_point_loses_nothing_it_promised(site: Site, point: str) -> None:
    process = site.worker("store", 20, point, 7)
    promised = [int(number) for number in finish(process)]
    assert process.returncode == -signal.SIGKILL
    assert promised == list(range(7))
    store = site.open()
    assert_kept(store, promised)
    with store.transaction() as transaction:
        if point != "after_commit":
            transaction.consume(used("_7"))
    store.close()


@pytest.mark.parametrize("delay_s", [0.002, 0.019, 0.053])
def test_a_writer_killed_at_any_moment_loses_nothing_it_promised(
    site: Site, delay_s: float
) -> None:
    process = site.worker("store", 1_000_000)
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    time.sleep(delay_s)
    process.kill()
    # Of the same stream: what readline() has read ahead, communicate() would not give.
    promised = [0, *(int(number) for number in process.stdout.read().split())]
    process.communicate(timeout=60)
    store = site.open()
    assert_kept(store, promised)
    store.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_spool_killed_at_a_named_point_loses_nothing_it_promised(site: Site, point: str) -> None:
    process = site.worker("spool", 20, point, 5)
    promised = [int(number) for number in finish(process)]
    assert promised == list(range(5))
    store, spool = site.open(), site.open_spool()
    spool.merge(store)
    assert_kept(store, promised)
    assert spool.pending() == 0
    spool.close()
    store.close()


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
def test_a_merge_killed_in_the_midst_is_finished_by_the_next(
    site: Site, point: str, at: int
) -> None:
    promised = [int(number) for number in finish(site.worker("spool", 250))]
    process = site.worker("merge", 0, point, at)
    finish(process)
    assert process.returncode == -signal.SIGKILL
    store, spool = site.open(), site.open_spool()
    assert spool.pending() > 0
    spool.merge(store)
    assert spool.pending() == 0
    assert_kept(store, promised)
    kinds = [row.kind for row in audit_rows(store)]
    assert kinds.count("spool_joined") == 1
    assert "replay_found_at_merge" not in kinds
    spool.close()
    store.close()


def test_of_processes_with_the_same_ids_each_id_counts_in_exactly_one(site: Site) -> None:
    processes = [site.worker("contend", 60) for _ in range(3)]
    counted = [int(number) for process in processes for number in finish(process)]
    assert sorted(counted) == list(range(60))
    store = site.open()
    found = verdict(store)
    assert found.ok, found.broken
    assert found.rows == 60
    store.close()


def test_a_full_disk_is_an_error_and_leaves_what_was_promised(site: Site) -> None:
    printed = finish(site.worker("fill", 300_000))
    assert printed[-1] == "store_unavailable"
    promised = [int(number) for number in printed[:-1]]
    assert promised
    store = site.open()
    assert_kept(store, promised)
    store.close()
