"""The figures of the benchmark mean what they say."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.bench import process_tree
from tests.bench.driver import Result
from tests.bench.login_bench import Figures, _missed, _percentiles


def test_cpu_grows_with_work_and_not_with_sleep() -> None:
    before = process_tree.cpu_s(os.getpid())
    time.sleep(0.1)
    slept = process_tree.cpu_s(os.getpid()) - before
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    worked = process_tree.cpu_s(os.getpid()) - before - slept
    assert slept < 0.05
    assert 0.15 <= worked < 0.4


def test_children_count_while_they_live_and_after_they_ended() -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    before = process_tree.cpu_s(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in process_tree.tree(os.getpid())
        alive = process_tree.cpu_s(os.getpid()) - before
        assert process_tree.largest_rss_mib(os.getpid()) > 1
        child.communicate(b"\n")
    assert alive >= 0.28
    assert process_tree.cpu_s(os.getpid()) - before >= 0.28


def test_a_process_that_is_gone_costs_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert process_tree.rss_mib(child.pid) == 0
    assert process_tree.tree(child.pid) == [child.pid]


def test_percentiles_are_in_milliseconds() -> None:
    result = Result(latencies=[number / 1000 for number in range(101)])
    assert _percentiles(result) == pytest.approx((50.0, 95.0, 99.0))


@pytest.mark.parametrize(
    ("changes", "bars"),
    [
        ({}, 0),
        ({"cpu_ms": 6.5}, 0),
        ({"cpu_ms": 6.7}, 1),
        ({"rss_mib": 151.0, "rss_start_mib": 150.0}, 1),
        ({"rss_mib": 120.0}, 1),
        ({"cpu_ms": 60.0, "rss_mib": 400.0}, 3),
    ],
)
def test_a_missed_bar_is_named(changes: dict[str, float], bars: int) -> None:
    values = {"cpu_ms": 5.0, "rss_start_mib": 100.0, "rss_mib": 101.0, **changes}
    figures = Figures(
        logins=5000, driver_cpu_ms=2.0, per_s=200.0, full=(1, 2, 3), half=(1, 2, 3), **values
    )
    assert len(list(_missed(figures))) == bars
