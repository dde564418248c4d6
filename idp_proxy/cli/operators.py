"""`operator add`, `list`, `disable`, `confirm`: who may act on the proxy beside the host's user."""

from __future__ import annotations

import io
import json
import secrets
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

import typer
from rich.table import Table

from idp_proxy.audit.log import AuditLog
from idp_proxy.cli import approving, terminal
from idp_proxy.cli.approving import Approved, OverrideOption, Waiting
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
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption, referred
from idp_proxy.decision.approval import Act, Role
from idp_proxy.operators import accounts, attempts
from idp_proxy.operators.accounts import Enrolment, Operator, State, actor_of
from idp_proxy.operators.consent import Wish
from idp_proxy.operators.factor import enrolment_uri, new_secret, step_of
from idp_proxy.operators.passwords import SHORTEST, Passwords, check_password
from idp_proxy.operators.refusals import OperatorInvalid

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from idp_proxy.config import Settings
    from idp_proxy.decision.proposal import Proposal
    from idp_proxy.store.sql import SqlStore

_ADD: Final = "add"
_DISABLE: Final = "disable"
_CONFIRM: Final = ("operator", "confirm")
_TRIES_AT_THE_CODE: Final = 3

_NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The operator.")]


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="Who may act on the proxy.", no_args_is_help=True)
    group.command("add")(add)
    group.command("list")(list_operators)
    group.command("disable")(disable)
    group.command("confirm")(confirm)
    program.add_typer(group, name="operator")


def add(
    name: _NameArgument,
    role: Annotated[list[Role], typer.Option(help="What they may do; once for each role.")],
    reason: ReasonOption = "a new operator",
    new_password_from: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="The new operator's password from file:PATH or env:NAME instead of a question.",
        ),
    ] = None,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    override: OverrideOption = None,
    config: ConfigOption = None,
) -> None:
    """Enrol an operator: a password, and a device that shows codes.

    The new operator sits at the terminal. Once there are operators, two people agree to it.
    """
    settings = settings_of(config)
    wish = Wish(Act.OPERATOR_CHANGE, f"{_ADD} {name} as {','.join(sorted(set(role)))}", reason)
    with opened_store(settings) as store:
        _check_free(store, name)
        new = _enrol(settings, name, role, new_password_from)

        def keep(connection: Connection, by: str, proposal: str | None) -> None:
            record = AuditLog(settings.proxy.host).append
            accounts.add(connection, new, by=by, now=clock(), record=record, proposal=proposal)

        outcome = approving.request(
            settings,
            store,
            wish,
            Means(as_name, override, password_from),
            effect=lambda connection, approved: keep(connection, approved.actor, None),
            pending=lambda connection, made: keep(connection, actor_of(made.people[0]), made.id),
        )
        if isinstance(outcome, Waiting):
            approving.leave_open(settings, outcome, *_CONFIRM)
        _tell_of_approvers(store)
    typer.echo(f"{name} is an operator: {', '.join(sorted(set(role)))}")
    typer.echo(shown_next("operator", "list"))


def disable(
    name: _NameArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    override: OverrideOption = None,
    config: ConfigOption = None,
) -> None:
    """Take away whatever NAME may do, at once. Once there are operators, two people agree to it."""
    settings = settings_of(config)
    reason = terminal.one_line(reason, "--reason")
    wish = Wish(Act.OPERATOR_CHANGE, f"{_DISABLE} {name}", reason)
    with opened_store(settings) as store:
        with store.reading() as connection:
            if why_not := accounts.why_not_disabled(accounts.find(connection, name), name):
                raise OperatorInvalid(why_not)
        outcome = approving.request(
            settings,
            store,
            wish,
            Means(as_name, override, password_from),
            effect=lambda connection, approved: _disable(
                settings, connection, name, reason, approved
            ),
        )
        if isinstance(outcome, Waiting):
            approving.leave_open(settings, outcome, *_CONFIRM)
        _tell_of_approvers(store)
    typer.echo(f"{name} is disabled")
    typer.echo(shown_next("operator", "list"))


def confirm(
    proposal_id: Annotated[str, typer.Argument(metavar="ID", help="The proposal.")],
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Agree, as the second person, to a change of the operators."""
    settings = settings_of(config)

    def change(connection: Connection, made: Proposal, approved: Approved) -> None:
        verb, name = made.target.split()[:2]
        if verb == _DISABLE:
            _disable(settings, connection, name, made.reason, approved)
            return
        record = AuditLog(settings.proxy.host).append
        accounts.confirm(connection, name, made.id, by=approved.actor, now=clock(), record=record)

    with opened_store(settings) as store:
        made, _ = approving.confirm(
            settings,
            store,
            proposal_id,
            Means(as_name, None, password_from),
            {Act.OPERATOR_CHANGE},
            change,
        )
        _tell_of_approvers(store)
    typer.echo(f"done: {made.target}")
    typer.echo(shown_next("operator", "list"))


def list_operators(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show every operator, what they may do, and when they last signed in."""
    settings = settings_of(config)
    with opened_store(settings) as store, store.reading() as connection:
        everyone = accounts.everyone(connection)
        locked = attempts.locked(connection, clock())
        unreadable = accounts.unreadable(connection, accounts.key_ring(settings.proxy.state_keys))
    pending = [one for one in everyone if one.state is State.PENDING and one.proposal]
    words: tuple[str, ...] = ("status",)
    if pending:
        words = (*_CONFIRM, pending[0].proposal or "")
    if not everyone:
        words = ("operator", "add", "NAME", "--role", "operator", "--role", "approver")
    if as_json:
        unable = {*unreadable, *locked}
        listed = [_as_json(one, can_sign_in=one.name not in unable) for one in everyone]
        typer.echo(json.dumps({"operators": listed, "next": command_line(*words)}, indent=2))
        return
    if not everyone:
        typer.echo("there is no operator: the host's user acts alone")
    else:
        _show(everyone)
        for name in sorted(unreadable):
            tell(f"warning: {name} cannot sign in: the state key that sealed their factor is gone")
        for name, until in locked.items():
            tell(f"warning: {name} is locked until {until:%H:%M:%S} UTC, after too many failures")
    typer.echo(shown_next(*words))


def _disable(
    settings: Settings, connection: Connection, name: str, reason: str, approved: Approved
) -> None:
    record = AuditLog(settings.proxy.host).append
    accounts.disable(connection, name, reason, by=approved.actor, now=clock(), record=record)


def _check_free(store: SqlStore, name: str) -> None:
    """Refuse a name before anybody has typed a password for it."""
    accounts.check_name(name)
    with store.reading() as connection:
        found = accounts.find(connection, name)
    if found is not None and found.state is State.ENABLED:
        raise OperatorInvalid(
            f"there is an operator {name} already: disable them first to enrol them again"
        )


def _enrol(
    settings: Settings, name: str, roles: list[Role], password_from: str | None
) -> Enrolment:
    """Ask the new operator for a password, and for one code of their device."""
    if password_from is None:
        question = f"a new password for {name}, at least {SHORTEST} characters"
        password = terminal.secret(question, twice=True)
    else:
        password = referred("--new-password-from", password_from)
    check_password(password, name)
    secret = new_secret(secrets.token_bytes)
    _show_secret(enrolment_uri(secret, name, urlsplit(settings.proxy.public_url).hostname or ""))
    return accounts.enrol(
        name,
        roles,
        password,
        secret,
        _code_of(secret),
        passwords=Passwords(),
        ring=accounts.key_ring(settings.proxy.state_keys),
        now=clock(),
    )


def _show_secret(uri: str) -> None:
    """Show the secret once, for a device and in words: on stderr, as it is no answer."""
    import segno  # noqa: PLC0415 - for this one command: every other one is back sooner without it

    picture = io.StringIO()
    segno.make(uri, micro=False).terminal(out=picture, compact=True)
    tell("scan this with an authenticator app; it is shown once, so clear the screen afterwards")
    tell(picture.getvalue())
    tell(uri)


def _code_of(secret: str) -> str:
    """A code that shows that the device has the secret; a few slips of the finger are forgiven."""
    for _ in range(_TRIES_AT_THE_CODE - 1):
        code = terminal.line("the code that it shows")
        if step_of(secret, code, clock()) is not None:
            return code
        tell("that is not its code now: look at the clock of the device, and try the next one")
    return terminal.line("the code that it shows")


def _tell_of_approvers(store: SqlStore) -> None:
    """Say how many people the acts of DESIGN section 9 take from now on."""
    with store.reading() as connection:
        approvers = accounts.approvers_enabled(connection)
    if approvers == 0:
        tell("warning: nobody is an approver: what takes two people takes an override")
    elif approvers == 1:
        tell("with one approver, what goes by approvals takes one person; with two it takes two")


def _as_json(one: Operator, *, can_sign_in: bool) -> dict[str, Any]:
    return {
        "name": one.name,
        "roles": sorted(one.roles),
        "state": one.state.value,
        "proposal": one.proposal,
        "can_sign_in": can_sign_in and one.state is State.ENABLED,
        "created_at": one.created_at.isoformat(),
        "created_by": one.created_by,
        "last_login": None if one.last_login is None else one.last_login.isoformat(),
    }


def _show(everyone: tuple[Operator, ...]) -> None:
    table = Table("operator", "roles", "state", "last sign-in (UTC)", "added by")
    for one in everyone:
        state = f"waits for {one.proposal}" if one.proposal else one.state.value
        last = "never" if one.last_login is None else f"{one.last_login:%Y-%m-%d %H:%M:%S}"
        table.add_row(one.name, ", ".join(sorted(one.roles)), state, last, one.created_by)
    screen.print(table)
