"""The command that ends a campaign without somebody: `write-off`, by two operators."""

from __future__ import annotations

import secrets
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conversion import alarms
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
from conversion.config import secret_of
from conversion.consent import Desk
from conversion.errors import ConfigError, ConsentRefused
from conversion.writing_off import subjects, write_off
from idp_proxy.operators import Act, Credential, Wish

if TYPE_CHECKING:
    from datetime import datetime

    from conversion.config import Settings
    from conversion.ledger.sql import SqlLedger
    from conversion.writing_off import Subjects

_LONGEST = 500
_NO_OPERATORS = (
    "operators.url: missing; write-off takes two operators of the proxy: name its database there,"
    " by a reference, and its state_keys"
)


def register(program: typer.Typer) -> None:
    """Add this command to `program`."""
    program.command("write-off")(give_up)


def give_up(
    user_id: Annotated[list[str], typer.Argument(help="Whom to give up, by user id.")],
    as_name: Annotated[str, typer.Option("--as", metavar="NAME", help="Who you are: an operator.")],
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why they stay at a password; it is recorded.")
    ] = "",
    confirm: Annotated[
        str, typer.Option(metavar="ID", help="Agree to this proposal about the same people.")
    ] = "",
    password_from: Annotated[
        str,
        typer.Option(metavar="REFERENCE", help="Your password from file:PATH or env:NAME."),
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Leave somebody at a password for good. One operator proposes, another one agrees."""
    settings = settings_of(config)
    if settings.operators is None:
        raise ConfigError([_NO_OPERATORS])
    if bool(reason.strip()) == bool(confirm):
        raise ConfigError(["--reason to propose it, or --confirm ID to agree: one of the two"])
    if len(reason) > _LONGEST or not reason.isprintable():
        raise ConfigError([f"--reason: one line of at most {_LONGEST} characters"])
    with (
        opened_ledger(settings) as ledger,
        closing(Desk(settings.operators, settings.ledger.host)) as desk,
    ):
        given_up = subjects(ledger, user_id)
        name = desk.sign_in(_credential(as_name, password_from), clock())
        if confirm:
            _agree(settings, ledger, desk, given_up, name, confirm)
        else:
            _propose(desk, given_up, name, reason.strip())


def _credential(name: str, password_from: str) -> Credential:
    """What the operator types: unseen, or from a reference. Raises `ConsentRefused` for nothing."""
    try:
        password = (
            secret_of("--password-from", password_from, Path.cwd())
            if password_from
            else typer.prompt(f"password of {name!a}", hide_input=True, err=True)
        )
        return Credential(name, password, typer.prompt("code of the authenticator", err=True))
    except typer.Abort:
        raise ConsentRefused("the question was not answered; nothing has changed") from None


def _propose(desk: Desk, given_up: Subjects, name: str, reason: str) -> None:
    wish = Wish(Act.WRITTEN_OFF, given_up.target, reason)
    made = desk.propose(name, wish, secrets.token_hex(4), clock())
    typer.echo(f"nothing has changed: another operator must agree to {given_up.target}")
    typer.echo(f"proposal {made.id} waits until {made.expires_at:%H:%M:%S} UTC")
    people = [row.user_id for row in given_up.rows]
    typer.echo(shown_next("write-off", *people, "--confirm", made.id, "--as", "NAME"))
    raise typer.Exit(EXIT_OPEN)


def _agree(
    settings: Settings, ledger: SqlLedger, desk: Desk, given_up: Subjects, name: str, proposal: str
) -> None:
    at = clock()
    agreed = desk.agree(name, proposal, Act.WRITTEN_OFF, given_up.target, at)
    lost = write_off(ledger, given_up, agreed.actor, agreed.reason, at)
    written = len(given_up.rows) - len(lost)
    typer.echo(f"{written} people are written off, by {agreed.actor}: {agreed.reason}")
    for row in lost:
        typer.echo(f"problem: {row.user_id}: somebody else changed the row; it stays")
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
    if not alarms.tell(ledger, settings.notify, notice, at, command):
        tell("warning: a channel of [notify] did not take the message")
