"""`roster import` and `roster confirm`: a list of people becomes part of the roster."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from idp_proxy.cli.approving import OverrideOption, ask, proposed
from idp_proxy.cli.approving import confirm as agree
from idp_proxy.cli.roster.lists import (
    ConfiguredOption,
    CsvOption,
    LdapOption,
    MattermostOption,
    Wanted,
    digest_of,
    journey,
    lists,
)
from idp_proxy.cli.session import (
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    ReasonOption,
    actor,
    clock,
    command_line,
    opened_store,
    screen,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.decision.approval import Act
from idp_proxy.decision.roster import Effect, Run, why_refused
from idp_proxy.errors import ConfigError, ListRefused, MattermostError, RosterRefused
from idp_proxy.listing.base import Staged
from idp_proxy.operators.consent import Wish

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from idp_proxy.config import Settings
    from idp_proxy.listing.base import PeopleList
    from idp_proxy.roster_import import Plan
    from idp_proxy.store.sql import SqlStore

_REPLACE = "replace"
_BLOCK = "block"
_PARTIAL = "partial"
_WORDS = {
    Effect.NEW: "new in the roster",
    Effect.CHANGED: "described anew",
    Effect.CONFIRMED: "confirmed as they are",
    Effect.DIFFERS: "differ from what a login or another list said; that stays",
    Effect.CONFLICT: "hold a link key with somebody else",
    Effect.INCOMPLETE: "incomplete in the list; nothing is learned of them",
    Effect.WITHOUT_ROW: "have an account and no row; a login, or a list with link keys, makes one",
    Effect.DEACTIVATED: "deactivated",
}


@dataclass(frozen=True, slots=True)
class _How:
    """The options of an import."""

    replace: bool = False
    partial: bool = False
    block: bool = False
    dry: bool = False
    as_json: bool = False

    @property
    def takes_two(self) -> bool:
        """Whether two people must agree to it."""
        return self.replace or self.block

    @property
    def flags(self) -> str:
        """All of it that changes what is done, in one word, for who agrees and for the audit."""
        said = ((_REPLACE, self.replace), (_BLOCK, self.block), (_PARTIAL, self.partial))
        return "+".join(name for name, on in said if on)

    @classmethod
    def of(cls, flags: str) -> _How:
        """What `flags` says."""
        said = flags.split("+")
        return cls(replace=_REPLACE in said, block=_BLOCK in said, partial=_PARTIAL in said)


@dataclass(frozen=True, slots=True)
class _Read:
    """A list that was read once: what is shown, agreed to and written is this."""

    people: PeopleList
    run: Run
    staged: Staged
    how: _How

    @property
    def target(self) -> str:
        """What two people agree to."""
        digest = digest_of(self.people, self.staged)
        return f"{self.people.name} {self.how.flags} {digest}"


@dataclass(frozen=True, slots=True)
class _Result:
    """What an import did, or would do; `refused` says why it would not be done."""

    plan: Plan
    refused: str | None


def import_people(
    csv: CsvOption = None,
    *,
    ldap: LdapOption = False,
    mattermost: MattermostOption = False,
    configured: ConfiguredOption = False,
    replace: Annotated[
        bool, typer.Option(help="Overwrite what logins said too; takes two people.")
    ] = False,
    partial: Annotated[
        bool, typer.Option(help="The list is not everybody: it blocks nobody it does not name.")
    ] = False,
    block_many: Annotated[
        bool, typer.Option(help="Block more people than are allowed at once; takes two people.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Show what would happen, and stop.")] = False,
    reason: ReasonOption = "an import",
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Confirm, learn and block people by an authoritative list. A bad list changes nothing.

    A person whom the list no longer names is blocked. What a login at the active said stays.
    """
    settings = settings_of(config)
    how = _How(replace, partial, block_many, dry_run, as_json)
    chosen = lists(settings, Wanted(csv, ldap, mattermost, configured))
    if how.takes_two and not how.dry and len(chosen) > 1:
        raise ConfigError(["--replace and --block-many: for one list at a time"])
    again = () if csv is None else ("--csv", str(csv))
    means = Means(as_name, override, password_from)
    results = []
    with opened_store(settings) as store:
        for people in chosen:
            with _each(people, alone=len(chosen) == 1), _read(settings, people, how) as read:
                by = actor()
                if how.takes_two and not how.dry:
                    wish = Wish(Act.ROSTER_REPLACE, read.target, reason)
                    by = ask(settings, store, wish, means, "roster", "confirm", *again).actor
                results.append(_carry_out(settings, store, read, by))
    _show(results, how)
    if len(results) < len(chosen):
        raise typer.Exit(EXIT_REFUSED)


@contextmanager
def _each(people: PeopleList, *, alone: bool) -> Iterator[None]:
    """Of several lists one that cannot be had keeps nobody from being confirmed by the others; nor
    does one that lacks a section of the configuration, or a secret that this user may not read.
    """
    try:
        yield
    except (ListRefused, RosterRefused, MattermostError, ConfigError) as error:
        if alone:
            raise
        tell(f"error: {people.name}:", error.public)
        tell(" ", error.detail)


def confirm(
    proposal_id: Annotated[str, typer.Argument(metavar="ID", help="The proposal.")],
    csv: CsvOption = None,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Agree, as the second person, to an import that takes two, and carry it out.

    A CSV file is named again, and must be the very one that was proposed.
    """
    settings = settings_of(config)
    with opened_store(settings) as store:
        made = proposed(settings, store, proposal_id, {Act.ROSTER_REPLACE})
        source, flags, _ = made.target.split()
        chosen = {one.name: one for one in lists(settings, Wanted(csv, configured=csv is None))}
        if source not in chosen:
            raise RosterRefused(f"the proposal is about the list {source!r}; name it as it was")
        with _read(settings, chosen[source], _How.of(flags)) as read:
            if read.target != made.target:
                raise RosterRefused("this is another file than the one that was proposed")
            means = Means(as_name, None, password_from)
            _, approved = agree(settings, store, proposal_id, means, {Act.ROSTER_REPLACE})
            _show([_carry_out(settings, store, read, approved.actor)], read.how)


@contextmanager
def _read(settings: Settings, people: PeopleList, how: _How) -> Iterator[_Read]:
    """The list, read before anybody is asked: while they think, its file may become another."""
    run = Run(
        people.name,
        clock(),
        replaces=how.replace,
        partial=how.partial,
        exhaustive=people.exhaustive,
    )
    with Staged(settings.proxy.data_dir) as staged:
        staged.take(people)
        yield _Read(people, run, staged, how)


def _carry_out(settings: Settings, store: SqlStore, read: _Read, by: str) -> _Result:
    work, how = journey(settings, store), read.how
    plan = work.plan(read.staged, read.run)
    why = why_refused(plan.tally, plan.run, work.most_percent, overridden=how.block)
    if not how.dry:
        if why is not None:
            tell(_advice(plan))
            raise RosterRefused(why)
        work.carry_out(read.staged, plan, by, overridden=how.block)
    return _Result(plan, why)


def _advice(plan: Plan) -> str:
    if not plan.tally.named:
        return "look at the list first: it is empty"
    if not plan.tally.vouched:
        return "look first: --dry-run says why; may the reader see all attributes there?"
    return (
        "look first: --dry-run names them; if the list is only a part of the people say --partial; "
        "if they are really gone, --block-many takes two people or --override"
    )


def _show(results: Sequence[_Result], how: _How) -> None:
    refused = [one.refused for one in results if one.refused is not None]
    words = ("roster", "import", "--help") if refused else ("roster", "check")
    if how.as_json:
        imports = [_as_json(one, how) for one in results]
        typer.echo(json.dumps({"imports": imports, "next": command_line(*words)}, indent=2))
        return
    for one in results:
        _show_one(one, how)
    typer.echo(shown_next(*words))


def _show_one(result: _Result, how: _How) -> None:
    plan, tally = result.plan, result.plan.tally
    table = Table(f"{plan.run.source}: {tally.named} people", "", "for example")
    rows = [(_WORDS[effect], tally.effects[effect], effect.value) for effect in Effect]
    rows.append(("not named any more: blocked", tally.blocked, "missing"))
    rows.append(("unblocked", tally.unblocked, ""))
    for what, count, kind in rows:
        if count:
            examples = ", ".join(plan.examples.get(kind, ())[:3]) if how.dry else ""
            table.add_row(what, str(count), _printable(examples))
    screen.print(table)
    if result.refused is not None:
        tell(f"this import would be refused: {result.refused}")
    typer.echo("nothing was changed" if how.dry else "the import is complete")


def _as_json(result: _Result, how: _How) -> dict[str, Any]:
    plan, tally = result.plan, result.plan.tally
    return {
        "source": plan.run.source,
        "dry_run": how.dry,
        "people": tally.named,
        **{effect.value: tally.effects[effect] for effect in Effect},
        "blocked": tally.blocked,
        "unblocked": tally.unblocked,
        "would_be_refused": result.refused,
        "examples": {kind: list(ids) for kind, ids in plan.examples.items()} if how.dry else {},
    }


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
