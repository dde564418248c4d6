"""People log in to Mattermost by a page of ours, at a real Active Directory.

The whole way: AuthnRequest, page, password, Response, and what Mattermost makes of it. The proxy
runs in this process; the domain, its TLS, its states of accounts and its lockout are Samba's.
"""

from __future__ import annotations

import base64
import re
import socket
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from idp_proxy.adapters import new_id
from idp_proxy.cli.roster.lists import Wanted as Lists
from idp_proxy.cli.roster.lists import lists
from idp_proxy.config import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.config.networks import KnownNetwork
from idp_proxy.decision.password_limits import PasswordLimits
from idp_proxy.decision.roster.imports import Run
from idp_proxy.decision.subject import Subject
from idp_proxy.directory_login import DirectoryLogin, NotProven
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.listing.base import Staged
from idp_proxy.roster_import import RosterImport
from idp_proxy.store.memory import MemoryStore
from idp_proxy.upstream.dialling import Dialler
from idp_proxy.upstream.directory import DirectoryUpstream
from idp_proxy.upstream.directory_logins import DirectoryLogins
from idp_proxy.upstream.ldap import conversing
from idp_proxy.upstream.ldap_account import AccountState
from idp_proxy.upstream.ldap_stream import Deadline, HostRefused
from idp_proxy.web import pace
from tests.active_directory.samba import (
    BASE,
    MOST_REFUSALS,
    PEOPLE,
    PORT,
    READER,
    TLS_PORT,
    password_of,
)
from tests.flows.configuration import Wanted
from tests.flows.conftest import set_up, usual_settings
from tests.flows.test_directory_login import Visitor
from tests.support.keys import tls_pair
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.peers.authority import Authority
    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage


__all__ = ["set_up", "usual_settings"]
pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("domain")]

_FILTER = "(&(objectCategory=person)({attribute}={{username}}))"
_CORP = """\
[[upstream]]
name = "corp"
kind = "ldap"

[upstream.attributes]
link_key = "objectGUID"
first_name = "memberOf"

[upstream.directory]
urls = [{urls}]
tls_ca = "{authority}"
bind_dn = "{reader}"
bind_password = "env:READER_WORD"
base = "{base}"
user_filter = "{written}"
probe_user = "probe"
guid = "{guid}"
connect_timeout_s = 1
timeout_s = 2
lockout_after = {lockout}

"""
_ROSTER = """\
[roster.ldap]
upstream = "corp"
base = "{people}"
filter = "(objectCategory=person)"
guid = "{guid}"

[roster.ldap.attributes]
id = "objectGUID"
email = "mail"
username = "sAMAccountName"
"""


class World:
    """The domain as the proxy's standby; everybody in it is in the roster, by their objectGUID."""

    def __init__(self, set_up: Builder, authority: Authority, folder: Path) -> None:
        self.set_up = set_up
        self.authority = authority
        self.folder = folder

    def stage(
        self,
        *urls: str,
        attribute: str = "sAMAccountName",
        guid: str = "uuid",
        lockout: int = 100,
    ) -> Stage:
        """The proxy, with the directory serving."""
        where = urls or (f"ldaps://localhost:{TLS_PORT}",)
        text = _CORP.format(
            urls=", ".join(f'"{one}"' for one in where),
            authority=self.authority.bundle,
            reader=READER,
            base=BASE,
            written=_FILTER.format(attribute=attribute),
            guid=guid,
            lockout=lockout,
        )
        stage = self.set_up(Wanted(directory=text, more=_ROSTER.format(people=PEOPLE, guid=guid)))
        self._import(stage)
        stage.switch("corp")
        return stage

    def _import(self, stage: Stage) -> None:
        """As `roster import --ldap`."""
        assert isinstance(stage.store, MemoryStore)
        journey = RosterImport(
            store=stage.store, host="sso1", most_percent=50, now=stage.clock.now, new_id=new_id
        )
        (people,) = lists(stage.settings, Lists(ldap=True))
        with Staged(self.folder / "staged") as staged:
            staged.take(people)
            plan = journey.plan(staged, Run("ldap", stage.clock.now()))
            journey.carry_out(staged, plan, "host:root", overridden=False)


@pytest.fixture
def world(
    set_up: Builder, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    monkeypatch.setattr(pace, "PADDED_TO_S", 0.01)
    monkeypatch.setenv("READER_WORD", password_of("reader"))
    return World(set_up, authority, tmp_path)


def corporation(authority: Authority, **changes: Any) -> DirectorySettings:
    """The same directory, for what needs no pages."""
    usual = DirectorySettings(
        name="corp",
        email_domains=frozenset(),
        attributes={"link_key": "objectGUID"},
        outbound=Outbound(),
        hosts=(DirectoryHost("localhost", TLS_PORT, Encrypted.LDAPS),),
        tls_ca=authority.bundle,
        bind_dn=READER,
        bind_password=password_of("reader"),
        base=BASE,
        user_filter=_FILTER.format(attribute="sAMAccountName"),
        probe_user="probe",
        connect_timeout=timedelta(seconds=2),
        timeout=timedelta(seconds=3),
        limits=PasswordLimits(lockout_after=MOST_REFUSALS),
    )
    return replace(usual, **changes)


def known_of(authority: Authority, name: str) -> dict[str, Any]:
    """What the domain itself says of an account now, by our account."""
    settings = corporation(authority)
    context = Dialler(Outbound(tls_ca=settings.tls_ca)).context()
    asked = ["objectGUID", "badPwdCount", "lockoutTime", "memberOf"]
    with conversing(settings.hosts[0], ["127.0.0.1"], context, 5, Deadline.within(5)) as talk:
        talk.bind(READER, password_of("reader"))
        (found,) = talk.search(BASE, f"(sAMAccountName={name})", asked, most=2)
    raw: dict[str, Any] = found["raw_attributes"]
    return {key: values[0] for key, values in raw.items() if values}


def fail_directly(authority: Authority, name: str, times: int) -> None:
    """Wrong passwords that the proxy knows nothing of: at the person's own desk."""
    settings = corporation(authority)
    context = Dialler(Outbound(tls_ca=settings.tls_ca)).context()
    with conversing(settings.hosts[0], ["127.0.0.1"], context, 5, Deadline.within(5)) as talk:
        for _ in range(times):
            with pytest.raises(HostRefused):
                talk.bind(f"{name}@corp.test", "some other word")


# --- a right password -----------------------------------------------------------------------------


@pytest.mark.parametrize("guid", ["uuid", "base64"])
@pytest.mark.parametrize(
    "url", [f"ldaps://localhost:{TLS_PORT}", f"ldap://localhost:{PORT}"], ids=["ldaps", "start_tls"]
)
def test_a_person_is_who_the_roster_knows_by_the_objectguid(
    world: World, authority: Authority, said: list[str], url: str, guid: str
) -> None:
    """What a login and what a list make of the 16 octets is one text, and it names the account."""
    stage = world.stage(url, guid=guid)
    visitor = Visitor(stage)
    accepted = visitor.accepted(visitor.type("alice", password_of("alice")))
    octets = known_of(authority, "alice")["objectGUID"]
    written = {
        "uuid": str(UUID(bytes_le=octets)),
        "base64": base64.b64encode(octets).decode(),
    }[guid]
    assert accepted.in_response_to == visitor.request_id
    assert accepted.name_id == written
    row = stage.store.person(written)
    assert row is not None
    assert (row.link_key, row.username, row.email) == (written, "alice", "alice@corp.test")
    said.append(f"alice by {url}, guid = {guid}: NameID {accepted.name_id}")


def test_groups_and_whatever_else_the_directory_says_of_somebody_stay_here(
    world: World, authority: Authority
) -> None:
    """Even where the configuration maps memberOf: a standby says who it is, and nothing else."""
    assert b"Mattermost Admins" in known_of(authority, "alice")["memberOf"]
    stage = world.stage()
    visitor = Visitor(stage)
    page = visitor.type("alice", password_of("alice"))
    accepted = visitor.accepted(page)
    sent = base64.b64decode(re.search(r'name="SAMLResponse" value="([^"]+)"', page.text)[1])  # type: ignore[index] # it was accepted
    assert b"Admins" not in sent
    assert "Admins" not in str(accepted)
    assert "Admins" not in str([dict(row.facts) for row in stage.audit_rows("login")])


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("sAMAccountName", "jürgen"),
        ("sAMAccountName", "JÜRGEN"),
        ("sAMAccountName", unicodedata.normalize("NFD", "jürgen")),
        ("userPrincipalName", "jürgen@corp.test"),
        ("userPrincipalName", "Jürgen@CORP.test"),
        ("mail", "jurgen@corp.test"),
        ("mail", "Jurgen@Corp.Test"),
    ],
)
def test_somebody_logs_in_by_the_name_that_is_configured(
    world: World, said: list[str], attribute: str, name: str
) -> None:
    """An entry whose own name has a comma, brackets, # and umlauts, and a password with some too:
    what was found is bound as, octet by octet.
    """
    stage = world.stage(attribute=attribute)
    visitor = Visitor(stage)
    accepted = visitor.accepted(visitor.type(name, password_of("jürgen")))
    said.append(f"by {attribute}, typed {name!a}: logged in as {accepted.name_id}")
    row = stage.store.person(accepted.name_id)
    assert row is not None
    assert row.username == "jürgen"


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("sAMAccountName", "alice@corp.test"),
        ("sAMAccountName", "CORP\\alice"),
        ("sAMAccountName", "al*ce"),
        ("sAMAccountName", "\\61lice"),
        ("userPrincipalName", "alice"),
        ("mail", "alice"),
    ],
)
def test_another_kind_of_name_finds_nobody(
    world: World, capsys: pytest.CaptureFixture[str], attribute: str, name: str
) -> None:
    visitor = Visitor(world.stage(attribute=attribute))
    refused = visitor.type(name, password_of("alice"))
    assert refused.headers["location"].endswith("problem=1")
    assert "0 entries" in capsys.readouterr().out


# --- states of accounts ---------------------------------------------------------------------------

STATES = {
    "alice": "wrong_password",
    "lou": "locked",
    "dora": "disabled",
    "mia": "password_must_be_changed",
    "leo": "account_expired",
    "olga": "password_expired",
    "nils": "not_at_this_hour",
    "wanda": "not_from_this_machine",
    "nobody": "0 entries",
}


def test_the_log_tells_accounts_apart_and_the_page_does_not(
    world: World, authority: Authority, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Everybody but Alice and nobody types the right password."""
    fail_directly(authority, "lou", MOST_REFUSALS)
    stage, shown = world.stage(), set()
    capsys.readouterr()
    for name, why in STATES.items():
        visitor = Visitor(stage)
        right = why not in {"wrong_password", "0 entries"}
        refused = visitor.type(name, password_of(name) if right else "some other word")
        assert (refused.status_code, refused.content) == (303, b"")
        logged = capsys.readouterr().out
        told = re.search(r"why=('[^']*'|\S+)", logged)
        assert told is not None, logged
        assert told[1].strip("'") == why
        assert password_of(name) not in logged
        page = visitor.client.get(refused.headers["location"]).text
        shown.add(re.sub(r'(name="token" value="|login=)[^"&]+', "", page))
        said.append(f"{name}: the log says {told[1]}")
    assert len(shown) == 1
    assert stage.on_record() == []


@pytest.mark.parametrize("name", ["lou", "dora", "mia", "leo", "olga", "nils", "wanda", "nobody"])
def test_a_wrong_password_of_such_an_account_tells_nothing_more(
    authority: Authority, name: str
) -> None:
    corp = DirectoryUpstream(corporation(authority))
    found = corp.find(name)
    state = corp.prove(found.name, "some other word")
    corp.close()
    assert state in {AccountState.WRONG, AccountState.LOCKED}


# --- the directory's lockout ----------------------------------------------------------------------

OFFICE = KnownNetwork("office", (ip_network("203.0.113.0/24"),), 500)


def test_our_page_locks_nobody_out_of_the_domain(authority: Authority, said: list[str]) -> None:
    """Two hundred guesses at one person, at once and one after another, from home, from an office
    and from everywhere: the domain's own count stays two below its lockout, and the person's own
    password opens the door all the while where it is not our page that is asked.
    """
    corp = DirectoryUpstream(corporation(authority))
    login = DirectoryLogin(
        directory=corp,
        networks=(OFFICE,),
        store=MemoryStore("host"),
        key=b"k" * 32,
        now=lambda: datetime.now(UTC),
    )
    home = "192.0.2.9"
    assert isinstance(login.attempt("vic", password_of("vic"), home), Subject)
    places = [home, "203.0.113.7", *(f"198.51.100.{number}" for number in range(48))]

    def guess(number: int) -> str:
        name = ("vic", "VIC", " Vic ", "vic")[number % 4]
        told = login.attempt(name, f"guess {number}", places[number % len(places)])
        assert isinstance(told, NotProven)
        return told.why

    with ThreadPoolExecutor(16) as threads:
        reasons = list(threads.map(guess, range(200)))
    counted = int(known_of(authority, "vic")["badPwdCount"])
    said.append(
        f"200 guesses at vic by our page: {reasons.count('wrong_password')} reached the domain, "
        f"badPwdCount {counted}, lockout {MOST_REFUSALS}"
    )
    assert reasons.count("wrong_password") == counted == MOST_REFUSALS - 2
    assert corp.prove(corp.find("vic").name, password_of("vic")) is AccountState.RIGHT
    assert int(known_of(authority, "vic").get("lockoutTime", 0)) == 0
    corp.close()


def test_a_right_password_starts_both_counts_anew(authority: Authority) -> None:
    corp = DirectoryUpstream(corporation(authority))
    login = DirectoryLogin(
        directory=corp,
        networks=(),
        store=MemoryStore("host"),
        key=b"k" * 32,
        now=lambda: datetime.now(UTC),
    )
    for _ in range(3):
        assert isinstance(login.attempt("kim", "mistyped", "192.0.2.9"), NotProven)
        assert int(known_of(authority, "kim")["badPwdCount"]) == 1
        assert isinstance(login.attempt("kim", password_of("kim"), "192.0.2.9"), Subject)
        assert int(known_of(authority, "kim")["badPwdCount"]) == 0
    corp.close()


# --- domain controllers ---------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections, and nobody behind it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def test_of_several_controllers_one_is_dead_and_one_says_nothing(
    world: World, said: list[str], silent: int
) -> None:
    dead = free_port()
    stage = world.stage(
        f"ldaps://localhost:{dead}",
        f"ldaps://localhost:{silent}",
        f"ldaps://localhost:{TLS_PORT}",
    )
    took = []
    for _ in range(2):
        visitor, began = Visitor(stage), datetime.now(UTC)
        visitor.accepted(visitor.type("alice", password_of("alice")))
        took.append((datetime.now(UTC) - began).total_seconds())
    said.append(f"one controller dead, one silent: first login {took[0]:.1f} s, next {took[1]:.1f}")
    assert took[0] < 4.5
    assert took[1] < 1


@pytest.mark.parametrize("way", list(Encrypted))
@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_controller_that_cannot_prove_its_name_gets_no_password(
    authority: Authority, tmp_path: Path, way: Encrypted, wrong: str
) -> None:
    """Neither of ours nor a person's: what it would be asked for is never sent."""
    host = DirectoryHost(
        "dc2.corp.test" if wrong == "name" else "localhost",
        TLS_PORT if way is Encrypted.LDAPS else PORT,
        way,
    )
    other = tls_pair("elsewhere").write(tmp_path, "elsewhere")[1]
    trusted = authority.bundle if wrong == "name" else other
    settings = corporation(authority, hosts=(host,), tls_ca=trusted)
    logins = DirectoryLogins(settings, lambda host, port: ["127.0.0.1"] if host and port else [])
    before = known_of(authority, "ben").get("badPwdCount", b"0")
    for attempt in (
        lambda: logins.find("ben"),
        lambda: logins.prove(f"CN=ben,{PEOPLE}", "some other word"),
    ):
        with pytest.raises(UpstreamUnavailable, match="TLS certificate not trusted"):
            attempt()
    assert known_of(authority, "ben").get("badPwdCount", b"0") == before


def test_a_referral_of_the_domain_is_not_followed(authority: Authority) -> None:
    """A search from the top of the domain is answered with referrals to names that are nowhere."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if port else []

    logins = DirectoryLogins(corporation(authority), resolve)
    found = logins.find("alice")
    assert logins.prove(found.name, password_of("alice")) is AccountState.RIGHT
    logins.close()
    assert set(asked) == {"localhost"}
