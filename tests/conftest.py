"""A skipped test is not a passed one: a run that skipped anything fails, and says what and why.
Only the tests of decision/ and saml/ are traced for the coverage that those two owe.
"""

from __future__ import annotations

import gc
import signal
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import alembic.command
import pytest
import structlog
import typer.main
from coverage import Coverage
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import settings
from sqlalchemy import inspect

from idp_proxy.store.schema import migrate
from tests.support.keys import tls_pair

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from alembic.config import Config
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from sqlalchemy import Connection

OWE = ("idp_proxy/decision", "idp_proxy/saml")  # the source that pyproject.toml gives to coverage

# How long an example takes on a machine that others use shows nothing about the code.
settings.register_profile("no deadlines", deadline=None)
settings.load_profile("no deadlines")

_skipped: list[str] = []


def pytest_collection_finish() -> None:
    """Nine thousand collected tests need not be walked by every collection of garbage."""
    gc.collect()
    gc.freeze()


def pytest_configure() -> None:
    """A shell that starts this in the background has Ctrl-C ignored, which would be handed on to
    every test that presses it.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def _loaded_once(pem: bytes, password: None) -> PrivateKeyTypes:
    """OpenSSL takes 40 ms to check an RSA key, and hundreds of tests load the same few."""
    return load_pem_private_key(pem, password)


@pytest.fixture(scope="session", autouse=True)
def _keys_of_a_configuration() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("idp_proxy.config.material.load_pem_private_key", _loaded_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test leaves this machine; to read the world's authorities takes each HTTP client 25 ms."""
    file = tmp_path_factory.mktemp("authorities") / "ca.crt"
    file.write_bytes(tls_pair("nobody.example").certificate_pem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("certifi.where", lambda: str(file))
        yield


@cache
def _newest_shape() -> tuple[str, ...]:
    """The statements that make the database which all migrations make of an empty one."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "new.db"
        migrate(f"sqlite:///{file}")
        with closing(sqlite3.connect(file)) as made:
            return tuple(made.iterdump())[1:-1]  # without its BEGIN and COMMIT


@pytest.fixture(scope="session", autouse=True)
def _migrated_once() -> Iterator[None]:
    """All migrations take 50 ms, and a thousand tests begin with an empty database."""
    upgrade = alembic.command.upgrade

    def replayed(config: Config, revision: str) -> None:
        connection: Connection = config.attributes["connection"]
        known = connection.dialect.name != "sqlite" or inspect(connection).get_table_names()
        if known or revision != "head":
            upgrade(config, revision)
            return
        for statement in shape:
            connection.exec_driver_sql(statement)

    shape = _newest_shape()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alembic.command.upgrade", replayed)
        yield


@pytest.fixture(scope="session", autouse=True)
def _commands_made_once() -> Iterator[None]:
    """Typer makes every command anew, from all signatures, each time that one of them is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.main.get_command", cache(typer.main.get_command))
        yield


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A test that sets up the log, as commands do, sets it up for itself only."""
    yield
    structlog.reset_defaults()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tracing costs half of a test's time again, and who owes coverage has tests of its own, which
    are called after it. `--cov=idp_proxy` traces every test as usual.
    """
    if item.path.name.startswith(("test_decision_", "test_saml_")):
        return (yield)
    stopped = []  # a worker of xdist has two, and the outer one goes on when the inner one stops
    while (tracing := Coverage.current()) and tracing.get_option("run:source") == [*OWE]:
        tracing.stop()
        stopped.append(tracing)
    try:
        return (yield)
    finally:
        for tracing in reversed(stopped):
            tracing.start()


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
