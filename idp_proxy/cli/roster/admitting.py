"""`roster admit`: an approver lets one person in by a standby, until this outage ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idp_proxy.cli.approving import OverrideOption  # noqa: TC001 - Typer reads it
from idp_proxy.cli.roster.checking import ascii_or_quoted
from idp_proxy.cli.roster.forecasting import casting_of
from idp_proxy.cli.roster.lists import MattermostOption, demands, link_is
from idp_proxy.cli.roster.people import PersonArgument, approved_by, one_person
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
from idp_proxy.decision.roster import Account, lookup_key
from idp_proxy.errors import ConfigError, RosterRefused
from idp_proxy.listing.accounts_file import AccountsFile
from idp_proxy.mattermost import open_api
from idp_proxy.roster_admission import RosterAdmission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from idp_proxy.config import Settings
    from idp_proxy.mattermost import User
    from idp_proxy.roster_admission import Candidate
    from idp_proxy.store.sql import SqlStore

AccountsOption = Annotated[
    Path | None,
    typer.Option(
        "--accounts", metavar="FILE", help="Mattermost's accounts as CSV, instead of --mattermost."
    ),
]
LinkKeyOption = Annotated[
    str | None,
    typer.Option(
        "--link-key", metavar="KEY", help="What the standby calls them, if Mattermost does not."
    ),
]
PrivilegedOption = Annotated[
    bool,
    typer.Option(
        "--in-spite-of-role",
        help="An administrator or guest too; Mattermost takes an administrator's role away.",
    ),
]


def admit(
    who: PersonArgument,
    reason: ReasonOption,
    *,
    mattermost: MattermostOption = False,
    accounts: AccountsOption = None,
    link_key: LinkKeyOption = None,
    privileged: PrivilegedOption = False,
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Let WHO in by a standby until this outage ends: somebody whom nothing confirmed of late, or,
    with --mattermost or --accounts, somebody whom the roster does not know.

    It takes an approver. Who is blocked, or shares a link key, stays out.
    """
    settings = settings_of(config)
    means = Means(as_name, override, password_from)
    if mattermost and accounts is not None:
        raise ConfigError(["--accounts: instead of --mattermost, not beside it"])
    with opened_store(settings) as store:
        work = _journey(settings, store)
        work.demand_outage()
        if mattermost or accounts is not None:
            found = _by_account(settings, work, who, accounts, link_key, privileged=privileged)
        elif link_key is not None:
            raise ConfigError(["--link-key: needs --mattermost or --accounts FILE beside it"])
        else:
            row = one_person(store, who, _OTHER_WAY)
            found = work.of_row(row, privileged=privileged)
        _warn(settings, store, found)
        approved = approved_by(settings, store, Act.ADMIT_PERSON, found.row, reason, means)
        work.admit(found, approved, reason)
    typer.echo(f"{ascii_or_quoted(found.row.id)} is admitted until the active serves again")
    typer.echo(shown_next("status"))


_OTHER_WAY = "; who has an account in Mattermost is admitted by --mattermost or --accounts FILE"


def _journey(settings: Settings, store: SqlStore) -> RosterAdmission:
    return RosterAdmission(
        store=store,
        active=settings.upstreams[0].name,
        policy=settings.roster.policy,
        problem=demands(settings).problem,
        now=clock,
    )


def _by_account(
    settings: Settings,
    work: RosterAdmission,
    who: str,
    file: Path | None,
    link_key: str | None,
    *,
    privileged: bool,
) -> Candidate:
    """Whom the one account of this name makes, shown to whoever is asked."""
    account = _one(_accounts(settings, file), who)
    found = work.of_account(account, _link_key(settings, account, link_key), privileged=privileged)
    shown = (found.row.id, account.email, account.username, found.row.link_key)
    tell("account: id {}, email {}, user name {}; link key {}".format(*map(ascii_or_quoted, shown)))
    return found


def _accounts(settings: Settings, file: Path | None) -> Iterator[Account]:
    if file is not None:
        lasts = settings.roster.policy.confirmed_by_import
        yield from AccountsFile(file, lasts).accounts(clock())
        return
    with open_api(settings, "roster admit --mattermost") as api:
        yield from map(_account, api.users())


def _account(user: User) -> Account:
    return Account(
        email=user.email,
        username=user.username,
        auth_service=user.auth_service,
        auth_data=user.auth_data or "",
        roles=frozenset(user.roles),
        deactivated=user.delete_at != 0,
        is_bot=user.is_bot,
    )


def _one(accounts: Iterable[Account], who: str) -> Account:
    """The one account of this name. Raises `RosterRefused` for none, and for more than one."""
    found = [account for account in accounts if account.is_called(who)]
    if not found:
        raise RosterRefused(f"no account in Mattermost has the id, email or user name {who!a}")
    if len(found) > 1:
        said = ", ".join(f"{one.email!a} (id {one.auth_data!a})" for one in found)
        raise RosterRefused(f"{who!a} could be any of these accounts: {said}; name one by id")
    return found[0]


def _link_key(settings: Settings, account: Account, given: str | None) -> str:
    """What a standby calls this person: what Mattermost has where that is the link key, else what
    the operator says. Raises `RosterRefused` where the two differ, `ConfigError` where none is.
    """
    name = link_is(settings)
    known = {"id": account.auth_data, "email": account.email, "username": account.username}
    if not name:
        if not given:
            standbys = settings.upstreams[1:]
            where = ", ".join(f"{one.link_attribute} at {one.name}" for one in standbys)
            raise ConfigError([f"--link-key: missing: what stands in {where} for this person"])
        return given
    if given is not None and lookup_key(given) != lookup_key(known[name]):
        raise RosterRefused(
            f"the link key is the {name} here, and Mattermost has {known[name]!a}, not {given!a}"
        )
    return known[name]


def _warn(settings: Settings, store: SqlStore, found: Candidate) -> None:
    """What keeps the person out for all that: an approver's word is no second factor (FO-04)."""
    state = store.switch_state()
    serving = None if state is None else state.serving
    casting = casting_of(settings, store, serving)
    if casting.below_floor:
        tell(f"warning: nobody reaches the floor of [assurance] by {serving}")
    elif casting.enrolled is not None and found.row.id not in casting.enrolled:
        tell(f"warning: {serving} asks for a second factor, and this person has none")
