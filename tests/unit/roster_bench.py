"""The program with a roster and an outage, for what is tested of `roster ...` and beside it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.adapters import open_store, open_switchboard, open_upstreams
from idp_proxy.config import load
from idp_proxy.decision.roster import RosterRow
from idp_proxy.upstream.saml import SamlUpstream
from tests.unit.at_the_terminal import Bench, Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder

HEAD = "id,email,username,first_name"
WHY = ("--reason", "a test")


@pytest.fixture
def bench(
    folder: Folder,
    empty_database: bytes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    program = Program(folder, capsys)
    program.write()
    program.make_store(empty_database)
    return Bench(program, monkeypatch)


@pytest.fixture
def settings(bench: Bench) -> Settings:
    return load(bench.program.file)


@pytest.fixture
def store(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlStore]:
    monkeypatch.setattr(SamlUpstream, "why_unusable", lambda *_: None)
    opened = open_store(settings)
    open_switchboard(opened, open_upstreams(settings)).current()
    yield opened
    opened.close()


def person(bench: Bench, name: str, **other: Any) -> RosterRow:
    said = {"id": f"e-{name}", "email": f"{name}@example.org", "username": name, "first_name": "X"}
    usual: dict[str, Any] = {
        "link_key": f"e-{name}",
        "lookup_key": f"e-{name}",
        "email": said["email"],
        "username": name,
        "attributes": said,
        "source": "okta",
        "confirmed_at": bench.now - timedelta(days=1),
    }
    return RosterRow(f"e-{name}", **usual | other)


def known(store: SqlStore, *people: RosterRow) -> None:
    with store.writing_people() as tx:
        tx.save_people(people)


def csv_of(folder: Folder, *names: str, head: str = HEAD) -> Path:
    file = folder.path / "people.csv"
    lines = [f"e-{name},{name}@example.org,{name},X" for name in names]
    file.write_text("\n".join((head, *lines)) + "\n")
    return file


def outage(store: SqlStore, settings: Settings) -> None:
    open_switchboard(store, open_upstreams(settings)).to("entra", "okta is down", "host:test")
