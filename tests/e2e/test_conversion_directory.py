"""`prepare` from a real directory: who binds how, what is read, and what is refused."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from conversion.config import LdapSettings
from conversion.decision.account import Binding, Source
from conversion.errors import ConfigError
from conversion.inventory import Key, Said
from conversion.inventory.directory import read_directory
from tests.e2e.peers.authority import Authority
from tests.support.directory import BASE, PASSWORD, READER, Certificates, running_slapd
from tests.support.keys import tls_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEOPLE = 1203


def entry(number: int, *more: str) -> str:
    lines = (
        f"dn: uid=p{number},{BASE}",
        "objectClass: inetOrgPerson",
        f"uid: p{number}",
        "cn: Jörg" if number == 1 else "cn: n",
        "sn: n",
        *more,
    )
    return "\n".join(lines) + "\n\n"


def corporation() -> str:
    """Everybody has an Id and a mail, but two; one has two mails."""
    people = [
        entry(n, f"employeeNumber: id-{n}", f"mail: p{n}@corp.test") for n in range(1, PEOPLE)
    ]
    people += [
        entry(PEOPLE, "employeeNumber: id-two", "mail: one@corp.test", "mail: two@corp.test"),
        entry(9001, "mail: without-id@corp.test"),
        entry(9002, "employeeNumber: without-mail"),
    ]
    return "".join(people)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority"))


def certificates(authority: Authority) -> Certificates:
    return Certificates(authority.bundle, authority.server.certificate, authority.server.key)


@pytest.fixture(scope="module")
def urls(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority
) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("slapd")
    with running_slapd(folder, corporation(), certificates(authority)) as found:
        yield found


@pytest.fixture
def settings(urls: tuple[str, str], authority: Authority) -> LdapSettings:
    return LdapSettings(
        urls=(urls[1],),
        base=BASE,
        filter="(objectClass=inetOrgPerson)",
        id_attribute="employeenumber",
        id_form="text",
        email="mail",
        username="",
        bind_dn=READER,
        bind_password=PASSWORD,
        tls_ca=authority.bundle,
        timeout_s=3,
    )


@pytest.mark.parametrize("way", [0, 1], ids=["StartTLS", "LDAPS"])
def test_everybody_with_an_id_and_a_mail_is_read_page_by_page(
    settings: LdapSettings, urls: tuple[str, str], way: int
) -> None:
    said = read_directory(replace(settings, urls=(urls[way],)), NOW)
    assert len(said) == PEOPLE + 1
    assert Said(Key.EMAIL, "p7@corp.test", Binding("id-7", Source.LDAP, NOW)) in said
    both = {one.name for one in said if one.binding.auth_data == "id-two"}
    assert both == {"one@corp.test", "two@corp.test"}


def test_people_may_be_met_by_user_name(settings: LdapSettings) -> None:
    said = read_directory(replace(settings, email="", username="uid", filter="(uid=p7)"), NOW)
    assert said == (Said(Key.USERNAME, "p7", Binding("id-7", Source.LDAP, NOW)),)


def test_the_next_server_is_asked_when_one_is_away(settings: LdapSettings) -> None:
    urls = ("ldaps://localhost:1", *settings.urls)
    assert len(read_directory(replace(settings, urls=urls), NOW)) == PEOPLE + 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bind_password": "wrong word"}, "invalidCredentials; check ldap.bind_dn"),
        ({"base": "dc=other,dc=test"}, "noSuchObject; check ldap.base"),
        ({"base": "no dn"}, "ldap"),
        ({"filter": "(uid=p7"}, "check ldap.filter"),
        ({"filter": "(uid=nobody)"}, "no entry below 'dc=corp,dc=test' has both"),
        ({"id_attribute": "noSuchAttribute"}, "no entry below"),
        ({"tls_ca": None}, "ldap.urls: ldaps://localhost:"),
    ],
)
def test_what_the_directory_refuses_is_told_with_a_way_out(
    settings: LdapSettings, changes: dict[str, str | None], told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_directory(replace(settings, **changes), NOW)  # type: ignore[arg-type]  # fields by name
    assert told in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert "wrong word" not in str(caught.value)


def test_anonymous_reads_nothing_here(settings: LdapSettings) -> None:
    with pytest.raises(ConfigError, match=r"noSuchObject|no entry below"):
        read_directory(replace(settings, bind_dn="", bind_password=""), NOW)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    settings: LdapSettings, urls: tuple[str, str], tmp_path: Path
) -> None:
    _, other = tls_pair("localhost").write(tmp_path, "other")
    for url in urls:
        with pytest.raises(ConfigError, match="certificate verify failed"):
            read_directory(replace(settings, urls=(url,), tls_ca=other), NOW)


def test_the_password_never_goes_out_unencrypted(
    settings: LdapSettings, tmp_path: Path, authority: Authority
) -> None:
    """A directory without StartTLS gets no bind at all."""
    tls = certificates(authority)
    with (
        running_slapd(tmp_path, "", tls, start_tls=False) as (plain, _),
        pytest.raises(ConfigError, match="protocolError; use ldaps://, or let the"),
    ):
        read_directory(replace(settings, urls=(plain,)), NOW)


def test_half_a_list_is_none(settings: LdapSettings, tmp_path: Path, authority: Authority) -> None:
    people = "".join(entry(n, f"employeeNumber: {n}", f"mail: {n}@c.d") for n in range(1, 30))
    with (
        running_slapd(tmp_path, people, certificates(authority), limit=10) as (_, url),
        pytest.raises(ConfigError, match="sizeLimitExceeded; raise the limits"),
    ):
        read_directory(replace(settings, urls=(url,)), NOW)


def test_an_id_with_two_values_is_refused_by_name(
    settings: LdapSettings, tmp_path: Path, authority: Authority
) -> None:
    people = entry(1, "title: a", "title: b", "mail: a@b.c") + entry(2, "title: c", "mail: d@e.f")
    with (
        running_slapd(tmp_path, people, certificates(authority)) as (_, url),
        pytest.raises(ConfigError) as caught,
    ):
        read_directory(replace(settings, urls=(url,), id_attribute="title"), NOW)
    assert caught.value.problems == (
        f"ldap: uid=p1,{BASE}: 2 values of title: nobody can tell which one the provider sends",
    )


def test_a_directory_that_accepts_and_says_nothing_is_left_in_time(settings: LdapSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("ldap", "ldaps"):
            began = time.monotonic()
            urls = (f"{scheme}://localhost:{port}", *settings.urls)
            quick = replace(settings, urls=urls, timeout_s=1)
            assert len(read_directory(quick, NOW)) == PEOPLE + 1
            assert time.monotonic() - began < 10


def test_a_directory_that_is_frozen_is_left_in_time(
    settings: LdapSettings, tmp_path: Path, authority: Authority
) -> None:
    people = "".join(entry(n, f"employeeNumber: {n}", f"mail: {n}@c.d") for n in range(1, 1200))
    with running_slapd(tmp_path, people, certificates(authority)) as (_, url):
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(ConfigError, match="ldap"):
                read_directory(replace(settings, urls=(url,), timeout_s=1), NOW)
        finally:
            os.kill(pid, signal.SIGCONT)
