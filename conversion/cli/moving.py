"""The command that moves people to email and password: `convert`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from conversion.campaign import Manner
from conversion.campaign import convert as carry_out
from conversion.cli.agreeing import (
    AsOption,
    ConfirmOption,
    Means,
    OverrideOption,
    PasswordOption,
    agreed,
)
from conversion.cli.progress import people
from conversion.cli.session import (
    EXIT_OPEN,
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    command_line,
    opened_bulk,
    opened_ledger,
    settings_of,
    shown_next,
    tell,
)
from conversion.converted_file import AT_PASSWORD
from conversion.decision.lifecycle import INTENTS, RowState
from conversion.errors import ConfigError
from conversion.naming import names_of, printable
from conversion.stored_plan import stored_plan
from idp_proxy.operators import Act, Wish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conversion.bulk import Bulk
    from conversion.campaign import Converted
    from conversion.config import Settings

_SHOWN = 20


def register(program: typer.Typer) -> None:
    """Add this command to `program`."""
    program.command("convert")(convert)


def convert(
    plan_digest: Annotated[
        str, typer.Option("--plan", metavar="DIGEST", help="The plan, by its digest.")
    ],
    pilot: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many people of the plan.")
    ] = None,
    wave: Annotated[
        int, typer.Option(min=0, help="How many go at a time, each held against the list; 0: all.")
    ] = 0,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Let the server hash: slow, and everybody gets a mail."),
    ] = False,
    new_envelope: Annotated[
        bool,
        typer.Option(
            "--new-envelope",
            help="The plan's limits take the place of the open campaign's; who opens one, agrees.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_name: AsOption = "",
    confirm: ConfirmOption = "",
    password_from: PasswordOption = "",
    override: OverrideOption = "",
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Carry out a plan: its people log in with email and a password they set, until the return."""
    settings = settings_of(config)
    manner = Manner(pilot, wave, plain, new_envelope=new_envelope)
    _confirm(settings, plan_digest, manner, yes=yes)
    means = Means(as_name, confirm, password_from, override)
    by, campaign = _consent(settings, plan_digest, manner, means)
    with people() as step, opened_bulk(settings, step) as opened:
        bulk = replace(opened, actor=by or opened.actor)
        if plain:
            _warn_of_plain(bulk)
        told = carry_out(bulk, plan_digest, manner=replace(manner, campaign=campaign))
        some = [user_id for user_id, _ in (*told.skipped[:_SHOWN], *told.problems[:_SHOWN])]
        names = names_of(bulk.ledger, some)
    complete = _is_complete(told, pilot)
    # Its envelope is the campaign's by now.
    again = _same_command(plan_digest, replace(manner, new_envelope=False))
    words = ("now",) if complete else again
    if as_json:
        typer.echo(json.dumps(_converted_json(told) | {"next": command_line(*words)}, indent=2))
    else:
        _show_converted(told, names)
        typer.echo(shown_next(*words))
    if not complete:
        raise typer.Exit(EXIT_OPEN)


def _same_command(plan_digest: str, manner: Manner) -> tuple[str, ...]:
    """What was typed, for the line that is copied: a pilot must not become everybody by it."""
    words = ["convert", "--plan", plan_digest]
    words += ["--pilot", str(manner.pilot)] * (manner.pilot is not None)
    words += ["--wave", str(manner.wave)] * (manner.wave > 0)
    words += ["--plain"] * manner.plain + ["--new-envelope"] * manner.new_envelope
    return tuple(words)


def _consent(
    settings: Settings, plan_digest: str, manner: Manner, means: Means
) -> tuple[str, str | None]:
    """Who does it, for the audit, and in which campaign they agreed to it, empty for a new one;
    neither where no operators are configured.

    The first plan of a campaign confirms its envelope, by as many people as the rules of the
    proxy's operators ask, and so does a new envelope; later plans inside it take one person.
    """
    if settings.operators is None:
        if means.as_name or means.confirm or means.override:
            raise ConfigError(["operators.url: missing: nobody can sign in with --as"])
        return "", None
    with opened_ledger(settings) as ledger:
        head = stored_plan(ledger, plan_digest).head
        current = ledger.current_campaign()
    confirms = current is None or manner.new_envelope
    act = Act.CAMPAIGN_ENVELOPE if confirms else Act.CONVERT
    until = f"{head.envelope.until:%Y-%m-%d %H:%M} UTC"
    target = f"plan {plan_digest}: {head.people} people, at most {head.envelope.at_most} by {until}"
    wish = Wish(act, target, "a conversion, as planned")
    yes = agreed(settings, wish, means, *_same_command(plan_digest, manner))
    return yes.actor, "" if current is None else current.id


def _warn_of_plain(bulk: Bulk) -> None:
    """What differs from the usual way, for this server (facts of the API, section 2)."""
    tell(
        "warning: --plain: the server hashes each password, which takes it a core and up to 0.3 s;"
        " it mails everybody 'your password has been updated': announce it, it looks like phishing"
    )
    ends = bulk.server.config().get("ServiceSettings", {}).get("TerminateSessionsOnPasswordChange")
    if ends and bulk.capabilities.password_may_end_sessions:
        tell(
            "warning: --plain: this server ends the sessions of whoever gets a password"
            " (TerminateSessionsOnPasswordChange)"
        )


def _confirm(settings: Settings, digest: str, manner: Manner, *, yes: bool) -> None:
    """The envelope is confirmed by typing how many people are moved."""
    if yes:
        return
    with opened_ledger(settings) as ledger:
        count = stored_plan(ledger, digest).head.people
    count = count if manner.pilot is None else min(manner.pilot, count)
    question = f"{count} people leave SSO until the return. Type {count} to go on"
    try:
        answer = typer.prompt(question, err=True)
    except typer.Abort:
        answer = ""
    if answer.strip() != str(count):
        tell("error: not confirmed; nobody was touched (in a script: --yes)")
        tell(shown_next(*_same_command(digest, manner)))
        raise typer.Exit(EXIT_REFUSED)


def _is_complete(told: Converted, pilot: int | None) -> bool:
    """Whether this command did all it was asked to; a good pilot leaves the others planned."""
    unsure = any(told.counts.get(state) for state in INTENTS)
    as_asked = pilot is not None and not told.problems
    return not (told.stopped or unsure or (told.waiting and not as_asked))


def _show_converted(told: Converted, names: Mapping[str, str]) -> None:
    away = sum(told.counts.get(state, 0) for state in AT_PASSWORD)
    typer.echo(
        f"campaign {told.campaign}: {away} people are at email and password now,"
        f" {told.moved} of them by this command"
    )
    if told.waiting:
        typer.echo(f"{told.waiting} of the plan are not moved yet")
    if told.repaired:
        typer.echo(f"{told.repaired} were converted anew: another change had undone it")
    for label, found in (("skipped", told.skipped), ("problem", told.problems)):
        for user_id, why in found[:_SHOWN]:
            typer.echo(f"{label}: {names[user_id]}: {printable(why)}")
        if len(found) > _SHOWN:
            typer.echo(f"{label}: and {len(found) - _SHOWN} more; see report")
    if told.not_in_file:
        tell(f"warning: {len(told.not_in_file)} are not in the proxy's file: no auth_data is known")
    if told.stopped:
        typer.echo(f"STOPPED: {told.stopped}")
    typer.echo("tell them: log in with your email, and set a password by 'I forgot my password'")


def _converted_json(told: Converted) -> dict[str, object]:
    return {
        "campaign": told.campaign,
        "moved": told.moved,
        "waiting": told.waiting,
        "repaired": told.repaired,
        "skipped": dict(told.skipped),
        "problems": dict(told.problems),
        "not_in_file": list(told.not_in_file),
        "stopped": told.stopped,
        "states": {state.value: told.counts.get(state, 0) for state in RowState},
    }
