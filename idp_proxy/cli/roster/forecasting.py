"""`roster forecast`: if the active died now, who gets in by the standby, and who does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from idp_proxy.cli.roster.checking import ascii_or_quoted
from idp_proxy.cli.session import (
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_store,
    screen,
    settings_of,
    shown_next,
)
from idp_proxy.config import DirectorySettings
from idp_proxy.decision.assurance import can_reach_floor, suffices
from idp_proxy.decision.roster import BELOW_FLOOR, NO_FACTOR, Casting
from idp_proxy.decision.second_factor import Method
from idp_proxy.errors import ConfigError
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT, REFEDS_MFA
from idp_proxy.store.people import everybody

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.decision.roster import Forecast, RosterRow
    from idp_proxy.store.sql import SqlStore

#: What keeps people out, and what helps.
_REASONS: Final = {
    "person_unconfirmed": ("confirmed by nothing of late", "import them: roster import"),
    "person_conflict": ("share a link key", "say whose it is: roster resolve"),
    "person_blocked": ("blocked", "as it should be; else: roster unblock"),
    "person_mismatch": ("lack the second attribute", "import them with it"),
    "person_privileged": ("administrators and guests", "[roster] privileged_at_standby"),
    "person_unknown": ("no link key of their own", "import them with one"),
    BELOW_FLOOR: ("below the floor of [assurance]", "map what it proves: idp-proxy review"),
    NO_FACTOR: ("no second factor", "they enrol one at /enroll, before the outage"),
}
_MOST_LISTED: Final = 20


def forecast(
    upstream: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The standby; by default the most preferred one."),
    ] = None,
    people: Annotated[
        bool, typer.Option("--people", help="List everybody who would not get in.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Count who would get in by the standby if the active died now, and by reason who would not.

    The counts are kept, so that the metrics can show them; the people are not.
    """
    settings = settings_of(config)
    with opened_store(settings) as store:
        casting = casting_of(settings, store, upstream)
        kept_out: dict[str, list[RosterRow]] = {}
        for row in everybody(store):
            if (reason := casting.add(row)) is not None:
                listed = kept_out.setdefault(reason, [])
                if people or as_json or len(listed) < _MOST_LISTED:
                    listed.append(row)
        found = casting.forecast()
        with store.writing_people() as tx:
            tx.keep_forecast(found)
    if as_json:
        typer.echo(json.dumps(_as_json(found, kept_out), indent=2))
        return
    _show(found)
    if people:
        for reason, rows in kept_out.items():
            for row in rows:
                typer.echo(f"{reason}  {ascii_or_quoted(row.id)}  {ascii_or_quoted(row.username)}")
    typer.echo(shown_next("roster", "check"))


def casting_of(settings: Settings, store: SqlStore, named: str | None) -> Casting:
    """Who is cast for the standby: what the floor asks of them there counts too (FO-04)."""
    name, policy = _standby(settings, store, named), settings.assurance
    (standby,) = (one for one in settings.upstreams if one.name == name)
    enrolled, below = None, not can_reach_floor(policy, name)
    if isinstance(standby, DirectorySettings):
        # A password is typed there, and no second factor but our own can be added to it.
        alone = suffices(policy, name, PASSWORD_PROTECTED_TRANSPORT)
        added = any(suffices(policy, name, REFEDS_MFA, {"factor": (one.value,)}) for one in Method)
        below = not alone and not added
        enrolled = None if alone else store.factor_holders()
    return Casting(name, settings.roster.policy, clock(), enrolled, below_floor=below)


def _standby(settings: Settings, store: SqlStore, named: str | None) -> str:
    """The standby that the forecast is about. Raises `ConfigError`."""
    state = store.switch_state()
    standbys = [one.name for one in settings.upstreams[1:]]
    if named is not None and named not in standbys:
        raise ConfigError([f"--upstream: no standby is called {named}; there are {standbys}"])
    disabled = frozenset() if state is None else state.disabled
    usable = [named] if named else [name for name in standbys if name not in disabled]
    if not usable:
        raise ConfigError(["upstream: there is no standby: nobody would get in"])
    return usable[0]


def _as_json(found: Forecast, kept_out: dict[str, list[RosterRow]]) -> dict[str, object]:
    return {
        "at": found.at.isoformat(),
        "upstream": found.upstream,
        "people": found.people,
        "get_in": found.get_in,
        "refused": {
            reason: {
                "count": count,
                "people": [
                    {"id": row.id, "username": row.username} for row in kept_out.get(reason, ())
                ],
            }
            for reason, count in found.refused.items()
        },
        "next": command_line("roster", "check"),
    }


def _show(found: Forecast) -> None:
    typer.echo(
        f"if the active died now, {found.get_in} of {found.people} people would get in by "
        f"{found.upstream}"
    )
    if found.refused:
        table = Table("who would not", "", "what helps")
        for reason, count in sorted(found.refused.items(), key=lambda item: -item[1]):
            what, helps = _REASONS[reason]
            table.add_row(what, str(count), helps)
        screen.print(table)
