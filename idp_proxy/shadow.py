"""JOURNEY: a drill. The watch decides about a copy of the switch while a fault is pretended.

    real probes, but the serving upstream's behind a fault --> the watch --> a shadow of the store
    real probe of the serving upstream, the real store ------> an end, as soon as it is no drill

Real logins and the real epoch never change: the watch is given a store of its own, in memory.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.eligibility import eligible
from idp_proxy.decision.health import Outcome, Verdict
from idp_proxy.decision.scorecard import Fired, Marks
from idp_proxy.decision.switching import Mode
from idp_proxy.errors import StoreError, SwitchRefused
from idp_proxy.store.base import Evidence
from idp_proxy.survey import survey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.observer import Observer
    from idp_proxy.survey import Standards, Survey, WatchedStore
    from idp_proxy.upstream.drill import Fault
    from idp_proxy.upstream.probing import CanaryLogin
    from idp_proxy.watch import Turn, Watch

#: How often the drill looks at what has come.
_GLANCE_S: Final = 0.05
#: How long everything may take to be up before the fault begins.
_WARM_UP_S: Final = 120.0
#: A login by the standby is tried again after this, for so long.
_LOGIN_AGAIN_S: Final = 2.0
_LOGINS_FOR_S: Final = 60.0


def cast_shadow(real: WatchedStore, shadow: WatchedStore, state: SwitchState, host: str) -> None:
    """Copy into `shadow` what the watch decides by: the switch, the proofs, and the canaries."""
    with shadow.transaction() as transaction:
        transaction.swap(0, state)
        for upstream, at in real.proofs().items():
            transaction.note_proof(upstream, at)
    for kind in Evidence:
        for upstream, at in real.evidence(kind).items():
            shadow.note_evidence(kind, upstream, at)
    for canary in real.canaries():
        shadow.lease_canary(canary.upstream, canary.name, host, shadow.clock())
        shadow.save_canary(replace(canary, host=host))


def demand_drillable(state: SwitchState) -> None:
    """Raises `SwitchRefused` where an outage would switch nothing, so that a drill shows nothing.

    What to do is said without the command's name: the caller knows that.
    """
    if state.mode is not Mode.AUTO:
        raise SwitchRefused(
            f"the switch is {state.mode.value} since {state.since:%Y-%m-%d %H:%M} UTC by "
            f"{state.actor} ({state.cause}): an outage would not fail over by itself; release first"
        )
    if state.serving in state.disabled:
        raise SwitchRefused(f"{state.serving} is disabled, so nothing would switch by itself")


@dataclass(slots=True)
class Reality:
    """What ends a drill: the serving upstream is really in trouble, or the real switch moved.

    `eyes` look at the serving upstream alone, without the fault.
    """

    store: WatchedStore
    state: SwitchState
    standards: Standards
    eyes: Observer

    def why_over(self) -> str | None:
        """Why this is no time for a drill; None if it is one. Asks the store."""
        serving = self.state.serving
        track = self.eyes.tracks[serving]
        if track.verdict in {Verdict.SUSPECT, Verdict.DOWN}:
            return f"{serving} is really {track.verdict}: {track.reason}"
        try:
            return self._why_by_store()
        except StoreError as error:
            return f"the store cannot be read: {error.detail}"

    def _why_by_store(self) -> str | None:
        store, state = self.store, self.store.switch_state()
        if state is None or state.epoch != self.state.epoch:
            return "the real switch has changed meanwhile"
        health = survey(store, state, self.standards, store.clock()).situation.health(state.serving)
        if health is not None and health.verdict in {Verdict.SUSPECT, Verdict.DOWN}:
            return f"{state.serving} is really {health.verdict}: {'; '.join(health.reasons)}"
        return None


class _Over(Exception):
    """The drill ends before its time; the text says why."""


@dataclass(frozen=True, slots=True)
class _Login:
    """The first login by whoever took over: when it came, or what was said instead."""

    after: float | None = None
    problem: str = ""
    has_canary: bool = True


@dataclass(slots=True)
class ShadowDrill:
    """One drill. Give its `told` to a watch, then `run` it; `marks` are what it saw, also when it
    was interrupted. `say` tells the person in front of it.

    `_watched` is written by the watch's thread alone, the rest by the loop.
    """

    fault: Fault
    serving: str
    reality: Reality
    logins: Sequence[CanaryLogin]
    longest: timedelta
    say: Callable[[str], None]
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = time.monotonic
    ended: str | None = field(default=None, init=False)
    _watched: Marks = field(default_factory=Marks, init=False)
    _login: _Login = field(default_factory=_Login, init=False)
    _seen: Survey | None = field(default=None, init=False)

    @property
    def marks(self) -> Marks:
        """What was seen so far."""
        return replace(
            self._watched,
            logged_in=self._login.after,
            login_problem=self._login.problem,
            has_canary=self._login.has_canary,
            ended=self.ended,
        )

    async def run(self, watch: Watch) -> Marks:
        """From looking around to the first login by the standby; at most `longest`."""
        eyes = self.reality.eyes
        try:
            async with asyncio.TaskGroup() as tasks:
                beside = (
                    tasks.create_task(watch.run()),
                    tasks.create_task(eyes.watch(self.serving)),
                )
                try:
                    await self._course()
                finally:
                    for task in beside:
                        task.cancel()
        except* _Over as over:
            self.ended = str(over.exceptions[0])
        return self.marks

    def told(self, turn: Turn) -> None:
        """Take the next turn of the watch; called in a thread of the watch."""
        seen = turn.survey
        if seen is None:
            return
        self._seen, decision, marks = seen, seen.decision, self._watched
        after = self._after()
        if not marks.rules or marks.rules[-1].rule != decision.rule:
            fired = Fired(after, decision.rule, decision.reason)
            marks = replace(marks, rules=(*marks.rules, fired))
            self.say(f"{decision.rule}: {decision.reason}")
        health = seen.situation.health(self.serving)
        down = health is not None and health.verdict is Verdict.DOWN
        if down and marks.detected is None and self.fault.began is not None:
            marks = replace(marks, detected=after)
        if turn.switched is not None and turn.switched.serving != seen.state.serving:
            marks = replace(
                marks,
                decided=after if marks.decided is None else marks.decided,
                target=turn.switched.serving if marks.target is None else marks.target,
                switches=marks.switches + 1,
            )
            self.say(f"the switch goes to {turn.switched.serving}, in the drill only")
        self._watched = marks

    def _after(self) -> float:
        """Seconds since the fault; negative before it, counted from now on."""
        return 0.0 if self.fault.began is None else self.monotonic() - self.fault.began

    async def _course(self) -> None:
        until = self.monotonic() + self.longest.total_seconds()
        self.say("looking at every upstream until all is up")
        warm = min(until, self.monotonic() + _WARM_UP_S)
        await self._came(lambda: self._is_ready() or self._is_hopeless(), warm)
        if not self._is_ready():
            raise _Over(self._why_not_ready())
        self.fault.begin()
        self.say(f"pretended from now on: {self.fault.scenario.about}")
        if not await self._came(lambda: self._watched.decided is not None, until):
            return
        await self._log_in(until)
        settled = self.monotonic() + self.fault.scenario.settles.total_seconds()
        await self._came(lambda: False, min(until, settled))

    async def _came(self, holds: Callable[[], bool], until: float) -> bool:
        """Wait until it `holds`, at most until then; raises `_Over` as soon as it is no drill."""
        tick, looked = 1.0, 0.0
        while not holds():
            now = self.monotonic()
            if now >= until:
                return False
            if now - looked >= tick:
                looked = now
                why = await asyncio.to_thread(self.reality.why_over)
                if why is not None:
                    raise _Over(why)
            await asyncio.sleep(_GLANCE_S)
        return True

    def _is_ready(self) -> bool:
        """Whether an outage of the serving upstream would be one, and somebody could take over."""
        seen = self._seen
        if seen is None:
            return False
        health = seen.situation.health(self.serving)
        up = health is not None and health.verdict is Verdict.UP
        return up and eligible(seen.state, seen.situation) is not None

    def _is_hopeless(self) -> bool:
        """Whether waiting would change nothing: everything was looked at, and is settled."""
        seen = self._seen
        if seen is None:
            return False
        settled = {Verdict.UP, Verdict.DOWN}
        probed = all(one.verdict in settled for one in seen.situation.fleet.health.values())
        return probed and all(one.track.at is not None for one in seen.canaries)

    def _why_not_ready(self) -> str:
        seen = self._seen
        if seen is None:
            return "the watch had no turn"
        reasons = [
            f"{name}: {', '.join(seen.why_ineligible(name))}"
            for name in seen.situation.candidates
            if name != self.serving and seen.why_ineligible(name)
        ]
        health = seen.situation.health(self.serving)
        if health is not None and health.verdict is not Verdict.UP:
            reasons.insert(0, f"{self.serving} is {health.verdict}: {'; '.join(health.reasons)}")
        return f"there is no failover to show ({'; '.join(reasons)})"

    async def _log_in(self, until: float) -> None:
        """The first login by whoever took over, by its canaries, the first that comes through."""
        target = self._watched.target
        logins = [one for one in self.logins if one.upstream == target]
        if not logins:
            self._login = _Login(has_canary=False)
            self.say(f"{target} has no canary: its first login cannot be shown")
            return
        until = min(until, self.monotonic() + _LOGINS_FOR_S)
        while True:
            for login in logins:
                seen = await login.log_in(self.now())
                if seen.outcome is Outcome.PASSED:
                    self._login = _Login(self._after())
                    self.say(f"the first login by {target}: canary {login.name} came through")
                    return
                self._login = _Login(problem=f"canary {login.name}: {seen.reason}")
                self.say(f"canary {login.name} of {target}: {seen.reason}")
            if self.monotonic() + _LOGIN_AGAIN_S >= until:
                return
            await asyncio.sleep(_LOGIN_AGAIN_S)
