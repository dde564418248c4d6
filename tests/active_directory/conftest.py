"""One domain for all tests; each test has accounts of its own where it changes one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.active_directory.samba import Domain
from tests.e2e.peers.authority import Authority
from tests.support.processes import RUNNING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_SAID: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the server's log under a failed test."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {each.name}", each.logs()) for each in RUNNING]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the domain answered."""
    if _SAID:
        terminalreporter.section("what Active Directory (Samba) answered, and the log said")
        for line in _SAID:
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def said() -> list[str]:
    """Lines for the end of the run."""
    return _SAID


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """Whoever must be trusted for `localhost`. In a short path: Samba opens sockets beside it."""
    folder = Path(tempfile.mkdtemp(prefix="sso-ad-"))
    yield Authority.create(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def domain(authority: Authority) -> Iterator[Domain]:
    """A running domain with the accounts of `test_active_directory`."""
    folder = authority.bundle.parent / "dc"
    domain = Domain.provision(folder, authority)
    for name in ("reader", "probe", "alice", "dora", "lou", "ben"):
        domain.add(name, f"--mail-address={name}@corp.test")
    domain.add("mia", "--must-change-at-next-login")
    domain.run("user", "disable", "dora")
    with domain.serving():
        yield domain
