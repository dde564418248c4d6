"""The program with operators in front of it, who ask and agree: what their tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from idp_proxy.adapters import open_store
from idp_proxy.cli import approving
from idp_proxy.cli.approving import Approved, Waiting
from idp_proxy.cli.signing_in import Means
from idp_proxy.config import load
from idp_proxy.decision.approval import Act
from idp_proxy.operators.consent import Wish
from tests.conformance.rooms import state
from tests.unit.at_the_terminal import Bench, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder

SWITCH = Wish(Act.SWITCH, "entra", "okta is down")
INELIGIBLE = Wish(Act.SWITCH_INELIGIBLE, "entra", "okta is down")


@pytest.fixture
def program(folder: Folder, empty_database: bytes, capsys: pytest.CaptureFixture[str]) -> Program:
    made = Program(folder, capsys)
    made.write()
    made.make_store(empty_database)
    return made


@pytest.fixture
def bench(program: Program, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(program, monkeypatch)


@pytest.fixture
def settings(bench: Bench) -> Settings:
    return load(bench.program.file)


@pytest.fixture
def store(settings: Settings) -> Iterator[SqlStore]:
    opened = open_store(settings)
    with opened.transaction() as transaction:
        transaction.swap(0, state(epoch=7))
    yield opened
    opened.close()


def asked(
    bench: Bench,
    settings: Settings,
    store: SqlStore,
    wish: Wish,
    by: str | None = None,
    override: str | None = None,
) -> Approved | Waiting:
    bench.typed = list(bench.signs_in(by)) if by else []
    return approving.request(settings, store, wish, Means(by, override))


def agrees(
    bench: Bench, settings: Settings, store: SqlStore, waiting: Approved | Waiting, by: str
) -> Approved:
    assert isinstance(waiting, Waiting)
    bench.typed = list(bench.signs_in(by))
    return approving.confirm(settings, store, waiting.proposal.id, Means(by), set(Act))[1]
