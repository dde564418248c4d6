"""Commands about who serves: `status`, `switch to`, `upstream disable` and `upstream enable`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from idp_proxy import adapters
from idp_proxy.cli.session import (
    ConfigOption,
    JsonOption,
    ReasonOption,
    actor,
    clock,
    command_line,
    opened_store,
    screen,
    settings_of,
    shown_next,
    usable_of,
    warn,
)
from idp_proxy.decision.switching import route
from idp_proxy.errors import SwitchRefused

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.decision.switching import SwitchState

_NAME_ARGUMENT = Annotated[str, typer.Argument(metavar="NAME", help="The upstream.")]


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    program.command("status")(status)
    switch = typer.Typer(help="Send new logins to another upstream.", no_args_is_help=True)
    switch.callback()(_group)
    switch.command("to")(switch_to)
    program.add_typer(switch, name="switch")
    upstream = typer.Typer(help="Take an upstream out of use, or back in.", no_args_is_help=True)
    upstream.command("disable")(disable)
    upstream.command("enable")(enable)
    program.add_typer(upstream, name="upstream")


def _group() -> None:
    """Send new logins to another upstream."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One upstream in the status."""

    name: str
    enabled: bool
    why_unusable: str | None
    proven_at: datetime | None

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "enabled": self.enabled,
            "usable": self.why_unusable is None,
            "reason": self.why_unusable,
            "proven_at": None if self.proven_at is None else self.proven_at.isoformat(),
        }


def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show who serves, since when and why, and how each upstream is."""
    settings = settings_of(config)
    upstreams = adapters.open_upstreams(settings)
    with opened_store(settings) as store:
        state = adapters.open_switchboard(store, upstreams, clock).current()
        proofs = store.proofs()
    lines = [
        _Line(name, name not in state.disabled, reason, proofs.get(name))
        for name, reason in usable_of(upstreams, clock()).items()
    ]
    words = _advice(state, lines)
    if as_json:
        typer.echo(json.dumps(_as_json(state, lines) | {"next": command_line(*words)}, indent=2))
        return
    _show(state, lines)
    warn(settings)
    typer.echo(shown_next(*words))


def _as_json(state: SwitchState, lines: list[_Line]) -> dict[str, Any]:
    return {
        "serving": state.serving,
        "logins_go_to": route(state),
        "since": state.since.isoformat(),
        "cause": state.cause,
        "actor": state.actor,
        "mode": state.mode.value,
        "epoch": state.epoch,
        "upstreams": [line.as_json() for line in lines],
    }


def _show(state: SwitchState, lines: list[_Line]) -> None:
    if route(state) is None:
        typer.echo(f"NO LOGINS: {state.serving} is disabled, and nothing switches by itself")
    else:
        typer.echo(f"serving: {state.serving}")
    typer.echo(f"since:   {state.since:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"cause:   {state.cause}")
    typer.echo(f"actor:   {state.actor}")
    typer.echo(f"mode:    {state.mode.value} (epoch {state.epoch})")
    table = Table("upstream", "enabled", "usable", "last proven login (UTC)")
    for line in lines:
        table.add_row(
            line.name,
            "yes" if line.enabled else "NO",
            "yes" if line.why_unusable is None else f"NO: {line.why_unusable}",
            f"{line.proven_at:%Y-%m-%d %H:%M:%S}" if line.proven_at else "never",
        )
    screen.print(table)


def _advice(state: SwitchState, lines: list[_Line]) -> tuple[str, ...]:
    """The one command that helps most now."""
    serving = next((line for line in lines if line.name == state.serving), None)
    if serving is not None and serving.enabled and serving.why_unusable is None:
        return ("status",)
    for line in lines:
        if line.name != state.serving and line.enabled and line.why_unusable is None:
            return ("switch", "to", line.name, "--reason", f"{state.serving} cannot serve")
    if serving is not None and not serving.enabled:
        return ("upstream", "enable", serving.name, "--reason", "no other upstream can serve")
    return ("check-config",)


def switch_to(name: _NAME_ARGUMENT, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Send new logins to NAME from now on, until somebody switches again."""
    settings = settings_of(config)
    upstreams = adapters.open_upstreams(settings)
    with opened_store(settings) as store:
        state = adapters.open_switchboard(store, upstreams, clock).to(name, reason, actor())
    typer.echo(f"{state.serving} serves new logins (epoch {state.epoch}, {state.mode.value})")
    typer.echo(shown_next("status"))


def disable(
    name: _NAME_ARGUMENT,
    reason: ReasonOption,
    yes_disable: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The name again: do not ask, even if NAME is serving."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Stop logins at NAME at once, those under way too. Nothing switches by itself."""
    settings = settings_of(config)
    upstreams = adapters.open_upstreams(settings)
    with opened_store(settings) as store:
        board = adapters.open_switchboard(store, upstreams, clock)
        if board.current().serving == name or yes_disable is not None:
            _confirm(name, yes_disable)
        state = board.disable(name, reason, actor())
    typer.echo(f"{name} is disabled (epoch {state.epoch})")
    if route(state) is None:
        others = [other for other in upstreams if other not in state.disabled]
        typer.echo("NO LOGINS until you switch or enable it again")
        if others:
            typer.echo(shown_next("switch", "to", others[0], "--reason", f"{name} is disabled"))
            return
    typer.echo(shown_next("status"))


def _confirm(name: str, again: str | None) -> None:
    if again is None:
        question = f"{name} is serving: all logins stop at once. Type its name again"
        try:
            again = typer.prompt(question, err=True)
        except typer.Abort:
            again = ""
    if again != name:
        raise SwitchRefused(
            f"{name} was not named again; nothing has changed (in a script: --yes-disable NAME)"
        )


def enable(name: _NAME_ARGUMENT, reason: ReasonOption, config: ConfigOption = None) -> None:
    """Let NAME serve again."""
    settings = settings_of(config)
    upstreams = adapters.open_upstreams(settings)
    with opened_store(settings) as store:
        state = adapters.open_switchboard(store, upstreams, clock).enable(name, reason, actor())
    typer.echo(f"{name} is enabled (epoch {state.epoch}); {state.serving} serves")
    typer.echo(shown_next("status"))
