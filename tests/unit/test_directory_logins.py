"""People at a directory by several hosts: connections, deadlines, and what is sent to whom."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from ldap3 import Connection

from idp_proxy.config import DirectoryHost, Encrypted
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.upstream.directory_logins import DirectoryLogins
from idp_proxy.upstream.ldap_account import AccountState
from tests.support.keys import tls_pair
from tests.support.ldap_double import (
    BIND,
    SEARCH,
    Directory,
    entry,
    finds,
    hangs_up,
    message,
    running_double,
    says,
    silent,
    tagged,
)
from tests.support.ldap_people import Entry, PeopleDirectory, running_people
from tests.unit.test_upstream_directory import SECRET, SETTINGS, here

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.ldap_double import Behaviour, Link

READER = SETTINGS.bind_dn
ANN, BOB = "uid=ann,dc=corp", "uid=bob,dc=corp"
FINDS_ANN = {SEARCH: finds(entry(ANN, employeeNumber="e-ann"))}


@dataclass(slots=True)
class Room:
    """Where directories run until the test ends."""

    folder: Path
    stack: ExitStack

    def people(self, *entries: Entry) -> PeopleDirectory:
        known = PeopleDirectory([Entry(READER, SECRET, {}), *entries])
        pair = tls_pair("localhost", "127.0.0.1")
        return self.stack.enter_context(running_people(known, pair, self.folder))

    def double(self, behaviour: dict[int, Behaviour]) -> Directory:
        return self.stack.enter_context(running_double(self.folder, behaviour))

    def logins(self, *ports: int, **changes: Any) -> DirectoryLogins:
        how = {name: changes.pop(name) for name in ("resolve", "clock") if name in changes}
        trusted = tls_pair("localhost", "127.0.0.1").write(self.folder, "trusted")[1]
        hosts = tuple(DirectoryHost("localhost", port, Encrypted.LDAPS) for port in ports)
        settings = replace(SETTINGS, hosts=hosts, tls_ca=trusted, **changes)
        made = DirectoryLogins(settings, **{"resolve": here, **how})
        self.stack.callback(made.close)
        return made


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(tmp_path, stack)


def person(name: str) -> Entry:
    known = {"uid": name, "employeeNumber": f"e-{name}"}
    return Entry(f"uid={name},dc=corp", f"word of {name}", known)


# --- connections ----------------------------------------------------------------------------------


def test_of_many_people_at_once_each_is_found_and_proven_as_themselves(room: Room) -> None:
    """Connections are shared by threads, and no answer goes to another one's question."""
    names = [f"p{number}" for number in range(12)]
    corp = room.people(*(person(name) for name in names))
    logins = room.logins(corp.port)

    def log_in(number: int) -> None:
        mine, other = names[number % 12], names[(number + 1) % 12]
        found = logins.find(mine)
        assert found.attributes["employeenumber"] == (f"e-{mine}",)
        assert logins.prove(found.name, f"word of {mine}") is AccountState.RIGHT
        assert logins.prove(found.name, f"word of {other}") is AccountState.WRONG

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(log_in, range(48)))


def test_a_connection_of_a_person_is_never_ours_nor_anybody_s_again(room: Room) -> None:
    """A search on what was bound as somebody would be with that person's rights."""
    corp = room.people(person("ann"), person("bob"))
    logins = room.logins(corp.port)
    for name in ("ann", "bob", "ann"):
        found = logins.find(name)
        logins.prove(found.name, f"word of {name}")
    assert corp.searched_as == [READER] * 3
    assert corp.binds == [READER, ANN, BOB, ANN]
    assert corp.connections == 1 + 3


def test_a_connection_that_died_meanwhile_is_replaced(room: Room) -> None:
    def once_each(link: Link, number: int) -> None:
        finds(entry(ANN, employeeNumber="e-ann"))(link, number)
        hangs_up(link, number)

    corp = room.double({SEARCH: once_each})
    logins = room.logins(corp.port)
    for _ in range(3):
        assert logins.find("ann").name == ANN
    assert corp.connections == 3


def test_one_that_was_idle_for_long_is_not_used(room: Room) -> None:
    corp, now = room.people(person("ann")), 0.0
    logins = room.logins(corp.port, clock=lambda: now)
    logins.find("ann")
    now = 44.0
    logins.find("ann")
    assert corp.connections == 1
    now = 90.0
    logins.find("ann")
    assert corp.connections == 2


def test_no_password_outlives_its_bind(room: Room) -> None:
    corp = room.people(person("ann"))
    logins = room.logins(corp.port)
    logins.prove(logins.find("ann").name, "word of ann")
    made = [
        one for one in gc.get_objects() if isinstance(one, Connection) and one.user in {READER, ANN}
    ]
    assert made
    assert {one.password for one in made} == {None}


# --- several hosts --------------------------------------------------------------------------------


def test_a_password_goes_to_one_host_and_to_no_second_one(room: Room) -> None:
    """A host that breaks off may have counted it; the next one would count it again."""
    first, second = room.double(FINDS_ANN), room.double(FINDS_ANN)
    logins = room.logins(first.port, second.port)
    found = logins.find("ann")
    first.behaviour[BIND] = second.behaviour[BIND] = hangs_up
    with pytest.raises(UpstreamUnavailable, match="closes the connection without an answer"):
        logins.prove(found.name, "word")
    assert (first.asked.count(BIND), second.asked.count(BIND)) == (2, 0)  # ours, and hers


def test_hosts_that_say_nothing_take_a_deadline_each_and_no_more(room: Room) -> None:
    doubles = [room.double({BIND: silent, **FINDS_ANN}) for _ in range(3)]
    short = {"timeout": timedelta(seconds=0.2), "connect_timeout": timedelta(seconds=0.2)}
    logins = room.logins(*(one.port for one in doubles), **short)
    began = time.monotonic()
    with pytest.raises(UpstreamUnavailable) as failed:
        logins.find("ann")
    assert 0.6 <= time.monotonic() - began < 3
    assert failed.value.detail.count("no answer within 0.2 s") == 3


def test_one_that_failed_is_asked_last_for_a_while(room: Room) -> None:
    now, well = 0.0, room.people(person("ann"))
    broken = room.double({BIND: says(52)})
    logins = room.logins(broken.port, well.port, clock=lambda: now)
    for _ in range(3):
        assert logins.find("ann").name == ANN
    assert broken.connections == 1
    now = 16.0
    logins.find("ann")
    assert broken.connections == 2


def test_a_resolver_that_hangs_is_left_at_the_deadline(room: Room) -> None:
    """getaddrinfo has no deadline of its own: with four that hang the fifth waits no longer."""
    ends, short = threading.Event(), {"timeout": timedelta(seconds=0.2)}
    logins = room.logins(636, resolve=lambda *_: [str(ends.wait(10))], **short)
    began = time.monotonic()
    for _ in range(6):
        with pytest.raises(UpstreamUnavailable, match=r"does not resolve within 0\.2 s"):
            logins.find("ann")
    ends.set()
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("broken", [OSError, UnicodeError, list], ids=["gone", "nonsense", "none"])
def test_a_name_that_is_nowhere_is_told(room: Room, broken: Any) -> None:
    def resolve(*_: object) -> list[str]:
        if broken is list:
            return []
        raise broken

    with pytest.raises(UpstreamUnavailable, match="name does not resolve: localhost"):
        room.logins(636, resolve=resolve).find("ann")


# --- our own account ------------------------------------------------------------------------------


def test_of_many_at_once_one_finds_out_that_our_password_is_wrong(room: Room) -> None:
    """Sixteen refused binds at once would lock our account, and with it everybody out."""
    corp = room.people(person("ann"))
    corp.before_bind = lambda _: time.sleep(0.05)
    logins = room.logins(corp.port, bind_password="yesterday's")

    def attempt(_: int) -> str:
        with pytest.raises(UpstreamUnavailable) as refused:
            logins.find("ann")
        return refused.value.detail

    with ThreadPoolExecutor(16) as threads:
        told = set(threads.map(attempt, range(16)))
    assert corp.binds == [READER]
    assert len(told) == 1
    assert "refuses the account cn=reader" in told.pop()


def test_who_waits_for_another_s_bind_waits_no_longer_than_the_deadline(room: Room) -> None:
    corp = room.double({BIND: silent})
    logins = room.logins(corp.port, timeout=timedelta(seconds=0.3))

    def attempt(_: int) -> float:
        began = time.monotonic()
        with pytest.raises(UpstreamUnavailable, match=r"no answer within 0\.3 s"):
            logins.find("ann")
        return time.monotonic() - began

    with ThreadPoolExecutor(6) as threads:
        assert max(threads.map(attempt, range(6))) < 1.5  # one after another it would be 1.8


# --- who somebody is ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [32, 34, 49])
def test_who_is_not_there_is_no_error_of_the_directory(room: Room, code: int) -> None:
    """Some directories say "no such object" to a bind: told as an outage, it would tell who is."""
    corp = room.double({**FINDS_ANN, BIND: says(code)})
    logins = room.logins(corp.port)
    assert logins.prove(None, "word") is AccountState.WRONG
    assert logins.prove(ANN, "word") is AccountState.WRONG


@pytest.mark.parametrize("code", [1, 8, 10, 51, 52, 80])
def test_what_says_nothing_about_the_person_is_an_outage_for_everybody(
    room: Room, code: int
) -> None:
    corp = room.double({**FINDS_ANN, BIND: says(code)})
    logins = room.logins(corp.port)
    for name in (None, ANN):
        with pytest.raises(UpstreamUnavailable):
            logins.prove(name, "word")


def test_a_bind_of_nobody_that_succeeds_lets_nobody_in(room: Room) -> None:
    """Some directories take any name; and an entry without a name would be bound as by nobody."""
    corp = room.double({BIND: says(0), SEARCH: finds(entry("", employeeNumber="e-root"))})
    logins = room.logins(corp.port)
    found = logins.find("ann")
    assert (found.name, dict(found.attributes)) == (None, {})
    assert logins.prove(found.name, "word") is AccountState.WRONG


@pytest.mark.parametrize("password", ["", "word\0"])
def test_a_password_that_is_none_is_sent_nowhere(room: Room, password: str) -> None:
    corp = room.double(FINDS_ANN)
    with pytest.raises(UpstreamUnavailable):
        room.logins(corp.port).prove(ANN, password)
    assert BIND not in corp.asked


@pytest.mark.parametrize(
    ("entries", "code", "number"),
    [((), 0, 0), ((ANN, BOB), 0, 2), ((ANN, BOB), 4, 2), ((ANN, BOB, READER), 4, 2)],
)
def test_exactly_one_entry_is_somebody(
    room: Room, entries: tuple[str, ...], code: int, number: int
) -> None:
    found = (entry(name, employeeNumber="e-1") for name in entries)
    corp = room.double({SEARCH: finds(*found, code=code)})
    seen = room.logins(corp.port).find("ann")
    assert (seen.name, seen.entries) == (None, number)


def test_a_referral_beside_the_entry_is_not_followed(room: Room) -> None:
    """Whoever followed it would take the password to another server."""

    def refers(link: Link, number: int) -> None:
        link.send(message(number, tagged(0x73, tagged(0x04, b"ldap://evil.example/dc=corp"))))
        finds(entry(ANN, employeeNumber="e-ann"))(link, number)

    corp = room.double({SEARCH: refers})
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return here(host, port)

    logins = room.logins(corp.port, resolve=resolve)
    assert logins.find("ann").name == ANN
    logins.prove(ANN, "word")
    assert set(asked) == {"localhost"}
