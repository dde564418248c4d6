"""What the host does beside the logins, in the parent process of `serve`, once per host.

Nothing here decides anything about a login: metadata is refreshed, expired ids are forgotten, the
audit's end is signed, and what the spool kept is merged when the store is back.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from idp_proxy.errors import ProxyError, StoreAway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_log = structlog.get_logger("idp_proxy.upkeep")


@dataclass(frozen=True, slots=True)
class Job:
    """Something done every `every_s` seconds, the first time at once. It returns what the log
    should say, or None when there is nothing to say.
    """

    name: str
    every_s: float
    act: Callable[[], str | None]


def start(jobs: Sequence[Job]) -> threading.Event:
    """Run the jobs in a thread each, so that one that hangs delays no other; set the event to
    stop them.
    """
    stop = threading.Event()
    for job in jobs:
        threading.Thread(target=_repeat, args=(job, stop), name=job.name, daemon=True).start()
    return stop


def _repeat(job: Job, stop: threading.Event) -> None:
    while not stop.is_set():
        began = time.monotonic()
        _act(job)
        stop.wait(max(0.0, job.every_s - (time.monotonic() - began)))


def _act(job: Job) -> None:
    """A job that fails is tried again at its next turn; until then the log knows why. A store that
    is away speaks for itself, once, and not at every turn of every job.
    """
    try:
        said = job.act()
    except StoreAway:
        return
    except ProxyError as error:
        _log.error("upkeep_failed", job=job.name, code=error.code, detail=error.detail[:1000])
    except Exception:  # noqa: BLE001 - a fault at one turn must not end the job for ever
        _log.exception("upkeep_failed", job=job.name)
    else:
        if said is not None:
            _log.info("upkeep", job=job.name, result=said)
