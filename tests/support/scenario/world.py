"""What the hosts of a story look at: upstreams, canaries, neutral addresses, the ways there."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from idp_proxy.decision.health import Outcome, Reference
from idp_proxy.upstream.probing import Expiry, Probed

if TYPE_CHECKING:
    import random
    from datetime import datetime, timedelta

    from idp_proxy.decision.health import Cadence

_FINE = "answers as it should"
_PAGE_S = 0.2
_LOGIN_S = 1.5


@dataclass(frozen=True, slots=True)
class Manner:
    """How something answers: with `reason` if it is broken, `after_s` seconds later.

    `share` of the answers are broken; with `dark_s` it is broken for so long, then whole for
    `light_s`, and so on from `since` on. `by_proxy`: the outbound proxy says so.
    """

    reason: str | None = None
    outcome: Outcome = Outcome.BROKEN
    after_s: float = _PAGE_S
    share: float = 1.0
    dark_s: float = 0.0
    light_s: float = 0.0
    since: float = 0.0
    by_proxy: bool = False

    def says(self, elapsed: float, chance: random.Random) -> tuple[Outcome, str]:
        """One answer, `elapsed` seconds into the story."""
        if self.reason is None or (self.share < 1 and chance.random() >= self.share):
            return Outcome.PASSED, _FINE
        if self.dark_s and (elapsed - self.since) % (self.dark_s + self.light_s) >= self.dark_s:
            return Outcome.PASSED, _FINE
        return self.outcome, self.reason


FINE = Manner()
SILENT = Manner(after_s=math.inf)


@dataclass(slots=True)
class World:
    """How everything answers now; `by_host` and `cut_off` are what one host alone sees."""

    chance: random.Random
    manners: dict[str, Manner] = field(default_factory=dict)
    by_host: dict[tuple[str, str], Manner] = field(default_factory=dict)
    logins: dict[tuple[str, str], Manner] = field(default_factory=dict)
    logins_by_host: dict[tuple[str, tuple[str, str]], Manner] = field(default_factory=dict)
    cut_off: set[str] = field(default_factory=set)
    no_reference: set[str] = field(default_factory=set)
    expiries: dict[str, tuple[Expiry, ...]] = field(default_factory=dict)

    def manner(self, host: str, upstream: str) -> Manner:
        """How `upstream` answers `host`."""
        if host in self.cut_off:
            return SILENT
        return self.by_host.get((host, upstream), self.manners.get(upstream, FINE))

    def login(self, host: str, canary: tuple[str, str]) -> Manner:
        """How a canary's login ends; an upstream that is down breaks it, whatever else is said."""
        way = self.manner(host, canary[0])
        if way.reason is not None or way.after_s == math.inf:
            return way
        own = self.logins_by_host.get((host, canary), self.logins.get(canary, FINE))
        return own if own.after_s > _LOGIN_S else replace(own, after_s=_LOGIN_S)

    async def answer(self, manner: Manner, limit_s: float) -> tuple[Outcome, str]:
        """What comes of asking, at most `limit_s` seconds later."""
        if manner.after_s >= limit_s:
            await asyncio.sleep(limit_s)
            return Outcome.BROKEN, f"no answer within {limit_s:g} s"
        await asyncio.sleep(manner.after_s)
        return manner.says(asyncio.get_running_loop().time(), self.chance)


@dataclass(frozen=True, slots=True)
class Probe:
    """A `probing.Probe` of one host."""

    world: World
    host: str
    upstream: str

    async def look(self, cadence: Cadence, _now: datetime) -> Probed:
        manner = self.world.manner(self.host, self.upstream)
        outcome, reason = await self.world.answer(manner, cadence.timeout.total_seconds())
        by_proxy = reason if manner.by_proxy and outcome is Outcome.BROKEN else None
        return Probed(outcome, reason, by_proxy, self.world.expiries.get(self.upstream, ()))


@dataclass(frozen=True, slots=True)
class Neutral:
    """A `probing.ReferenceProbe` of one host."""

    world: World
    host: str

    async def ask(self, cadence: Cadence, now: datetime) -> Reference:
        dark = self.host in self.world.cut_off or self.host in self.world.no_reference
        outcome, _ = await self.world.answer(
            SILENT if dark else FINE, cadence.timeout.total_seconds()
        )
        if outcome is Outcome.PASSED:
            return Reference(answered=True, reason="example.org answers 200", at=now)
        whole = cadence.timeout.total_seconds()
        return Reference(
            answered=False, reason=f"example.org does not answer within {whole:g} s", at=now
        )


@dataclass(frozen=True, slots=True)
class Login:
    """A `probing.CanaryLogin` of one host."""

    world: World
    host: str
    upstream: str
    name: str
    timeout: timedelta

    async def log_in(self, _now: datetime) -> Probed:
        manner = self.world.login(self.host, (self.upstream, self.name))
        outcome, reason = await self.world.answer(manner, self.timeout.total_seconds())
        return Probed(outcome, "logged in" if outcome is Outcome.PASSED else reason)
