"""One domain for all tests; each test has accounts of its own where it changes one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.active_directory.samba import Account, Domain
from tests.e2e.peers.authority import Authority
from tests.support.processes import RUNNING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_SAID: list[str] = []
#: A day of 2019, as Active Directory counts.
LONG_AGO = "132000000000000000"


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
    names = ("reader", "probe", "alice", "lou", "ben", "vic", "kim")
    domain.write(
        *(Account(name) for name in names),
        Account("jürgen", "Größe, Jürgen (Extern) #1"),
        Account("dora", then={"userAccountControl": "514"}),
        Account("mia", attributes={"mail": "mia"}, then={"pwdLastSet": "0"}),
        Account("leo", then={"accountExpires": LONG_AGO}),
        Account("olga", then={"pwdLastSet": LONG_AGO}),
        Account("nils", then={"logonHours": "\0" * 21}),
        Account("wanda", then={"userWorkstations": "NOWHERE"}),
    )
    domain.run("group", "add", "Mattermost Admins")
    domain.run("group", "addmembers", "Mattermost Admins", "alice")
    with domain.serving():
        yield domain
