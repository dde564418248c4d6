"""`host list` and `host forget`: who is on the register, who is alike, and who is gone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.adapters import membership, open_store
from idp_proxy.audit.log import rows
from idp_proxy.config import load
from idp_proxy.decision.fleet import HostReport
from idp_proxy.store.tables import host
from tests.unit.at_the_terminal import Bench, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder

FORGET = ("host", "forget", "sso2", "--reason", "the machine was scrapped")


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
def store(settings: Settings) -> Iterator[SqlStore]:
    opened = open_store(settings)
    yield opened
    opened.close()


def heard(store: SqlStore, settings: Settings, name: str, ago: timedelta, **other: object) -> None:
    member = replace(membership(settings), **other)  # type: ignore[arg-type]  # its own fields
    now = store.clock()
    with store.writing() as connection:
        connection.execute(host.update().values(at=now - timedelta(hours=1)))
    store.publish(HostReport(name, now, {}, member=member))
    with store.writing() as connection:
        connection.execute(host.update().where(host.c.name == name).values(at=now - ago))


def test_the_list_says_who_is_there_and_what_does_not_fit(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    heard(store, settings, "sso1", timedelta(0))
    shown = bench.program.ok("host", "list")
    assert "the hosts fit together" in shown.out
    assert "okta, entra" in shown.out
    assert shown.next.startswith("next: idp-proxy status")
    heard(store, settings, "sso2", timedelta(0), keys=("cc",))
    shown = bench.program.ok("host", "list")
    assert "silent: sso1 was last heard at " in shown.out
    assert shown.next.startswith("next: idp-proxy host forget sso1 --reason")
    listed = json.loads(bench.program.ok("host", "list", "--json").out)
    assert [one["host"] for one in listed["hosts"]] == ["sso1", "sso2"]
    assert [one["rule"] for one in listed["findings"]] == ["silent"]
    assert "hosts:   sso1 was last heard at " in bench.program.ok("status").out
    (finding,) = bench.program.status()["host_findings"]
    assert (finding["rule"], finding["host"]) == ("silent", "sso1")
    state_key = (settings.path.parent / "keys" / "state.key").read_bytes()
    assert state_key.hex()[:8] not in json.dumps(listed)


def test_a_host_that_is_gone_is_forgotten_and_it_is_on_record(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    heard(store, settings, "sso2", timedelta(minutes=2))
    assert "sso2 is off the register" in bench.program.ok(*FORGET).out
    assert store.reports() == ()
    with store.reading() as connection:
        (row,) = (one for one in rows(connection) if one.kind == "host_forgotten")
    assert row.facts == {"host": "sso2", "cause": "the machine was scrapped"}


def test_a_host_that_runs_or_that_nobody_knows_is_not_forgotten(
    bench: Bench, store: SqlStore, settings: Settings
) -> None:
    heard(store, settings, "sso2", timedelta(seconds=5))
    refused = bench.program(*FORGET)
    assert (refused.code, "stop it, wait a minute" in refused.err) == (1, True)
    refused = bench.program("host", "forget", "sso9", "--reason", "gone")
    assert (refused.code, "no host is called sso9; there are sso2" in refused.err) == (1, True)
    assert [one.host for one in store.reports()] == ["sso2"]
