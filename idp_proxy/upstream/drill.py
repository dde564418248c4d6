"""An upstream wrapped in a pretended fault, for `drill run`: the upstream itself is left in peace.

Only the probe and the canaries of a drill are wrapped, in a process of their own. Until the fault
begins, and in its pauses, they ask the real upstream.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.health import Outcome
from idp_proxy.upstream.probing import Probed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.decision.health import Cadence
    from idp_proxy.upstream.probing import CanaryLogin, Probe

_PRETENDED: Final = "pretended"


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is pretended of the serving upstream: `probe` and `login` are what a look and a canary
    are told, None where they go through; with `silent` neither hears anything.

    With `dark` it is broken for so long, then whole for `light`, and so on. `settles` is how long
    the drill goes on after the failover, to see that nothing else follows.
    """

    name: str
    about: str
    probe: str | None = None
    login: str | None = None
    silent: bool = False
    dark: timedelta | None = None
    light: timedelta = timedelta(0)
    settles: timedelta = timedelta(0)

    @property
    def needs_canary(self) -> bool:
        """Whether only a canary can see it."""
        return self.probe is None and not self.silent


_ALL: Final = (
    Scenario("active-killed", "the serving upstream takes no connection", "takes no connection"),
    Scenario(
        "active-hangs", "the serving upstream takes connections and says nothing", silent=True
    ),
    Scenario(
        "active-wrong-page",
        "the serving upstream answers 200 with a maintenance page",
        "answers, but the page has no login form (wrong page?)",
    ),
    Scenario(
        "certificate-expired",
        "the TLS certificate of the serving upstream has ended",
        "TLS certificate not trusted: certificate has expired",
    ),
    Scenario(
        "login-broken",
        "the pages of the serving upstream are fine, and nobody can log in",
        login="answers 500 after the password",
    ),
    Scenario(
        "active-flaps",
        "the serving upstream is away for a minute and there for half a minute, over and over",
        "takes no connection",
        dark=timedelta(seconds=60),
        light=timedelta(seconds=30),
        settles=timedelta(minutes=3),
    ),
)
SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType({one.name: one for one in _ALL})


@dataclass(slots=True)
class Fault:
    """The fault of a scenario, from `begin` on; `monotonic` is in seconds."""

    scenario: Scenario
    monotonic: Callable[[], float]
    began: float | None = field(default=None, init=False)

    def begin(self) -> None:
        """From now on the upstream seems broken."""
        self.began = self.monotonic()

    @property
    def is_felt(self) -> bool:
        """Whether somebody who looks now would see it."""
        if self.began is None:
            return False
        dark, light = self.scenario.dark, self.scenario.light
        if dark is None:
            return True
        within = (self.monotonic() - self.began) % (dark + light).total_seconds()
        return within < dark.total_seconds()


@dataclass(frozen=True, slots=True)
class PretendedProbe:
    """Implements `probing.Probe`: `real`, behind the fault."""

    real: Probe
    fault: Fault

    @property
    def upstream(self) -> str:
        """See `probing.Probe`."""
        return self.real.upstream

    async def look(self, cadence: Cadence, now: datetime) -> Probed:
        """See `probing.Probe`."""
        scenario = self.fault.scenario
        if not self.fault.is_felt or scenario.needs_canary:
            return await self.real.look(cadence, now)
        if scenario.silent:
            return await _silence(cadence.timeout)
        return _broken(scenario.probe or "")


@dataclass(frozen=True, slots=True)
class PretendedLogin:
    """Implements `probing.CanaryLogin`: `real` behind the fault; without one a canary that
    nobody configured, and that logs in while there is no fault.
    """

    upstream: str
    name: str
    real: CanaryLogin | None
    fault: Fault
    timeout: timedelta

    async def log_in(self, now: datetime) -> Probed:
        """See `probing.CanaryLogin`."""
        scenario = self.fault.scenario
        if not self.fault.is_felt:
            if self.real is None:
                return Probed(Outcome.PASSED, f"logs in ({_PRETENDED})")
            return await self.real.log_in(now)
        if scenario.silent:
            return await _silence(self.timeout)
        return _broken(scenario.login or scenario.probe or "")


async def _silence(lasts: timedelta) -> Probed:
    await asyncio.sleep(lasts.total_seconds())
    return _broken(f"no answer within {lasts.total_seconds():g} s")


def _broken(reason: str) -> Probed:
    return Probed(Outcome.BROKEN, f"{reason} ({_PRETENDED})")
