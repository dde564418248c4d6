"""`factor list` and `factor reset`: who can do a second step, and how one is taken away.

Nobody sets one up for somebody else: that is done at /enroll, behind the person's own login.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from idp_proxy.cli.approving import OverrideOption  # noqa: TC001 - Typer reads annotations
from idp_proxy.cli.roster.checking import ascii_or_quoted
from idp_proxy.cli.roster.people import PersonArgument, approved_by, one_person, record
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
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.decision.approval import Act
from idp_proxy.decision.second_factor import COPIED, Method, Tries, has_any
from idp_proxy.errors import RosterRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from idp_proxy.decision.roster import RosterRow
    from idp_proxy.decision.second_factor import Factor
    from idp_proxy.store.sql import SqlStore

_PAGE = 10_000


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="Second factors of people.", no_args_is_help=True)
    group.command("list")(list_factors)
    group.command("reset")(reset)
    program.add_typer(group, name="factor")


def list_factors(
    who: Annotated[
        str | None,
        typer.Argument(metavar="[WHO]", help="One person, by id, link key, email or user name."),
    ] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show how many people of the roster have a second factor; of WHO, which."""
    settings = settings_of(config)
    with opened_store(settings) as store:
        if who is None:
            _show_everybody(store, as_json=as_json)
            return
        row = one_person(store, who)
        _show_one(row, store.factors_of(row.id), store.factor_tries_of(row.id), as_json=as_json)


def reset(
    who: PersonArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Take every second factor from WHO. Until they set one up at /enroll, behind a login at the
    active, no standby that asks for one lets them in; in an outage that cannot be done. It takes an
    approver. For a stolen phone in an outage: roster block.
    """
    settings = settings_of(config)
    means = Means(as_name, override, password_from)
    with opened_store(settings) as store:
        row = one_person(store, who)
        if not store.factors_of(row.id):
            raise RosterRefused(f"{ascii_or_quoted(row.id)} has no second factor")
        approved = approved_by(settings, store, Act.RESET_FACTOR, row, reason, means)
        with store.transaction() as tx:
            tx.factor_tries(row.id)
            known = tx.factors(row.id)
            gone = tx.remove_factors(row.id, [one.id for one in known])
            tx.save_factor_tries(Tries(row.id))
            record(tx, "factor_reset", approved, row, reason, factors=gone)
    typer.echo(f"{ascii_or_quoted(row.id)} has no second factor any more ({gone} removed)")
    typer.echo(f"they set up a new one at {settings.proxy.public_url}/enroll, once it is quiet")
    typer.echo(shown_next("factor", "list"))


def _show_everybody(store: SqlStore, *, as_json: bool) -> None:
    holders, people, having, after = store.factor_holders(), 0, 0, ""
    while page := store.people_after(after, _PAGE):
        people += len(page)
        having += sum(row.id in holders for row in page)
        after = page[-1].id
    words = ("roster", "forecast")
    if as_json:
        found = {"people": people, "with": having, "without": people - having}
        typer.echo(json.dumps({**found, "next": command_line(*words)}, indent=2))
        return
    typer.echo(f"{having} of {people} people in the roster have a second factor")
    typer.echo(f"{people - having} have none: they set one up at /enroll, before an outage")
    typer.echo(shown_next(*words))


def _show_one(row: RosterRow, factors: Sequence[Factor], tries: Tries, *, as_json: bool) -> None:
    locked = tries.locked_until if tries.locked(clock()) else None
    words = ("factor", "reset", row.id, "--reason", "TEXT") if factors else ("factor", "list")
    if as_json:
        found = {
            "person": row.id,
            "usable": has_any(factors),
            "locked_until": None if locked is None else locked.isoformat(),
            "factors": [_as_json(one) for one in factors],
        }
        typer.echo(json.dumps({**found, "next": command_line(*words)}, indent=2))
        return
    if factors:
        table = Table("kind", "since (UTC)", "last used (UTC)", "state")
        for one in factors:
            table.add_row(one.method.value, _time(one.added_at), _time(one.used_at), _state(one))
        screen.print(table)
    else:
        typer.echo(f"{ascii_or_quoted(row.id)} has no second factor")
    if locked is not None:
        typer.echo(f"codes are locked until {_time(locked)} UTC; a passkey still counts")
    typer.echo(shown_next(*words))


def _as_json(one: Factor) -> dict[str, Any]:
    return {
        "kind": one.method.value,
        "since": one.added_at.isoformat(),
        "last_used": None if one.used_at is None else one.used_at.isoformat(),
        "state": _state(one),
    }


def _state(one: Factor) -> str:
    if one.counts:
        return "counts"
    used_up = one.method is Method.RECOVERY and one.mark != COPIED
    return "used" if used_up else "looks copied, counts no more"


def _time(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
