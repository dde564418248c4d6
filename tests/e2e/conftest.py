"""The real parts of the end-to-end tests, and their logs when a test fails."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.e2e.journeys import AT_ACTIVE, AT_STANDBY, SHORT_SOURCES, Stack
from tests.e2e.outages import OUTAGES, SAID
from tests.e2e.peers.authority import Authority
from tests.e2e.peers.proxy import Proxy, UpstreamChoice
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp, Style
from tests.support.browser import Browser
from tests.support.processes import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.e2e.journeys import NewStack
    from tests.e2e.peers.service_provider import ServiceProvider

OUTAGE_ROW = "{:<24}{:>8}{:>10}{:>22}{:>16}{:>16}"
OUTAGE_TITLES = ("down", "switched", "first standby login", "logins lost", "wrong switches")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every running part's log under a failed test."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {each.name}", each.logs()) for each in RUNNING]
    return report


def pytest_configure(config: pytest.Config) -> None:
    config.stash[OUTAGES] = []
    config.stash[SAID] = []


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """One row for each outage that was measured; seconds count from the fault."""
    measured = config.stash[OUTAGES]
    if measured:
        terminalreporter.section("outages of the active, seconds from the fault")
        terminalreporter.line(OUTAGE_ROW.format("fault", *OUTAGE_TITLES))
    for name, one in measured:
        times = (f"{seconds:.1f}" for seconds in (one.down_s, one.switch_s, one.login_s))
        lost = f"{one.lost} of {one.arrived}"
        terminalreporter.line(OUTAGE_ROW.format(name, *times, lost, len(one.wrong)))
    for line in config.stash[SAID]:
        terminalreporter.line(line)


@pytest.fixture
def said(request: pytest.FixtureRequest) -> list[str]:
    """Lines for the end of the run: what was measured."""
    return request.config.stash[SAID]


@pytest.fixture(scope="session")
def rigs() -> Iterator[Path]:
    """The folder of all parts. Not pytest's own: Apache's children must be able to read it."""
    folder = Path(tempfile.mkdtemp(prefix="sso-e2e-"))
    folder.chmod(0o755)
    yield folder
    for each in list(RUNNING):  # whatever a failed fixture left behind
        each.terminate()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def authority(rigs: Path) -> Authority:
    """Whoever must be trusted over https on loopback."""
    return Authority.create(rigs)


@pytest.fixture(scope="session")
def new_browser(authority: Authority) -> Callable[[], Browser]:
    """Makes browsers of people who trust the authority; cross-site cookies as in real ones."""
    return partial(Browser, verify=authority.client_context())


@pytest.fixture(scope="session")
def active(rigs: Path, authority: Authority) -> Iterator[SimpleSamlPhp]:
    """The active: signs everything, and demands that we sign our requests."""
    style = Style(demand_signed_requests=True)
    with SimpleSamlPhp(rigs, "active", authority, AT_ACTIVE, style) as running:
        yield running


@pytest.fixture(scope="session")
def standby(rigs: Path, authority: Authority) -> Iterator[SimpleSamlPhp]:
    """The standby: other attribute names, and other opinions about everybody."""
    style = Style(demand_signed_requests=True, oid_names=False)
    with SimpleSamlPhp(rigs, "standby", authority, AT_STANDBY, style) as running:
        yield running


@pytest.fixture(scope="session")
def new_stack(
    rigs: Path, authority: Authority, active: SimpleSamlPhp, standby: SimpleSamlPhp
) -> NewStack:
    """Makes running stacks of the shared SimpleSAMLphp, one for each service provider."""

    @contextmanager
    def running(
        party: ServiceProvider, *, encrypt: bool = False, own_active: SimpleSamlPhp | None = None
    ) -> Iterator[Stack]:
        first = own_active or active
        upstreams = (
            UpstreamChoice("active", first),
            UpstreamChoice("standby", standby, SHORT_SOURCES),
        )
        name = f"proxy-{urlsplit(party.origin).port}"
        with Proxy(rigs, name, authority, party, upstreams, encrypt=encrypt) as proxy:
            proxy.introduce()
            yield Stack(proxy, party, first, standby)
            party.stop()

    return running
