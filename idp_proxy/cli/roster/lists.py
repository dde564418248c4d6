"""Which lists a command means, and the journey that holds them against the roster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from idp_proxy.adapters import new_id
from idp_proxy.cli.session import clock
from idp_proxy.config import DirectorySettings
from idp_proxy.decision.subject import IDENTIFIERS
from idp_proxy.errors import ConfigError
from idp_proxy.listing.base import Demands
from idp_proxy.listing.csv_file import CsvFile
from idp_proxy.listing.mattermost import MattermostList
from idp_proxy.mattermost import open_api
from idp_proxy.roster_import import RosterImport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.listing.base import PeopleList, Staged
    from idp_proxy.mattermost import User
    from idp_proxy.store.sql import SqlStore


CsvOption = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="A CSV file with a head.")
]
LdapOption = Annotated[
    bool, typer.Option("--ldap", help="The people of the directory that roster.ldap names.")
]
MattermostOption = Annotated[
    bool, typer.Option("--mattermost", help="Mattermost's own list, by service_provider.api.")
]
_WAYS = "--csv FILE, --ldap, --mattermost, or --configured for those that [roster] names"
ConfiguredOption = Annotated[
    bool, typer.Option("--configured", help="The lists that the section roster names, for a timer.")
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The lists that the options of a command name."""

    csv: Path | None = None
    ldap: bool = False
    mattermost: bool = False
    configured: bool = False

    @property
    def nothing(self) -> bool:
        """Whether no list is meant."""
        return self.csv is None and not (self.ldap or self.mattermost or self.configured)


def lists(settings: Settings, wanted: Wanted) -> tuple[PeopleList, ...]:
    """The lists, in the order in which they are imported. Raises `ConfigError` for none."""
    found: list[PeopleList] = []
    if wanted.csv is not None:
        found.append(CsvFile(wanted.csv.absolute(), demands(settings)))
    if wanted.ldap:
        found.append(_directory(settings))
    if wanted.mattermost:
        found.append(_mattermost(settings))
    if wanted.configured:
        found.extend(configured(settings))
    if not found:
        raise ConfigError([f"no list is named: {_WAYS}"])
    return tuple(found)


def configured(settings: Settings) -> tuple[PeopleList, ...]:
    """The lists that `[roster]` names: what a timer imports every night."""
    found: list[PeopleList] = []
    if settings.roster.ldap is not None:
        found.append(_directory(settings))
    if settings.roster.csv is not None:
        found.append(CsvFile(settings.roster.csv, demands(settings)))
    if settings.roster.mattermost:
        found.append(_mattermost(settings))
    return tuple(found)


def _mattermost(settings: Settings) -> PeopleList:
    """Its accounts, asked for when the list is read."""

    def accounts() -> Iterator[User]:
        with open_api(settings, "roster import --mattermost") as api:
            yield from api.users()

    return MattermostList(accounts, demands(settings), link_is(settings))


def link_is(settings: Settings) -> str:
    """The canonical name that is the link key too: it is known to Mattermost. "" where none is."""
    active = settings.upstreams[0]
    link = active.link_attribute
    return next((name for name in IDENTIFIERS if active.attributes[name] == link), "")


def _directory(settings: Settings) -> PeopleList:
    wanted = settings.roster.ldap
    if wanted is None:
        raise ConfigError(["roster.ldap: missing: --ldap imports from the directory it names"])
    # The import of its library is slow: who has no directory does not wait for it.
    from idp_proxy.listing.ldap import DirectoryList  # noqa: PLC0415 - see above

    (directory,) = (
        one
        for one in settings.upstreams
        if isinstance(one, DirectorySettings) and one.name == wanted.upstream
    )
    return DirectoryList(directory, wanted, demands(settings))


def demands(settings: Settings) -> Demands:
    """What each list must say of everybody: who they are, and whether they have a role."""
    active = settings.upstreams[0]
    roles = {rule.attribute for rule in settings.roster.policy.roles}
    return Demands(
        known=frozenset(active.attributes),
        needed=("id", "email", "username", *_key(settings), *sorted(roles)),
        domains=active.email_domains,
    )


def _key(settings: Settings) -> tuple[str, ...]:
    return ("link_key",) if "link_key" in settings.upstreams[0].attributes else ()


def digest_of(people: PeopleList, staged: Staged) -> str:
    """What a second person agrees to: the content of a file; of another list only its name."""
    return staged.digest if isinstance(people, CsvFile) else "-"


def journey(settings: Settings, store: SqlStore) -> RosterImport:
    """What holds a list against the roster."""
    return RosterImport(
        store=store,
        host=settings.proxy.host,
        most_percent=settings.roster.most_blocked_percent,
        now=clock,
        new_id=new_id,
    )
