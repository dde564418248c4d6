"""A list of people from a real slapd: page by page, over verified TLS, into the roster."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.config import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.config.roster import RosterLdapSettings
from idp_proxy.errors import ListRefused
from idp_proxy.listing.base import Demands
from idp_proxy.listing.ldap import DirectoryList
from tests.support.directory import BASE, PASSWORD, READER, Certificates, Slapd, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.peers.authority import Authority
    from tests.support.directory import Slapd as Server

pytestmark = pytest.mark.e2e

PEOPLE = "\n".join(
    f"""dn: uid=user{number},{BASE}
objectClass: inetOrgPerson
uid: user{number}
cn: user{number}
sn: {number}
employeeNumber: e-{number}
mail: user{number}@corp.test
"""
    for number in range(7)
)
DEMANDS = Demands(frozenset({"id", "email", "username"}), ("id", "email", "username"))


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("people")
    own = authority.server
    tls = Certificates(authority.bundle, own.certificate, own.key)
    with running(Slapd(folder, PEOPLE, tls)) as server:
        yield server


def listing(slapd: Server, authority: Authority, **changes: str) -> DirectoryList:
    directory = DirectorySettings(
        name="corp",
        email_domains=frozenset(),
        attributes={"link_key": "employeeNumber"},
        outbound=Outbound(),
        hosts=(
            DirectoryHost("localhost", 1, Encrypted.LDAPS),  # nobody is there
            DirectoryHost("localhost", slapd.port, Encrypted.START_TLS),
        ),
        tls_ca=authority.bundle,
        bind_dn=READER,
        bind_password=changes.get("password", PASSWORD),
        base=BASE,
        user_filter="(uid={username})",
        probe_user="user0",
        connect_timeout=timedelta(seconds=2),
        timeout=timedelta(seconds=5),
    )
    wanted = RosterLdapSettings(
        upstream="corp",
        base=changes.get("base", BASE),
        written="(objectClass=inetOrgPerson)",
        attributes={"id": "employeeNumber", "email": "mail", "username": "uid"},
        guid="uuid",
        page_size=3,
        timeout=timedelta(seconds=20),
    )
    return DirectoryList(directory, wanted, DEMANDS)


def test_everybody_comes_over_pages(slapd: Server, authority: Authority) -> None:
    found = dict(listing(slapd, authority).people())
    assert sorted(one.id for one in found.values()) == [f"e-{number}" for number in range(7)]
    assert found[f"uid=user3,{BASE}"].attributes["email"] == "user3@corp.test"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"password": "wrong"}, "refuses name or password"),
        ({"base": f"ou=no,{BASE}"}, "no such base"),
    ],
)
def test_what_the_directory_refuses_is_told(
    slapd: Server, authority: Authority, changes: dict[str, str], said: str
) -> None:
    with pytest.raises(ListRefused) as caught:
        list(listing(slapd, authority, **changes).people())
    assert said in str(caught.value)
    assert "takes no connection" in str(caught.value)
