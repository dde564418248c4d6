"""Who acts, and who must agree: what a command asks before it does what takes operators."""

from __future__ import annotations

import os
import secrets
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conversion import alarms
from conversion.cli.session import (
    EXIT_OPEN,
    actor,
    clock,
    command_line,
    opened_ledger,
    shown_next,
    tell,
)
from conversion.config import secret_of
from conversion.consent import Agreed, Countdown, Desk
from conversion.errors import ConfigError, ConsentRefused
from idp_proxy.operators import Credential

if TYPE_CHECKING:
    from conversion.config import Settings
    from idp_proxy.operators import Wish

AsOption = Annotated[
    str, typer.Option("--as", metavar="NAME", help="Sign in as this operator of the proxy.")
]
ConfirmOption = Annotated[
    str, typer.Option(metavar="ID", help="Agree to this proposal about the very same.")
]
OverrideOption = Annotated[
    str,
    typer.Option(
        metavar="REASON",
        help="Do alone what takes two: 60 s to stop it, everybody is told, somebody reviews it.",
    ),
]
PasswordOption = Annotated[
    str, typer.Option(metavar="REFERENCE", help="Your password from file:PATH or env:NAME.")
]

#: Characters of a reason at most: it is a line in the audit, not a document.
LONGEST_REASON = 500
_SHOWN_EVERY_S = 10


@dataclass(frozen=True, slots=True)
class Means:
    """How somebody goes about it: the options of the command line."""

    as_name: str = ""
    confirm: str = ""
    password_from: str = ""
    override: str = ""


def agreed(settings: Settings, wish: Wish, means: Means, *again: str) -> Agreed:
    """Returns when `wish` may be done now, and once, after the countdown of an override if it is
    one. `again` is the command that confirms it; `settings` have operators.

    Raises `ConsentRefused`, `ConfigError` on a bad option, and `typer.Exit` (3) when another
    operator must agree first.
    """
    if settings.operators is None:
        raise ConfigError(["operators.url: missing: nobody can sign in or agree"])
    override = means.override.strip()
    if len(override) > LONGEST_REASON or not override.isprintable() or (override and means.confirm):
        raise ConfigError(
            [f"--override: one line of at most {LONGEST_REASON} characters, and without --confirm"]
        )
    with closing(Desk(settings.operators, settings.ledger.host)) as desk:
        name = _who(desk, means)
        if means.confirm:
            return desk.agree(name, means.confirm, wish.act, wish.target, clock())
        outcome = desk.ask(name, wish, secrets.token_hex(4), clock(), override)
        if isinstance(outcome, Countdown):
            return _counted_down(settings, desk, outcome)
    if isinstance(outcome, Agreed):
        return outcome
    typer.echo(f"nothing has changed: another operator must agree to {wish.target}")
    typer.echo(f"proposal {outcome.id} waits until {outcome.expires_at:%H:%M:%S} UTC")
    typer.echo(shown_next(*again, "--confirm", outcome.id, "--as", "NAME"))
    raise typer.Exit(EXIT_OPEN)


def _counted_down(settings: Settings, desk: Desk, countdown: Countdown) -> Agreed:
    """Alarm everybody, wait, and ask again: somebody may have stepped in meanwhile."""
    used = countdown.override
    what = f"{used.act} {used.target}"
    tell(f"OVERRIDE {used.id}: {what}; everybody is told, and somebody else must review it:")
    tell(f"  idp-proxy override review {used.id}")
    try:
        _alarm(settings, used.id, what, used.reason)
        for left in range(int(countdown.length.total_seconds()), 0, -1):
            if left % _SHOWN_EVERY_S == 0:
                tell(f"in {left} s; Ctrl-C stops it")
            pause(1.0)
        return desk.finish(countdown, clock())
    except KeyboardInterrupt:
        desk.stop(countdown, clock())
        raise ConsentRefused(f"override {used.id} was stopped; nothing was done") from None
    except ConsentRefused:
        with suppress(ConsentRefused):  # somebody else may have stopped it
            desk.stop(countdown, clock())
        raise


def _alarm(settings: Settings, override_id: str, what: str, reason: str) -> None:
    if not settings.notify.urls:
        tell("warning: notify.urls is empty: nobody is told but by the proxy's own list")
        return
    at, command = clock(), command_line("status")
    notice = alarms.override_begun(override_id, what, reason, at, command)
    with opened_ledger(settings) as ledger:
        if not alarms.tell(ledger, settings.notify, [notice], at, command):
            tell("warning: a channel of [notify] did not take the message")


def pause(seconds: float) -> None:
    """Wait; Ctrl-C ends it with `KeyboardInterrupt`."""
    time.sleep(seconds)


def _who(desk: Desk, means: Means) -> str:
    """The operator who signs in; without one the host's user, who counts for little: root, or
    anybody before the first operator exists.
    """
    if means.as_name:
        return desk.sign_in(_credential(means), clock())
    if os.getuid() != 0 and desk.has_operators():
        raise ConsentRefused("sign in as an operator of the proxy: --as NAME")
    return actor()


def _credential(means: Means) -> Credential:
    """What the operator types, unseen. Raises `ConsentRefused` when nobody is there to type it."""
    name = means.as_name
    try:
        password = (
            secret_of("--password-from", means.password_from, Path.cwd())
            if means.password_from
            else typer.prompt(f"password of {name!a}", hide_input=True, err=True)
        )
        return Credential(name, password, typer.prompt("code of the authenticator", err=True))
    except typer.Abort:
        raise ConsentRefused("the question was not answered; nothing has changed") from None
