"""`status` for eyes: lines first, then tables, then what waits for somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table

from idp_proxy.cli.after_outage import left_in_words
from idp_proxy.cli.drilling import drill_in_words
from idp_proxy.cli.session import screen
from idp_proxy.decision.eligibility import eligible, switches_left
from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import Mode, route

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from idp_proxy.cli.status.found import Found
    from idp_proxy.decision.health import Canary


def show(found: Found) -> None:
    """Print it as lines and tables."""
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
    for discord in found.seen.discords:
        typer.echo(f"hosts:   {discord.what}")
    if found.seen.canaries:
        screen.print(_canaries(found.seen.canaries))
    for line in _left_to_do(found):
        typer.echo(line)


def _left_to_do(found: Found) -> Iterator[str]:
    """What waits for somebody."""
    for one in found.proposals:
        yield (
            f"waits:   {one.act} {one.target} (proposal {one.id}, until "
            f"{one.expires_at:%H:%M:%S} UTC): {one.reason}"
        )
    for counting in found.counting:
        yield (
            f"counts down: {counting.act} {counting.target} by {counting.people[0]} (override "
            f"{counting.id}, begun at {counting.at:%H:%M:%S} UTC): {counting.reason}"
        )
    if found.unreviewed:
        yield f"review:  {found.unreviewed} overrides wait for somebody else's review"
    if found.left_behind is not None:
        yield f"after:   {left_in_words(found.left_behind, found.settings)}"


def _outlook(found: Found) -> Iterator[str]:
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


def _upstreams(found: Found) -> Table:
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


def _may_take_over(found: Found, name: str) -> str:
    if name == found.state.serving:
        return "(serves)"
    return "NO" if found.seen.why_ineligible(name) else "yes"


def _reasons(found: Found) -> Iterator[str]:
    """Why an upstream is not as it should be; a line each, however long."""
    for name in found.usable:
        if name != found.state.serving:
            for why in found.seen.why_ineligible(name):
                yield f"{name} may not take over: {why}"
        elif (health := found.seen.situation.health(name)) and health.verdict is not Verdict.UP:
            yield f"{name}: {health.verdict}: {'; '.join(health.reasons)}"
        if (why_unusable := found.usable[name]) is not None and name == found.state.serving:
            yield f"{name} cannot serve: {why_unusable}"


def _hosts(found: Found) -> Table:
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
