"""The command that ends a campaign without somebody: `write-off`, by two operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from conversion import alarms
from conversion.cli.agreeing import (
    LONGEST_REASON,
    ConfirmOption,
    Means,
    OverrideOption,
    PasswordOption,
    agreed,
)
from conversion.cli.session import (
    EXIT_OPEN,
    ConfigOption,
    clock,
    command_line,
    opened_ledger,
    settings_of,
    shown_next,
    tell,
)
from conversion.errors import ConfigError
from conversion.naming import ids_of, names_of
from conversion.writing_off import subjects, write_off
from idp_proxy.operators import Act, Wish

if TYPE_CHECKING:
    from datetime import datetime

    from conversion.config import Settings
    from conversion.ledger.sql import SqlLedger

_NO_OPERATORS = (
    "operators.url: missing; write-off takes two operators of the proxy: name its database there,"
    " by a reference, and its state_keys"
)


def register(program: typer.Typer) -> None:
    """Add this command to `program`."""
    program.command("write-off")(give_up)


def give_up(
    user: Annotated[list[str], typer.Argument(help="Whom to give up, by user name or id.")],
    as_name: Annotated[str, typer.Option("--as", metavar="NAME", help="Who you are: an operator.")],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why they stay at a password; it is recorded.")
    ] = "",
    confirm: ConfirmOption = "",
    password_from: PasswordOption = "",
    override: OverrideOption = "",
    config: ConfigOption = None,
) -> None:
    """Leave somebody at a password for good. One operator proposes, another one agrees."""
    settings = settings_of(config)
    if settings.operators is None:
        raise ConfigError([_NO_OPERATORS])
    if bool(reason.strip()) == bool(confirm):
        raise ConfigError(["--reason to propose it, or --confirm ID to agree: one of the two"])
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        raise ConfigError([f"--reason: one line of at most {LONGEST_REASON} characters"])
    with opened_ledger(settings) as ledger:
        given_up = subjects(ledger, ids_of(ledger, user, "write-off"))
        people = [row.user_id for row in given_up.rows]
        wish = Wish(Act.WRITTEN_OFF, given_up.target, reason.strip())
        means = Means(as_name, confirm, password_from, override)
        yes = agreed(settings, wish, means, "write-off", *people)
        at = clock()
        lost = write_off(ledger, given_up, yes.actor, yes.reason, at)
        written = len(people) - len(lost)
        typer.echo(f"{written} people are written off, by {yes.actor}: {yes.reason}")
        for row in lost:
            name = names_of(ledger, [row.user_id])[row.user_id]
            typer.echo(f"problem: {name}: somebody else changed the row; it stays")
        _notify(settings, ledger, given_up.campaign, written, at)
    typer.echo(shown_next("verify"))
    if lost:
        raise typer.Exit(EXIT_OPEN)


def _notify(
    settings: Settings, ledger: SqlLedger, campaign: str, people: int, at: datetime
) -> None:
    """Everybody on the channels hears of it: nobody is given up in silence."""
    if not settings.notify.urls or not people:
        return
    command = command_line("report")
    notice = alarms.written_off(campaign, people, at, command)
    if not alarms.tell(ledger, settings.notify, [notice], at, command):
        tell("warning: a channel of [notify] did not take the message")
