"""How often a password may be wrong: by tables, and by a whole morning and a whole attack."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idp_proxy.config.networks import KnownNetwork
from idp_proxy.decision.password_limits import (
    Budget,
    Count,
    Exhausted,
    PasswordLimits,
    Scope,
    given_back,
    spelled,
    standing,
    taken,
)
from idp_proxy.decision.subject import Evidence, Subject
from idp_proxy.directory_login import DirectoryLogin, NotProven
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.store.memory import MemoryStore
from idp_proxy.upstream.base import Found
from idp_proxy.upstream.ldap_account import AccountState

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 3, 2, 8, 0, 0, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
DRAINS = Budget(Scope.SOURCE, 20, QUARTER)
KEEPS = Budget(Scope.PERSON_ELSEWHERE, 4, timedelta(minutes=30), drains=False)


@pytest.mark.parametrize(
    ("budget", "minutes", "left"),
    [
        (DRAINS, 0, 20.0),
        (DRAINS, 3, 16.0),
        (DRAINS, 15, 0.0),
        (DRAINS, -60, 20.0),
        (KEEPS, 0, 20.0),
        (KEEPS, 29, 20.0),
        (KEEPS, 30, 0.0),
    ],
)
def test_failures_are_forgiven(budget: Budget, minutes: int, left: float) -> None:
    assert standing(budget, Count(20, NOW), NOW + timedelta(minutes=minutes)) == left
    assert standing(budget, None, NOW) == 0


def test_all_budgets_give_or_none() -> None:
    budgets = {b"s": DRAINS, b"p": KEEPS}
    assert taken(budgets, {b"p": Count(4, NOW)}, NOW) == Exhausted(Scope.PERSON_ELSEWHERE)
    new = taken(budgets, {b"p": Count(3, NOW)}, NOW)
    assert new == {b"s": Count(1, NOW), b"p": Count(4, NOW)}
    assert given_back(budgets, {b"s": Count(1, NOW)}, NOW) == {b"s": Count(0, NOW)}


@given(st.integers(4, 100))
def test_a_person_stays_two_below_the_lockout_of_the_directory(lockout: int) -> None:
    limits = PasswordLimits(lockout_after=lockout)
    both = [limits.of_person(at_home=home).most for home in (True, False)]
    assert sum(both) == lockout - 2
    assert min(both) >= 1
    assert limits.of_network(7).most == 7
    assert limits.of_elsewhere().most == 200


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 40)), max_size=60))
def test_no_order_of_times_makes_more_of_a_budget(steps: list[tuple[int, int]]) -> None:
    counts: dict[bytes, Count] = {}
    now = NOW
    for act, minutes in steps:
        now += timedelta(minutes=minutes)
        new = taken({b"k": KEEPS}, counts, now) if act else given_back({b"k": KEEPS}, counts, now)
        if not isinstance(new, Exhausted):
            counts.update(new)
        assert 0 <= standing(KEEPS, counts.get(b"k"), now) <= KEEPS.most


def test_spellings_that_a_directory_does_not_tell_apart_are_one() -> None:
    names = ("Alice", "ALICE", " alice ", "\uff21lice")
    assert {spelled(name) for name in names} == {"alice"}


class World:
    """A directory of many people that counts failures as Active Directory does, and the clock.

    `counted` has each person's failures in a row and when the last one was; `late` is what the
    directory's own clock lies behind when it counts.
    """

    name = "corp"

    def __init__(self, limits: PasswordLimits | None = None) -> None:
        self.limits = limits or PasswordLimits()
        self.at = NOW
        self.binds: dict[str, int] = {}
        self.gone = False
        self.late = timedelta(0)
        self.counted: dict[str, tuple[int, datetime]] = {}
        self.most_counted = 0

    def find(self, typed: str) -> Found:
        known = typed.lower()
        return Found(f"uid={known}", {}, 1) if known.startswith("u") else Found(None, {}, 0)

    def prove(self, name: str | None, password: str) -> AccountState:
        if self.gone:
            raise UpstreamUnavailable("gone")
        self.binds[str(name)] = self.binds.get(str(name), 0) + 1
        right = name is not None and password == f"secret of {name}"
        self.count(str(name), right=right)
        return AccountState.RIGHT if right else AccountState.WRONG

    def count(self, name: str, *, right: bool) -> None:
        """badPwdCount and badPasswordTime (MS-SAMR 3.1.1.8.9): one count, wherever it came from."""
        at = self.at + self.late
        failures, last = self.counted.get(name, (0, at))
        if right or at - last >= self.limits.lockout_window:
            failures = 0
        self.counted[name] = (0 if right else failures + 1, at)
        self.most_counted = max(self.most_counted, self.counted[name][0])

    def subject(self, found: Found, at: datetime) -> Subject:
        return Subject("corp", str(found.name), {}, Evidence(at, "urn:password", ()))

    def login(self, *networks: KnownNetwork) -> DirectoryLogin:
        store = MemoryStore("host")
        return DirectoryLogin(
            directory=self, networks=networks, store=store, key=b"k" * 32, now=lambda: self.at
        )


def right(user: str) -> str:
    return f"secret of uid={user}"


OFFICE = KnownNetwork("office", (ip_network("203.0.113.7/32"),), 500)


def test_an_office_behind_one_address_logs_in_within_a_quarter_of_an_hour() -> None:
    world, chance = World(), random.Random(7)
    login, tries, refused, mistyped = world.login(OFFICE), 0, 0, 0
    people = [f"u{number}" for number in range(2500)]
    chance.shuffle(people)
    for user in people:
        world.at += QUARTER / len(people)
        if chance.random() < 0.05:
            mistyped += 1
            assert isinstance(login.attempt(user, "wrong", "203.0.113.7"), NotProven)
        tries += 1
        refused += isinstance(login.attempt(user, right(user), "203.0.113.7"), NotProven)
    print(
        f"\n{tries} people in 15 minutes behind one address, {mistyped} mistyped, {refused} refused"
    )
    assert (tries, refused) == (2500, 0)
    assert mistyped > 90


def spray(login: DirectoryLogin, sources: Sequence[str], people: int) -> None:
    """One password for everybody, each from the next address."""
    for number in range(people):
        login.attempt(f"u{number}", "Winter2026!", sources[number % len(sources)])


@pytest.mark.parametrize(("sources", "most"), [(1, 20), (10, 200), (1000, 200)])
def test_spraying_is_stopped(sources: int, most: int) -> None:
    world = World()
    login = world.login(OFFICE)
    places = [f"198.51.{number // 250}.{number % 250}" for number in range(sources)]
    spray(login, places, 2500)
    asked = sum(world.binds.values())
    print(f"\none password, 2500 people, {sources} sources: {asked} were tried, {2500 - asked} not")
    assert asked == most
    # The office goes on meanwhile.
    assert isinstance(login.attempt("u1", right("u1"), "203.0.113.7"), Subject)


def test_an_attacker_elsewhere_locks_nobody_out_at_home() -> None:
    world = World()
    login = world.login(OFFICE)
    home = "192.0.2.9"
    assert isinstance(login.attempt("u1", right("u1"), home), Subject)
    for number in range(300):
        login.attempt("u1", "guess", f"198.51.100.{number % 250}")
    assert world.binds["uid=u1"] == 1 + 4
    assert isinstance(login.attempt("u1", right("u1"), home), Subject)
    assert isinstance(login.attempt("u1", right("u1"), "203.0.113.7"), Subject)
    # A right password: the directory counts from nothing again, and so do we.
    login.attempt("u1", "guess", "198.51.100.1")
    assert world.binds["uid=u1"] == 1 + 4 + 2 + 1


def test_no_mix_of_places_reaches_the_lockout_of_the_directory() -> None:
    world = World(PasswordLimits(lockout_after=6))
    login = world.login(OFFICE)
    assert isinstance(login.attempt("u1", right("u1"), "192.0.2.9"), Subject)
    world.binds.clear()
    for number in range(60):
        for place in ("192.0.2.9", "203.0.113.7", f"198.51.100.{number}", f"2001:db8:{number}::1"):
            login.attempt("u1", "guess", place)
    assert world.binds["uid=u1"] == 4
    world.at += timedelta(minutes=33)
    assert isinstance(login.attempt("u1", right("u1"), "198.51.100.77"), Subject)


_TRY = st.tuples(
    st.sampled_from(["192.0.2.9", "203.0.113.7", "198.51.100.1", "2001:db8:7::1"]),
    st.sampled_from([0, 1, 10, 28, 29, 30, 31, 32, 33, 40]),
    st.booleans(),
)


@settings(max_examples=400)
@given(st.lists(_TRY, max_size=60), st.integers(4, 12), st.integers(0, 11))
def test_no_timing_of_failures_reaches_the_lockout_of_the_directory(
    steps: list[tuple[str, int, bool]], lockout: int, once_right: int
) -> None:
    """The directory has one count for both halves of a person's tries, and counts later than we do
    by up to `late`: neither may make room for more.
    """
    world = World(PasswordLimits(lockout_after=lockout))
    login = world.login(OFFICE)
    login.attempt("u1", right("u1"), "192.0.2.9")
    for number, (place, minutes, late) in enumerate(steps):
        world.at += timedelta(minutes=minutes)
        world.late = world.limits.late if late else timedelta(0)
        login.attempt("u1", right("u1") if number == once_right else "guess", place)
        assert world.most_counted <= lockout - 2


def test_failures_elsewhere_keep_those_at_home_and_all_are_forgiven_together() -> None:
    world = World()
    login = world.login(OFFICE)
    for place, minutes in (("203.0.113.7", 0), ("198.51.100.1", 25)):
        world.at += timedelta(minutes=minutes)
        for _ in range(9):
            login.attempt("u1", "guess", place)
    assert world.binds["uid=u1"] == 8
    world.at += timedelta(minutes=32)
    login.attempt("u1", right("u1"), "203.0.113.7")
    assert world.binds["uid=u1"] == 8
    world.at += timedelta(minutes=1)
    login.attempt("u1", "guess", "198.51.100.1")
    assert isinstance(login.attempt("u1", right("u1"), "203.0.113.7"), Subject)


def test_what_was_tried_beside_a_right_password_still_counts() -> None:
    """A directory may have counted it behind the right one, which began before it."""
    world = World()
    login = world.login(OFFICE)

    def meanwhile(name: str | None, password: str) -> AccountState:
        if password == right("u1"):
            for _ in range(3):
                login.attempt("u1", "guess", "198.51.100.1")
        return World.prove(world, name, password)

    login.attempt("u1", "guess", "198.51.100.1")
    world.prove = meanwhile  # type: ignore[method-assign] # the moment between asking and answer
    assert isinstance(login.attempt("u1", right("u1"), "203.0.113.7"), Subject)
    world.binds.clear()
    for _ in range(9):
        login.attempt("u1", "guess", "198.51.100.1")
    assert world.binds["uid=u1"] == 1


def test_one_person_s_mistakes_lock_nobody_else_out() -> None:
    world = World()
    login = world.login()
    for _ in range(100):
        login.attempt("u1", "wrong", "192.0.2.9")
    assert world.binds["uid=u1"] == 4
    assert isinstance(login.attempt("u2", right("u2"), "192.0.2.9"), Subject)


def test_a_site_of_ipv6_is_one_source_and_a_mapped_address_the_one_it_means() -> None:
    world = World()
    login = world.login(OFFICE)
    spray(login, [f"2001:db8:1:2::{number:x}" for number in range(1, 200)], 100)
    assert sum(world.binds.values()) == 20
    spray(login, ["nonsense"], 100)
    assert sum(world.binds.values()) == 40
    before = sum(world.binds.values())
    spray(login, ["::ffff:203.0.113.7"], 100)
    assert sum(world.binds.values()) == before + 100


def test_a_directory_that_is_gone_uses_up_nobody_else_s_tries() -> None:
    world = World()
    login = world.login()
    world.gone = True
    for number in range(30):
        with pytest.raises(UpstreamUnavailable):
            login.attempt(f"u{number}", "any", "192.0.2.9")
    world.gone = False
    assert isinstance(login.attempt("u99", right("u99"), "192.0.2.9"), Subject)


def test_who_is_not_there_is_limited_alike_under_every_spelling() -> None:
    world = World()
    login = world.login()
    for number in range(12):
        login.attempt(("Nobody", "NOBODY", "nobody")[number % 3], "x", f"198.51.100.{number}")
    assert world.binds["None"] == 4
