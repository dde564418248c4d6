"""People in a directory, page by page: the same connections as its upstream makes.

The servers are asked in turn, and the first that takes our account is the one that is read. Half a
list is none: whatever fails after the first page ends the import.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from idp_proxy.config import Outbound
from idp_proxy.decision.roster import Listed
from idp_proxy.errors import ListRefused
from idp_proxy.listing.base import listed_of
from idp_proxy.upstream.dialling import Dialler, system_resolve
from idp_proxy.upstream.ldap import conversing
from idp_proxy.upstream.ldap_stream import Deadline, HostFailed
from idp_proxy.upstream.ldap_values import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from idp_proxy.config import DirectoryHost, DirectorySettings
    from idp_proxy.config.roster import RosterLdapSettings
    from idp_proxy.listing.base import Demands
    from idp_proxy.upstream.ldap import Conversation

#: Octets of a whole list: a few KiB for each of a few million people.
_MOST_OCTETS: Final = 8 * 1024**3
#: Attributes by which directories say that an account may not be used, and how.
_DISABLED: Final[dict[str, Callable[[str, datetime], bool]]] = {
    "userAccountControl": lambda value, _: value.isdecimal() and bool(int(value) & 2),
    "accountExpires": lambda value, now: value.isdecimal() and 0 < int(value) <= _filetime(now),
    "nsAccountLock": lambda value, _: value.lower() == "true",
    "loginDisabled": lambda value, _: value.lower() == "true",
}
#: From when on Active Directory counts, in tenths of microseconds.
_FIRST: Final = datetime(1601, 1, 1, tzinfo=UTC)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class DirectoryList:
    """Everybody whom a filter finds; implements `base.PeopleList`.

    An entry without an id is nobody's account. One that lacks something else, or has two values
    where one must be, is there and incomplete: nobody is blocked for it, and nothing is learned.
    """

    directory: DirectorySettings
    wanted: RosterLdapSettings
    demands: Demands
    name: str = "ldap"
    exhaustive: bool = True
    now: Callable[[], datetime] = _utc_now

    def people(self) -> Iterator[tuple[str, Listed]]:
        """See `base.PeopleList`."""
        unreachable = []
        for host in self.directory.hosts:
            try:
                with self._talking(host) as talk:
                    talk.bind(self.directory.bind_dn, self.directory.bind_password)
                    # Until here a server that says nothing costs what it costs a login.
                    talk.renew(Deadline.within(self.wanted.timeout.total_seconds()))
                    pages = self._pages(talk)
                    first = next(pages)
                    yield from self._listed(first)
                    for page in pages:
                        yield from self._listed(page)
                    return
            except HostFailed as error:
                unreachable.append(f"ldap: {host}: {error}")
        raise ListRefused(unreachable)

    def _talking(self, host: DirectoryHost) -> AbstractContextManager[Conversation]:
        dialler = Dialler(Outbound(tls_ca=self.directory.tls_ca))
        try:
            context = dialler.context()
        except OSError as error:
            raise HostFailed(f"tls_ca cannot be read: {error.strerror}") from error
        return conversing(
            host,
            _addresses(host),
            context,
            self.directory.connect_timeout.total_seconds(),
            Deadline.within(self.directory.timeout.total_seconds()),
            _MOST_OCTETS,
        )

    def _pages(self, talk: Conversation) -> Iterator[list[dict[str, Any]]]:
        """Raises `HostFailed` before the first page, and `ListRefused` behind it."""
        asked = [*self.wanted.attributes.values(), *_DISABLED]
        cookie, begun = b"", False
        while not begun or cookie:
            try:
                entries, cookie = talk.page(
                    self.wanted.base,
                    self.wanted.written,
                    asked,
                    size=self.wanted.page_size,
                    cookie=cookie,
                )
            except HostFailed as error:
                if not begun:
                    raise
                raise ListRefused([f"ldap: half a list is none: {error}"]) from error
            begun = True
            yield entries

    def _listed(self, entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Listed]]:
        for entry in entries:
            found = self._person(entry)
            if found is not None:
                yield str(entry["dn"]), found

    def _person(self, entry: Mapping[str, Any]) -> Listed | None:
        raw = {name.lower(): values for name, values in entry["raw_attributes"].items()}
        values = {
            canonical: self._value(attribute, raw.get(attribute.lower(), ()))
            for canonical, attribute in self.wanted.attributes.items()
        }
        person = values["id"]
        if not person or self.demands.problem("id", person) is not None:
            return None
        now = self.now()
        deactivated = any(
            says(_text(value), now)
            for name, says in _DISABLED.items()
            for value in raw.get(name.lower(), ())
        )
        if not self._whole(values):
            return Listed(person, deactivated=deactivated, whole=False)
        told = {name: value or "" for name, value in values.items()}
        return listed_of(told, deactivated=deactivated)

    def _value(self, attribute: str, values: Sequence[bytes]) -> str | None:
        """The one value as text; "" for none, None for what is no single reading."""
        if not values:
            return ""
        if len(values) > 1:
            return None
        return text_of(attribute, bytes(values[0]), self.wanted.guid)

    def _whole(self, values: Mapping[str, str | None]) -> bool:
        """Whether a row can be made of it, as of a login. Who has no role has no value there."""
        return all(
            value is not None and self.demands.problem(name, value) is None
            for name, value in values.items()
        )


def _filetime(at: datetime) -> int:
    return (at - _FIRST) // timedelta(microseconds=1) * 10


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace")


def _addresses(host: DirectoryHost) -> list[str]:
    try:
        return system_resolve(host.host, host.port)
    except (OSError, ValueError) as error:
        raise HostFailed(f"name does not resolve: {host.host}") from error
