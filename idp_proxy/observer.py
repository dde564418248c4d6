"""What this host sees: every upstream's probe in a loop of its own, and its neutral references.

An asyncio task an upstream: one that hangs delays no other. The tracks are this host's alone; the
watch publishes them, and the fleet's verdict is made of all hosts' (`decision.fleet`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import (
    Outcome,
    Track,
    Verdict,
    follow,
    isolation,
    next_probe,
    seen_since,
)
from idp_proxy.upstream.probing import Probed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from idp_proxy.decision.health import Cadence, Reference, Thresholds
    from idp_proxy.upstream.probing import Expiry, Probe, ReferenceProbe

_log = structlog.get_logger("idp_proxy.watch")

#: Beyond its own deadline a look is given up: a probe that breaks its promise blinds nobody.
_OVERTIME_S = 1.0


@dataclass(frozen=True, slots=True)
class Sights:
    """What to look at, and how. `chance` gives random numbers in [0, 1)."""

    probes: Mapping[str, Probe]
    references: Mapping[str, Sequence[ReferenceProbe]]
    cadence: Cadence
    thresholds: Thresholds
    fresh: timedelta
    chance: Callable[[], float]


@dataclass(slots=True)
class Observer:
    """The eyes of one host. `now` is the store's clock as this host reckons it.

    `changed` is set whenever a verdict changes, so that the watch need not wait for its next turn.
    When one goes DOWN, all others are looked at at once: nobody takes over by what was seen before.
    """

    sights: Sights
    now: Callable[[], datetime]
    changed: asyncio.Event
    tracks: dict[str, Track] = field(default_factory=dict)
    expiries: dict[str, tuple[Expiry, ...]] = field(default_factory=dict)
    _references: dict[str, tuple[Reference, ...]] = field(default_factory=dict)
    _by_proxy: dict[str, str] = field(default_factory=dict)
    _unasked: set[str] = field(default_factory=set)
    _at_once: dict[str, asyncio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tracks = dict.fromkeys(self.sights.probes, Track())

    def report(self, host: str) -> HostReport:
        """What this host sees now; the store puts its own time on it."""
        now, fresh = self.now(), self.sights.fresh
        # Copies: the loops go on in another thread.
        tracks, references, by_proxy = (
            dict(self.tracks),
            dict(self._references),
            dict(self._by_proxy),
        )
        return HostReport(
            host=host,
            at=now,
            tracks=tracks,
            isolated=isolation(
                # Who was not even asked says nothing of the way there.
                {name: track for name, track in tracks.items() if name not in self._unasked},
                references,
                by_proxy,
                configured=any(self.sights.references.values()),
                fresh=fresh,
                now=now,
            ),
            reference_answers=any(
                one.answered and now - one.at <= fresh
                for found in references.values()
                for one in found
            ),
        )

    def forget_times(self) -> None:
        """The clock jumped: how long anything has lasted is no longer known, so it begins anew."""
        now = self.now()
        self.tracks = {
            name: replace(track, since=now, at=now, passed_at=None)
            for name, track in self.tracks.items()
        }

    async def watch(self, name: str) -> None:
        """Look at one upstream for ever."""
        loop, at_once = asyncio.get_running_loop(), asyncio.Event()
        self._at_once[name] = at_once
        count = 1
        while True:
            began = loop.time()
            at_once.clear()
            try:
                await self._look(name, count)
            except Exception:  # noqa: BLE001 - a fault at one look must not blind the host for ever
                _log.exception("look_failed", upstream=name)
            sights = self.sights
            plan = next_probe(self.tracks[name], sights.thresholds, sights.cadence, sights.chance())
            count = plan.count
            delay = max(0.0, began + plan.delay.total_seconds() - loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await at_once.wait()

    async def _look(self, name: str, count: int) -> None:
        """Probe `count` times at once, the references beside it: their answers belong together."""
        sights = self.sights
        limit = sights.cadence.timeout.total_seconds() + _OVERTIME_S
        now = self.now()

        async def look() -> Probed:
            async with asyncio.timeout(limit):
                return await sights.probes[name].look(sights.cadence, now)

        async def ask(reference: ReferenceProbe) -> Reference:
            async with asyncio.timeout(limit):
                return await reference.ask(sights.cadence, now)

        neutral = sights.references.get(name, ())
        seen, answered = await asyncio.gather(
            asyncio.gather(*(look() for _ in range(count)), return_exceptions=True),
            asyncio.gather(*(ask(one) for one in neutral), return_exceptions=True),
        )
        self._references[name] = tuple(
            one for one in answered if not isinstance(one, BaseException)
        )
        for one in seen:
            if isinstance(one, TimeoutError):
                self._take(name, Probed(Outcome.BROKEN, f"no answer within {limit:.0f} s"))
            elif isinstance(one, BaseException):
                # A fault of ours proves nothing about the upstream.
                _log.error("probe_failed", upstream=name, error=type(one).__name__, exc_info=one)
            else:
                self._take(name, one)

    def _take(self, name: str, seen: Probed) -> None:
        before = self.tracks[name]
        after = follow(before, seen.outcome, seen.reason, self.sights.thresholds, self.now())
        self.tracks[name] = after
        if seen.expiries:
            self.expiries[name] = seen.expiries
        (self._unasked.discard if seen.asked else self._unasked.add)(name)
        if seen.refused_by_proxy is None:
            self._by_proxy.pop(name, None)
        else:
            self._by_proxy[name] = seen.refused_by_proxy
        if after.verdict is not before.verdict:
            _log.warning(
                "verdict",
                upstream=name,
                verdict=after.verdict.value,
                before=before.verdict.value,
                reason=after.reason,
            )
            self.changed.set()
            if after.verdict is Verdict.DOWN:
                self._look_at_the_others(name)
        elif any(seen_since(after, one) and not seen_since(before, one) for one in self._fallen()):
            self.changed.set()
        elif seen.outcome is Outcome.BROKEN and before.failures == 0:
            _log.warning("probe_broken", upstream=name, reason=seen.reason)
        elif after.refused is not None and before.refused is None:
            _log.warning("probe_refused", upstream=name, reason=seen.reason)

    def _fallen(self) -> Iterator[Track]:
        return (one for one in self.tracks.values() if one.verdict is Verdict.DOWN)

    def _look_at_the_others(self, fallen: str) -> None:
        for name, at_once in self._at_once.items():
            if name != fallen:
                at_once.set()
