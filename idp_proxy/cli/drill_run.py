"""`drill run SCENARIO`: pretend an outage of the serving upstream, and see what would follow.

On the host, against the real upstreams. Real logins and the real switch never change; the store
gets a row of the audit when it begins, and one when it ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from idp_proxy import adapters, logs
from idp_proxy.audit.chain import Event
from idp_proxy.cli.drilling import group
from idp_proxy.cli.session import (
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_store,
    screen,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption, who
from idp_proxy.decision.scorecard import BARS, CANARY_BAR, LONGEST, Scorecard, judge_drill
from idp_proxy.errors import StoreError
from idp_proxy.observer import Observer, Sights
from idp_proxy.operators.accounts import actor_of
from idp_proxy.shadow import Reality, ShadowDrill, cast_shadow, demand_drillable
from idp_proxy.store.memory import MemoryStore
from idp_proxy.upstream.drill import SCENARIOS, Fault, PretendedLogin, PretendedProbe, Scenario
from idp_proxy.watch import CanaryPlan, StoreClock, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from idp_proxy.audit.chain import Fact
    from idp_proxy.config import Settings
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream
    from idp_proxy.upstream.probing import CanaryLogin

#: What is usual is read off so much of the past.
_USUAL: Final = timedelta(hours=1)


def register(_program: typer.Typer) -> None:
    """Add this command to the group of drills."""
    group.command("run")(run)


def run(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help=f"What to pretend: {', '.join(SCENARIOS)}.")
    ],
    minutes: Annotated[
        int, typer.Option(min=1, max=int(LONGEST.total_seconds() / 60), help="End it after these.")
    ] = 10,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Pretend an outage of the serving upstream, and see who would notice when and what follows.

    Nothing real changes: logins go where they went. It ends by itself, by Ctrl-C, and as soon as
    the serving upstream is really in trouble.
    """
    chosen = _scenario(scenario)
    settings = settings_of(config)
    logs.configure(logging.ERROR)
    with opened_store(settings) as store:
        upstreams = adapters.open_upstreams(settings)
        state = adapters.open_switchboard(store, upstreams, clock).current()
        demand_drillable(state)
        actor = actor_of(who(settings, store, Means(as_name, None, password_from)).name)
        exercise = _Exercise(settings, store, upstreams, chosen, state, actor)
        card = exercise.hold(timedelta(minutes=minutes))
        epoch = _epoch_of(store)
    answer = _as_json(exercise, card, epoch)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        _show(exercise, card)
    if not card.passed:
        raise typer.Exit(EXIT_REFUSED)


def _scenario(name: str) -> Scenario:
    if name not in SCENARIOS:
        known = "; ".join(f"{one.name}: {one.about}" for one in SCENARIOS.values())
        raise typer.BadParameter(f"no scenario is called {name}; there are {known}")
    return SCENARIOS[name]


@dataclass(frozen=True, slots=True)
class _Exercise:
    """One `drill run`, put together from the settings."""

    settings: Settings
    store: SqlStore
    upstreams: Mapping[str, ConfiguredUpstream]
    scenario: Scenario
    state: SwitchState
    actor: str

    @property
    def bar(self) -> timedelta:
        """How long it may take until the first login by the standby."""
        return CANARY_BAR if self.scenario.needs_canary else BARS[self.settings.failover.profile]

    def hold(self, longest: timedelta) -> Scorecard:
        """From the first row in the audit to the last. Raises `StoreError` before it begins."""
        usual = self._logins_a_minute()
        self._record("drill_began", {})
        tell(f"DRILL {self.scenario.name}: nothing real changes; Ctrl-C ends it")
        fault = Fault(self.scenario, time.monotonic)
        logins = self._logins(fault)
        drill = self._drill(fault, logins, longest)
        watch = self._watch(fault, logins, drill)
        try:
            with _sigterm_as_ctrl_c():
                asyncio.run(drill.run(watch))
        except KeyboardInterrupt:
            drill.ended = "stopped by hand"
        card = judge_drill(drill.marks, self.bar, usual)
        self._end(card)
        return card

    def _end(self, card: Scorecard) -> None:
        ended = card.marks.ended or "complete"
        try:
            self._record("drill_ended", {"passed": card.passed, "ended": ended[:500]})
        except StoreError as error:
            tell(f"warning: the end of the drill is not in the audit: {error.detail}")

    def _record(self, kind: str, more: dict[str, Fact]) -> None:
        facts: dict[str, Fact] = {
            "scenario": self.scenario.name,
            "serving": self.state.serving,
            "epoch": self.state.epoch,
        }
        with self.store.transaction() as transaction:
            transaction.record(Event(kind, self.actor, clock(), facts=facts | more))

    def _logins_a_minute(self) -> float | None:
        """How many people usually log in by the serving upstream; None if nobody counted."""
        counts = [
            one
            for one in self.store.traffic(self.store.clock() - _USUAL)
            if one.upstream == self.state.serving
        ]
        minutes = _USUAL.total_seconds() / 60
        return sum(one.begun for one in counts) / minutes if counts else None

    def _logins(self, fault: Fault) -> list[CanaryLogin]:
        """The canaries, those of the serving upstream behind the fault, and one that is pretended
        where the fault can be seen by nothing else.
        """
        serving, timeout = self.state.serving, self.settings.failover.canary_times.timeout
        found: list[CanaryLogin] = [
            PretendedLogin(serving, one.name, one, fault, timeout)
            if one.upstream == serving
            else one
            for one in adapters.open_canaries(self.settings, self.upstreams)
        ]
        if self.scenario.needs_canary and not any(one.upstream == serving for one in found):
            found.append(PretendedLogin(serving, "drill", None, fault, timeout))
        return found

    def _sights(self, fault: Fault | None) -> Sights:
        """Every upstream, the serving one behind the fault; without one the serving one alone."""
        failover, serving = self.settings.failover, self.state.serving
        probes = adapters.open_probes(self.upstreams)
        if fault is None:
            probes = {serving: probes[serving]}
        else:
            probes = {**probes, serving: PretendedProbe(probes[serving], fault)}
        return Sights(
            probes=probes,
            references=adapters.open_references(self.settings),
            cadence=failover.cadence,
            thresholds=failover.thresholds,
            fresh=self.settings.health.fresh,
            chance=random.random,
        )

    def _drill(
        self, fault: Fault, logins: Sequence[CanaryLogin], longest: timedelta
    ) -> ShadowDrill:
        standards = adapters.open_standards(self.settings, self.upstreams, self.store)
        eyes = Observer(self._sights(None), clock, asyncio.Event())
        reality = Reality(self.store, self.state, standards, eyes)
        return ShadowDrill(
            fault=fault,
            serving=self.state.serving,
            reality=reality,
            logins=logins,
            longest=longest,
            say=_Teller(fault).say,
            now=clock,
        )

    def _watch(self, fault: Fault, logins: Sequence[CanaryLogin], drill: ShadowDrill) -> Watch:
        """The watch as `serve` has it, but for its store, and for who is told."""
        failover, host = self.settings.failover, self.settings.proxy.host
        shadow = MemoryStore(now=clock)
        cast_shadow(self.store, shadow, self.state, host)
        own_clock = StoreClock(time.monotonic, clock)
        standards = adapters.open_standards(self.settings, self.upstreams, self.store)
        times = failover.canary_times
        return Watch(
            host=host,
            store=shadow,
            current=adapters.open_switchboard(shadow, self.upstreams, clock).current,
            standards=replace(
                standards, canaries=frozenset((one.upstream, one.name) for one in logins)
            ),
            observer=Observer(self._sights(fault), own_clock.now, asyncio.Event()),
            canaries=CanaryPlan(
                logins=logins,
                thresholds=failover.canary_thresholds,
                serving=times.serving,
                standby=times.standby,
                retry=times.retry,
                timeout=times.timeout,
            ),
            clock=own_clock,
            tick=failover.tick,
            told=drill.told,
            propose=lambda _: None,
        )


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells whoever sits there, with the seconds since the fault."""

    fault: Fault

    def say(self, what: str) -> None:
        began = self.fault.began
        after = "        " if began is None else f"{time.monotonic() - began:+7.1f}s"
        tell(f"{after}  {what}")


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Whoever stops it, its last row in the audit is written."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _epoch_of(store: SqlStore) -> int | None:
    try:
        state = store.switch_state()
    except StoreError:
        return None
    return None if state is None else state.epoch


# --- the scorecard --------------------------------------------------------------------------------


def _as_json(exercise: _Exercise, card: Scorecard, epoch: int | None) -> dict[str, Any]:
    marks = card.marks
    return {
        "scenario": exercise.scenario.name,
        "profile": exercise.settings.failover.profile,
        "actor": exercise.actor,
        "serving": exercise.state.serving,
        "standby": marks.target,
        "seconds": {
            "detect": _rounded(marks.detected),
            "decide": _rounded(marks.decided),
            "first_login": _rounded(marks.logged_in),
            "bar": card.bar.total_seconds(),
        },
        "logins_lost": _rounded(card.lost),
        "switches": marks.switches,
        "rules": [
            {"after_s": round(one.after, 2), "rule": one.rule, "reason": one.reason}
            for one in marks.rules
        ],
        "ended": marks.ended or "complete",
        "not_shown": card.not_shown,
        "problems": list(card.problems),
        "passed": card.passed,
        "real_state": {"epoch_before": exercise.state.epoch, "epoch_after": epoch},
        "next": command_line("status"),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _show(exercise: _Exercise, card: Scorecard) -> None:
    marks, lost = card.marks, card.lost
    table = Table("what", "after the fault", title=f"drill {exercise.scenario.name}")
    table.add_row(f"{exercise.state.serving} is seen to be down", _in_seconds(marks.detected))
    table.add_row(f"the switch goes to {marks.target or 'nobody'}", _in_seconds(marks.decided))
    table.add_row("the first login by it", _in_seconds(marks.logged_in))
    table.add_row("the bar", _in_seconds(card.bar.total_seconds()))
    table.add_row(
        "logins that would have failed",
        "unknown: nobody counted" if lost is None else f"{lost:.0f}",
    )
    screen.print(table)
    for one in (*card.problems, *filter(None, (card.not_shown,))):
        typer.echo(f"- {one}")
    typer.echo("PASSED" if card.passed else "FAILED")
    typer.echo("nothing real has changed")
    typer.echo(shown_next("status"))


def _in_seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"
