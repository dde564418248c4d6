"""Commands that tell what is so: `now`, `status`, `brief`."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from conversion import alarms, proxy_status
from conversion.cli.notifying import NOBODY
from conversion.cli.progress import steps
from conversion.cli.session import (
    EXIT_OPEN,
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_ledger,
    opened_server,
    settings_of,
    shown_next,
    tell,
)
from conversion.decision.lifecycle import RowState
from conversion.decision.situation import alarm_of, lines, next_words
from conversion.decision.triage import HORIZONS
from conversion.errors import ConfigError
from conversion.report import Language, brief_of
from conversion.situation import campaign_of, inventory_of, look_around

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conversion.config import Settings
    from conversion.decision.situation import OpenCampaign, Situation
    from conversion.ledger.sql import SqlLedger

_Sessions = Annotated[
    bool, typer.Option(help="Look at everybody's sessions: a call for each person.")
]


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    program.command("now")(now)
    program.command("status")(status)
    program.command("brief")(brief)


def now(
    within_h: Annotated[
        list[float] | None,
        typer.Option(min=0, max=8760, help="Hours to look ahead; repeatedly. Default: 8 and 24."),
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="HH:MM", help="Look ahead to this time of day, in UTC.")
    ] = "",
    sessions: _Sessions = True,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """What is true, and what to do next, in ten lines."""
    settings = settings_of(config)
    found = situation(settings, within_h or (), by, sessions=sessions)
    words = next_words(found)
    if as_json:
        typer.echo(json.dumps(_situation_json(found) | {"next": command_line(*words)}, indent=2))
    else:
        for subject, text in lines(found):
            typer.echo(f"{subject + ':':12}{text}")
        typer.echo(shown_next(*words))
    if found.campaign is not None:
        raise typer.Exit(EXIT_OPEN)


def situation(
    settings: Settings, within_h: Sequence[float], by: str, *, sessions: bool
) -> Situation:
    """What is true now, with who is locked out in so many hours, and by a time of day."""
    at = clock()
    ahead = {timedelta(hours=hour) for hour in within_h}
    if by:
        ahead.add(until_time_of_day(by, at))
    horizons = sorted({timedelta(0), *(ahead or HORIZONS)}) if sessions else []
    proxy = proxy_status.ask(settings.campaign.proxy_status)
    with opened_server(settings) as (ledger, client), steps() as step:
        return look_around(
            client,
            ledger,
            settings,
            proxy,
            at,
            horizons,
            lambda done, total: step("sessions", done, total, 0),
        )


def until_time_of_day(text: str, at: datetime) -> timedelta:
    """How long from `at` to this time of day in UTC, today or else tomorrow.

    Raises `ConfigError` for what is no time.
    """
    try:
        wanted = time.fromisoformat(text)
    except ValueError as error:
        raise ConfigError([f"--by: {text!r} is no time of day; write it like 06:30"]) from error
    if wanted.tzinfo is not None:
        raise ConfigError([f"--by: {text!r} has a time zone; the time is UTC"])
    ahead = datetime.combine(at.date(), wanted, at.tzinfo) - at
    return ahead if ahead >= timedelta(0) else ahead + timedelta(days=1)


def _situation_json(found: Situation) -> dict[str, object]:
    age = found.inventory_age
    return {
        "now": found.now.isoformat(),
        "sso_works": found.sso_works,
        "sso": found.sso,
        "last_saml_login": None
        if found.last_saml_login is None
        else found.last_saml_login.isoformat(),
        "server": found.server,
        "release": found.release,
        "token": found.token,
        "inventory_age_h": None if age is None else round(age / timedelta(hours=1), 1),
        "door": {"by_email": found.door.by_email, "by_user_name": found.door.by_name},
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
        "locked_out_now": list(found.out_now),
        "campaign": None if found.campaign is None else _campaign_json(found.campaign, found.now),
    }


def _campaign_json(campaign: OpenCampaign, at: datetime) -> dict[str, object]:
    away = campaign.waiting
    return {
        "id": campaign.id,
        "opened_at": campaign.opened_at.isoformat(),
        "until": None if campaign.until is None else campaign.until.isoformat(),
        "left": campaign.left,
        "away_since": None if away.since is None else away.since.isoformat(),
        "reminded": away.reminded,
        "overdue": away.overdue,
        "alarm": alarm_of(campaign, at),
        "states": {state.value: campaign.counts.get(state, 0) for state in RowState},
    }


def status(
    notify: Annotated[
        bool, typer.Option("--notify", help="Tell those in notify.urls what is due; for cron.")
    ] = False,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Where everybody of the open campaign is, from the ledger alone: the server is not asked."""
    settings = settings_of(config)
    if notify and not settings.notify.urls:
        raise ConfigError([NOBODY])
    with opened_ledger(settings) as ledger:
        at = clock()
        campaign = campaign_of(ledger, at, settings.campaign.deadlines)
        told = not notify or _told(ledger, settings, campaign, at)
    words = ("now",) if campaign is None or not campaign.left else ("return",)
    if as_json:
        shown = None if campaign is None else _campaign_json(campaign, at)
        typer.echo(json.dumps({"campaign": shown, "next": command_line(*words)}, indent=2))
    elif campaign is None:
        typer.echo("no campaign is open")
    else:
        typer.echo(f"campaign {campaign.id}, open since {campaign.opened_at:%Y-%m-%d %H:%M} UTC")
        for state in RowState:
            if campaign.counts.get(state):
                typer.echo(f"  {campaign.counts[state]:6} {state.value}")
        typer.echo(f"{campaign.left} people are left to be brought back")
        if alarm := alarm_of(campaign, at):
            typer.echo(alarm)
    if not as_json:
        typer.echo(shown_next(*words))
    if not told:
        tell("error: a channel of [notify] did not take the message; it is tried at the next run")
        raise typer.Exit(EXIT_REFUSED)
    if campaign is not None:
        raise typer.Exit(EXIT_OPEN)


def _told(
    ledger: SqlLedger, settings: Settings, campaign: OpenCampaign | None, at: datetime
) -> bool:
    """Whether every channel took what there was to tell."""
    command, wanted = command_line("status"), settings.campaign
    age, _ = inventory_of(ledger, at)
    found = (
        None if campaign is None else alarms.notice_of(campaign, wanted.deadlines, at, command),
        alarms.inventory_notice(age, wanted.inventory_max_age, at, command_line("prepare")),
    )
    notices = [one for one in found if one is not None]
    return alarms.tell(ledger, settings.notify, notices, at, command, watched=alarms.WATCHED)


def brief(
    language: Annotated[
        Language, typer.Option(help="The language of the six lines.")
    ] = Language.EN,
    next_update_min: Annotated[
        int, typer.Option(min=5, max=1440, help="Minutes until you tell again.")
    ] = 30,
    sessions: _Sessions = True,
    config: ConfigOption = None,
) -> None:
    """Six lines for the management, to copy into a mail."""
    settings = settings_of(config)
    found = situation(settings, (), "", sessions=sessions)
    update = found.now + timedelta(minutes=next_update_min)
    typer.echo(brief_of(found, language, update, settings.campaign.owner), nl=False)
    tell(shown_next(*next_words(found)))
    if found.campaign is not None:
        raise typer.Exit(EXIT_OPEN)
