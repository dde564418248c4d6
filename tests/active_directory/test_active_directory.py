"""What a real Active Directory answers, and what the proxy makes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from cryptography import x509
from ldap3.utils.conv import escape_filter_chars

from idp_proxy.config import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.config.roster import RosterLdapSettings
from idp_proxy.decision.health import Cadence, Outcome
from idp_proxy.listing.base import Demands
from idp_proxy.listing.ldap import DirectoryList
from idp_proxy.upstream.dialling import Dialler
from idp_proxy.upstream.directory import DirectoryUpstream
from idp_proxy.upstream.ldap import Conversation, conversing
from idp_proxy.upstream.ldap_stream import Deadline, HostFailed, HostRefused
from tests.active_directory.samba import (
    BASE,
    MOST_REFUSALS,
    PEOPLE,
    PORT,
    READER,
    TLS_PORT,
    password_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from idp_proxy.upstream.probing import Probed
    from tests.e2e.peers.authority import Authority

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("domain")]

_FIVE = timedelta(seconds=5)
LDAPS = DirectoryHost("localhost", TLS_PORT, Encrypted.LDAPS)
START_TLS = DirectoryHost("localhost", PORT, Encrypted.START_TLS)
IN_THE_CLEAR = DirectoryHost("localhost", PORT, None)
BY_SAM = "(&(objectClass=person)(sAMAccountName={username}))"


@pytest.fixture
def reader(authority: Authority) -> DirectorySettings:
    """The directory as a standby is configured."""
    return DirectorySettings(
        name="corp",
        email_domains=frozenset(),
        attributes={"link_key": "sAMAccountName"},
        outbound=Outbound(),
        hosts=(LDAPS,),
        tls_ca=authority.bundle,
        bind_dn=READER,
        bind_password=password_of("reader"),
        base=BASE,
        user_filter=BY_SAM,
        probe_user="probe",
        connect_timeout=_FIVE,
        timeout=_FIVE,
    )


def look(settings: DirectorySettings) -> Probed:
    cadence = Cadence(_FIVE, _FIVE, timeout=_FIVE, connect=_FIVE)
    return asyncio.run(DirectoryUpstream(settings).probe(str).look(cadence, datetime.now(UTC)))


def talking(
    settings: DirectorySettings, host: DirectoryHost
) -> AbstractContextManager[Conversation]:
    context = Dialler(Outbound(tls_ca=settings.tls_ca)).context()
    return conversing(host, ["127.0.0.1"], context, 5, Deadline.within(5))


@pytest.fixture
def talk(reader: DirectorySettings) -> Iterator[Conversation]:
    """A conversation over LDAPS, with nobody bound yet."""
    with talking(reader, LDAPS) as open_one:
        yield open_one


def answer(talk: Conversation, name: str, password: str) -> str:
    """The words of a refusal."""
    with pytest.raises(HostRefused) as refused:
        talk.bind(name, password)
    assert password not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("host", [LDAPS, START_TLS], ids=["ldaps", "start_tls"])
def test_a_domain_is_seen_to_work_and_its_certificate_to_end(
    reader: DirectorySettings, host: DirectoryHost
) -> None:
    seen = look(replace(reader, hosts=(host,)))
    assert (seen.outcome, seen.reason) == (Outcome.PASSED, "answers as it should")
    assert len(seen.expiries) == 1


@pytest.mark.parametrize("host", [LDAPS, START_TLS], ids=["ldaps", "start_tls"])
def test_a_certificate_of_an_unknown_authority_gets_no_password(
    reader: DirectorySettings, host: DirectoryHost
) -> None:
    seen = look(replace(reader, hosts=(host,), tls_ca=None))
    assert seen.outcome is Outcome.BROKEN
    assert "TLS certificate not trusted" in seen.reason


def test_the_domain_itself_refuses_a_password_in_the_clear(
    reader: DirectorySettings, said: list[str]
) -> None:
    with talking(reader, IN_THE_CLEAR) as talk:
        words = answer(talk, READER, reader.bind_password)
    said.append(f"in the clear: {words}")
    assert "(8)" in words


@pytest.mark.parametrize("name", ["alice@corp.test", "CORP\\alice", f"CN=alice,{PEOPLE}"])
def test_a_person_binds_by_each_of_their_names(talk: Conversation, name: str) -> None:
    talk.bind(name, password_of("alice"))


def test_the_bare_account_name_is_nobodys(talk: Conversation) -> None:
    """What a person types is searched for, never bound with as it stands."""
    assert "refuses name or password (49)" in answer(talk, "alice", password_of("alice"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dora", "refuses name or password (49): the account is disabled"),
        ("mia", "refuses name or password (49): the password must be changed"),
    ],
    ids=["533", "773"],
)
def test_the_right_password_of_an_account_that_may_not_log_in_is_told_apart(
    talk: Conversation, said: list[str], name: str, words: str
) -> None:
    told = answer(talk, f"{name}@corp.test", password_of(name))
    said.append(f"{name}, right password: {told}")
    assert told == words


@pytest.mark.parametrize("name", ["alice", "dora", "mia", "nobody"])
def test_a_wrong_password_says_nothing_about_the_account(
    talk: Conversation, said: list[str], name: str
) -> None:
    """52e: the same for an account that is disabled, that must change, and that is not there."""
    told = answer(talk, f"{name}@corp.test", "some other word")
    said.append(f"{name}, wrong password: {told}")
    assert "data 52e" in told


def test_an_account_that_is_locked_is_told_apart_whatever_its_password(
    talk: Conversation, said: list[str]
) -> None:
    for _ in range(MOST_REFUSALS):
        assert "data 52e" in answer(talk, "lou@corp.test", "some other word")
    for password in ("some other word", password_of("lou")):
        told = answer(talk, "lou@corp.test", password)
        said.append(f"lou, after {MOST_REFUSALS} wrong ones: {told}")
        assert told == "refuses name or password (49): the account is locked"


def test_an_empty_password_never_reaches_the_domain(talk: Conversation) -> None:
    """RFC 4513 section 5.1.2: it would be answered with success, as an anonymous bind."""
    assert answer_to_nothing(talk) == "nobody binds without name and password"


def answer_to_nothing(talk: Conversation) -> str:
    with pytest.raises(HostRefused) as refused:
        talk.bind("alice@corp.test", "")
    return str(refused.value)


def test_referrals_are_not_followed_and_a_binary_id_arrives_whole(
    talk: Conversation, said: list[str]
) -> None:
    """A search from the top of the domain is answered with the person and with a referral to a
    name that is nowhere: whoever followed it would take the password along, or hang.
    """
    talk.bind(READER, password_of("reader"))
    found = talk.search(BASE, BY_SAM.replace("{username}", "alice"), ["objectGUID", "mail"], most=2)
    values: list[Any] = [entry["raw_attributes"]["objectGUID"] for entry in found]
    said.append(f"objectGUID of alice: {values[0][0].hex()}")
    assert len(found) == 1
    assert len(values[0][0]) == 16


def test_the_people_of_a_domain_become_a_list_with_readable_ids(
    reader: DirectorySettings, said: list[str]
) -> None:
    """Page by page: a binary objectGUID as .NET and Entra write it, accounts of computers and of
    the domain itself without what a row needs, and who is disabled told as such.
    """
    wanted = RosterLdapSettings(
        upstream="corp",
        base=BASE,
        written="(&(objectCategory=person)(objectClass=user))",
        attributes={"id": "objectGUID", "email": "mail", "username": "sAMAccountName"},
        guid="uuid",
        page_size=2,
        timeout=_FIVE,
    )
    needed = ("id", "email", "username")
    demands = Demands(frozenset(needed), needed)
    people = dict(DirectoryList(reader, wanted, demands).people())
    dora, alice = people[f"CN=dora,{PEOPLE}"], people[f"CN=alice,{PEOPLE}"]
    said.append(f"the list has {len(people)} people; alice is {alice.id}")
    assert alice.attributes["email"] == "alice@corp.test"
    assert UUID(alice.id).version == 4
    assert (dora.deactivated, alice.deactivated) == (True, False)
    assert people[f"CN=leo,{PEOPLE}"].deactivated  # his account has expired
    assert not people[f"CN=mia,{PEOPLE}"].whole


def test_nobody_reads_the_domain_without_binding(talk: Conversation) -> None:
    with pytest.raises(HostFailed):
        talk.search(BASE, BY_SAM.replace("{username}", "alice"), ["mail"], most=2)


@pytest.mark.parametrize("name", ["*", "ali*", "alice)(objectClass=*", "(|(a=b))"])
def test_what_somebody_types_is_a_name_and_never_a_filter(
    reader: DirectorySettings, name: str
) -> None:
    seen = look(replace(reader, probe_user=name))
    assert seen.outcome is Outcome.BROKEN
    assert f"has no entries for {name}, not one" in seen.reason


@pytest.mark.parametrize("name", ["ALICE", "alice ", "alice\x00"])
def test_one_account_answers_to_many_spellings(
    talk: Conversation, said: list[str], name: str
) -> None:
    """Other case, a blank, even a NUL: limits have to count the account that was found, and a NUL
    is refused before anything is asked.
    """
    talk.bind(READER, password_of("reader"))
    written = BY_SAM.replace("{username}", escape_filter_chars(name))
    found = [entry["dn"] for entry in talk.search(BASE, written, ["sAMAccountName"], most=2)]
    said.append(f"searched for {name!a}: {found}")
    assert found == [f"CN=alice,{PEOPLE}"]


def test_the_fixture_shows_a_real_certificate(authority: Authority, talk: Conversation) -> None:
    assert talk.certificate is not None
    shown = x509.load_der_x509_certificate(talk.certificate)
    shown.verify_directly_issued_by(authority.certificate)
