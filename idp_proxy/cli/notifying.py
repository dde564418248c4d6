"""`notify test`: whether messages reach people, before a night in which they must."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from idp_proxy.cli.session import (
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

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.notify import Delivery

_NOBODY = (
    "notify.urls: no channel is set, so nobody would be told; write a URL of Apprise's into a file "
    'with chmod 600 and name it there: urls = ["file:keys/pager.url"]'
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
    """Send a message to every channel, and show which took it."""
    settings = settings_of(config)
    deliveries = _send(settings) if settings.notify.urls else ()
    fine = bool(deliveries) and all(one.sent for one in deliveries)
    words = ("status",) if fine else ("notify", "test")
    if as_json:
        answer = {"ok": fine, "channels": [_as_json(one) for one in deliveries]}
        if not deliveries:
            answer["problem"] = _NOBODY
        typer.echo(json.dumps(answer | {"next": command_line(*words)}, indent=2))
    elif not deliveries:
        tell("error:", _NOBODY)
        tell(shown_next(*words))
    else:
        _show(deliveries)
        typer.echo(shown_next(*words))
    if not fine:
        raise typer.Exit(EXIT_REFUSED)


def _send(settings: Settings) -> tuple[Delivery, ...]:
    # Templates and channels are this command's alone: every other one is back sooner without.
    from idp_proxy import notify  # noqa: PLC0415 - this command's alone: the others start without it

    wanted, host = settings.notify, settings.proxy.host
    timeout_s = wanted.timeout.total_seconds()
    message = notify.write(
        notify.Notice(notify.Kind.TEST, "test", {"host": host}, command_line("status")),
        wanted.language,
        since=clock(),
        fallback=command_line("status"),
        source=f"{settings.proxy.public_url.partition('://')[2]} ({host})",
    )
    return notify.send(notify.open_channels(wanted.urls, timeout_s), message, timeout_s)


def _as_json(delivery: Delivery) -> dict[str, Any]:
    return {
        "channel": f"notify.urls[{delivery.index}]",
        "scheme": delivery.scheme,
        "sent": delivery.sent,
        "result": delivery.result.value,
        "http_status": delivery.http_status,
        "reason": delivery.reason or None,
    }


def _show(deliveries: tuple[Delivery, ...]) -> None:
    table = Table("channel", "scheme", "sent", "reason")
    for one in deliveries:
        table.add_row(
            f"notify.urls[{one.index}]", one.scheme, "yes" if one.sent else "NO", one.reason
        )
    screen.print(table)
    failed = sum(not one.sent for one in deliveries)
    if failed:
        tell(f"error: {failed} of {len(deliveries)} channels did not take the message")
