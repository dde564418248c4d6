"""`status`: who serves, since when and why, how each upstream is, and what would happen next."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from idp_proxy import adapters
from idp_proxy.cli.drilling import drill_as_json, drill_in_words, going_on
from idp_proxy.cli.session import (
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_store,
    screen,
    settings_of,
    warn,
)
from idp_proxy.decision.eligibility import eligible, switches_left
from idp_proxy.decision.health import Verdict
from idp_proxy.decision.proposal import why_void
from idp_proxy.decision.switching import Mode, route
from idp_proxy.operators import overrides, proposals
from idp_proxy.operators.overrides import OverrideState
from idp_proxy.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from idp_proxy.config import Settings
    from idp_proxy.decision.drill import Drill
    from idp_proxy.decision.fleet import HostReport
    from idp_proxy.decision.health import Canary
    from idp_proxy.decision.proposal import Proposal
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.survey import Survey
    from idp_proxy.upstream.configured import ConfiguredUpstream


def register(program: typer.Typer) -> None:
    """Add this command to `program`."""
    program.command("status")(status)


def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show who serves, since when and why, how each upstream is, and what would happen next."""
    settings = settings_of(config)
    upstreams = adapters.open_upstreams(settings)
    with opened_store(settings) as store:
        found = _look(settings, store, upstreams)
    following = _next(found)
    if as_json:
        typer.echo(json.dumps(_as_json(found) | {"next": following}, indent=2))
        return
    _show(found)
    warn(settings)
    typer.echo(f"next: {following}")


@dataclass(frozen=True, slots=True)
class _Found:
    """Everything that is shown, of one moment."""

    seen: Survey
    usable: Mapping[str, str | None]
    drill: Drill | None
    proposals: tuple[Proposal, ...]
    unreviewed: int

    @property
    def state(self) -> SwitchState:
        """Who serves."""
        return self.seen.state

    @property
    def watched(self) -> bool:
        """Whether any host watches."""
        return bool(self.seen.situation.fleet.seen)

    @property
    def down(self) -> bool:
        """Whether logins fail at the serving upstream, as far as is known."""
        health = self.seen.situation.health(self.state.serving)
        bad = health is not None and health.verdict is Verdict.DOWN
        unusable = self.usable.get(self.state.serving, "not configured") is not None
        return bad or unusable or route(self.state) is None


def _look(
    settings: Settings, store: SqlStore, upstreams: Mapping[str, ConfiguredUpstream]
) -> _Found:
    state = adapters.open_switchboard(store, upstreams, clock).current()
    now = store.clock()
    seen = survey(store, state, adapters.open_standards(settings, upstreams), now)
    with store.reading() as connection:
        waiting = tuple(
            one
            for one in proposals.waiting(connection, now)
            if why_void(one, epoch=state.epoch, now=now) is None
        )
        unreviewed = [
            one for one in overrides.everything(connection) if one.state is OverrideState.OPEN
        ]
    drill = going_on(store.drill(), state, now)
    return _Found(seen, adapters.usable_at(upstreams, now), drill, waiting, len(unreviewed))


# --- for eyes -------------------------------------------------------------------------------------


def _show(found: _Found) -> None:
    state = found.state
    if route(state) is None:
        typer.echo(f"NO LOGINS: {state.serving} is disabled, and nothing switches by itself")
    else:
        typer.echo(f"serving: {state.serving}")
    typer.echo(f"since:   {_time(state.since)} UTC")
    typer.echo(f"cause:   {state.cause}")
    typer.echo(f"actor:   {state.actor}")
    typer.echo(f"mode:    {state.mode.value} (epoch {state.epoch})")
    if found.drill is not None:
        typer.echo(f"drill:   {drill_in_words(found.drill)}")
    for line in _outlook(found):
        typer.echo(line)
    screen.print(_upstreams(found))
    for line in _reasons(found):
        typer.echo(line)
    if len(found.seen.reports) > 1:
        screen.print(_hosts(found))
    if found.seen.canaries:
        screen.print(_canaries(found.seen.canaries))
    for one in found.proposals:
        typer.echo(
            f"waits:   {one.act} {one.target} (proposal {one.id}, until "
            f"{one.expires_at:%H:%M:%S} UTC): {one.reason}"
        )
    if found.unreviewed:
        typer.echo(f"review:  {found.unreviewed} overrides wait for somebody else's review")


def _outlook(found: _Found) -> Iterator[str]:
    """What the watch does now, and what it would do next."""
    seen = found.seen
    if not found.watched:
        yield "watch:   NO HOST WATCHES: nothing switches by itself (does `serve` run?)"
        return
    decision, limits = seen.decision, seen.situation.limits
    due = "" if decision.due_at is None else f", until {_time(decision.due_at)} UTC"
    yield f"watch:   {decision.action}: {decision.reason}{due}"
    if found.state.mode is Mode.AUTO:
        target = eligible(found.state, seen.situation)
        left = switches_left(found.state, limits, seen.at)
        then = f"{target} takes over" if target else "NOBODY may take over"
        yield f"if it fails: {then}; {left} of {limits.automatic} automatic switches left"


def _upstreams(found: _Found) -> Table:
    table = Table("upstream", "enabled", "verdict", "may take over", "last proven (UTC)")
    for name, unusable in found.usable.items():
        health = found.seen.situation.health(name)
        proven = found.seen.situation.candidates[name].proven_at
        table.add_row(
            name,
            "NO" if name in found.state.disabled else "yes",
            str(health.verdict if health else Verdict.UNKNOWN).upper()
            + (", unusable" if unusable else ""),
            _may_take_over(found, name),
            _time(proven) if proven else "never",
        )
    return table


def _may_take_over(found: _Found, name: str) -> str:
    if name == found.state.serving:
        return "(serves)"
    return "NO" if found.seen.why_ineligible(name) else "yes"


def _reasons(found: _Found) -> Iterator[str]:
    """Why an upstream is not as it should be; a line each, however long."""
    for name in found.usable:
        if name != found.state.serving:
            for why in found.seen.why_ineligible(name):
                yield f"{name} may not take over: {why}"
        elif (health := found.seen.situation.health(name)) and health.verdict is not Verdict.UP:
            yield f"{name}: {health.verdict}: {'; '.join(health.reasons)}"
        if (why_unusable := found.usable[name]) is not None and name == found.state.serving:
            yield f"{name} cannot serve: {why_unusable}"


def _hosts(found: _Found) -> Table:
    table = Table("host", "last heard (UTC)", "counts", "cannot see")
    for report in found.seen.reports:
        table.add_row(
            report.host,
            _time(report.at),
            "yes" if report.host in found.seen.situation.fleet.seen else "NO",
            "; ".join(f"{name}: {why}" for name, why in report.isolated.items()),
        )
    return table


def _canaries(canaries: tuple[Canary, ...]) -> Table:
    table = Table("canary", "verdict", "last passed (UTC)", "why")
    for one in canaries:
        track = one.track
        table.add_row(
            f"{one.upstream} {one.name}",
            "REFUSED" if track.refused else track.verdict.upper(),
            _time(track.passed_at) if track.passed_at else "never",
            track.reason,
        )
    return table


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


# --- for programs ---------------------------------------------------------------------------------


def _as_json(found: _Found) -> dict[str, Any]:
    state, seen = found.state, found.seen
    decision, limits = seen.decision, seen.situation.limits
    return {
        "serving": state.serving,
        "logins_go_to": route(state),
        "since": state.since.isoformat(),
        "cause": state.cause,
        "actor": state.actor,
        "mode": state.mode.value,
        "epoch": state.epoch,
        "watched": found.watched,
        "decision": {
            "action": decision.action.value,
            "rule": decision.rule,
            "reason": decision.reason,
            "target": decision.target,
            "due_at": _iso(decision.due_at),
        },
        "automatic_switches_left": switches_left(state, limits, seen.at),
        "would_take_over": eligible(state, seen.situation),
        "upstreams": [_upstream_as_json(found, name) for name in found.usable],
        "hosts": [_host_as_json(found, report) for report in seen.reports],
        "canaries": [_canary_as_json(one) for one in seen.canaries],
        "drill": None if found.drill is None else drill_as_json(found.drill),
        "proposals": [_proposal_as_json(one) for one in found.proposals],
        "overrides_to_review": found.unreviewed,
    }


def _upstream_as_json(found: _Found, name: str) -> dict[str, Any]:
    health, why = found.seen.situation.health(name), found.usable[name]
    return {
        "name": name,
        "enabled": name not in found.state.disabled,
        "usable": why is None,
        "reason": why,
        "verdict": (health.verdict if health else Verdict.UNKNOWN).value,
        "verdict_reasons": list(health.reasons) if health else [],
        "up_since": _iso(health.up_since if health else None),
        "ineligible": list(found.seen.why_ineligible(name)),
        "proven_at": _iso(found.seen.situation.candidates[name].proven_at),
    }


def _host_as_json(found: _Found, report: HostReport) -> dict[str, Any]:
    return {
        "host": report.host,
        "at": report.at.isoformat(),
        "counts": report.host in found.seen.situation.fleet.seen,
        "isolated": dict(report.isolated),
        "verdicts": {name: track.verdict.value for name, track in report.tracks.items()},
    }


def _canary_as_json(one: Canary) -> dict[str, Any]:
    return {
        "upstream": one.upstream,
        "name": one.name,
        "verdict": one.track.verdict.value,
        "reason": one.track.reason,
        "refused": one.track.refused,
        "passed_at": _iso(one.track.passed_at),
        "host": one.host,
    }


def _proposal_as_json(one: Proposal) -> dict[str, Any]:
    return {
        "id": one.id,
        "act": one.act.value,
        "target": one.target,
        "reason": one.reason,
        "people": list(one.people),
        "expires_at": one.expires_at.isoformat(),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


# --- the one command that helps most now ----------------------------------------------------------


def _next(found: _Found) -> str:
    state = found.state
    if found.proposals:
        return command_line(*_confirms(found.proposals[0]))
    if found.down:
        return _way_out(found)
    if found.watched and found.seen.decision.awaits_test:
        return command_line("failback", "test")
    if state.mode is Mode.LATCHED:
        return command_line("release", "--reason", "the cause is known")
    if found.unreviewed:
        return command_line("override", "list")
    return command_line("status")


def _confirms(one: Proposal) -> tuple[str, ...]:
    group = _CONFIRMED_BY.get(one.act.value, "switch")
    return (group, "confirm", one.id)


#: Where a proposal is confirmed that `switch confirm` does not take.
_CONFIRMED_BY = {"operator_change": "operator", "metadata_keys": "metadata"}


def _way_out(found: _Found) -> str:
    """Logins fail: to whom they could go, the most preferred first; or how to go on without."""
    state, seen = found.state, found.seen
    others = [name for name in found.usable if name != state.serving]
    usable = [name for name in others if name not in state.disabled and found.usable[name] is None]
    fit = [name for name in usable if not seen.why_ineligible(name)]
    if fit or (usable and not found.watched):
        target = (fit or usable)[0]
        return command_line("switch", "to", target, "--reason", f"{state.serving} cannot serve")
    if state.serving in state.disabled:
        reason = "no other upstream can serve"
        return command_line("upstream", "enable", state.serving, "--reason", reason)
    if found.usable.get(state.serving) is not None:
        return command_line("check-config")
    return "sso-conversion now"
