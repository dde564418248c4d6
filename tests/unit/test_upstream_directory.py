"""The probe of a directory, against doubles on loopback that do what broken directories do."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from idp_proxy.config import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.decision.health import Cadence, Outcome
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.upstream.base import Ask, Pending, Redirect
from idp_proxy.upstream.dialling import Dialler
from idp_proxy.upstream.directory import DirectoryProbe, DirectoryUpstream
from idp_proxy.upstream.ldap import conversing
from idp_proxy.upstream.ldap_stream import Deadline, HostFailed, HostRefused
from tests.support.keys import self_signed, tls_pair
from tests.support.ldap_double import (
    BIND,
    EXTENDED,
    SEARCH,
    Directory,
    drips,
    entry,
    finds,
    hangs_up,
    message,
    result,
    running_double,
    says,
    sends,
    silent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from idp_proxy.upstream.probing import Probed
    from tests.support.ldap_double import Behaviour

NOW = datetime.now(UTC)
SECRET = "the reader's word"
LONG, SHORT = timedelta(seconds=5), timedelta(seconds=0.3)
FINE = "answers as it should"
SETTINGS = DirectorySettings(
    name="corp",
    email_domains=frozenset(),
    attributes={"link_key": "employeenumber"},
    outbound=Outbound(),
    hosts=(),
    tls_ca=None,
    bind_dn="cn=reader,dc=corp",
    bind_password=SECRET,
    base="dc=corp",
    user_filter="(uid={username})",
    probe_user="probe",
    connect_timeout=LONG,
    timeout=LONG,
)


@dataclass(slots=True)
class Room:
    """Where doubles run until the test ends, and probes of them are made."""

    folder: Path
    stack: ExitStack

    def directory(self, behaviour: dict[int, Behaviour] | None = None, **how: Any) -> Directory:
        return self.stack.enter_context(running_double(self.folder, behaviour, **how))

    def probe(
        self,
        *doubles: Directory,
        host: str = "localhost",
        encryption: Encrypted | None = Encrypted.LDAPS,
        clock: Callable[[], float] = time.monotonic,
        **changes: Any,
    ) -> DirectoryProbe:
        """A probe that trusts the usual certificate of a double."""
        trusted = tls_pair("localhost", "127.0.0.1").write(self.folder, "trusted")[1]
        hosts = tuple(DirectoryHost(host, double.port, encryption) for double in doubles)
        settings = replace(SETTINGS, hosts=hosts, **changes)
        return DirectoryProbe(settings, Dialler(Outbound(tls_ca=trusted), here), clock)


def here(host: str, port: int) -> list[str]:
    """The whole world is on loopback."""
    assert host
    assert port
    return ["127.0.0.1"]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(tmp_path, stack)


def look(probe: DirectoryProbe, timeout: timedelta = LONG) -> Probed:
    cadence = Cadence(timeout, timeout, timeout=timeout, connect=timeout)
    seen = asyncio.run(probe.look(cadence, NOW))
    assert SECRET not in seen.reason
    assert len(seen.reason) <= 300
    assert seen.refused_by_proxy is None
    return seen


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["by name", "by address"])
@pytest.mark.parametrize("way", list(Encrypted))
def test_who_finds_the_one_entry_over_verified_tls_is_up(
    room: Room, way: Encrypted, host: str
) -> None:
    double = room.directory(ldaps=way is Encrypted.LDAPS)
    seen = look(room.probe(double, host=host, encryption=way))
    assert (seen.outcome, seen.reason) == (Outcome.PASSED, FINE)
    (ends,) = seen.expiries
    assert ends.what == f"TLS certificate of {host}:{double.port}"
    assert ends.at > NOW
    start_tls = [EXTENDED] if way is Encrypted.START_TLS else []
    assert double.asked[: len(start_tls) + 2] == [*start_tls, BIND, SEARCH]
    assert SECRET.encode() not in double.in_the_clear


def test_on_loopback_a_trial_may_do_without_tls(room: Room) -> None:
    double = room.directory(ldaps=False)
    seen = look(room.probe(double, encryption=None))
    assert (seen.outcome, seen.expiries) == (Outcome.PASSED, ())


OTHER = entry("uid=probe,ou=other,dc=corp", employeeNumber="4712")
PROBE = entry("uid=probe,dc=corp", employeeNumber="4711")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({BIND: says(51)}, "is busy (51)"),
        ({BIND: says(52, "later")}, "is unavailable (52): later"),
        ({BIND: says(80)}, "answers other (80)"),
        ({SEARCH: says(51)}, "is busy (51)"),
        ({SEARCH: says(52)}, "is unavailable (52)"),
        ({SEARCH: says(3)}, "ended the search: it took too long (3)"),
        ({SEARCH: finds(PROBE, OTHER, code=4)}, "ended the search: it found too many entries (4)"),
        ({SEARCH: says(11)}, "ended the search: a limit of the directory (11)"),
        ({SEARCH: says(32)}, "knows no such base, or shows it to nobody who asks so (32)"),
        ({SEARCH: says(10)}, "refers to another server, which is never followed (10)"),
        ({SEARCH: says(53)}, "answers unwillingToPerform (53)"),
        ({SEARCH: finds()}, "has no entries for probe, not one"),
        ({SEARCH: finds(PROBE, OTHER)}, "has 2 entries for probe, not one"),
        ({SEARCH: finds(entry("uid=probe,dc=corp"))}, "shows no employeenumber of probe"),
        ({SEARCH: finds(entry("uid=probe,dc=corp", employeeNumber=""))}, FINE),
        ({BIND: hangs_up}, "closes the connection without an answer"),
        ({SEARCH: hangs_up}, "closes the connection without an answer"),
        ({BIND: sends(b"HTTP/1.1 400 Bad Request".ljust(86))}, "answers no proper LDAP"),
        (
            {SEARCH: sends(b"0\x84\x7f\xff\xff\xff" + bytes(2**21))},
            "answers with more than 104857",
        ),
        ({BIND: sends(message(7, result(0x61, 0)))}, "answers no proper LDAP"),
    ],
)
def test_a_directory_that_does_less_is_down_and_says_why(
    room: Room, behaviour: dict[int, Behaviour], reason: str
) -> None:
    double = room.directory(behaviour)
    seen = look(room.probe(double))
    if reason == FINE:
        assert (seen.outcome, seen.reason) == (Outcome.PASSED, FINE)
        return
    assert seen.outcome is Outcome.BROKEN
    assert seen.reason.startswith(f"localhost:{double.port}: {reason}")


@pytest.mark.parametrize(
    "behaviour",
    [{BIND: silent}, {SEARCH: silent}, {BIND: drips}, {EXTENDED: silent}, {EXTENDED: drips}],
    ids=["bind", "search", "bind octet by octet", "StartTLS", "StartTLS octet by octet"],
)
def test_who_says_nothing_in_time_is_left_in_time_with_its_thread(
    room: Room, behaviour: dict[int, Behaviour]
) -> None:
    by_start_tls = EXTENDED in behaviour
    double = room.directory(behaviour, ldaps=not by_start_tls)
    encryption = Encrypted.START_TLS if by_start_tls else Encrypted.LDAPS
    probe = room.probe(double, encryption=encryption)
    began = time.monotonic()
    seen = look(probe, SHORT)
    assert time.monotonic() - began < 2
    assert seen.outcome is Outcome.BROKEN
    assert seen.reason.endswith("no answer within 0.3 s")
    # Nor does its thread go on: there is nothing left to wait for.
    probe._threads.shutdown(wait=True)
    assert time.monotonic() - began < 2


def test_a_handshake_that_never_comes_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        hosts = (DirectoryHost("localhost", mute.getsockname()[1], Encrypted.LDAPS),)
        probe = DirectoryProbe(replace(SETTINGS, hosts=hosts), Dialler(Outbound(), here))
        seen = look(probe, SHORT)
    assert seen.reason.endswith("no answer within 0.3 s")


def test_a_name_that_does_not_resolve_and_a_host_that_is_gone(room: Room) -> None:
    double = room.directory()
    gone = replace(SETTINGS, hosts=(DirectoryHost("localhost", 1, Encrypted.LDAPS),))
    seen = look(DirectoryProbe(gone, Dialler(Outbound(), here)))
    assert seen.reason == "localhost:1: takes no connection"
    hosts = (DirectoryHost("ldap.corp", double.port, Encrypted.LDAPS),)
    nowhere = Dialler(Outbound(), lambda host, port: [])  # noqa: ARG005 - the names are `Resolve`'s
    seen = look(DirectoryProbe(replace(SETTINGS, hosts=hosts), nowhere))
    assert seen.reason.endswith("name does not resolve: ldap.corp")


def test_certificate_authorities_that_are_gone_are_told(room: Room) -> None:
    hosts = (DirectoryHost("localhost", 1, Encrypted.LDAPS),)
    lost = Dialler(Outbound(tls_ca=room.folder / "lost.crt"), here)
    seen = look(DirectoryProbe(replace(SETTINGS, hosts=hosts), lost))
    assert (seen.outcome, seen.reason) == (
        Outcome.BROKEN,
        "tls_ca cannot be read: No such file or directory",
    )


EXPIRED = self_signed(
    "localhost",
    ec.generate_private_key(ec.SECP256R1()),
    not_before=NOW - timedelta(days=30),
    lifetime=timedelta(days=29),
    alternatives=(x509.DNSName("localhost"),),
)


@pytest.mark.parametrize("way", list(Encrypted))
@pytest.mark.parametrize(
    ("served", "trusted", "host", "reason"),
    [
        (tls_pair("localhost", "::1"), None, "localhost", "self-signed certificate"),
        (EXPIRED, EXPIRED, "localhost", "certificate has expired"),
        (tls_pair("ldap.corp"), tls_pair("ldap.corp"), "localhost", "Hostname mismatch"),
        (tls_pair("localhost"), tls_pair("localhost"), "127.0.0.1", "IP address mismatch"),
    ],
    ids=["not trusted", "expired", "another name", "another address"],
)
def test_a_certificate_that_is_wrong_gets_no_password(
    room: Room, served: Any, trusted: Any, host: str, reason: str, way: Encrypted
) -> None:
    double = room.directory(pair=served, ldaps=way is Encrypted.LDAPS)
    authorities = (trusted or tls_pair("elsewhere")).write(room.folder, "authorities")[1]
    settings = replace(SETTINGS, hosts=(DirectoryHost(host, double.port, way),))
    seen = look(DirectoryProbe(settings, Dialler(Outbound(tls_ca=authorities), here)))
    assert seen.outcome is Outcome.BROKEN
    assert f"TLS certificate not trusted: {reason}" in seen.reason
    assert BIND not in double.asked


@pytest.mark.parametrize("code", [2, 51, 52])
def test_without_start_tls_there_is_no_bind(room: Room, code: int) -> None:
    double = room.directory({EXTENDED: says(code)}, ldaps=False)
    seen = look(room.probe(double, encryption=Encrypted.START_TLS))
    assert seen.outcome is Outcome.BROKEN
    assert "begins no TLS: " in seen.reason
    assert BIND not in double.asked


def test_what_is_slipped_in_before_tls_is_not_taken_for_an_answer(room: Room) -> None:
    """A man in the middle adds the answer to the bind behind that to StartTLS, in the clear."""
    early = message(2, result(0x61, 0)) + message(3, result(0x65, 0))

    def slip(link: Any, number: int) -> None:
        link.send(message(number, result(0x78, 0)) + early)

    double = room.directory({EXTENDED: slip}, ldaps=False)
    seen = look(room.probe(double, encryption=Encrypted.START_TLS))
    assert seen.outcome is Outcome.BROKEN
    assert BIND not in double.asked


@pytest.mark.parametrize("way", list(Encrypted))
def test_a_broken_connection_is_never_opened_again_in_the_clear(room: Room, way: Encrypted) -> None:
    """ldap3 by itself would connect anew, without TLS, and send the password."""
    double = room.directory({BIND: hangs_up}, ldaps=way is Encrypted.LDAPS)
    trusted = tls_pair("localhost", "127.0.0.1").write(room.folder, "trusted")[1]
    context = Dialler(Outbound(tls_ca=trusted)).context()
    host = DirectoryHost("localhost", double.port, way)
    with conversing(host, ["127.0.0.1"], context, 5.0, Deadline.within(5.0)) as talk:
        for _ in range(3):
            with pytest.raises(HostFailed):
                talk.bind("cn=reader", SECRET)
    assert double.connections == 1
    assert SECRET.encode() not in double.in_the_clear


@pytest.mark.parametrize(("name", "password"), [("", SECRET), ("cn=reader", "")])
def test_nobody_binds_without_a_name_or_without_a_password(
    room: Room, name: str, password: str
) -> None:
    """RFC 4513 section 5.1: that succeeds, and proves nothing."""
    double = room.directory(ldaps=False)
    host = DirectoryHost("localhost", double.port, None)
    context = Dialler(Outbound()).context()
    with (
        conversing(host, ["127.0.0.1"], context, 5.0, Deadline.within(5.0)) as talk,
        pytest.raises(HostRefused),
    ):
        talk.bind(name, password)
    assert BIND not in double.asked


def test_a_deadline_that_is_over_connects_nowhere(room: Room) -> None:
    double = room.directory()
    host = DirectoryHost("localhost", double.port, Encrypted.LDAPS)
    context = Dialler(Outbound()).context()
    with (
        pytest.raises(HostFailed, match="takes no connection within 5 s"),
        conversing(host, ["127.0.0.1"], context, 5.0, Deadline.within(0.0)),
    ):
        pytest.fail("it connected")
    assert double.connections == 0


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({BIND: says(49)}, "refuses name or password (49)"),
        (
            {BIND: says(49, "80090308: LdapErr: DSID-0C0, comment: AcceptSecurity, data 775, v4")},
            "refuses name or password (49): the account is locked",
        ),
        ({BIND: says(19, "Exceed password retry limit")}, "answers constraintViolation (19): Exc"),
        ({BIND: says(53)}, "answers unwillingToPerform (53)"),
        ({BIND: says(48)}, "answers inappropriateAuthentication (48)"),
    ],
)
def test_a_refused_account_is_no_outage(
    room: Room, behaviour: dict[int, Behaviour], reason: str
) -> None:
    """FO-02: a locked or expired account of ours is a failed authentication."""
    double = room.directory(behaviour)
    seen = look(room.probe(double))
    assert seen.outcome is Outcome.REFUSED
    where = f"localhost:{double.port}: refuses the account cn=reader,dc=corp: "
    assert seen.reason.startswith(where + reason)
    assert seen.expiries


def test_rights_that_were_taken_away_are_no_outage_either(room: Room) -> None:
    seen = look(room.probe(room.directory({SEARCH: says(50)})))
    assert seen.outcome is Outcome.REFUSED


def test_the_probe_is_not_who_locks_the_account(room: Room) -> None:
    """After a refusal the host is watched, and not asked to bind until the pause is over."""
    double = room.directory({BIND: says(49)})
    later = 0.0
    probe = room.probe(double, clock=lambda: later)
    first = look(probe)
    assert [look(probe) for _ in range(3)] == [first] * 3
    assert double.asked.count(BIND) == 1
    later = 901.0
    double.behaviour[BIND] = says(0)
    assert look(probe).outcome is Outcome.PASSED
    assert look(probe).outcome is Outcome.PASSED
    assert double.asked.count(BIND) == 3


def test_what_the_directory_says_is_one_harmless_line(room: Room) -> None:
    double = room.directory({BIND: says(52, "a\r\n\x1b[31mFATAL " + "x" * 500)})
    assert look(room.probe(double)).reason.isprintable()


# --- several hosts ------------------------------------------------------------------------------


def test_one_host_that_answers_is_enough_and_the_others_are_named(room: Room) -> None:
    hosts = [room.directory({BIND: silent}), room.directory({SEARCH: says(51)}), room.directory()]
    began = time.monotonic()
    seen = look(room.probe(*hosts), timedelta(seconds=1))
    assert time.monotonic() - began < 3
    assert seen.outcome is Outcome.PASSED
    assert seen.reason.startswith("answers, but not everywhere: ")
    assert f"localhost:{hosts[0].port}: no answer within 1 s" in seen.reason
    assert f"localhost:{hosts[1].port}: is busy (51)" in seen.reason
    assert str(hosts[2].port) not in seen.reason
    assert len(seen.expiries) == 3


@pytest.mark.parametrize(
    ("other", "outcome"),
    [(says(49), Outcome.REFUSED), (says(51), Outcome.BROKEN)],
)
def test_a_host_that_refuses_works(room: Room, other: Behaviour, outcome: Outcome) -> None:
    hosts = [room.directory({BIND: hangs_up}), room.directory({BIND: other})]
    assert look(room.probe(*hosts)).outcome is outcome


def test_many_looks_at_once_all_end_in_time(room: Room) -> None:
    """`confirm` asks several times at the same moment: none waits for the thread of another."""
    probe = room.probe(room.directory({BIND: silent}), room.directory({BIND: silent}))
    cadence = Cadence(SHORT, SHORT, timeout=SHORT, connect=SHORT)

    async def burst() -> list[Probed]:
        return await asyncio.gather(*(probe.look(cadence, NOW) for _ in range(6)))

    began = time.monotonic()
    found = asyncio.run(burst())
    assert time.monotonic() - began < 3
    assert {one.outcome for one in found} == {Outcome.BROKEN}


# --- as an upstream -----------------------------------------------------------------------------


def test_a_login_at_a_directory_begins_at_a_page_of_ours() -> None:
    host = DirectoryHost("ldap.corp", 636, Encrypted.LDAPS)
    base = "https://sso.example.org/upstream/corp"
    upstream = DirectoryUpstream(replace(SETTINGS, hosts=(host,), base_url=base))
    assert upstream.probe(lambda: "x").upstream == "corp"
    ask = Ask("_1", "x" * 22, force_authn=False, is_passive=False, now=NOW)
    assert upstream.begin(ask) == Redirect(f"{base}/login?login={'x' * 22}")
    assert upstream.entity_id(NOW) == f"{base}/directory"
    with pytest.raises(UpstreamUnavailable, match="signs nothing"):
        upstream.finish("PHg+", Pending("_1", "https://corp", NOW))
    assert upstream.why_unusable(NOW) is None
    assert upstream.feed is None
    assert upstream.own_metadata() is None  # type: ignore[func-returns-value]  # that is the test
