"""`incident export` as a person types it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from idp_proxy.audit.chain import Event, Fact
from idp_proxy.audit.tables import audit_row
from tests.unit.roster_bench import bench, settings, store

if TYPE_CHECKING:
    from idp_proxy.store.sql import SqlStore
    from tests.unit.at_the_terminal import Bench

__all__ = ["bench", "settings", "store"]


@pytest.fixture
def outage(bench: Bench, store: SqlStore) -> Bench:
    begin = bench.now - timedelta(hours=1)
    cause = "okta is down\x1b[31m"
    facts: dict[str, Fact] = {"from": "okta", "to": "entra", "epoch": 2, "cause": cause}
    with store.transaction() as tx:
        tx.record(Event("switch", "watch:sso1", begin, facts=facts))
        tx.record(Event("login", "idp-proxy", begin, person="e-ann", facts={"upstream": "entra"}))
        refused: dict[str, Fact] = {"upstream": "entra", "reason": "person_unknown"}
        tx.record(Event("login_refused", "idp-proxy", begin, facts=refused))
    return bench


def since(bench: Bench) -> tuple[str, ...]:
    return ("incident", "export", "--since", f"{bench.now - timedelta(hours=2):%Y-%m-%dT%H:%M}")


def test_it_tells_who_served_who_got_in_and_who_acted(outage: Bench) -> None:
    said = outage.program.ok(*since(outage)).out
    assert "served: okta from" in said
    assert "(1:00:00)" in said
    assert "logins: entra: 1, of 1 people; refused: 1 person_unknown" in said
    assert "switch  watch:sso1  " in said
    assert "\x1b" not in said
    assert "e-ann" not in said
    assert "next: idp-proxy standby-logins list --since" in said


def test_the_file_has_all_of_it_and_is_never_written_over(outage: Bench) -> None:
    file = outage.program.folder.path / "incident.json"
    outage.program.ok(*since(outage), "--output", str(file))
    found = json.loads(file.read_text())
    assert [one["upstream"] for one in found["served"]] == ["okta", "entra"]
    assert found["audit"]["ok"] is True
    assert found["events"][0]["facts"]["epoch"] == 2
    assert "e-ann" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    outage.program(*since(outage), "--output", str(file))
    assert (outage.program.code, "name a new file" in outage.program.err) == (2, True)
    assert json.loads(outage.program.ok(*since(outage), "--json").out)["logins"] == found["logins"]


def test_a_broken_audit_is_told_and_the_rest_all_the_same(outage: Bench, store: SqlStore) -> None:
    with store.writing() as connection:
        connection.execute(update(audit_row).where(audit_row.c.seq == 2).values(body="{"))
    outage.program(*since(outage))
    assert outage.program.code == 1
    assert "BROKEN: sso1 row 2" in outage.program.out
    assert "unreadable" in outage.program.out
    assert "served: okta" in outage.program.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--since", "yesterday"), "--since: not a time"),
        (("--since", "2026-01-01", "--until", "soon"), "--until: not a time"),
        (("--since", "2026-01-02", "--until", "2026-01-01"), "is not after --since"),
    ],
)
def test_a_period_that_is_none_is_refused(outage: Bench, words: tuple[str, ...], told: str) -> None:
    outage.program("incident", "export", *words)
    assert (outage.program.code, told in outage.program.err) == (2, True)


@pytest.mark.usefixtures("store")
def test_a_quiet_time_leads_to_the_audit(bench: Bench) -> None:
    said = bench.program.ok(*since(bench)).out
    assert said.count("served: okta from") == 1
    assert "next: idp-proxy verify-audit" in said
