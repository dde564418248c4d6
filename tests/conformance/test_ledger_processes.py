"""Real processes on one ledger: killed at each named point and at any moment, competing, out of
room. What was acknowledged is there, nothing is there twice, and mirror and ledger say the same.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conversion.errors import LedgerError
from idp_proxy.audit.log import rows
from tests.conformance.ledger_worker import GROUP, groups
from tests.conformance.ledgers import CAMPAIGN, Place, S, filled, intent, person, row

if TYPE_CHECKING:
    from conversion.ledger.base import Row
    from conversion.ledger.sql import SqlLedger

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 40
POINTS = [
    "before_mirror_write",
    "after_mirror_write",
    "after_mirror_fsync",
    "before_commit",
    "after_commit",
]


@pytest.fixture(autouse=True)
def planned(request: pytest.FixtureRequest) -> None:
    """Everybody planned, in the place that the test uses."""
    for name in ("place", "in_file"):
        if name in request.fixturenames:
            found: Place = request.getfixturevalue(name)
            filled(found.open(), PEOPLE)
            found.close()
            return


def worker(
    place: Place, job: str, count: int = PEOPLE, point: str = "-", at: int = 0
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.conformance.ledger_worker"]
    return subprocess.Popen(
        [*command, job, str(place.folder), str(count), point, str(at)],
        cwd=ROOT,
        env={**os.environ, "LEDGER_URL": place.url},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    printed, _ = process.communicate(timeout=60)
    return [line for line in printed.split("\n") if line and "[warning" not in line]


def all_rows(ledger: SqlLedger) -> list[Row]:
    return list(ledger.rows(CAMPAIGN.id))


def expected(written: int) -> dict[str, Row]:
    """The rows after so many groups of the worker."""
    found = {person(number): row(number) for number in range(PEOPLE)}
    for group in list(groups(PEOPLE))[:written]:
        found |= {change.row.user_id: change.row for change in group}
    return found


def assert_whole(place: Place, acknowledged: int) -> int:
    """Everything acknowledged and at most one group more, once; the mirror says the same."""
    ledger = place.open()
    found = {one.user_id: one for one in all_rows(ledger)}
    written = next(n for n in range(acknowledged + 2) if found == expected(n))
    assert written >= acknowledged
    verdict = ledger.verify_audit()
    assert verdict.ok, verdict.broken
    with ledger.database.reading() as connection:
        told = [one.kind for one in rows(connection) if one.kind != "row_changed"]
    meant = [change.event.kind for group in list(groups(PEOPLE))[:written] for change in group]
    assert told == meant
    place.lose_ledger()
    again = place.rebuild()
    assert {one.user_id: one for one in all_rows(again)} == found
    return written


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("at", [2, 5])
def test_a_writer_killed_at_a_named_point_loses_nothing_that_was_acknowledged(
    place: Place, point: str, at: int
) -> None:
    process = worker(place, "write", point=point, at=at + (point == "after_commit"))
    printed = finish(process)
    assert process.returncode == -signal.SIGKILL
    assert [int(number) for number in printed] == list(range(at - 1))
    written = assert_whole(place, at - 1)
    assert written == at - (point == "before_mirror_write")


@pytest.mark.parametrize("point", POINTS)
def test_the_next_process_goes_on_where_the_killed_one_was(place: Place, point: str) -> None:
    finish(worker(place, "write", point=point, at=3 + (point == "after_commit")))
    ledger = place.open()
    left = [one for one in all_rows(ledger) if one.state is S.PLANNED]
    assert ledger.commit([intent(int(one.user_id[1:])) for one in left]) == ()
    assert S.PLANNED not in ledger.counts(CAMPAIGN.id)
    assert ledger.verify_audit().ok


def test_a_process_that_runs_on_carries_over_what_the_killed_one_left(in_file: Place) -> None:
    """A page's process is open all the time; it must not write behind what it does not know."""
    other = in_file.open("day")
    finish(worker(in_file, "write", point="after_mirror_fsync", at=1))
    lost = other.commit([intent(0), intent(39)])
    assert lost == (intent(0).row,)
    assert other.counts(CAMPAIGN.id)[S.CONVERTING] == GROUP + 1


@pytest.mark.parametrize("delay_s", [0.001, 0.011, 0.023])
def test_a_writer_killed_at_any_moment_loses_nothing_that_was_acknowledged(
    place: Place, delay_s: float
) -> None:
    process = worker(place, "write")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("0"):
        pass
    time.sleep(delay_s)
    process.kill()
    acknowledged = [line for line in finish(process) if line != "end"]
    assert_whole(place, len(acknowledged) + 1)


@pytest.mark.parametrize("point", POINTS)
def test_new_rows_are_added_all_or_not_at_all(tmp_path: Path, point: str) -> None:
    place = Place(tmp_path)
    place.open().open_campaign(CAMPAIGN)
    place.close()
    process = worker(place, "add", 700, point, 2 if point == "after_commit" else 1)
    finish(process)
    assert process.returncode == -signal.SIGKILL
    ledger = place.open()
    assert len(all_rows(ledger)) == (0 if point == "before_mirror_write" else 700)
    place.close()


def test_of_two_processes_each_person_is_taken_by_one(place: Place) -> None:
    processes = [worker(place, "contend") for _ in range(2)]
    taken = [int(line) for process in processes for line in finish(process) if line != "end"]
    assert sorted(taken) == list(range(PEOPLE))
    ledger = place.open()
    assert ledger.counts(CAMPAIGN.id) == {S.CONVERTING: PEOPLE}
    verdict = ledger.verify_audit()
    assert verdict.ok
    assert verdict.rows == 2 * PEOPLE


def test_the_lock_holds_between_processes_and_ends_with_its_process(place: Place) -> None:
    holder = worker(place, "hold")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert finish(worker(place, "lock")) == ["ledger_busy"]
    holder.kill()
    finish(holder)
    assert finish(worker(place, "lock")) == ["taken", "end"]
    with place.open().database.reading() as connection:
        last = list(rows(connection))[-1]
    assert last.kind == "ledger_lock_taken_over"
    assert last.facts["pid"] == holder.pid


@pytest.mark.parametrize("spare", [100, 3_000, 20_000, 60_000])
def test_a_full_disk_is_an_error_and_leaves_what_was_acknowledged(
    in_file: Place, spare: int
) -> None:
    """Whichever file is full first: the mirror, the write-ahead log, or the ledger."""
    limit = max(in_file.mirror.stat().st_size, in_file.path.stat().st_size) + spare
    printed = finish(worker(in_file, "fill", limit))
    assert printed[-2:] == ["ledger", "end"]
    steps = len(printed) - 2
    ledger = in_file.open()
    found = ledger.row(CAMPAIGN.id, person(0))
    assert found is not None
    assert found.version - 1 in {steps, steps + 1}
    assert ledger.verify_audit().ok
    assert ledger.commit([intent(30)]) == ()


def test_a_ledger_that_may_only_be_read_is_an_error_and_stays_as_it_is(in_file: Place) -> None:
    """In a folder of somebody else's: root may write everywhere, so the worker is nobody there."""
    folder = Path(tempfile.mkdtemp())
    try:
        shutil.copytree(in_file.folder, folder, dirs_exist_ok=True)
        for path in (*folder.rglob("*"), folder):
            shutil.chown(path, 65534, 65534) if is_root() else None
            path.chmod(0o500 if path.is_dir() else 0o400)
        before = (folder / "ledger.db").read_bytes()
        assert finish(worker(Place(folder), "read_only")) == ["ledger"]
        assert (folder / "ledger.db").read_bytes() == before
    finally:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)
        shutil.rmtree(folder)


def is_root() -> bool:
    return Path("/proc/self").stat().st_uid == 0


def test_a_killed_writer_leaves_a_mirror_that_another_can_read_while_it_is_written(
    in_file: Place,
) -> None:
    finish(worker(in_file, "write", point="after_mirror_write", at=4))
    in_file.lose_ledger()
    with pytest.raises(LedgerError, match="is missing"):
        in_file.open()
    ledger = in_file.rebuild()
    assert sum(ledger.counts(CAMPAIGN.id).values()) == PEOPLE
