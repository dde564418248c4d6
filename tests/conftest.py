"""A skipped test is not a passed one: a run that skipped anything fails, and says what and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

_skipped: list[str] = []


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A test that sets up the log, as commands do, sets it up for itself only."""
    yield
    structlog.reset_defaults()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _skipped.append(f"{report.nodeid}: {report.longreprtext.splitlines()[-1:]}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped:
        terminalreporter.section("skipped, which counts as failed", red=True)
        for line in _skipped:
            terminalreporter.line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped:
        session.exitstatus = 1
