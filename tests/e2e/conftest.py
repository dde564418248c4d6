"""The real parts of the end-to-end tests, and their logs when a test fails."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.peers.authority import Authority
from tests.support.browser import Browser
from tests.support.processes import RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of every running part's log under a failed test."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {each.name}", each.logs()) for each in RUNNING]
    return report


@pytest.fixture(scope="session")
def rigs() -> Iterator[Path]:
    """The folder of all parts. Not pytest's own: Apache's children must be able to read it."""
    folder = Path(tempfile.mkdtemp(prefix="sso-e2e-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def authority(rigs: Path) -> Authority:
    """Whoever must be trusted over https on loopback."""
    return Authority.create(rigs)


@pytest.fixture(scope="session")
def new_browser(authority: Authority) -> Callable[[], Browser]:
    """Makes browsers of people who trust the authority; cross-site cookies as in real ones."""
    return partial(Browser, verify=authority.client_context())
