"""Commands that bring people back to SSO: `return`, `reconcile`, `verify`."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from conversion import proxy_status
from conversion.cli.progress import people
from conversion.cli.session import (
    EXIT_OPEN,
    ConfigOption,
    JsonOption,
    audit_in_words,
    command_line,
    opened_bulk,
    settings_of,
    shown_next,
    tell,
)
from conversion.decision.lifecycle import OPEN, RowState
from conversion.homecoming import Homecoming, Orders, return_people
from conversion.homecoming import verify as look_again
from conversion.naming import ids_of, names_of, printable
from conversion.reconciliation import reconcile as adopt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conversion.bulk import Bulk
    from conversion.reconciliation import Reconciled

_SHOWN = 20


def register(program: typer.Typer) -> None:
    """Add these commands to `program`."""
    program.command("return")(bring_back)
    program.command("reconcile")(reconcile)
    program.command("verify")(verify)


def bring_back(
    pilot: Annotated[int | None, typer.Option(min=1, help="How many go ahead of the rest.")] = None,
    first: Annotated[
        list[str] | None,
        typer.Option(help="A volunteer for the pilot, by user name or id; repeatedly."),
    ] = None,
    wave: Annotated[
        int, typer.Option(min=0, help="How many of the rest go at a time; 0 for all at once.")
    ] = 0,
    wait_min: Annotated[
        float,
        typer.Option(min=0, max=600, help="Minutes to wait for the login of one of the pilot."),
    ] = 0.0,
    no_wait_for_login: Annotated[
        str, typer.Option(metavar="REASON", help="Do not wait for it; the reason is recorded.")
    ] = "",
    email_fallback: Annotated[
        bool,
        typer.Option("--email-fallback", help="Also those whose way back is only their email."),
    ] = False,
    decide: Annotated[
        list[str] | None,
        typer.Option(help="Somebody in conflict whose way back you judged right, by name or id."),
    ] = None,
    config: ConfigOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Bring everybody back: proof that SSO works, a pilot, a login of theirs, and the rest."""
    settings = settings_of(config)
    campaign = settings.campaign
    with people() as step, opened_bulk(settings, step) as bulk:
        orders = Orders(
            operator=campaign.operator_user,
            proxy_works=proxy_status.ask(campaign.proxy_status).works,
            pilot=campaign.pilot if pilot is None else pilot,
            first=ids_of(bulk.ledger, first or (), "--first"),
            wave=wave,
            email_fallback=email_fallback,
            no_wait_reason=no_wait_for_login.strip(),
            login_wait=timedelta(minutes=wait_min),
            decided=ids_of(bulk.ledger, decide or (), "--decide"),
        )
        told = return_people(bulk, orders)
        names = _names(bulk, told)
    _finish(told, names, as_json=as_json)


def verify(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Hold everybody against the server's list, repair what was undone, close if nobody is left."""
    settings = settings_of(config)
    with people() as step, opened_bulk(settings, step) as bulk:
        told = look_again(bulk)
        audit = audit_in_words(settings, bulk.ledger)
        names = _names(bulk, told)
    tell(audit)
    _finish(told, names, as_json=as_json)


def _names(bulk: Bulk, told: Homecoming) -> Mapping[str, str]:
    """The user names of all whom the answer shows."""
    shown = [user_id for user_id, _ in told.problems[:_SHOWN]]
    shown += [remark.user_id for remark in told.remarks[:_SHOWN]]
    for ids in (told.waiting, told.held_back, told.strays, told.not_in_file):
        shown += ids[:_SHOWN]
    return names_of(bulk.ledger, shown)


def _finish(told: Homecoming, names: Mapping[str, str], *, as_json: bool) -> None:
    words = _after(told)
    if as_json:
        typer.echo(json.dumps(_homecoming_json(told) | {"next": command_line(*words)}, indent=2))
    else:
        _show(told, names)
        typer.echo(shown_next(*words))
    if not told.closed:
        raise typer.Exit(EXIT_OPEN)


def _after(told: Homecoming) -> tuple[str, ...]:
    if told.closed:
        return ("report",)
    if told.strays:
        return ("reconcile",)
    if told.held_back and not told.waiting:
        return ("prepare", "--export")
    # Whoever is left so needs a person, and the report tells why.
    only = all(state in _FOR_A_PERSON for state in OPEN if told.counts.get(state))
    return ("report",) if only and told.open_rows else ("return",)


_FOR_A_PERSON = frozenset({RowState.CONFLICT, RowState.FAILED})


def _show(told: Homecoming, names: Mapping[str, str]) -> None:
    if told.proof is not None:
        typer.echo(f"proof: {told.proof.text}")
    typer.echo(f"campaign {told.campaign}: {told.verified} people proven to be back")
    if told.withdrawn:
        typer.echo(f"{told.withdrawn} were planned and never touched: withdrawn")
    if told.repaired:
        typer.echo(f"{told.repaired} were brought back anew: another change had undone it")
    said = [(remark.user_id, remark.says) for remark in told.remarks]
    for label, found in (("problem", told.problems), ("remark", said)):
        for user_id, why in found[:_SHOWN]:
            typer.echo(f"{label}: {names[user_id]}: {printable(why)}")
        if len(found) > _SHOWN:
            typer.echo(f"{label}: and {len(found) - _SHOWN} more; see report")
    _show_groups(told, names)
    if told.stopped:
        typer.echo(f"STOPPED: {told.stopped}")
    if told.closed:
        typer.echo("0 left: the campaign is closed")
    else:
        typer.echo(f"{told.open_rows} people are open: {_states(told.counts)}")


def _show_groups(told: Homecoming, names: Mapping[str, str]) -> None:
    for label, ids in (
        ("waiting: ask one of the pilot to log in by SSO", told.waiting),
        ("held back: no way back but the email", told.held_back),
        ("at a password, and in no row of the campaign", told.strays),
        ("left out of the proxy's file", told.not_in_file),
    ):
        if ids:
            more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
            typer.echo(f"{label}: {', '.join(names[one] for one in ids[:_SHOWN])}{more}")


def _states(counts: Mapping[RowState, int]) -> str:
    return ", ".join(f"{counts[state]} {state.value}" for state in RowState if counts.get(state))


def _homecoming_json(told: Homecoming) -> dict[str, object]:
    return {
        "campaign": told.campaign,
        "proof": None if told.proof is None else told.proof.text,
        "verified": told.verified,
        "repaired": told.repaired,
        "withdrawn": told.withdrawn,
        "waiting": list(told.waiting),
        "held_back": list(told.held_back),
        "strays": list(told.strays),
        "not_in_file": list(told.not_in_file),
        "problems": dict(told.problems),
        "remarks": [{"user_id": one.user_id, "says": one.says} for one in told.remarks],
        "stopped": told.stopped,
        "closed": told.closed,
        "states": {state.value: told.counts.get(state, 0) for state in RowState},
    }


def reconcile(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Bring the ledger to what the server says; who was moved by hand gets a row. Reads only."""
    settings = settings_of(config)
    with people() as step, opened_bulk(settings, step) as bulk:
        told = adopt(bulk)
    words = ("status",) if told.campaign else ("now",)
    if as_json:
        typer.echo(json.dumps(_reconciled_json(told) | {"next": command_line(*words)}, indent=2))
    else:
        _show_reconciled(told)
        typer.echo(shown_next(*words))
    if told.campaign:
        raise typer.Exit(EXIT_OPEN)


def _show_reconciled(told: Reconciled) -> None:
    if not told.campaign:
        typer.echo("nobody of the inventory is at a password; no campaign is open")
        return
    settled = _states(told.settled)
    typer.echo(f"campaign {told.campaign}: {len(told.adopted)} adopted who were moved by hand")
    typer.echo(f"settled by the server's word: {settled or 'nobody'}")
    if told.makeshift:
        tell(f"warning: {len(told.makeshift)} of them would return by their email only")
    typer.echo(f"now: {_states(told.counts)}")


def _reconciled_json(told: Reconciled) -> dict[str, object]:
    return {
        "campaign": told.campaign,
        "adopted": list(told.adopted),
        "makeshift": list(told.makeshift),
        "settled": {state.value: people for state, people in told.settled.items()},
        "states": {state.value: told.counts.get(state, 0) for state in RowState},
    }
