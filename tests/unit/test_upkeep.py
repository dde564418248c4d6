"""Housekeeping: each job in its own thread, at its own pace, whatever happens to it."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from idp_proxy import upkeep
from idp_proxy.errors import StoreAway, StoreError
from idp_proxy.upkeep import Job

PATIENCE_S = 10


class Counted:
    """A job's act that can be waited for; `say` is what each turn in order returns or raises."""

    def __init__(self, *say: str | Exception | None) -> None:
        self._say = list(say)
        self._turns = threading.Semaphore(0)

    def __call__(self) -> str | None:
        self._turns.release()
        said = self._say.pop(0) if self._say else None
        if isinstance(said, Exception):
            raise said
        return said

    def await_turns(self, number: int) -> None:
        for _ in range(number):
            assert self._turns.acquire(timeout=PATIENCE_S)


def test_a_job_is_done_at_once_and_again() -> None:
    act = Counted()
    stop = upkeep.start([Job("often", 0.001, act)])
    act.await_turns(3)
    stop.set()


def test_a_job_is_not_done_again_before_its_time() -> None:
    act = Counted()
    stop = upkeep.start([Job("seldom", 3600, act)])
    act.await_turns(1)
    stop.set()
    assert not act._turns.acquire(timeout=0.05)


@pytest.mark.parametrize("error", [StoreError("away"), RuntimeError("unforeseen"), OSError(28)])
def test_a_job_that_fails_comes_again(error: Exception) -> None:
    act = Counted(error, error, "done")
    stop = upkeep.start([Job("mended", 0.001, act)])
    act.await_turns(4)
    stop.set()


def test_a_job_that_hangs_delays_no_other() -> None:
    hanging, act = threading.Event(), Counted()

    def hang() -> None:
        hanging.wait(PATIENCE_S)

    stop = upkeep.start([Job("hangs", 1, hang), Job("goes on", 0.001, act)])
    act.await_turns(3)
    stop.set()
    hanging.set()


def test_a_store_that_is_away_speaks_for_itself() -> None:
    with capture_logs() as lines:
        upkeep._act(Job("tidy", 1, Counted(StoreAway("no answer"))))
    assert lines == []


def test_the_log_says_what_was_done_and_why_not() -> None:
    with capture_logs() as lines:
        for act in (Counted("3 rows"), Counted(None), Counted(StoreError("x" * 5000))):
            upkeep._act(Job("tidy", 1, act))
        upkeep._act(Job("odd", 1, Counted(RuntimeError("unforeseen"))))
    done, failed, odd = lines
    assert (done["event"], done["job"], done["result"]) == ("upkeep", "tidy", "3 rows")
    assert (failed["event"], failed["code"]) == ("upkeep_failed", "store_unavailable")
    assert (failed["log_level"], len(failed["detail"])) == ("error", 1000)
    assert (odd["event"], odd["exc_info"]) == ("upkeep_failed", True)
