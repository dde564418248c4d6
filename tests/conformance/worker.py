"""A process that writes, merges, and dies where it is told: `python -m tests.conformance.worker`.

Prints the number of each login after its commit, so that whoever reads knows what was promised.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from idp_proxy.audit.chain import start
from idp_proxy.audit.log import AuditLog
from idp_proxy.errors import ReplayDetected, StoreError
from idp_proxy.store.local import LocalSpool
from idp_proxy.store.sql import SqlStore
from tests.conformance.rooms import NOW, event, person, used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from idp_proxy.store.base import Store, Transaction


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingStore:
    """A store whose process dies in, or right after, its transaction number `at`."""

    def __init__(self, store: Store, at: int, point: str) -> None:
        self._store = store
        self._left = at
        self._point = point
        self.switch_state = store.switch_state

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self._left -= 1
        with self._store.transaction() as transaction:
            yield transaction
            if self._left == 0 and self._point == "before_commit":
                die()
        if self._left == 0 and self._point == "after_commit":
            die()


def log_in(target: Store | LocalSpool, number: int, die_at: Callable[[str], None]) -> None:
    with target.transaction() as transaction:
        transaction.consume(used(f"_{number}"))
        die_at("in_the_midst")
        transaction.save_person(person(f"p-{number % 7}", lookup_key=None))
        transaction.record(event(person_id=f"p-{number % 7}", number=number))
        die_at("before_commit")
    die_at("after_commit")


def write(target: Store | LocalSpool, numbers: range, point: str, at: int) -> None:
    def die_at(here: str) -> None:
        if (here, number) == (point, at):
            die()

    for number in numbers:
        log_in(target, number, die_at)
        print(number, flush=True)


def contend(target: Store, numbers: range) -> None:
    """Try ids that another process tries too; print those that counted here."""
    for number in numbers:
        try:
            log_in(target, number, lambda _: None)
        except ReplayDetected:
            continue
        print(number, flush=True)


def fill(target: Store, limit: int) -> None:
    """Write until the disk is full, which is when a file has `limit` octets; print the error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        write(target, range(1_000_000), "", 0)
    except StoreError as error:
        print(error.code, flush=True)


def main(job: str, url: str, spool_path: str, count: int, point: str, at: int) -> None:
    store = SqlStore(url, AuditLog("host"))
    spool = LocalSpool(Path(spool_path), "host", known_head=lambda: start("host"), now=lambda: NOW)
    if job == "store":
        write(store, range(count), point, at)
    elif job == "contend":
        contend(store, range(count))
    elif job == "spool":
        write(spool, range(count), point, at)
    elif job == "fill":
        fill(store, count)
    else:
        spool.merge(DyingStore(store, at, point))  # type: ignore[arg-type]  # what a merge needs


if __name__ == "__main__":
    _, asked_job, asked_url, asked_spool, asked_count, asked_point, asked_at = sys.argv
    main(asked_job, asked_url, asked_spool, int(asked_count), asked_point, int(asked_at))
