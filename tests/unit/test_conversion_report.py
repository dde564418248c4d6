"""The report, the ten lines of `now`, and the proxy's word."""

from __future__ import annotations

import csv
import io
import json
import re
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import httpx
import pytest

from conversion.config import ProxyStatus
from conversion.decision.account import Binding, Source
from conversion.decision.lifecycle import CLOSED, OPEN, RowState
from conversion.decision.plan import Envelope, envelope_text
from conversion.decision.situation import Door, OpenCampaign, Situation, lines, next_words
from conversion.decision.triage import Load
from conversion.ledger.base import Campaign, Change, InventoryRow, Row
from conversion.ledger.opening import open_ledger
from conversion.proxy_status import Logins, ask
from conversion.report import Exceptional, Format, Report, render, report_of
from conversion.sessions import idle_of
from conversion.situation import campaign_of
from idp_proxy.audit.chain import Event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conversion.ledger.sql import SqlLedger

NOW = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
SECRET = "the-way-back"
ENVELOPE = Envelope(frozenset(), 5, frozenset(), NOW + timedelta(hours=24))
CAMPAIGN = Campaign("20260303-030000-abcdef12", NOW, envelope_text(ENVELOPE))

S = RowState


def report(**counts: int) -> Report:
    states = {RowState(name): people for name, people in counts.items()}
    return Report("c1", NOW, None, NOW, states, ())


def exceptional(**fields: str) -> Exceptional:
    one = Exceptional("p" * 26, "ada", S.CONFLICT, "somebody else holds it", NOW)
    return replace(one, **fields)  # type: ignore[arg-type] # text fields only


@pytest.mark.parametrize("state", list(RowState))
def test_everybody_is_counted_once(state: RowState) -> None:
    found = report(**{state.value: 3})
    assert found.moved == found.back + found.left + found.given_up
    untouched = state in {S.PLANNED, S.OFFERED, S.SKIPPED, S.WITHDRAWN}
    assert found.moved == (0 if untouched else 3)
    # Who was touched and is still open is left, and nobody else.
    assert found.left == (3 if state in OPEN and not untouched else 0)
    assert found.waiting == (3 if state in {S.PLANNED, S.OFFERED} else 0)
    assert found.left + found.waiting == (3 if state not in CLOSED else 0)


@pytest.mark.parametrize("form", list(Format))
def test_every_format_names_the_exceptions(form: Format) -> None:
    text = render(replace(report(conflict=1, verified=4), exceptions=(exceptional(),)), form)
    for wanted in ("ada", "conflict", "somebody else holds it"):
        assert wanted in text
    if form is not Format.CSV:
        assert "5" in text
    assert text.endswith("\n")


def test_the_text_says_it_in_one_sentence() -> None:
    assert "5 moved, 4 back, 1 left\n" in render(report(conflict=1, verified=4), Format.TEXT)
    given_up = render(report(written_off=1, verified=4), Format.TEXT)
    assert "5 moved, 4 back, 0 left, 1 given up" in given_up


def test_json_has_every_state() -> None:
    content = json.loads(render(report(verified=4), Format.JSON))
    assert set(content["states"]) == {state.value for state in RowState}
    assert (content["moved"], content["left"], content["closed_at"]) == (4, 0, None)


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_a_spreadsheet_takes_no_cell_for_a_formula(start: str) -> None:
    evil = exceptional(username=f"{start}cmd|' /C calc'!A0", reason=f'{start}HYPERLINK("x")')
    text = render(replace(report(), exceptions=(evil,)), Format.CSV)
    (_, row) = csv.reader(io.StringIO(text))
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]
    assert f"'{start}cmd|' /C calc'!A0" in row


def test_html_runs_nothing_that_a_name_holds() -> None:
    evil = exceptional(username="<script>alert(1)</script>", reason='"><img onerror=x>')
    text = render(replace(report(), exceptions=(evil,)), Format.HTML)
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in text


def test_a_reason_cannot_forge_lines() -> None:
    evil = exceptional(reason="x\nclosed   2026-01-01\x1b[2J")
    text = render(replace(report(), exceptions=(evil,)), Format.TEXT)
    assert not re.search(r"^closed   2026", text, re.MULTILINE)
    assert "\x1b" not in text


# From a ledger


def row(user_id: str, source: Source = Source.API) -> Row:
    binding = Binding(f"{SECRET}-{user_id}", source, NOW)
    return Row(CAMPAIGN.id, user_id, S.CONVERTED, 1, binding, mfa_active=False, updated_at=NOW)


@contextmanager
def moved(tmp_path: Path, *rows: Row) -> Iterator[SqlLedger]:
    ledger = open_ledger(tmp_path / "l" / "c.db", tmp_path / "m" / "m", host="h")
    try:
        ledger.put_inventory(
            [
                InventoryRow(
                    one.user_id, f"name-{one.user_id}", "", one.binding, frozenset(),
                    active=True, is_bot=False, mfa_active=False, seen_at=NOW,
                )
                for one in rows
            ],
            NOW,
        )  # fmt: skip
        ledger.open_campaign(CAMPAIGN)
        ledger.add(rows, [])
        yield ledger
    finally:
        ledger.close()


def walk(ledger: SqlLedger, at: Row, *states: RowState, note: str = "") -> None:
    for state in states:
        after = replace(at, state=state, version=at.version + 1, note=note)
        assert ledger.commit([Change(after, at.state, Event("x", "host:me", NOW))]) == ()
        at = after


HOME = (S.RETURNING, S.RETURNED, S.VERIFIED)


def test_the_ledger_gives_figures_and_exceptions(tmp_path: Path) -> None:
    people = [row("a"), row("b"), row("c"), row("d", Source.EMAIL_FALLBACK)]
    with moved(tmp_path, *people) as ledger:
        walk(ledger, people[0], *HOME)
        walk(ledger, people[1], S.RETURNING, S.CONFLICT, note="held by another account")
        walk(ledger, people[3], *HOME)
        found = report_of(ledger, CAMPAIGN, NOW)
    assert (found.moved, found.back, found.left) == (4, 2, 2)
    assert [(one.username, one.state) for one in found.exceptions] == [
        ("name-b", S.CONFLICT),
        ("name-c", S.CONVERTED),
        ("name-d", S.VERIFIED),
    ]
    assert found.exceptions[0].reason == "held by another account"
    assert found.exceptions[1].reason == "still at a password"
    assert "by email address" in found.exceptions[2].reason
    for form in Format:
        assert SECRET not in render(found, form)


def test_a_closed_campaign_still_has_its_report(tmp_path: Path) -> None:
    only = row("a")
    with moved(tmp_path, only) as ledger:
        walk(ledger, only, *HOME)
        ledger.close_campaign(CAMPAIGN.id, NOW + timedelta(hours=1))
        assert campaign_of(ledger, NOW) is None
        last = ledger.last_campaign()
        assert last is not None
        text = render(report_of(ledger, last, NOW + timedelta(hours=2)), Format.TEXT)
    assert "closed   2026-03-03 04:00 UTC" in text
    assert "1 moved, 1 back, 0 left" in text


def test_an_open_campaign_tells_its_end_and_who_is_left(tmp_path: Path) -> None:
    with moved(tmp_path, row("a"), row("b")) as ledger:
        found = campaign_of(ledger, NOW)
    assert found is not None
    assert (found.left, found.until) == (2, ENVELOPE.until)


# now

LOADS = (Load(timedelta(0), 40, timedelta(hours=4)), Load(timedelta(hours=8), 90, timedelta(9)))
OPENED = OpenCampaign("c1", NOW, ENVELOPE.until, {S.CONVERTED: 3, S.RETURNING: 1, S.SKIPPED: 2})
CALM = Situation(
    now=NOW,
    sso_works=True,
    sso="works",
    server="",
    token="",
    inventory_age=timedelta(hours=3),
    inventory_max_age=timedelta(hours=26),
    known=99,
    people=100,
    release="11.0.0",
)
DOWN = replace(CALM, sso_works=False, sso="IS DOWN", loads=LOADS)
DOWN_PLAN = ("plan", "--locked-out", "--at-most", "90")
JUST_NOW, LONG_AGO = NOW - timedelta(minutes=9), NOW - timedelta(hours=5)
ALONE = replace(DOWN, sso_works=None, sso="nobody knows")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (CALM, ("preflight",)),
        (replace(CALM, server="away"), ("preflight",)),
        (replace(DOWN, token="refused"), ("preflight",)),
        (replace(DOWN, inventory_age=None), ("prepare",)),
        (replace(CALM, inventory_age=timedelta(hours=30)), ("prepare",)),
        (DOWN, DOWN_PLAN),
        (replace(DOWN, door=Door(by_email=False, by_name=False)), ("preflight",)),
        (replace(DOWN, door=Door(by_email=False, by_name=True)), DOWN_PLAN),
        (replace(DOWN, loads=()), ("preflight",)),
        # More are locked out than were moved: the campaign goes on, and counts who was moved.
        (replace(DOWN, campaign=OPENED), ("plan", "--locked-out", "--at-most", "94")),
        (replace(DOWN, campaign=OPENED, loads=()), ("status",)),
        # Without a proxy, people's own logins tell.
        (ALONE, DOWN_PLAN),
        (replace(ALONE, last_saml_login=LONG_AGO), DOWN_PLAN),
        (replace(ALONE, last_saml_login=JUST_NOW), ("preflight",)),
        (replace(ALONE, last_saml_login=JUST_NOW, campaign=OPENED), ("return",)),
        (replace(DOWN, last_saml_login=JUST_NOW), DOWN_PLAN),
        (replace(CALM, campaign=OPENED), ("return",)),
        (replace(CALM, sso_works=None, campaign=OPENED), ("status",)),
        (replace(CALM, campaign=replace(OPENED, counts={S.SKIPPED: 2})), ("verify",)),
    ],
)
def test_now_ends_with_the_command_that_helps_most(
    found: Situation, words: tuple[str, ...]
) -> None:
    assert next_words(found) == words
    assert len(lines(found)) == 9


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (DOWN, "IS DOWN"),
        (ALONE, "nobody knows; no login by SSO was seen: try one yourself"),
        (replace(ALONE, loads=()), "nobody knows"),
        (replace(ALONE, last_saml_login=JUST_NOW), "seems to work: somebody logged in by it 9 min"),
        (replace(ALONE, last_saml_login=LONG_AGO), "nobody knows; the last login by SSO was 5 h"),
        (
            replace(ALONE, last_saml_login=NOW - timedelta(minutes=11)),
            "nobody knows; the last login by SSO was 11 min ago: try one yourself",
        ),
    ],
)
def test_without_a_proxy_now_tells_when_somebody_last_came_in_by_sso(
    found: Situation, said: str
) -> None:
    assert dict(lines(found))["SSO"].startswith(said)


def test_now_tells_who_is_locked_out_and_what_it_costs() -> None:
    said = dict(lines(replace(DOWN, campaign=OPENED, inventory_age=timedelta(hours=30))))
    assert said["locked out"] == "40 now, 90 within 8 h"
    assert said["phone"].startswith("4 h now, 216 h within 8 h")
    assert said["inventory"] == "30 h old: TOO OLD; the way back of 99 of 100 is known"
    assert said["campaign"] == (
        "c1 is open: 3 converted, 1 returning, 2 skipped; 1 to be settled by asking the server;"
        " to end by 2026-03-04 03:00 UTC"
    )
    assert OPENED.left == 4


@pytest.mark.parametrize(
    ("service", "idle"),
    [
        ({}, None),
        ({"ExtendSessionLengthWithActivity": True, "SessionIdleTimeoutInMinutes": 60}, None),
        ({"ExtendSessionLengthWithActivity": False, "SessionIdleTimeoutInMinutes": 0}, None),
        (
            {"ExtendSessionLengthWithActivity": False, "SessionIdleTimeoutInMinutes": 60},
            timedelta(hours=1),
        ),
    ],
)
def test_unused_sessions_end_only_where_use_prolongs_none(
    service: dict[str, object], idle: timedelta | None
) -> None:
    assert idle_of({"ServiceSettings": service}) == idle


# The proxy's word

STATUS = ProxyStatus("https://sso.example.org/status")


def answering(status: int, body: bytes) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["format"] == "json"
        return httpx.Response(status, content=body)

    return httpx.MockTransport(answer)


@pytest.mark.parametrize(
    ("status", "body", "works"),
    [
        (200, b'{"login": "works", "proven_at": null}', True),
        (200, b'{"login": "fails", "proven_at": null}', False),
        (200, b'{"login": "unknown"}', None),
        (200, b'{"login": "WORKS"}', None),
        (200, b'{"login": true}', None),
        (200, b"<html>works</html>", None),
        (200, b'{"login": "works"}' + b" " * 70_000, None),
        (302, b'{"login": "works"}', None),
        (500, b'{"login": "works"}', None),
        (204, b"", None),
    ],
)
def test_only_a_plain_word_of_the_proxy_counts(status: int, body: bytes, works: object) -> None:
    found = ask(STATUS, answering(status, body))
    assert found.works is works
    assert found.logins is not None or found.why


def test_a_proxy_that_is_away_proves_nothing(tmp_path: Path) -> None:
    def away(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("no answer")

    assert ask(STATUS, httpx.MockTransport(away)).works is None
    assert ask(None).why == "campaign.proxy_status_url is not set"
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    assert ask(ProxyStatus(STATUS.url, broken)).logins is None
    assert ask(STATUS, answering(200, b'{"login": "works"}')).logins is Logins.WORKS
