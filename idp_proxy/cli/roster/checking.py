"""`roster check`: what is odd in the roster, and what the lists say that it does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.table import Table

from idp_proxy.cli.roster.lists import (
    ConfiguredOption,
    CsvOption,
    LdapOption,
    MattermostOption,
    Wanted,
    journey,
    lists,
)
from idp_proxy.cli.session import (
    EXIT_OPEN,
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_store,
    screen,
    settings_of,
    shown_next,
)
from idp_proxy.decision.roster import (
    Comparison,
    Coverage,
    Effect,
    Look,
    Run,
    fo_08_sync_age,
    sources_that_count,
)
from idp_proxy.listing.base import Staged
from idp_proxy.store.people import everybody

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.decision.roster import Odd
    from idp_proxy.roster_import import Plan, RosterImport
    from idp_proxy.store.sql import SqlStore

_MOST_SHOWN: Final = 50
_NEXT: Final = {Look.CONFLICT: ("roster", "resolve"), Look.LOOK_ALIKE: ("roster", "block")}


def check(
    csv: CsvOption = None,
    *,
    ldap: LdapOption = False,
    mattermost: MattermostOption = False,
    against_configured: ConfiguredOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show people who could be taken for each other, rows that lack something, imports that are
    old, and with a list who is missing here or there.

    Exit code 1: an import is too old, so that people are no longer confirmed by it. 3: somebody
    should look at people. 0: neither.
    """
    settings = settings_of(config)
    wanted = Wanted(csv, ldap, mattermost, against_configured)
    with opened_store(settings) as store:
        work = journey(settings, store)
        old = _old_imports(settings, store)
        coverage = Coverage(settings.roster.policy, clock())
        odd = _odd(settings, store, coverage)
        plans = () if wanted.nothing else _against(settings, work, wanted)
    open_work = odd or any(_drift(plan) for plan in plans)
    words = _next(old, odd)
    if as_json:
        typer.echo(json.dumps(_as_json(coverage, old, odd, plans, words), indent=2))
    else:
        typer.echo(_told(coverage))
        _show(old, odd, plans)
        typer.echo(shown_next(*words))
    if old:
        raise typer.Exit(EXIT_REFUSED)
    if open_work:
        raise typer.Exit(EXIT_OPEN)


def _old_imports(settings: Settings, store: SqlStore) -> tuple[str, ...]:
    """The lists whose last import is too old: those that [roster] names, else all there were."""
    completed = {run.source: run.completed_at for run in store.import_runs()}
    sources = sources_that_count(settings.roster.sources, completed)
    lasts, now = settings.roster.policy.confirmed_by_import, clock()
    reasons = (fo_08_sync_age(one, completed.get(one), lasts, now) for one in sources)
    return tuple(reason for reason in reasons if reason is not None)


def _odd(settings: Settings, store: SqlStore, coverage: Coverage) -> tuple[Odd, ...]:
    provider = settings.service_provider
    expected = frozenset(provider.attributes.values()) - provider.role_attributes
    comparison = Comparison(expected)
    for row in everybody(store):
        coverage.add(row)
        comparison.first(row)
    for row in everybody(store):
        comparison.second(row)
    return tuple(comparison.odd())


def _against(settings: Settings, work: RosterImport, wanted: Wanted) -> tuple[Plan, ...]:
    plans = []
    for people in lists(settings, wanted):
        with Staged(settings.proxy.data_dir) as staged:
            staged.take(people)
            plans.append(work.plan(staged, Run(people.name, clock(), exhaustive=people.exhaustive)))
    return tuple(plans)


def _drift(plan: Plan) -> dict[str, int]:
    """What the list says and the roster does not, counted."""
    effects = plan.tally.effects
    found = {
        "not_in_the_roster": effects[Effect.NEW] + effects[Effect.WITHOUT_ROW],
        "differ": effects[Effect.DIFFERS] + effects[Effect.CHANGED],
        "conflict": effects[Effect.CONFLICT],
        "incomplete": effects[Effect.INCOMPLETE],
        "not_in_the_list": plan.tally.blocked,
    }
    return {what: count for what, count in found.items() if count}


def _next(old: tuple[str, ...], odd: tuple[Odd, ...]) -> tuple[str, ...]:
    if old:
        return ("roster", "import", "--configured", "--dry-run")
    for one in odd:
        if one.look in _NEXT:
            return (*_NEXT[one.look], one.people[0], "--reason", "TEXT")
    return ("roster", "forecast")


def _told(coverage: Coverage) -> str:
    return (
        f"{coverage.people} people: {coverage.by_login} confirmed by a login, {coverage.by_list} "
        f"by a list, {coverage.by_nothing} by neither; {coverage.blocked} blocked"
    )


def _as_json(
    coverage: Coverage,
    old: tuple[str, ...],
    odd: tuple[Odd, ...],
    plans: tuple[Plan, ...],
    words: tuple[str, ...],
) -> dict[str, Any]:
    return {
        "coverage": {
            "people": coverage.people,
            "by_login": coverage.by_login,
            "by_list": coverage.by_list,
            "by_nothing": coverage.by_nothing,
            "blocked": coverage.blocked,
        },
        "old_imports": list(old),
        "odd": [
            {"look": one.look.value, "people": list(one.people), "what": one.what} for one in odd
        ],
        "lists": [
            {
                "source": plan.run.source,
                "people": plan.tally.named,
                "roster": plan.tally.rows,
                **_drift(plan),
                "examples": {kind: list(ids) for kind, ids in plan.examples.items()},
            }
            for plan in plans
        ],
        "next": command_line(*words),
    }


def _show(old: tuple[str, ...], odd: tuple[Odd, ...], plans: tuple[Plan, ...]) -> None:
    for reason in old:
        typer.echo(reason)
    if odd:
        table = Table("what", "people (ids)")
        for one in odd[:_MOST_SHOWN]:
            table.add_row(one.what, ", ".join(map(ascii_or_quoted, one.people)))
        screen.print(table)
        if len(odd) > _MOST_SHOWN:
            typer.echo(f"... and {len(odd) - _MOST_SHOWN} more: --json has all of them")
    for plan in plans:
        found = _drift(plan).items()
        drift = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in found)
        typer.echo(
            f"{plan.run.source}: {plan.tally.named} people against {plan.tally.rows} in the "
            f"roster: {drift or 'they agree'}"
        )
    if not old and not odd and not any(map(_drift, plans)):
        typer.echo("nothing is odd")


def ascii_or_quoted(text: str) -> str:
    """An id for a terminal: letters that could be mistaken for others are shown by their number."""
    return text if text.isascii() and text.isprintable() else ascii(text)
