"""People log in at a real OpenLDAP: what it says of each account, and what Chromium shows of it.

Two servers stand for one directory, and one of them is frozen or gone.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from idp_proxy.config import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.upstream.directory import DirectoryUpstream
from idp_proxy.upstream.ldap_account import AccountState
from tests.e2e.phone import Phone
from tests.e2e.test_browser import NARROW, chromium
from tests.support.browser import Browser
from tests.support.directory import (
    BASE,
    MOST_REFUSALS,
    PASSWORD,
    READER,
    Certificates,
    Slapd,
    running,
)
from tests.support.people import ALICE, PEOPLE
from tests.support.process_stage import ACTIVE, STANDBY, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser as Chromium

    from tests.e2e.peers.authority import Authority
    from tests.support.process_stage import Stage

__all__ = ["chromium"]
pytestmark = pytest.mark.e2e

NOW = datetime.now(UTC)


def person(uid: str, number: str, word: str, *more: str, cn: str = "") -> str:
    lines = (
        f"dn: cn={cn or uid},{BASE}",
        "objectClass: inetOrgPerson",
        f"cn: {cn or uid}",
        f"sn: {uid}",
        f"uid: {uid}",
        f"employeeNumber: {number}",
        f"userPassword: {word}",
        *more,
    )
    return "\n".join(lines) + "\n\n"


def policy(name: str, *rules: str) -> str:
    lines = (
        f"dn: cn={name},{BASE}",
        "objectClass: device",
        "objectClass: pwdPolicy",
        f"cn: {name}",
        "pwdAttribute: userPassword",
        *rules,
    )
    return "\n".join(lines) + "\n\n"


_OLD = "pwdChangedTime: 20200101000000Z"
DIRECTORY = "".join(
    (
        policy("ages", "pwdMaxAge: 60"),
        policy("graceful", "pwdMaxAge: 60", "pwdGraceAuthNLimit: 2"),
        policy("changing", "pwdMustChange: TRUE"),
        *(person(one.uid, one.employee_number, one.password) for one in PEOPLE),
        person("locked-out", "1", "word", "pwdAccountLockedTime: 000001010000Z"),
        person("expired", "2", "word", _OLD, f"pwdPolicySubentry: cn=ages,{BASE}"),
        person("graceful-one", "3", "word", _OLD, f"pwdPolicySubentry: cn=graceful,{BASE}"),
        person("new", "4", "word", "pwdReset: TRUE", f"pwdPolicySubentry: cn=changing,{BASE}"),
        person("twin", "5", "word", cn="twin one"),
        person("twin", "6", "word", cn="twin two"),
    )
)


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[tuple[Slapd, Slapd]]:
    """Two with the same people."""
    own, made = authority.server, []
    for name in ("first", "second"):
        folder = tmp_path_factory.mktemp(name)
        tls = Certificates(authority.bundle, own.certificate, own.key)
        made.append(Slapd(folder, DIRECTORY, tls))
    with running(made[0]) as first, running(made[1]) as second:
        yield first, second


@pytest.fixture
def corp(servers: tuple[Slapd, Slapd], authority: Authority) -> Iterator[DirectoryUpstream]:
    with directory(authority, *servers) as made:
        yield made


@contextmanager
def directory(authority: Authority, *servers: Slapd) -> Iterator[DirectoryUpstream]:
    made = DirectoryUpstream(
        DirectorySettings(
            name="corp",
            email_domains=frozenset(),
            attributes={"link_key": "employeeNumber"},
            outbound=Outbound(),
            hosts=tuple(
                DirectoryHost("localhost", one.tls_port, Encrypted.LDAPS) for one in servers
            ),
            tls_ca=authority.bundle,
            bind_dn=READER,
            bind_password=PASSWORD,
            base=BASE,
            user_filter="(&(objectClass=inetOrgPerson)(uid={username}))",
            probe_user="alice",
            connect_timeout=timedelta(seconds=1),
            timeout=timedelta(seconds=2),
        )
    )
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(
    ("uid", "word", "state"),
    [
        ("alice", "alice-pass", AccountState.RIGHT),
        ("ALICE", "alice-pass", AccountState.RIGHT),
        ("alice", "bob-pass", AccountState.WRONG),
        ("locked-out", "word", AccountState.LOCKED),
        ("locked-out", "wrong", AccountState.LOCKED),
        ("expired", "word", AccountState.EXPIRED),
        ("expired", "wrong", AccountState.WRONG),
        ("graceful-one", "word", AccountState.GRACE),
        ("new", "word", AccountState.MUST_CHANGE),
    ],
)
def test_the_log_tells_accounts_apart(
    corp: DirectoryUpstream, uid: str, word: str, state: AccountState
) -> None:
    found = corp.find(uid)
    assert (found.entries, corp.prove(found.name, word)) == (1, state)


@pytest.mark.parametrize(
    ("typed", "entries"),
    [
        ("nobody", 0),
        ("twin", 2),
        ("*", 0),
        ("alice)(uid=*", 0),
        ("alic\\65", 0),
        ("(|(uid=alice)(uid=bob))", 0),
    ],
)
def test_who_is_not_exactly_one_proves_nothing(
    corp: DirectoryUpstream, typed: str, entries: int
) -> None:
    found = corp.find(typed)
    assert (found.entries, found.name) == (entries, None)
    assert corp.prove(found.name, "word") is AccountState.WRONG


def test_a_person_of_an_entry_is_who_the_directory_says(corp: DirectoryUpstream) -> None:
    subject = corp.subject(corp.find("bob"), NOW)
    assert (subject.upstream, subject.link_key) == ("corp", "e-1002")


def test_no_try_of_ours_is_counted_twice_by_the_directory(
    servers: tuple[Slapd, Slapd], authority: Authority
) -> None:
    """Each server keeps its own count here: what was refused by one is not tried at the other."""
    with directory(authority, *servers) as both:
        found = both.find("dave")
        for _ in range(MOST_REFUSALS - 1):
            assert both.prove(found.name, "wrong") is AccountState.WRONG
    for one in servers:
        with directory(authority, one) as alone:
            assert alone.prove(found.name, "dave-pass") is AccountState.RIGHT


def test_a_server_that_is_frozen_costs_a_deadline_once(
    servers: tuple[Slapd, Slapd], authority: Authority
) -> None:
    first, _ = servers
    with directory(authority, *servers) as fresh:
        first.freeze()
        try:
            assert timed(fresh) < 4.5
            assert timed(fresh) < 1.0  # it is asked last from now on
        finally:
            first.thaw()


def test_a_server_that_is_gone_costs_nothing_and_without_any_nobody_is_found(
    servers: tuple[Slapd, Slapd], authority: Authority
) -> None:
    first, second = servers
    first.stop()
    try:
        with directory(authority, *servers) as fresh:
            assert timed(fresh) < 1.0
            second.freeze()
            try:
                with pytest.raises(UpstreamUnavailable, match="takes no connection"):
                    fresh.find("alice")
            finally:
                second.thaw()
    finally:
        first.start()
    with directory(authority, first) as alone:
        assert timed(alone) < 1.0


def timed(upstream: DirectoryUpstream) -> float:
    """How long Alice's whole login took, in seconds."""
    began = time.monotonic()
    assert upstream.prove(upstream.find("alice").name, ALICE.password) is AccountState.RIGHT
    return time.monotonic() - began


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path, servers: tuple[Slapd, Slapd], authority: Authority) -> Iterator[Stage]:
    """Alice is in the roster, and the directory serves."""
    (tmp_path / "reader").touch(mode=0o600)
    (tmp_path / "reader").write_text(PASSWORD)
    urls = ", ".join(f'"{one.urls[1]}"' for one in servers)
    upstream = f"""
[[upstream]]
name = "{STANDBY}"
kind = "ldap"

[upstream.attributes]
link_key = "employeeNumber"

[upstream.directory]
urls = [{urls}]
tls_ca = "{authority.bundle}"
bind_dn = "{READER}"
bind_password = "file:{tmp_path / "reader"}"
base = "{BASE}"
user_filter = "(&(objectClass=inetOrgPerson)(uid={{username}}))"
probe_user = "alice"
"""
    with set_up(tmp_path, upstream, (ACTIVE,)) as running_stage:
        with Browser() as browser:
            browser.login(running_stage.start_url, ALICE.uid, ALICE.password)
        running_stage.switch_to(STANDBY, "a test")
        yield running_stage


@pytest.mark.parametrize("locale", ["en", "de"])
def test_a_whole_login_by_keyboard_on_a_phone(
    chromium: Chromium, stage: Stage, locale: str
) -> None:
    before = stage.account("alice")
    with chromium.new_context(viewport=NARROW, locale=locale) as context:
        page = context.new_page()
        phone = Phone(page, context.new_cdp_session(page))
        page.goto(stage.start_url)
        phone.look(f"directory-login-{locale}")
        page.reload()
        phone.write(username="alice", password="wrong")
        phone.enter()
        page.wait_for_url("**problem=1*")
        phone.look(f"directory-login-refused-{locale}")
        told = page.locator("main").inner_text()
        page.reload()  # nothing is sent again
        for uid, word in (("locked-out", "word"), ("expired", "word"), ("nobody", "word")):
            phone.write(username=uid, password=word)
            phone.enter()
            assert page.locator("main").inner_text() == told  # alike, whatever the log says
            assert uid not in page.content()
        phone.write(username="alice", password=ALICE.password)
        phone.enter()
        expect(page).to_have_title("Welcome alice")
        page.go_back()
        assert "alice-pass" not in page.content()
    assert stage.account("alice") == before
    log = stage.proxy.log.read_text()
    for why in ("wrong_password", "locked", "password_expired", "0 entries"):
        assert f'"why": "{why}"' in log
    assert "alice-pass" not in log
    assert "locked-out" not in log
