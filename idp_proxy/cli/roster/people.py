"""`roster block`, `unblock`, `admit` and `resolve`: what an operator says about one person.

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
from idp_proxy.cli.roster.lists import journey
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
from idp_proxy.decision.roster import (
    BY_OPERATOR,
    AdmittedByHand,
    Question,
    Refusal,
    Refused,
    judge_row,
    lookup_key,
    resolved,
)
from idp_proxy.errors import RosterRefused
from idp_proxy.operators.consent import Wish

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


def admit(
    who: PersonArgument,
    reason: ReasonOption,
    privileged: Annotated[
        bool,
        typer.Option(
            "--in-spite-of-role",
            help="An administrator or guest too; Mattermost takes an administrator's role away.",
        ),
    ] = False,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Let WHO in by a standby though nothing confirmed them of late, until this outage ends.

    It takes an approver. Who is blocked, or shares a link key, stays out.
    """
    settings = settings_of(config)
    means = Means(as_name, override, password_from)
    with opened_store(settings) as store:
        _demand_outage(settings, store)
        row = one_person(store, who)
        _demand_admissible(settings, row, privileged=privileged)
        approved = approved_by(settings, store, Act.ADMIT_PERSON, row, reason, means)
        with store.transaction() as tx:
            _demand_outage(settings, store)
            _demand_admissible(settings, _still(tx, row), privileged=privileged)
            said = AdmittedByHand(row.id, clock(), approved, reason, privileged)
            tx.admit_by_hand(said)
            record(tx, "person_admitted", approved, row, reason, privileged=privileged)
    typer.echo(f"{ascii_or_quoted(row.id)} is admitted until the active serves again")
    typer.echo(shown_next("status"))


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
        rivals = _rivals(settings, store, row)
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


def one_person(store: SqlStore, who: str) -> RosterRow:
    """The one person of this name. Raises `RosterRefused` for nobody, and for more than one."""
    exact = store.person(who)
    if exact is not None:
        return exact
    found = store.named(who)
    if not found:
        raise RosterRefused(
            f"nobody in the roster is called {who!a}: the active never named them, nor any list"
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


def _demand_outage(settings: Settings, store: SqlStore) -> None:
    state, active = store.switch_state(), settings.upstreams[0].name
    if state is None or state.serving == active:
        raise RosterRefused(f"{active} serves: there is no outage to let anybody in for")


def _demand_admissible(settings: Settings, row: RosterRow, *, privileged: bool) -> None:
    """Raises `RosterRefused` for whatever an approver's word does not stand in for."""
    said = AdmittedByHand(row.id, clock(), "", "", privileged)
    verdict = judge_row(Question(row, settings.roster.policy, clock(), by_hand=said))
    if not isinstance(verdict, Refused):
        return
    ways = {
        Refusal.BLOCKED: "; nobody admits who is blocked: roster unblock, if that was wrong",
        Refusal.CONFLICT: "; say whose key it is: roster resolve",
        Refusal.PRIVILEGED: "; --in-spite-of-role admits them, and costs an administrator the role",
    }
    raise RosterRefused(f"{verdict.reason}{ways.get(verdict.refusal, '')}")


def _rivals(settings: Settings, store: SqlStore, row: RosterRow) -> tuple[RosterRow, ...]:
    """Others who hold the link key of `row`, or claim it."""
    key = lookup_key(row.link_key)
    return tuple(
        one
        for one in journey(settings, store).everybody()
        if one.id != row.id
        and (one.lookup_key == key or (one.conflict and lookup_key(one.link_key) == key))
    )


def _words(row: RosterRow) -> str:
    return ", ".join(sorted(row.blocks))
