"""The tool as a process that dies where it is told: real client, real ledger, its own journeys.

A process is forked by a server that has everything imported, so that hundreds of them are cheap.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from conversion.bulk import Bulk, Limits
from conversion.campaign import convert
from conversion.converted_file import ConvertedFile
from conversion.homecoming import Orders, return_people
from conversion.ledger.opening import open_ledger
from conversion.mattermost import Access, Mattermost, capabilities_of
from conversion.reconciliation import reconcile
from conversion.writing_off import subjects, write_off

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from conversion.ledger.base import Ledger
    from conversion.server import Server

LIMITS = Limits(threads=3, group=3, settle_delay=timedelta(seconds=0.15))
_KEY = bytes(32)


@dataclass(frozen=True, slots=True)
class Job:
    """One run of the tool: `plan` converts it, `given_up` are written off, `reconcile` adopts;
    without any of them everybody is returned.

    It dies the `at`-th time that it comes by `point`, or after `after_s` seconds.
    """

    folder: Path
    url: str
    token: str = field(repr=False)
    operator: str
    plan: str = ""
    given_up: tuple[str, ...] = ()
    reconcile: bool = False
    point: str = ""
    at: int = 1
    after_s: float = 0.0


class _Death:
    """Dies at the `at`-th passing of a point. Threads pass points too."""

    def __init__(self, point: str, at: int) -> None:
        self._point = point
        self._left = at
        self._lock = threading.Lock()

    def __call__(self, point: str) -> None:
        with self._lock:
            if point == self._point:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


class _Mortal:
    """Client, ledger or file, with a chance to die before and after each call. The points inside
    the ledger have names of their own, so those around it begin with `ledger_`.
    """

    def __init__(self, whole: object, death: _Death, prefix: str = "") -> None:
        self._whole = whole
        self._prefix = prefix
        self._death = death

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._whole, name)

        def mortal(*arguments: Any, **named: Any) -> Any:
            self._death(f"before_{self._prefix}{name}")
            answer = call(*arguments, **named)
            self._death(f"after_{self._prefix}{name}")
            return answer

        return mortal


def run(job: Job) -> None:
    """Do the job. The exit code is 0 if it came to its end."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if job.after_s:
        signal.setitimer(signal.ITIMER_REAL, job.after_s)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    death = _Death(job.point, job.at)
    access = Access(job.url, job.token, deadline_s=5.0)
    ledger = open_ledger(job.folder / "ledger.db", job.folder / "mirror", host="crash", crash=death)
    with Mattermost(access) as client:
        server: Server = _Mortal(client, death)
        record: Ledger = _Mortal(ledger, death, "ledger_")
        file: Any = _Mortal(ConvertedFile(job.folder / "converted", _KEY), death)
        capabilities = capabilities_of(client.version())
        bulk = Bulk(server, capabilities, record, "crash", LIMITS, converted=file)
        _do(bulk, job)
    ledger.close()


def _do(bulk: Bulk, job: Job) -> None:
    if job.plan:
        convert(bulk, job.plan)
        return
    if job.given_up:
        people = subjects(bulk.ledger, job.given_up)
        write_off(bulk.ledger, people, "ann and bob", "left the company", bulk.clock())
        return
    if job.reconcile:
        reconcile(bulk)
        return
    if bulk.ledger.current_campaign() is not None:
        orders = Orders(operator=job.operator, pilot=2, wave=4, no_wait_reason="crash test")
        return_people(bulk, orders).must_be_complete()


_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def start(job: Job) -> ForkServerProcess:
    """Start the job in a process of its own."""
    process = _FORKS.Process(target=run, args=(job,))
    process.start()
    return process


def outcome(job: Job, within_s: float = 30.0) -> int:
    """The exit code of the job: 0, 1, or -9 for a process that was killed."""
    process = start(job)
    process.join(within_s)
    code = process.exitcode
    if code is None:
        process.kill()
        process.join()
        raise TimeoutError(f"{job} did not end within {within_s:.0f} s")
    process.close()
    return code


def resumed(job: Job) -> Job:
    """The same job, without a death."""
    return replace(job, point="", after_s=0.0)
