"""Commands that change nobody's account: `prepare`, `preflight`, `now`, `status`."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Table

from conversion import preflight as evidence_of
from conversion import proxy_status
from conversion.cli.progress import steps
from conversion.cli.session import (
    EXIT_OPEN,
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_ledger,
    screen,
    settings_of,
    shown_next,
    tell,
)
from conversion.config import secret_of
from conversion.decision.evidence import Severity
from conversion.decision.lifecycle import RowState
from conversion.decision.preflight import findings
from conversion.decision.situation import lines, next_words
from conversion.inventory import from_export, read_csv, read_sql
from conversion.inventory import prepare as learn
from conversion.mattermost import Mattermost
from conversion.situation import campaign_of, look_around

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conversion.config import Settings
    from conversion.decision.evidence import Finding
    from conversion.decision.situation import OpenCampaign, Situation
    from conversion.inventory import Prepared, Said
    from conversion.ledger.sql import SqlLedger


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    program.command("prepare")(prepare)
    program.command("preflight")(preflight)
    program.command("now")(now)
    program.command("status")(status)


@contextmanager
def _server(settings: Settings) -> Iterator[tuple[SqlLedger, Mattermost]]:
    with opened_ledger(settings) as ledger, Mattermost(settings.access) as client:
        yield ledger, client


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
    with _server(settings) as (ledger, client):
        if export:
            said += from_export(client.export_users(settings.ledger.file.parent), at)
        prepared = learn(client, ledger, said, at)
    for conflict in prepared.conflicts:
        tell("warning:", f"{conflict.username}: {conflict.says}")
    words = _after_prepare(prepared)
    if as_json:
        typer.echo(json.dumps(_prepared_json(prepared) | {"next": command_line(*words)}, indent=2))
    else:
        typer.echo(_prepared_line(prepared))
        tell(shown_next(*words))
    if prepared.unknown or prepared.conflicts:
        raise typer.Exit(EXIT_OPEN)


def _after_prepare(prepared: Prepared) -> tuple[str, ...]:
    if prepared.left_sso:
        return ("reconcile",)
    return ("prepare", "--export") if prepared.unknown else ("preflight",)


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
    with _server(settings) as (ledger, client):
        found = findings(evidence_of.gather(client, ledger, settings, clock()))
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


def now(
    within_h: Annotated[
        list[float] | None,
        typer.Option(min=0, max=8760, help="Hours to look ahead; repeatedly. Default: 8 and 24."),
    ] = None,
    sessions: Annotated[
        bool, typer.Option(help="Look at everybody's sessions: a call for each person.")
    ] = True,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """What is true, and what to do next, in ten lines."""
    settings = settings_of(config)
    proxy = proxy_status.ask(settings.campaign.proxy_status)
    hours = sorted({0.0, *(within_h or (8.0, 24.0))})
    horizons = [timedelta(hours=hour) for hour in hours] if sessions else []
    with _server(settings) as (ledger, client), steps() as step:
        found = look_around(
            client,
            ledger,
            settings,
            proxy,
            clock(),
            horizons,
            lambda done, total: step("sessions", done, total, 0),
        )
    words = next_words(found)
    if as_json:
        typer.echo(json.dumps(_situation_json(found) | {"next": command_line(*words)}, indent=2))
    else:
        for subject, text in lines(found):
            typer.echo(f"{subject + ':':12}{text}")
        typer.echo(shown_next(*words))
    if found.campaign is not None:
        raise typer.Exit(EXIT_OPEN)


def _situation_json(found: Situation) -> dict[str, object]:
    age = found.inventory_age
    return {
        "now": found.now.isoformat(),
        "sso_works": found.sso_works,
        "sso": found.sso,
        "server": found.server,
        "release": found.release,
        "token": found.token,
        "inventory_age_h": None if age is None else round(age / timedelta(hours=1), 1),
        "on_sso": found.people,
        "way_back_known": found.known,
        "locked_out": [
            {
                "within_h": load.after / timedelta(hours=1),
                "people": load.people,
                "phone_h": round(load.phone_hours, 1),
            }
            for load in found.loads
        ],
        "campaign": None if found.campaign is None else _campaign_json(found.campaign),
    }


def _campaign_json(campaign: OpenCampaign) -> dict[str, object]:
    return {
        "id": campaign.id,
        "opened_at": campaign.opened_at.isoformat(),
        "until": None if campaign.until is None else campaign.until.isoformat(),
        "left": campaign.left,
        "states": {state.value: campaign.counts.get(state, 0) for state in RowState},
    }


def status(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Where everybody of the open campaign is, from the ledger alone: the server is not asked."""
    settings = settings_of(config)
    with opened_ledger(settings) as ledger:
        campaign = campaign_of(ledger)
    words = ("now",) if campaign is None or not campaign.left else ("return",)
    if as_json:
        shown = None if campaign is None else _campaign_json(campaign)
        typer.echo(json.dumps({"campaign": shown, "next": command_line(*words)}, indent=2))
    elif campaign is None:
        typer.echo("no campaign is open")
    else:
        typer.echo(f"campaign {campaign.id}, open since {campaign.opened_at:%Y-%m-%d %H:%M} UTC")
        for state in RowState:
            if campaign.counts.get(state):
                typer.echo(f"  {campaign.counts[state]:6} {state.value}")
        typer.echo(f"{campaign.left} people are left to be brought back")
    if not as_json:
        typer.echo(shown_next(*words))
    if campaign is not None:
        raise typer.Exit(EXIT_OPEN)
