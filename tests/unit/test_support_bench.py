"""The figures of the benchmark mean what they say."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.bench import process_tree
from tests.bench.driver import Result
from tests.bench.login_bench import (
    Figures,
    Half,
    Window,
    _memory_missed,
    _missed,
    _percentiles,
)
from tests.bench.machine import rsa_signature_ms
from tests.bench.satosa_bench import Comparison, Round, Spell, missed


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
    assert len(list(_missed(figures(**changes)))) == bars


def figures(
    cpu_ms: float = 5.0, rss_mib: float = 101.0, rss_start_mib: float = 100.0, rsa_ms: float = 0.25
) -> Figures:
    """With one window that something else on the machine spoiled."""
    windows = [Window(cpu_ms, rsa_ms, rss_mib)] * 9
    return Figures(
        logins=5000,
        windows=(*windows[:4], Window(3 * cpu_ms, 2 * rsa_ms, rss_mib), *windows[4:]),
        driver_cpu_ms=2.0,
        per_s=200.0,
        full_ms=(1, 2, 3),
        half=Half(4.5, (1, 2, 3)),
        rss_start_mib=rss_start_mib,
    )


def test_the_bar_is_held_against_the_median_and_the_mean_is_told() -> None:
    told = figures().as_json()["login"]
    assert (told["cpu_ms"], told["cpu_ms_mean"], told["cpu_ms_at_half"]) == (5.0, 6.0, 4.5)
    assert told["rsa_2048_signature_ms"] == 0.25


def test_only_memory_is_asked_about_its_own_bars() -> None:
    alone = replace(figures(cpu_ms=60.0, rss_mib=109.0), half=None)
    assert ["not flat" in line for line in _memory_missed(alone)] == [True]
    assert "p99_ms" not in alone.as_json()["login"]


def test_runs_that_follow_each_other_are_one() -> None:
    whole = Result()
    for number in (1, 2):
        whole.add(Result(latencies=[number], elapsed_s=number, driver_cpu_s=number / 2))
    assert whole == Result(latencies=[1, 2], elapsed_s=3, driver_cpu_s=1.5)


def test_a_signature_takes_time_here() -> None:
    assert 0.02 < rsa_signature_ms() < 50


def test_beside_satosa_the_median_round_is_held_against_the_bars() -> None:
    proxy, usual, spoilt = Spell(6.0, 150.0), Spell(186.0, 9.0), Spell(60.0, 20.0)
    held = Comparison((Round(proxy, usual), Round(proxy, spoilt), Round(proxy, usual)))
    assert held.as_json()["satosa"]["cpu_ratio"] == 31.0
    assert held.as_json()["satosa"]["rate_ratio"] == pytest.approx(16.7)
    assert missed(held) == []
    assert missed(Comparison((Round(proxy, spoilt),))) == [
        "CPU: 1/10.0 of SATOSA's, not 1/30",
        "logins a second: 7.5 times, not 15",
    ]
