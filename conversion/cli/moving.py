"""Commands that move people to email and password: `plan`, `convert`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path  # noqa: TC003 - Typer reads it at run time
from typing import TYPE_CHECKING, Annotated

import typer

from conversion import proxy_status
from conversion.campaign import convert as carry_out
from conversion.cli.progress import people
from conversion.cli.session import (
    EXIT_OPEN,
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    must_be_text,
    opened_bulk,
    opened_ledger,
    settings_of,
    shown_next,
    tell,
)
from conversion.decision.lifecycle import INTENTS, RowState
from conversion.decision.plan import Envelope
from conversion.errors import ConfigError
from conversion.planning import OUT, Choice, Surroundings, draw_up
from conversion.sessions import idle_of
from conversion.stored_plan import stored_plan
from conversion.truth import look

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from conversion.bulk import Bulk
    from conversion.campaign import Converted
    from conversion.config import Settings
    from conversion.planning import Draft

_SHOWN = 20


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    program.command("plan")(plan)
    program.command("convert")(convert)


def plan(
    at_most: Annotated[
        int, typer.Option(min=1, help="How many people the campaign may move at most.")
    ],
    user: Annotated[
        list[str] | None, typer.Option(help="One person, by user name or id; repeatedly.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="People by user name or id, one a line.")
    ] = None,
    locked_out: Annotated[
        bool, typer.Option("--locked-out", help="Everybody who has no live session now.")
    ] = False,
    all_locked_out_within_h: Annotated[
        float | None,
        typer.Option(min=0, max=8760, help="Everybody who has none in so many hours."),
    ] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Everybody on SSO.")] = False,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Never this person, by user name or id; repeatedly.")
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M"], help="When the campaign ends, in UTC. Default: in 24 hours."
        ),
    ] = None,
    accept: Annotated[
        list[str] | None, typer.Option(metavar="CODE", help="An objection that you answer for.")
    ] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say who is to be moved, and hear what stands against it. Nobody is touched."""
    named = [*(user or ()), *(must_be_text(file, "--file") if file else ())]
    choice = _choice(
        named,
        named_at_all=bool(user) or file is not None,
        locked_out=locked_out,
        within_h=all_locked_out_within_h,
        everybody=everybody,
    )
    settings = settings_of(config)
    ends = clock() + timedelta(hours=24) if until is None else until.replace(tzinfo=UTC)
    proxy = proxy_status.ask(settings.campaign.proxy_status)
    with people() as step, opened_bulk(settings, step) as bulk:
        excluded = _excluded(bulk, exclude or (), settings.campaign.operator_user, choice)
        envelope = Envelope(frozenset(), at_most, excluded, ends)
        around = Surroundings(
            server=settings.access.url,
            at_most_percent=settings.campaign.at_most_percent,
            inventory_max_age=settings.campaign.inventory_max_age,
            standby_healthy=proxy.works,
            idle=idle_of(bulk.server.config()),
        )
        draft = draw_up(bulk, choice, envelope, around, frozenset(accept or ()))
    _show(draft, as_json=as_json)


def _choice(
    named: Sequence[str],
    *,
    named_at_all: bool,
    locked_out: bool,
    within_h: float | None,
    everybody: bool,
) -> Choice:
    ways = [named_at_all, locked_out, within_h is not None, everybody]
    if sum(ways) != 1:
        problem = (
            "say who, in one way: --user and --file, or --locked-out,"
            " or --all-locked-out-within-h, or --everybody"
        )
        raise ConfigError([problem])
    if named_at_all and not named:
        raise ConfigError(["--file: nobody is named in it"])
    if named_at_all:
        return Choice(named=frozenset(named))
    if everybody:
        return Choice(everybody=True)
    return Choice(standings=OUT, within=timedelta(hours=within_h or 0))


def _excluded(bulk: Bulk, names: Iterable[str], operator: str, choice: Choice) -> frozenset[str]:
    """User ids of `names`, and of the account whose SAML login shall prove that SSO is back.

    Raises `ConfigError` for a name that nobody has: a slip of the pen must not move somebody.
    """
    known = {
        name: account.id
        for account in look(bulk).values()
        for name in (account.id, account.username)
    }
    wanted = set(names)
    problems = [f"--exclude: no account is called {name}" for name in wanted - known.keys()]
    if known.get(operator) in {known.get(name) for name in choice.named} - {None}:
        problems.append(
            f"--user: {operator} is campaign.operator_user: moved, the account could not prove"
            " that SSO works; leave it out, or name another one there"
        )
    if problems:
        raise ConfigError(sorted(problems))
    return frozenset(known[name] for name in wanted | ({operator} & known.keys()))


def _show(draft: Draft, *, as_json: bool) -> None:
    words = ("convert", "--plan", draft.digest)
    made = draft.plan.head
    if as_json:
        content = {
            "digest": draft.digest,
            "people": [
                {"user_id": one.user_id, "username": one.username, "standing": one.standing}
                for one in draft.plan.people()
            ],
            "until": made.envelope.until.isoformat(),
            "answered": [str(objection) for objection in draft.answered],
            "next": command_line(*words),
        }
        typer.echo(json.dumps(content, indent=2))
        return
    names = sorted(one.username for one in draft.plan.people())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    typer.echo(f"plan {draft.digest}")
    typer.echo(f"moves {len(names)} people: {', '.join(names[:_SHOWN])}{more}")
    typer.echo(f"the campaign may move {made.envelope.at_most} people until "
               f"{made.envelope.until:%Y-%m-%d %H:%M} UTC")  # fmt: skip
    for objection in draft.answered:
        typer.echo(f"accepted: {objection}")
    typer.echo("valid for 60 minutes; nobody was touched")
    typer.echo(shown_next(*words))


def convert(
    plan_digest: Annotated[
        str, typer.Option("--plan", metavar="DIGEST", help="The plan, by its digest.")
    ],
    pilot: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many people of the plan.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Carry out a plan: its people log in with email and a password they set, until the return."""
    settings = settings_of(config)
    _confirm(settings, plan_digest, pilot, yes=yes)
    with people() as step, opened_bulk(settings, step) as bulk:
        told = carry_out(bulk, plan_digest, pilot)
    complete = _is_complete(told, pilot)
    words = ("now",) if complete else ("convert", "--plan", plan_digest)
    if as_json:
        typer.echo(json.dumps(_converted_json(told) | {"next": command_line(*words)}, indent=2))
    else:
        _show_converted(told)
        typer.echo(shown_next(*words))
    if not complete:
        raise typer.Exit(EXIT_OPEN)


def _confirm(settings: Settings, digest: str, pilot: int | None, *, yes: bool) -> None:
    """The envelope is confirmed by typing how many people are moved."""
    if yes:
        return
    with opened_ledger(settings) as ledger:
        count = stored_plan(ledger, digest).head.people
    count = count if pilot is None else min(pilot, count)
    question = f"{count} people leave SSO until the return. Type {count} to go on"
    try:
        answer = typer.prompt(question, err=True)
    except typer.Abort:
        answer = ""
    if answer.strip() != str(count):
        tell("error: not confirmed; nobody was touched (in a script: --yes)")
        tell(shown_next("convert", "--plan", digest))
        raise typer.Exit(EXIT_REFUSED)


def _is_complete(told: Converted, pilot: int | None) -> bool:
    """Whether this command did all it was asked to; a good pilot leaves the others planned."""
    unsure = any(told.counts.get(state) for state in INTENTS)
    as_asked = pilot is not None and not told.problems
    waiting = told.counts.get(RowState.PLANNED, 0) > 0 and not as_asked
    return not (told.stopped or unsure or waiting)


def _show_converted(told: Converted) -> None:
    typer.echo(f"campaign {told.campaign}: {told.moved} people are at email and password now")
    if told.repaired:
        typer.echo(f"{told.repaired} were converted anew: another change had undone it")
    for label, found in (("skipped", told.skipped), ("problem", told.problems)):
        for user_id, why in found[:_SHOWN]:
            typer.echo(f"{label}: {user_id}: {why}")
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
        "repaired": told.repaired,
        "skipped": dict(told.skipped),
        "problems": dict(told.problems),
        "not_in_file": list(told.not_in_file),
        "stopped": told.stopped,
        "states": {state.value: told.counts.get(state, 0) for state in RowState},
    }
