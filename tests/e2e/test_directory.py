"""A real directory behind the watch: OpenLDAP working, failing in each way, and back."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from idp_proxy.config import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.config.failover import PROFILES
from idp_proxy.decision.health import Cadence, Outcome, Thresholds, Verdict
from idp_proxy.observer import Observer, Sights
from idp_proxy.upstream.directory import DirectoryUpstream
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.proxy import Proxy, UpstreamChoice
from tests.support.directory import (
    BASE,
    FAULTS,
    LOCKED,
    MOST_REFUSALS,
    PASSWORD,
    READER,
    Certificates,
    Slapd,
    running,
)
from tests.support.keys import self_signed, tls_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from idp_proxy.upstream.directory import DirectoryProbe
    from idp_proxy.upstream.probing import Probed
    from tests.e2e.peers.authority import Authority
    from tests.e2e.peers.simplesamlphp import SimpleSamlPhp

pytestmark = pytest.mark.e2e

PROBE = f"""\
dn: uid=sso-probe,{BASE}
objectClass: inetOrgPerson
uid: sso-probe
cn: probe
sn: probe
employeeNumber: 0
"""
FAST = PROFILES["fast"]
_SECOND = timedelta(seconds=1)
CADENCE = Cadence(
    FAST.interval_s * _SECOND,
    FAST.interval_in_transition_s * _SECOND,
    timeout=FAST.timeout_s * _SECOND,
    connect=FAST.connect_timeout_s * _SECOND,
)
PATIENT = replace(CADENCE, timeout=5 * _SECOND)
THRESHOLDS = Thresholds(FAST.suspect_after, FAST.fall, FAST.confirm, FAST.rise)
#: `fall` looks that time out, `confirm` that do so at once, and a busy machine.
NOTICED_WITHIN_S = 12.0


def by(slapd: Slapd, way: Encrypted = Encrypted.LDAPS) -> DirectoryHost:
    """The server, reached this way."""
    port = slapd.tls_port if way is Encrypted.LDAPS else slapd.port
    return DirectoryHost("localhost", port, way)


@dataclass(slots=True)
class Corporation:
    """Starts servers of one directory, and makes probes of them."""

    folder: Path
    authority: Authority
    started: int = 0

    def slapd(self, tls: Certificates | None = None) -> AbstractContextManager[Slapd]:
        """A server with the entry that is probed for."""
        self.started += 1
        folder = self.folder / f"slapd-{self.started}"
        folder.mkdir()
        own = self.authority.server
        usual = Certificates(self.authority.bundle, own.certificate, own.key)
        return running(Slapd(folder, PROBE, tls or usual))

    def probe(self, *hosts: DirectoryHost, **changes: Any) -> DirectoryProbe:
        """The probe that `serve` would run."""
        usual = DirectorySettings(
            name="corp",
            email_domains=frozenset(),
            attributes={"link_key": "employeeNumber"},
            outbound=Outbound(),
            hosts=hosts,
            tls_ca=self.authority.bundle,
            bind_dn=READER,
            bind_password=PASSWORD,
            base=BASE,
            user_filter="(&(objectClass=person)(uid={username}))",
            probe_user="sso-probe",
            connect_timeout=2 * _SECOND,
            timeout=5 * _SECOND,
        )
        return DirectoryUpstream(replace(usual, **changes)).probe(str)


@pytest.fixture(scope="module")
def corp(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Corporation:
    return Corporation(tmp_path_factory.mktemp("directory"), authority)


@pytest.fixture(scope="module")
def well(corp: Corporation) -> Iterator[Slapd]:
    """A server that nobody does anything to."""
    with corp.slapd() as slapd:
        yield slapd


def look(probe: DirectoryProbe, cadence: Cadence = PATIENT) -> Probed:
    seen = asyncio.run(probe.look(cadence, datetime.now(UTC)))
    assert PASSWORD not in seen.reason
    return seen


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["by name", "by address"])
@pytest.mark.parametrize("way", list(Encrypted))
def test_a_directory_that_works_passes(
    corp: Corporation, well: Slapd, way: Encrypted, host: str
) -> None:
    seen = look(corp.probe(replace(by(well, way), host=host)))
    assert (seen.outcome, seen.reason) == (Outcome.PASSED, "answers as it should")
    (ends,) = seen.expiries
    assert timedelta(0) < ends.at - datetime.now(UTC) < timedelta(days=3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"bind_dn": f"cn=busy,{FAULTS}"}, "is busy (51)"),
        ({"base": f"cn=busy,{FAULTS}"}, "is busy (51)"),
        ({"base": f"cn=unavailable,{FAULTS}"}, "is unavailable (52)"),
        ({"base": f"cn=slow,{FAULTS}"}, "no answer within 1 s"),
        (
            {"base": "dc=other,dc=test"},
            "knows no such base, or shows it to nobody",
        ),
        ({"probe_user": "nobody"}, "has no entries for nobody, not one"),
        ({"attributes": {"link_key": "entryUuid"}}, ""),
        ({"attributes": {"link_key": "mail"}}, "shows no mail of sso-probe"),
        ({"user_filter": "(cn={username})", "probe_user": "*"}, "has no entries for *, not one"),
        ({"tls_ca": None}, "TLS certificate not trusted: "),
    ],
)
def test_a_directory_that_answers_otherwise_is_broken_and_says_why(
    corp: Corporation, well: Slapd, changes: dict[str, Any], reason: str
) -> None:
    seen = look(corp.probe(by(well), **changes), CADENCE)
    if not reason:
        assert (seen.outcome, seen.reason) == (Outcome.PASSED, "answers as it should")
        return
    assert seen.outcome is Outcome.BROKEN
    assert seen.reason.startswith(f"{by(well)}: {reason}")


def pair_for(name: str, **times: Any) -> Any:
    names = (x509.DNSName(name),)
    return self_signed(name, ec.generate_private_key(ec.SECP256R1()), alternatives=names, **times)


@pytest.mark.parametrize("way", list(Encrypted))
@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (tls_pair("localhost"), "self-signed certificate"),
        (
            pair_for(
                "localhost",
                not_before=datetime.now(UTC) - timedelta(days=9),
                lifetime=timedelta(days=8),
            ),
            "certificate has expired",
        ),
        (pair_for("ldap.corp.example"), "Hostname mismatch"),
    ],
    ids=["another authority", "expired", "another name"],
)
def test_a_certificate_that_is_wrong_is_broken(
    corp: Corporation, tmp_path: Path, pair: Any, reason: str, way: Encrypted
) -> None:
    key, certificate = pair.write(tmp_path, "wrong")
    trusted = corp.authority.bundle if reason.startswith("self") else certificate
    with corp.slapd(Certificates(certificate, certificate, key)) as slapd:
        seen = look(corp.probe(by(slapd, way), tls_ca=trusted))
    assert seen.outcome is Outcome.BROKEN
    assert f"TLS certificate not trusted: {reason}" in seen.reason


def test_a_locked_account_of_ours_is_refused_and_no_outage(corp: Corporation, well: Slapd) -> None:
    seen = look(corp.probe(by(well), bind_dn=LOCKED))
    assert seen.outcome is Outcome.REFUSED
    assert f"refuses the account {LOCKED}: refuses name or password (49)" in seen.reason


def test_a_stale_password_locks_nobody(corp: Corporation) -> None:
    """However often it looks: the account is still good for who has the new password."""
    with corp.slapd() as slapd:
        stale = corp.probe(by(slapd), bind_password="last year's")
        for _ in range(3 * MOST_REFUSALS):
            assert look(stale).outcome is Outcome.REFUSED
        assert look(corp.probe(by(slapd))).outcome is Outcome.PASSED


def test_one_server_that_works_is_enough(corp: Corporation, well: Slapd) -> None:
    gone = replace(by(well), port=1)
    with corp.slapd() as frozen:
        frozen.freeze()
        seen = look(corp.probe(gone, by(frozen), by(well, Encrypted.START_TLS)), CADENCE)
    assert seen.outcome is Outcome.PASSED
    assert f"{gone}: takes no connection" in seen.reason
    assert f"{by(frozen)}: no answer within 1 s" in seen.reason


# --- how soon the watch notices ------------------------------------------------------------------


@dataclass(slots=True)
class Eyes:
    """The watch of one host on one directory, with the times of the profile "fast"."""

    observer: Observer

    @classmethod
    def on(cls, probe: DirectoryProbe) -> Eyes:
        sights = Sights(
            probes={"corp": probe},
            references={},
            cadence=CADENCE,
            thresholds=THRESHOLDS,
            fresh=30 * _SECOND,
            chance=random.random,
        )
        return cls(Observer(sights, lambda: datetime.now(UTC), asyncio.Event()))

    def noticed(self, fault: Callable[[], object], cure: Callable[[], object]) -> tuple[float, str]:
        """Up, then the fault, then down, then the cure, then up; gives the time to down and why."""

        async def run() -> tuple[float, str]:
            watching = asyncio.create_task(self.observer.watch("corp"))
            try:
                await self._until(Verdict.UP)
                began = time.monotonic()
                fault()
                await self._until(Verdict.DOWN)
                noticed, why = time.monotonic() - began, self.observer.tracks["corp"].reason
                cure()
                await self._until(Verdict.UP)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
            return noticed, why

        return asyncio.run(run())

    async def _until(self, verdict: Verdict) -> None:
        async with asyncio.timeout(30):
            while self.observer.tracks["corp"].verdict is not verdict:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("way", list(Encrypted))
def test_a_frozen_server_is_noticed_and_seen_again(
    corp: Corporation, way: Encrypted, capsys: pytest.CaptureFixture[str]
) -> None:
    with corp.slapd() as slapd:
        after, why = Eyes.on(corp.probe(by(slapd, way))).noticed(slapd.freeze, slapd.thaw)
    with capsys.disabled():
        print(f"\nslapd frozen ({way.value}): down after {after:.1f} s: {why}")
    assert why.endswith("no answer within 1 s")
    assert after < NOTICED_WITHIN_S


@pytest.mark.parametrize("what", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_a_server_that_is_gone_is_noticed(
    corp: Corporation, what: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """It comes back on the same ports."""
    with corp.slapd() as slapd:
        eyes = Eyes.on(corp.probe(by(slapd)))
        after, why = eyes.noticed(lambda: slapd.stop(what), slapd.start)
    with capsys.disabled():
        print(f"\nslapd gone ({what.name}): down after {after:.1f} s: {why}")
    assert why.endswith("takes no connection")
    assert after < NOTICED_WITHIN_S


# --- as `serve` runs it --------------------------------------------------------------------------

_SETTINGS = """
[failover]
profile = "fast"

[[upstream]]
name = "corp"
kind = "ldap"
attributes = {{ link_key = "employeeNumber" }}

[upstream.directory]
urls = ["{start_tls}", "{ldaps}"]
tls_ca = "{authority}"
bind_dn = "{reader}"
bind_password = "env:DIRECTORY_PASSWORD"
base = "{base}"
probe_user = "sso-probe"
"""


def test_serve_watches_a_directory_shows_it_and_sends_nobody_there(
    corp: Corporation,
    rigs: Path,
    active: SimpleSamlPhp,
    standby: SimpleSamlPhp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIRECTORY_PASSWORD", PASSWORD)
    with corp.slapd() as slapd:
        settings = _SETTINGS.format(
            start_tls=slapd.urls[0],
            ldaps=slapd.urls[1],
            authority=corp.authority.bundle,
            reader=READER,
            base=BASE,
        )
        party = Mellon(rigs, "with-directory-party", corp.authority)
        upstreams = [UpstreamChoice("active", active), UpstreamChoice("standby", standby)]
        authority = corp.authority
        proxy = Proxy(rigs, "with-directory", authority, party, upstreams, more_settings=settings)
        with proxy:
            shown = shown_as(proxy, "up")
            assert shown["usable"]
            slapd.freeze()
            frozen = shown_as(proxy, "down")
            slapd.thaw()
            shown_as(proxy, "up")
            assert proxy.status()["serving"] == "active"
        log = proxy.process.logs()
    assert "no answer within 1 s" in frozen["verdict_reasons"][0]
    assert PASSWORD not in log


def shown_as(proxy: Proxy, verdict: str) -> dict[str, Any]:
    """The directory in `status`, as soon as it has this verdict."""
    until = time.monotonic() + 40
    while True:
        (found,) = (one for one in proxy.status()["upstreams"] if one["name"] == "corp")
        if found["verdict"] == verdict:
            shown: dict[str, Any] = found
            return shown
        assert time.monotonic() < until, found
        time.sleep(0.2)
