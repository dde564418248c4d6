"""`person forget` and `person confirm`: everything that is kept of one person, erased for ever.

Two people do it, for it erases who did what. The second one names the person again: no proposal
says who it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import pseudonyms
from idp_proxy.cli import terminal
from idp_proxy.cli.approving import OverrideOption, ask, proposed
from idp_proxy.cli.approving import confirm as agree
from idp_proxy.cli.roster.checking import ascii_or_quoted
from idp_proxy.cli.roster.people import PersonArgument, one_person
from idp_proxy.cli.session import (
    ConfigOption,
    ReasonOption,
    actor,
    clock,
    opened_store,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.decision.approval import Act
from idp_proxy.decision.forgetting import Kept, names_whom, why_not_forgotten
from idp_proxy.errors import RosterRefused
from idp_proxy.operators.consent import Wish
from idp_proxy.store.forgetting import kept_of

if TYPE_CHECKING:
    from idp_proxy.store.sql import SqlStore


def register(program: typer.Typer) -> None:
    """Add this group to `program`."""
    group = typer.Typer(help="One person, wherever they are kept.", no_args_is_help=True)
    group.command("forget")(forget)
    group.command("confirm")(confirm)
    program.add_typer(group, name="person")


def forget(
    who: PersonArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Erase all that is kept of WHO, for ever: their row, their second factors, and what leads from
    the audit to them. A login at the active, or a list that names them, makes them known again.
    """
    settings = settings_of(config)
    why = terminal.one_line(reason, "--reason")
    with opened_store(settings) as store:
        one = _known(store, who)
        for option, text in (("--reason", why), ("--override", override or "")):
            if names_whom(text, one.id, one.kept.row):
                raise RosterRefused(f"{option} names the person, and it stays in the audit")
        _show(one)
        wish = Wish(Act.FORGET_PERSON, _target(store, one.id, why), why)
        means = Means(as_name, override, password_from)
        approved = ask(settings, store, wish, means, "person", "confirm", who)
        _erase(store, one.id, approved.actor, why)


def confirm(
    who: PersonArgument,
    proposal_id: Annotated[str, typer.Argument(metavar="ID", help="The proposal.")],
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Agree, as the second person, that WHO is forgotten, and carry it out."""
    settings = settings_of(config)
    with opened_store(settings) as store:
        made = proposed(settings, store, proposal_id, {Act.FORGET_PERSON})
        one = _known(store, who)
        if made.target not in _targets(store, one.id):
            raise RosterRefused("the proposal is about somebody else; ask whoever made it")
        _show(one)
        means = Means(as_name, None, password_from)
        _, approved = agree(settings, store, proposal_id, means, {Act.FORGET_PERSON})
        _erase(store, one.id, approved.actor, made.reason)


@dataclass(frozen=True, slots=True)
class _Known:
    id: str
    kept: Kept


def _known(store: SqlStore, who: str) -> _Known:
    """Who is meant: somebody in the roster, or by id somebody of whom only other things are kept.
    Raises `RosterRefused`.
    """
    with store.reading() as connection:
        found = _Known(who, kept_of(connection, who))
    if found.kept.is_nothing:
        person_id = one_person(store, who).id
        with store.reading() as connection:
            found = _Known(person_id, kept_of(connection, person_id))
    if (why := why_not_forgotten(found.kept)) is not None:
        raise RosterRefused(why)
    return found


def _target(store: SqlStore, person_id: str, why: str) -> str:
    """What the proposal calls the person: a pseudonym, which leads to nobody once it is erased.

    That it was asked for is on record first; whom no login brought into the audit has one by that.
    """
    with store.transaction() as tx:
        facts: dict[str, str | int | float | bool | None] = {"cause": why}
        tx.record(Event("person_forget_asked", actor(), clock(), person=person_id, facts=facts))
    return _targets(store, person_id)[0]


def _targets(store: SqlStore, person_id: str) -> list[str]:
    with store.reading() as connection:
        return [f"person {name[:12]}" for name in sorted(pseudonyms(connection, person_id))]


def _erase(store: SqlStore, person_id: str, by: str, why: str) -> None:
    with store.forgetting() as tx:
        gone = tx.forget_person(person_id)
        if (problem := why_not_forgotten(gone)) is not None:
            raise RosterRefused(problem)
        facts: dict[str, str | int | float | bool | None] = {
            "cause": why,
            "row": gone.row is not None,
            "factors": gone.factors,
            "pseudonyms": gone.pseudonyms,
        }
        tx.record(Event("person_forgotten", by, clock(), facts=facts))
    if not store.fold_log():
        tell("the database's log holds what was erased until somebody's long reading ends")
    typer.echo("forgotten: nothing leads to them any more, but backups until these are gone")
    typer.echo(shown_next("verify-audit"))


def _show(one: _Known) -> None:
    row, kept = one.kept.row, one.kept
    names = (one.id,) if row is None else (one.id, row.username, row.email)
    tell(", ".join(map(ascii_or_quoted, names)))
    tell(
        f"  {'a' if row else 'no'} row in the roster, {kept.factors} second factors,"
        f" {kept.pseudonyms} pseudonyms in the audit"
    )
