"""`override list`, `stop` and `review`: what one person does alone, and who looked at it since."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from idp_proxy.audit.log import AuditLog
from idp_proxy.cli import terminal
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
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption, signed_in
from idp_proxy.decision.approval import Act
from idp_proxy.operators import accounts, attempts, overrides
from idp_proxy.operators.accounts import actor_of
from idp_proxy.operators.consent import Wish
from idp_proxy.operators.overrides import Override, OverrideState

_IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The override.")]


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="What one person did alone.", no_args_is_help=True)
    group.command("list")(list_overrides)
    group.command("stop")(stop)
    group.command("review")(review)
    program.add_typer(group, name="override")


def list_overrides(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show every override, the newest first, and which still wait for a review."""
    settings = settings_of(config)
    with opened_store(settings) as store, store.reading() as connection:
        found = overrides.everything(connection)
    waiting = [one for one in found if one.state is OverrideState.OPEN]
    words = _next(found)
    if as_json:
        listed = [_as_json(one) for one in found]
        typer.echo(json.dumps({"overrides": listed, "next": command_line(*words)}, indent=2))
        return
    if found:
        _show(found)
    typer.echo(f"{len(waiting)} of {len(found)} overrides wait for a review")
    typer.echo(shown_next(*words))


def _next(found: tuple[Override, ...]) -> tuple[str, ...]:
    """What is most urgent: a countdown first, then the review that waits the longest."""
    first = {one.state: one.id for one in found}
    if (counting := first.get(OverrideState.COUNTING)) is not None:
        return ("override", "stop", counting, "--reason", "nobody agreed to this")
    if (waiting := first.get(OverrideState.OPEN)) is not None:
        return ("override", "review", waiting)
    return ("status",)


def stop(
    override_id: _IdArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Stop the countdown of an override, whoever began it: then nothing is done."""
    settings = settings_of(config)
    why = terminal.one_line(reason, "--reason")
    with opened_store(settings) as store:
        wish = Wish(Act.STOP_OVERRIDE, override_id, why)
        approved = ask(settings, store, wish, Means(as_name, None, password_from))
        with store.writing() as connection:
            attempts.take_turn(connection, clock())
            record = AuditLog(settings.proxy.host).append
            found = overrides.demand(connection, override_id)
            overrides.stop(connection, found, approved.people[0], clock(), record, why)
    typer.echo(f"override {override_id} is stopped: {found.act} {found.target} was not done")
    typer.echo(shown_next("override", "list"))


def review(
    override_id: _IdArgument,
    note: Annotated[str, typer.Option("--note", help="What you found, in one line.")],
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Say that you looked at what somebody else did alone. It takes your credential."""
    settings = settings_of(config)
    found = terminal.one_line(note, "--note")
    with opened_store(settings) as store:
        person = signed_in(settings, store, Means(as_name, None, password_from))
        with store.writing() as connection:
            attempts.take_turn(connection, clock())
            by = accounts.person_of(connection, person.name)
            record = AuditLog(settings.proxy.host).append
            overrides.review(connection, override_id, by, found, now=clock(), record=record)
    typer.echo(f"override {override_id} is reviewed by {person.name}")
    typer.echo(shown_next("override", "list"))


def _as_json(one: Override) -> dict[str, Any]:
    return {
        "id": one.id,
        "at": one.at.isoformat(),
        "act": one.act.value,
        "target": one.target,
        "reason": one.reason,
        "people": list(one.people),
        "state": one.state.value,
        "reviewed_at": None if one.reviewed_at is None else one.reviewed_at.isoformat(),
        "reviewed_by": one.reviewed_by,
        "review": one.review,
    }


def _show(found: tuple[Override, ...]) -> None:
    table = Table("id", "at (UTC)", "what", "by", "reason", "state")
    for one in found:
        state = one.state.value if one.reviewed_by is None else f"reviewed by {one.reviewed_by}"
        table.add_row(
            one.id,
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            f"{one.act} {one.target}",
            ", ".join(actor_of(name) for name in one.people),
            one.reason,
            state,
        )
    screen.print(table)
