"""`notify test`: whether messages reach people, before a night in which they must."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from conversion import alarms
from conversion.cli.session import (
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    screen,
    settings_of,
    shown_next,
    tell,
)
from conversion.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from idp_proxy.notify import Delivery

NOBODY = (
    "notify.urls: no channel is set, so nobody would be told; write a URL of Apprise's into a file"
    ' with chmod 600 and name it: urls = ["file:pager.url"]'
)


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="Tell people what happens.", no_args_is_help=True)
    group.callback()(_group)
    group.command("test")(try_out)
    program.add_typer(group, name="notify")


def _group() -> None:
    """Tell people what happens."""


def try_out(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Send a message to every channel in notify.urls, and show which took it. No more happens."""
    settings = settings_of(config)
    if not settings.notify.urls:
        raise ConfigError([NOBODY])
    command = command_line("status")
    deliveries = alarms.try_out(settings.notify, settings.ledger.host, clock(), command)
    failed = sum(not one.sent for one in deliveries)
    words = ("notify", "test") if failed else ("status",)
    if as_json:
        channels = [_as_json(one) for one in deliveries]
        answer = {"ok": not failed, "channels": channels, "next": command_line(*words)}
        typer.echo(json.dumps(answer, indent=2))
    else:
        _show(deliveries)
        typer.echo(shown_next(*words))
    if failed:
        tell(f"error: {failed} of {len(deliveries)} channels did not take the message")
        raise typer.Exit(EXIT_REFUSED)


def _as_json(delivery: Delivery) -> dict[str, Any]:
    return {
        "channel": f"notify.urls[{delivery.index}]",
        "scheme": delivery.scheme,
        "sent": delivery.sent,
        "result": delivery.result.value,
        "http_status": delivery.http_status,
        "reason": delivery.reason or None,
    }


def _show(deliveries: Sequence[Delivery]) -> None:
    table = Table("channel", "scheme", "sent", "reason", box=SIMPLE)
    for one in deliveries:
        place = f"notify.urls[{one.index}]"
        table.add_row(place, one.scheme, "yes" if one.sent else "NO", one.reason)
    screen.print(table)
