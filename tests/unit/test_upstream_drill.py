"""An upstream behind a pretended fault: what a look and a canary are told, and that it is asked for
real before the fault, in its pauses, and of what the fault does not touch.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.health import Cadence, Outcome
from idp_proxy.upstream.drill import SCENARIOS, Fault, PretendedLogin, PretendedProbe
from idp_proxy.upstream.probing import Probed
from tests.support.scenario.clockwork import LeapingLoop

if TYPE_CHECKING:
    from collections.abc import Coroutine

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
FIVE = timedelta(seconds=5)
CADENCE = Cadence(FIVE, FIVE, timeout=FIVE, connect=FIVE)
FINE = Probed(Outcome.PASSED, "for real")


@dataclass(slots=True)
class Real:
    """Both a probe and a canary, which count how often they are asked."""

    upstream: str = "okta"
    name: str = "staff"
    asked: int = 0

    async def look(self, _cadence: Cadence, _now: datetime) -> Probed:
        self.asked += 1
        return FINE

    async def log_in(self, _now: datetime) -> Probed:
        self.asked += 1
        return FINE


def done(act: Coroutine[None, None, Probed]) -> tuple[Probed, float]:
    """What came of it, and how long it took."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        found = runner.run(act)
        return found, runner.get_loop().time()


def pretended(name: str, *, at: float | None) -> tuple[Real, PretendedProbe, PretendedLogin]:
    """Behind this scenario's fault, which began so many seconds ago."""
    clock = [0.0]
    fault = Fault(SCENARIOS[name], lambda: clock[0])
    if at is not None:
        fault.begin()
        clock[0] = at
    real = Real()
    return real, PretendedProbe(real, fault), PretendedLogin("okta", "staff", real, fault, FIVE)


@pytest.mark.parametrize("name", SCENARIOS)
def test_before_the_fault_everything_is_real(name: str) -> None:
    real, probe, login = pretended(name, at=None)
    assert done(probe.look(CADENCE, NOW)) == (FINE, 0.0)
    assert done(login.log_in(NOW)) == (FINE, 0.0)
    assert (real.asked, probe.upstream) == (2, "okta")


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - {"login-broken"}))
def test_what_is_dead_is_told_to_probe_and_canary_and_is_left_in_peace(name: str) -> None:
    real, probe, login = pretended(name, at=1.0)
    hangs = 5.0 if name == "active-hangs" else 0.0
    for found, took in (done(probe.look(CADENCE, NOW)), done(login.log_in(NOW))):
        assert (found.outcome, took) == (Outcome.BROKEN, hangs)
        assert found.reason.endswith("(pretended)")
    assert real.asked == 0


def test_a_broken_login_is_seen_by_canaries_only() -> None:
    real, probe, login = pretended("login-broken", at=1.0)
    assert done(probe.look(CADENCE, NOW))[0] == FINE
    assert done(login.log_in(NOW))[0].outcome is Outcome.BROKEN
    assert real.asked == 1


def test_in_its_pauses_the_fault_is_not_felt() -> None:
    for at, felt in ((0.0, True), (59.0, True), (61.0, False), (89.0, False), (91.0, True)):
        _, probe, _ = pretended("active-flaps", at=at)
        assert probe.fault.is_felt is felt, at


def test_a_canary_that_nobody_configured_logs_in_while_there_is_no_fault() -> None:
    fault = Fault(SCENARIOS["login-broken"], lambda: 0.0)
    login = PretendedLogin("okta", "drill", None, fault, FIVE)
    assert done(login.log_in(NOW))[0].outcome is Outcome.PASSED
    fault.begin()
    assert done(login.log_in(NOW))[0].outcome is Outcome.BROKEN
