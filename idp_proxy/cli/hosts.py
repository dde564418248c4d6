"""`host list` and `host forget`: the machines that run the proxy, and one that is gone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from idp_proxy.audit.chain import Event
from idp_proxy.cli.approving import ask
from idp_proxy.cli.session import (
    ConfigOption,
    JsonOption,
    ReasonOption,
    clock,
    command_line,
    opened_store,
    screen,
    settings_of,
    shown_next,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.decision.approval import Act
from idp_proxy.decision.membership import discords, may_be_forgotten
from idp_proxy.errors import HostRefused
from idp_proxy.operators.consent import Wish

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.decision.fleet import HostReport
    from idp_proxy.decision.membership import Discord


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="The machines that run the proxy.", no_args_is_help=True)
    group.command("list")(list_hosts)
    group.command("forget")(forget)
    program.add_typer(group, name="host")


def list_hosts(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show every host on the register, and what does not fit together."""
    settings = settings_of(config)
    with opened_store(settings) as store:
        now, reports = store.clock(), store.reports()
    found = discords(reports, settings.health.fresh, now)
    silent = [one.host for one in found if one.rule == "silent"]
    words = ("host", "forget", silent[0], "--reason", "it is gone") if silent else ("status",)
    if as_json:
        listed = {
            "hosts": [_as_json(one, now) for one in reports],
            "findings": [{"rule": one.rule, "host": one.host, "what": one.what} for one in found],
            "next": command_line(*words),
        }
        typer.echo(json.dumps(listed, indent=2))
        return
    _show(reports, found, now)
    typer.echo(shown_next(*words))


def forget(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The host that is gone.")],
    reason: ReasonOption,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a host that will not come back off the register. One that runs comes back by itself."""
    settings = settings_of(config)
    with opened_store(settings) as store:
        reports = {one.host: one for one in store.reports()}
        if name not in reports:
            raise HostRefused(f"no host is called {name}; there are {', '.join(reports)}")
        if not may_be_forgotten(reports[name], store.clock()):
            raise HostRefused(
                f"{name} was heard {_time(reports[name].at)} UTC: stop it, wait a minute, and then"
                " forget it"
            )
        means = Means(as_name, None, password_from)
        approved = ask(settings, store, Wish(Act.FORGET_HOST, name, reason), means)
        facts: dict[str, str | int | float | bool | None] = {"host": name, "cause": reason}
        with store.transaction() as transaction:
            transaction.record(Event("host_forgotten", approved.actor, clock(), facts=facts))
        store.forget_host(name)
    typer.echo(f"{name} is off the register")
    typer.echo(shown_next("host", "list"))


def _as_json(report: HostReport, now: datetime) -> dict[str, str | float | list[str]]:
    return {
        "host": report.host,
        "at": report.at.isoformat(),
        "seconds_ago": round((now - report.at).total_seconds(), 1),
        "upstreams": list(report.member.preference),
        "state_keys": list(report.member.keys),
    }


def _show(reports: tuple[HostReport, ...], found: tuple[Discord, ...], now: datetime) -> None:
    table = Table("host", "last heard (UTC)", "upstreams", "state keys")
    for one in reports:
        keys = ", ".join(key[:8] for key in one.member.keys)
        table.add_row(one.host, _time(one.at), ", ".join(one.member.preference), keys)
    screen.print(table)
    for discord in found:
        typer.echo(f"{discord.rule}: {discord.what}")
    if not found:
        typer.echo(f"the hosts fit together ({now:%H:%M:%S} UTC by the store's clock)")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"
