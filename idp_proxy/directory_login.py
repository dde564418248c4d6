"""JOURNEY: a person gives name and password to a directory, on a page of ours.

    attempt ... is this login still asked for, may one more password be tried (LDAP-04), who is it
                (LDAP-03), is it their password (LDAP-01); then what it proved, or why it did not

The tries are counted in the store before the directory is asked, for all workers and hosts; while
the store is away nobody tries a password. Why a try failed is for the log: whoever typed it is told
the same, whether there is no such person, the password is wrong, the account is locked or there
were too many tries.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from idp_proxy.decision.password_limits import (
    AT_HOME_FOR,
    Count,
    Exhausted,
    Scope,
    allows,
    cleared,
    given_back,
    of_one_account,
    spelled,
    taken,
)
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.seal import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from idp_proxy.decision.password_limits import Budget, PasswordLimits
    from idp_proxy.decision.subject import Subject
    from idp_proxy.store.base import Store
    from idp_proxy.upstream.base import Found

#: For what names and addresses are digested.
PURPOSE: Final = "password tries"
#: Characters of what may be typed. No directory has longer ones in use.
LONGEST_NAME: Final = 256
LONGEST_PASSWORD: Final = 1024
#: Of an IPv6 address: what one site has.
_SITE: Final = 64


class State(Protocol):
    """How a password did."""

    @property
    def value(self) -> str:
        """The log's word."""

    @property
    def proves(self) -> bool:
        """Whether it was right, and the account may be used."""


class Directory(Protocol):
    """A directory that people log in at."""

    @property
    def name(self) -> str:
        """The upstream's name."""

    @property
    def limits(self) -> PasswordLimits:
        """How often a password may be wrong there."""

    def find(self, typed: str) -> Found:
        """The entry for what was typed. Raises `UpstreamUnavailable`."""

    def prove(self, name: str | None, password: str) -> State:
        """Whether this is that entry's password; for None it asks, and says no. Raises
        `UpstreamUnavailable`.
        """

    def subject(self, found: Found, at: datetime) -> Subject:
        """The person of an entry that was proven. Raises `AssertionInvalid`."""


class KnownNetwork(Protocol):
    """Where many people come from one address."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""

    @property
    def networks(self) -> Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Its addresses."""

    @property
    def failures(self) -> int:
        """The failures that it may have together."""


@dataclass(frozen=True, slots=True)
class NotProven:
    """The password did not do. `why` is for the log alone."""

    why: str


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a try comes from. `known` is the network it is of."""

    name: str
    known: KnownNetwork | None


@dataclass(frozen=True, slots=True)
class _Try:
    """A try that was taken: what it is given back to, and what is cleared when it was right: the
    person's counts as they were then.
    """

    shared: Mapping[bytes, Budget]
    person: Mapping[bytes, Count]
    home: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryLogin:
    """The journey's needs. `key` digests names and addresses."""

    directory: Directory
    networks: Sequence[KnownNetwork]
    store: Store
    key: bytes
    now: Callable[[], datetime]

    def attempt(self, typed: str, password: str, source: str | None) -> Subject | NotProven:
        """Whose password it was, or why it does not do.

        Raises `UpstreamUnavailable` when the directory cannot be asked, `AssertionInvalid` when its
        entry does not say who the person is, `StoreError`.
        """
        # Composed, as directories keep names: not all of them find one that is spelled in parts.
        typed = unicodedata.normalize("NFC", typed.strip())
        if (why := _unaskable(typed, password)) is not None:
            return NotProven(why)
        place = self._place(source)
        shared = self._shared(place)
        counts = self.store.password_counts_of(shared)
        for key, budget in shared.items():
            # Elsewhere is judged below: only there it is known whether the person is at home.
            if budget.scope is not Scope.ELSEWHERE and not allows(
                budget, counts.get(key), self.now()
            ):
                return NotProven(f"too many failures: {budget.scope.value}")
        found = self.directory.find(typed)
        tried = self._take(found, typed, place, shared)
        if isinstance(tried, Exhausted):
            return NotProven(f"too many failures: {tried.scope.value}")
        try:
            state = self.directory.prove(found.name, password)
        except UpstreamUnavailable:
            self._give_back(tried, right=False)
            raise
        if not state.proves or found.name is None:
            return NotProven(state.value if found.name else f"{found.entries} entries")
        now = self.now()
        self._give_back(tried, right=True)
        return self.directory.subject(found, now)

    def _take(
        self, found: Found, typed: str, place: _Source, shared: Mapping[bytes, Budget]
    ) -> _Try | Exhausted:
        """One try from every budget, or none. A person is known by the entry, however the name was
        spelled: a directory finds one by several spellings.
        """
        limits, now = self.directory.limits, self.now()
        who = ("entry", spelled(found.name)) if found.name else ("typed", spelled(typed))
        at_home, elsewhere = self._digest("home", *who), self._digest("elsewhere", *who)
        home = self._digest("place", place.name, *who)
        with self.store.transaction() as tx:
            counts = tx.password_counts({*shared, at_home, elsewhere, home}, now)
            lives = place.known is not None or _lives(counts[home], now)
            person = at_home if lives else elsewhere
            account = of_one_account(counts, (at_home, elsewhere), limits.kept, now)
            budgets = {
                key: budget
                for key, budget in shared.items()
                if not (lives and budget.scope is Scope.ELSEWHERE)
            }
            budgets[person] = limits.of_person(at_home=lives)
            new = taken(budgets, {**counts, **account}, now)
            if isinstance(new, Exhausted):
                return new
            tx.save_password_counts({**account, **new}, now + self._lasts)
        del budgets[person]
        account[person] = new[person]
        return _Try(budgets, account, home)

    def _give_back(self, tried: _Try, *, right: bool) -> None:
        """What was taken from all; of the person only when the password was `right`: what a
        directory that broke off has counted is not known.
        """
        now = self.now()
        with self.store.transaction() as tx:
            counts = tx.password_counts({*tried.shared, *tried.person, tried.home}, now)
            new = given_back(tried.shared, counts, now)
            if right:
                new |= cleared(tried.person, counts)
            tx.save_password_counts(new, now + self._lasts)
            if right:
                tx.save_password_counts({tried.home: Count(1.0, now)}, now + AT_HOME_FOR)

    @property
    def _lasts(self) -> timedelta:
        limits = self.directory.limits
        return max(limits.kept, limits.window)

    def _shared(self, place: _Source) -> dict[bytes, Budget]:
        """What a try is taken from whoever it is for."""
        limits = self.directory.limits
        if place.known is not None:
            key = self._digest("network", place.known.name)
            return {key: limits.of_network(place.known.failures)}
        return {
            self._digest("source", place.name): limits.of_source(),
            self._digest("all"): limits.of_elsewhere(),
        }

    def _place(self, source: str | None) -> _Source:
        """The site that an address is of; what is no address is one place together."""
        found: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
        with suppress(ValueError):
            found = ipaddress.ip_address(source or "")
        if found is None:
            return _Source("none", None)
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        for known in self.networks:
            if any(found in network for network in known.networks):
                return _Source(f"network {known.name}", known)
        if isinstance(found, ipaddress.IPv6Address):
            return _Source(str(ipaddress.ip_network((int(found), _SITE), strict=False)), None)
        return _Source(str(found), None)

    def _digest(self, *parts: str) -> bytes:
        return digest(self.key, PURPOSE, self.directory.name, *parts)


def _unaskable(typed: str, password: str) -> str | None:
    """What no directory is asked for: it would cut a name at NUL and find somebody else, and take a
    bind without a password for one that proves nothing (LDAP-01).
    """
    if not typed or not typed.isprintable() or len(typed) > LONGEST_NAME:
        return "a name that is none"
    if not password or "\0" in password or len(password) > LONGEST_PASSWORD:
        return "a password that is none"
    return None


def _lives(home: Count, now: datetime) -> bool:
    return home.failures > 0 and now - home.at < AT_HOME_FOR
