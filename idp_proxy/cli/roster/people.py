"""`roster block`, `unblock` and `resolve`: what an operator says about one person.

A person is named by id, link key, email address or user name. The audit knows them by pseudonym.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import pseudonyms
from idp_proxy.cli import terminal
from idp_proxy.cli.approving import OverrideOption, ask
from idp_proxy.cli.roster.checking import ascii_or_quoted
from idp_proxy.cli.session import (
    ConfigOption,
    ReasonOption,
    clock,
    opened_store,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.decision.approval import Act
from idp_proxy.decision.roster import BY_OPERATOR, lookup_key, resolved
from idp_proxy.errors import RosterRefused
from idp_proxy.operators.consent import Wish
from idp_proxy.store.people import everybody

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.decision.roster import RosterRow
    from idp_proxy.store.base import Transaction
    from idp_proxy.store.sql import SqlStore

PersonArgument = Annotated[
    str, typer.Argument(metavar="WHO", help="Id, link key, email address or user name.")
]


def block(
    who: PersonArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Let WHO in by no standby, at once and until somebody unblocks them. The active decides for
    itself: end the account there too, and the sessions in Mattermost.
    """
    settings = settings_of(config)
    means = Means(as_name, override, password_from)
    with opened_store(settings) as store:
        row = one_person(store, who)
        approved = approved_by(settings, store, Act.BLOCK_PERSON, row, reason, means)
        with store.transaction() as tx:
            now = _still(tx, row)
            tx.save_person(replace(now, blocks=now.blocks | {BY_OPERATOR}))
            record(tx, "person_blocked", approved, row, reason)
    typer.echo(f"{ascii_or_quoted(row.id)} is blocked at every standby")
    typer.echo(shown_next("roster", "forecast"))


def unblock(
    who: PersonArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Take every block from WHO. An import that still does not name them blocks them again."""
    settings = settings_of(config)
    means = Means(as_name, override, password_from)
    with opened_store(settings) as store:
        row = one_person(store, who)
        if not row.blocked:
            raise RosterRefused(f"{ascii_or_quoted(row.id)} is not blocked")
        approved = approved_by(settings, store, Act.UNBLOCK_PERSON, row, reason, means)
        with store.transaction() as tx:
            tx.save_person(replace(_still(tx, row), blocks=frozenset()))
            record(tx, "person_unblocked", approved, row, reason)
    typer.echo(f"{ascii_or_quoted(row.id)} is no longer blocked (was: {_words(row)})")
    if row.blocks - {BY_OPERATOR}:
        tell("the next import blocks them again unless its list names them as active")
    typer.echo(shown_next("roster", "forecast"))


def resolve(
    who: PersonArgument,
    reason: ReasonOption,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Say that the link key of WHO is theirs, and nobody else's. Ask both people first: whoever is
    named gets in by it.
    """
    settings = settings_of(config)
    means = Means(as_name, override, password_from)
    with opened_store(settings) as store:
        row = one_person(store, who)
        if row.by_hand:
            raise RosterRefused("who was admitted by hand holds a link key against nobody")
        rivals = _rivals(store, row)
        if not row.conflict and not rivals:
            raise RosterRefused(f"nobody else holds the link key of {ascii_or_quoted(row.id)}")
        approved = approved_by(settings, store, Act.RESOLVE_PERSON, row, reason, means)
        with store.writing_people() as tx:
            ids = [row.id, *(one.id for one in rivals)]
            now = {one.id: one for one in tx.people(ids, ())}
            key = lookup_key(row.link_key)
            if any(lookup_key(one.link_key) != key for one in now.values()):
                raise RosterRefused("a link key changed meanwhile; look again: roster check")
            owner = now.pop(row.id)
            tx.save_people(resolved(owner, now.values()))
            record(tx, "person_resolved", approved, row, reason, rivals=len(now))
    lost = ", ".join(ascii_or_quoted(one.id) for one in rivals)
    typer.echo(f"the link key is that of {ascii_or_quoted(row.id)}")
    if rivals:
        typer.echo(f"without one now: {lost}; they get in by no standby until the active says more")
    typer.echo(shown_next("roster", "check"))


def one_person(store: SqlStore, who: str, other_way: str = "") -> RosterRow:
    """The one person of this name. Raises `RosterRefused` for nobody (with an `other_way` to go)
    and for more than one.
    """
    exact = store.person(who)
    if exact is not None:
        return exact
    found = store.named(who)
    if not found:
        raise RosterRefused(
            f"nobody in the roster is called {who!a}: the active never named them, nor any list"
            f"{other_way}"
        )
    if len(found) > 1:
        ids = ", ".join(ascii_or_quoted(row.id) for row in found)
        raise RosterRefused(f"{who!a} could be any of these: {ids}; name one by id")
    return found[0]


def approved_by(
    settings: Settings, store: SqlStore, act: Act, row: RosterRow, reason: str, means: Means
) -> str:
    """Who did it, for the audit, where the person stands by a pseudonym only."""
    terminal.one_line(reason, "--reason")
    with store.reading() as connection:
        known = sorted(pseudonyms(connection, row.id))
    target = f"person {known[0][:12]}" if known else "a person who never logged in"
    return ask(settings, store, Wish(act, target, reason), means).actor


def _still(tx: Transaction, row: RosterRow) -> RosterRow:
    now = tx.person(row.id)
    if now is None:
        raise RosterRefused("the person is no longer in the roster")
    return now


def record(
    tx: Transaction, kind: str, by: str, row: RosterRow, reason: str, **more: bool | int
) -> None:
    """Put on record, in the same commit, what was done to whom, by whom and why."""
    facts: dict[str, str | int | float | bool | None] = {"cause": reason.strip(), **more}
    tx.record(Event(kind, by, clock(), person=row.id, facts=facts))


def _rivals(store: SqlStore, row: RosterRow) -> tuple[RosterRow, ...]:
    """Others who hold the link key of `row`, or claim it."""
    key = lookup_key(row.link_key)
    return tuple(
        one
        for one in everybody(store)
        if one.id != row.id
        and (one.lookup_key == key or (one.conflict and lookup_key(one.link_key) == key))
    )


def _words(row: RosterRow) -> str:
    return ", ".join(sorted(row.blocks))
