"""A process that writes to a ledger and dies where it is told, or runs out of what it needs.

`python -m tests.conformance.ledger_worker JOB FOLDER COUNT POINT AT`. Prints the number of each
group after its commit returned, so that whoever reads knows what was acknowledged.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from itertools import count as counting
from pathlib import Path
from typing import TYPE_CHECKING

from conversion.errors import LedgerBusy, LedgerError
from tests.conformance.ledgers import CAMPAIGN, NOW, Place, S, change, done, intent, row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conversion.ledger.base import Change
    from conversion.ledger.sql import SqlLedger

GROUP = 5


class Crash:
    """Dies by SIGKILL the `at`-th time that the point `point` is passed."""

    def __init__(self, point: str, at: int) -> None:
        self._point = point
        self._left = at

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def groups(count: int) -> Iterable[list[Change]]:
    """As `convert` writes: the results of one group together with the intents of the next."""
    former: list[Change] = []
    for first in range(0, count, GROUP):
        numbers = range(first, min(first + GROUP, count))
        yield [*former, *(intent(number) for number in numbers)]
        former = [done(number) for number in numbers]
    yield former


def write(ledger: SqlLedger, count: int) -> None:
    for number, group in enumerate(groups(count)):
        assert ledger.commit(group) == ()
        print(number, flush=True)


def contend(ledger: SqlLedger, count: int) -> None:
    """Take each person who is not taken by another process yet; print those taken here."""
    for number in range(count):
        if not ledger.commit([intent(number)]):
            print(number, flush=True)


def fill(ledger: SqlLedger, limit: int) -> None:
    """Write until the disk is full, which is when a file has `limit` octets; then once more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        for step in counting():
            was, to = (S.PLANNED, S.CONVERTING) if step % 2 == 0 else (S.CONVERTING, S.PLANNED)
            assert ledger.commit([change(n, was, to, step + 2) for n in range(GROUP)]) == ()
            print(step, flush=True)
    except LedgerError as error:
        print(error.code, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)


def hold(ledger: SqlLedger) -> None:
    """Hold the lock until killed."""
    with ledger.lock("convert", "anna", NOW):
        print("held", flush=True)
        signal.pause()


def main(job: str, place: Place, count: int, point: str, at: int) -> None:
    if job == "read_only" and os.geteuid() == 0:
        os.seteuid(place.folder.stat().st_uid)
    try:
        ledger = place.open(crash=Crash(point, at))
        if job == "add":
            ledger.add([row(number) for number in range(count)], [])
        elif job == "lock":
            with ledger.lock("return", "ben", NOW):
                print("taken", flush=True)
        elif job == "hold":
            hold(ledger)
        else:
            jobs = {"write": write, "contend": contend, "fill": fill, "read_only": write}
            jobs[job](ledger, count)
    except (LedgerError, LedgerBusy) as error:
        print(error.code, flush=True)
    else:
        print(ledger.counts(CAMPAIGN.id) and "end", flush=True)


if __name__ == "__main__":
    _, asked_job, asked_folder, asked_count, asked_point, asked_at = sys.argv
    main(
        asked_job,
        Place(Path(asked_folder), os.environ.get("LEDGER_URL", "")),
        int(asked_count),
        asked_point,
        int(asked_at),
    )
