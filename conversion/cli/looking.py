"""Commands that look before anything is done: `prepare`, `preflight`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from conversion import preflight as evidence_of
from conversion import proxy_status
from conversion.cli.session import (
    EXIT_OPEN,
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_server,
    screen,
    settings_of,
    shown_next,
    tell,
)
from conversion.config import secret_of
from conversion.decision.evidence import Severity
from conversion.decision.preflight import findings
from conversion.errors import ConfigError
from conversion.inventory import from_export, read_csv, read_sql
from conversion.inventory import prepare as learn

if TYPE_CHECKING:
    from conversion.decision.evidence import Finding
    from conversion.inventory import Prepared, Said


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    program.command("prepare")(prepare)
    program.command("preflight")(preflight)


def prepare(
    csv: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file of user_id, username or email, and auth_data; may be given repeatedly.",
        ),
    ] = None,
    sql: Annotated[
        str,
        typer.Option(
            metavar="REFERENCE",
            help="Mattermost's database, read only: file:PATH or env:NAME of its URL.",
        ),
    ] = "",
    export: Annotated[
        bool,
        typer.Option("--export", help="Run the bulk export job; long on a server with many posts."),
    ] = False,
    export_wait_min: Annotated[
        float, typer.Option(min=1, max=2880, help="Minutes that --export may take.")
    ] = 60.0,
    email_fallback: Annotated[
        bool,
        typer.Option(
            "--email-fallback",
            help="Take the email of whoever nothing else is known of, marked as a makeshift.",
        ),
    ] = False,
    ldap: Annotated[
        bool, typer.Option("--ldap", help="Ask the directory in ldap.urls for everybody's Id.")
    ] = False,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Learn the way back of everybody on SSO, and keep it. For cron, every night."""
    settings = settings_of(config)
    at = clock()
    said: list[Said] = []
    for file in csv or ():
        said += read_csv(file, at)
    if sql:
        said += read_sql(secret_of("--sql", sql, Path.cwd()), at)
    if ldap:
        if settings.ldap is None:
            raise ConfigError(["--ldap: there is no [ldap] in the configuration; set ldap.urls"])
        # Its library takes 6 MiB, which no other command shall pay.
        from conversion.inventory.directory import read_directory  # noqa: PLC0415 - 6 MiB, for --ldap alone

        said += read_directory(settings.ldap, at)
    with opened_server(settings) as (ledger, client):
        if export:
            wait_s = export_wait_min * 60
            said += from_export(client.export_users(settings.ledger.folder, wait_s), at)
        prepared = learn(client, ledger, said, at, makeshift=email_fallback)
    for conflict in prepared.conflicts:
        tell("warning:", f"{conflict.username}: {conflict.says}")
    words = _after_prepare(prepared, exported=export)
    if as_json:
        typer.echo(json.dumps(_prepared_json(prepared) | {"next": command_line(*words)}, indent=2))
    else:
        typer.echo(_prepared_line(prepared))
        tell(shown_next(*words))
    if prepared.unknown or prepared.conflicts or prepared.left_sso:
        raise typer.Exit(EXIT_OPEN)


def _after_prepare(prepared: Prepared, *, exported: bool) -> tuple[str, ...]:
    if prepared.left_sso:
        return ("reconcile",)
    return ("prepare", "--export") if prepared.unknown and not exported else ("preflight",)


_SHOWN = 5


def _prepared_line(prepared: Prepared) -> str:
    known = prepared.people - len(prepared.unknown)
    sources = ", ".join(f"{count} {source.value}" for source, count in prepared.by_source.items())
    parts = [f"{prepared.people} accounts on SSO, {known} with a way back ({sources or 'none'})"]
    for names, what in (
        (prepared.unknown, "WITHOUT a way back"),
        (prepared.left_sso, "at a password now"),
        (prepared.gone, "not listed any more"),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            parts.append(f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{more}")
    if prepared.conflicts:
        parts.append(f"{len(prepared.conflicts)} conflicts")
    if prepared.strangers:
        parts.append(f"{prepared.strangers} lines of sources were of nobody on SSO")
    return "; ".join(parts)


def _prepared_json(prepared: Prepared) -> dict[str, object]:
    return {
        "accounts": prepared.people,
        "known": prepared.people - len(prepared.unknown),
        "by_source": {source.value: count for source, count in prepared.by_source.items()},
        "unknown": list(prepared.unknown),
        "left_sso": list(prepared.left_sso),
        "gone": list(prepared.gone),
        "strangers": prepared.strangers,
        "conflicts": [
            {"user_id": one.user_id, "username": one.username, "says": one.says}
            for one in prepared.conflicts
        ],
    }


def preflight(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Everything that would make a campaign fail or harm, each with a way out."""
    settings = settings_of(config)
    with opened_server(settings) as (ledger, client):
        proxy = proxy_status.ask(settings.campaign.proxy_status)
        found = findings(evidence_of.gather(client, ledger, settings, clock(), proxy))
    worst = Counter(finding.severity for finding in found)
    blocked = worst[Severity.BLOCKING] > 0
    words = ("prepare",) if any(one.id == "inventory.none" for one in found) else ("now",)
    if as_json:
        records = [_finding_json(finding) for finding in found]
        typer.echo(
            json.dumps(
                {"blocked": blocked, "findings": records, "next": command_line(*words)}, indent=2
            )
        )
    else:
        table = Table("severity", "finding", "what, and what to do", box=SIMPLE)
        for one in found:
            fix = f"\n-> {one.fix}" if one.fix else ""
            table.add_row(one.severity.value, one.id, f"{one.what}{fix}")
        screen.print(table)
        typer.echo(", ".join(f"{worst[severity]} {severity.value}" for severity in Severity))
        typer.echo(shown_next(*words))
    if blocked:
        raise typer.Exit(EXIT_REFUSED)


def _finding_json(finding: Finding) -> dict[str, str]:
    return {
        "id": finding.id,
        "severity": finding.severity.value,
        "what": finding.what,
        "fix": finding.fix,
    }
