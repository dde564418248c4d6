"""Lists of people in a directory: several servers, pages, and entries that lack something."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.config import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.config.roster import RosterLdapSettings
from idp_proxy.errors import ListRefused
from idp_proxy.listing import ldap
from idp_proxy.listing.base import Demands
from idp_proxy.listing.ldap import DirectoryList
from idp_proxy.upstream.ldap_stream import Deadline, HostFailed, HostRefused
from tests.support.keys import tls_pair
from tests.support.ldap_double import SEARCH, finds, running_double
from tests.support.ldap_double import entry as entry_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.decision.roster import Listed

DIRECTORY = DirectorySettings(
    name="corp",
    email_domains=frozenset(),
    attributes={"link_key": "uid"},
    outbound=Outbound(),
    hosts=tuple(DirectoryHost(name, 636, Encrypted.LDAPS) for name in ("127.0.0.1", "127.0.0.2")),
    tls_ca=None,
    bind_dn="cn=reader",
    bind_password="the reader's word",
    base="dc=corp",
    user_filter="(uid={username})",
    probe_user="probe",
    connect_timeout=timedelta(seconds=1),
    timeout=timedelta(seconds=1),
)
DEMANDS = Demands(
    frozenset({"id", "email", "username", "role"}), ("id", "email", "username", "role")
)
GUID = bytes(range(16))


def wanted(**changes: Any) -> RosterLdapSettings:
    usual: dict[str, Any] = {
        "upstream": "corp",
        "base": "dc=corp",
        "written": "(objectClass=person)",
        "attributes": {"id": "objectGUID", "email": "mail", "username": "uid", "role": "title"},
        "guid": "uuid",
        "page_size": 2,
        "timeout": timedelta(seconds=5),
    }
    return RosterLdapSettings(**usual | changes)


def entry(number: int, **changes: list[bytes]) -> dict[str, Any]:
    raw = {
        "objectGUID": [f"g-{number}".encode()],
        "mail": [f"u{number}@example.org".encode()],
        "uid": [f"u{number}".encode()],
        "title": [],
    }
    return {"dn": f"uid=u{number},dc=corp", "raw_attributes": raw | changes}


class Corp:
    """What each server does, in turn: pages of entries, or an error where one is due."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *servers: list[Any]) -> None:
        self.servers = dict(zip(DIRECTORY.hosts, servers, strict=False))
        self.asked: list[str] = []
        monkeypatch.setattr(ldap, "conversing", self.conversing)

    @contextmanager
    def conversing(self, host: DirectoryHost, *_: Any) -> Iterator[Any]:
        self.asked.append(host.host)
        yield Talk(self.servers[host])


class Talk:
    def __init__(self, does: list[Any]) -> None:
        self.does = does
        self.bound = ""

    def bind(self, name: str, password: str) -> None:
        assert (name, password) == ("cn=reader", "the reader's word")
        if isinstance(self.does[0], HostRefused):
            raise self.does[0]

    def renew(self, deadline: Deadline) -> None:
        assert deadline.whole == wanted().timeout.total_seconds()

    def page(self, *_: Any, size: int, cookie: bytes) -> tuple[list[dict[str, Any]], bytes]:
        assert size == 2
        number = int(cookie or b"0")
        page = self.does[number]
        if isinstance(page, HostFailed):
            raise page
        following = b"" if number + 1 == len(self.does) else str(number + 1).encode()
        return page, following


def read(settings: RosterLdapSettings | None = None) -> dict[str, Listed]:
    people = DirectoryList(DIRECTORY, settings or wanted(), DEMANDS).people()
    return {listed.id: listed for _, listed in people}


def test_everybody_comes_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    Corp(monkeypatch, [[entry(1), entry(2)], [entry(3, title=[b"admin"])], []])
    found = read()
    assert list(found) == ["g-1", "g-2", "g-3"]
    assert found["g-1"].attributes == {
        "id": "g-1", "email": "u1@example.org", "username": "u1",
    }  # fmt: skip
    assert found["g-3"].attributes["role"] == "admin"
    assert all(one.whole and not one.deactivated for one in found.values())


def test_the_next_server_is_asked_where_one_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    corp = Corp(monkeypatch, [HostFailed("takes no connection")], [[entry(1)]])
    assert list(read()) == ["g-1"]
    assert corp.asked == ["127.0.0.1", "127.0.0.2"]
    Corp(monkeypatch, [HostRefused("refuses name or password (49)")], [HostFailed("is busy (51)")])
    with pytest.raises(ListRefused) as caught:
        read()
    assert caught.value.problems == (
        "ldap: 127.0.0.1:636: refuses name or password (49)",
        "ldap: 127.0.0.2:636: is busy (51)",
    )
    assert "the reader's word" not in str(caught.value)


def test_a_server_that_says_nothing_costs_a_login_s_deadline_and_not_the_list_s(
    tmp_path: Path,
) -> None:
    trusted = tls_pair("localhost", "127.0.0.1").write(tmp_path, "trusted")[1]
    found = finds(entry_of("uid=u1,dc=corp", objectGUID="g-1", mail="u1@example.org", uid="u1"))
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        running_double(tmp_path, {SEARCH: found}) as corp,
    ):
        hosts = tuple(
            DirectoryHost("localhost", port, Encrypted.LDAPS)
            for port in (silent.getsockname()[1], corp.port)
        )
        short = timedelta(seconds=0.3)
        directory = replace(
            DIRECTORY, hosts=hosts, tls_ca=trusted, timeout=short, connect_timeout=short
        )
        people = DirectoryList(directory, wanted(timeout=timedelta(seconds=20)), DEMANDS)
        began = time.monotonic()
        assert [listed.id for _, listed in people.people()] == ["g-1"]
    assert time.monotonic() - began < 3


def test_half_a_list_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = HostFailed("breaks the connection")
    corp = Corp(monkeypatch, [[entry(1)], broken], [[entry(1)]])
    with pytest.raises(ListRefused, match="half a list is none: breaks the connection"):
        read()
    assert corp.asked == ["127.0.0.1"]


@pytest.mark.parametrize(
    "lacks",
    [
        {"mail": []},
        {"mail": [b"a@example.org", b"b@example.org"]},
        {"mail": [b"no address"]},
        {"uid": [b"\xff\xfe"]},
        {"uid": [b"pa\xe2\x80\x8bul"]},
    ],
    ids=["nothing", "two", "no address", "no text", "hidden"],
)
def test_who_lacks_something_is_there_and_not_learned(
    monkeypatch: pytest.MonkeyPatch, lacks: dict[str, list[bytes]]
) -> None:
    Corp(monkeypatch, [[entry(1, **lacks), entry(2)]])
    found = read()
    assert not found["g-1"].whole
    assert found["g-2"].whole


@pytest.mark.parametrize("no_id", [[], [b"a", b"b"], [b"\x00"], [b"x" * 200]])
def test_an_entry_without_an_id_is_nobody(
    monkeypatch: pytest.MonkeyPatch, no_id: list[bytes]
) -> None:
    Corp(monkeypatch, [[entry(1, objectGUID=no_id), entry(2)]])
    assert list(read()) == ["g-2"]


def test_the_guid_of_active_directory_is_written_as_its_upstream_writes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Corp(monkeypatch, [[entry(1, objectGUID=[GUID])]])
    assert list(read()) == ["03020100-0504-0706-0809-0a0b0c0d0e0f"]
    assert list(read(wanted(guid="base64"))) == ["AAECAwQFBgcICQoLDA0ODw=="]


@pytest.mark.parametrize(
    ("says", "deactivated"),
    [
        ({"userAccountControl": [b"514"]}, True),
        ({"userAccountControl": [b"512"]}, False),
        ({"userAccountControl": [b"what"]}, False),
        ({"accountExpires": [b"132000000000000000"]}, True),  # in April 2019
        ({"accountExpires": [b"0"]}, False),
        ({"accountExpires": [b"9223372036854775807"]}, False),
        ({"accountExpires": [b"-1"]}, False),
        ({"nsAccountLock": [b"TRUE"]}, True),
        ({"loginDisabled": [b"FALSE"]}, False),
    ],
)
def test_an_account_that_may_not_be_used_is_deactivated(
    monkeypatch: pytest.MonkeyPatch, says: dict[str, list[bytes]], *, deactivated: bool
) -> None:
    Corp(monkeypatch, [[entry(1, **says)]])
    assert read()["g-1"].deactivated is deactivated


def test_a_host_without_an_address_and_authorities_that_are_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from dataclasses import replace

    nowhere = replace(DIRECTORY, hosts=(DirectoryHost("no.such.invalid", 636, None),))
    monkeypatch.setattr("socket.getaddrinfo", _unresolved)
    with pytest.raises(ListRefused, match=r"name does not resolve: no\.such\.invalid"):
        list(DirectoryList(nowhere, wanted(), DEMANDS).people())
    gone = replace(DIRECTORY, tls_ca=tmp_path / "gone.crt")
    with pytest.raises(ListRefused, match="tls_ca cannot be read"):
        list(DirectoryList(gone, wanted(), DEMANDS).people())


def _unresolved(*_: object, **__: object) -> None:
    raise OSError
