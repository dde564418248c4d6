"""From an error to a page and a line in the log, without the rest of the application."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import pytest
import structlog
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from structlog.testing import capture_logs

from idp_proxy import errors
from idp_proxy.web import failures, intake
from idp_proxy.web.pages import Pages

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

PAGES = Pages(
    support_url="",
    login_url="https://chat.example.org/login/sso/saml",
    allowed_form_origins=("https://chat.example.org",),
    hsts=True,
)


def shown(error: Exception) -> tuple[httpx.Response, MutableMapping[str, Any]]:
    """The page for an error raised in a handler, and what the log says of it."""
    app = FastAPI()
    ids = (f"error-id-{number:08}" for number in itertools.count())
    failures.install(app, PAGES, lambda: next(ids), "drill-pass=; Max-Age=0")

    @app.get("/broken")
    async def broken() -> None:
        raise error

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://sso") as client:
            return await client.get("/broken?secret=1", headers={"cookie": "secret=2"})

    # The attacks put a log of their own in this place for as long as their session lasts.
    with patch.object(failures, "_log", structlog.get_logger()), capture_logs() as lines:
        page = asyncio.run(ask())
    return page, lines[0]


@pytest.mark.parametrize(
    ("error", "status", "code", "level"),
    [
        (errors.LoginExpired("why"), 400, "login_expired", "warning"),
        (errors.PersonBlocked("why"), 403, "person_blocked", "warning"),
        (errors.StoreError("why"), 503, "store_unavailable", "error"),
        (errors.AssertionInvalid("SP-01", "why"), 403, "answer_refused", "warning"),
        (HTTPException(400), 400, "malformed_message", "warning"),
        (HTTPException(413), 413, "too_large", "warning"),
        (HTTPException(404), 404, "not_found", "warning"),
        (HTTPException(422), 400, "malformed_message", "warning"),
        (HTTPException(500), 500, "internal", "error"),
        (ValueError("why"), 500, "internal", "error"),
        (RecursionError("why"), 500, "internal", "error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_has_its_status_its_page_and_its_line(
    error: Exception, status: int, code: str, level: str
) -> None:
    page, line = shown(error)
    assert page.status_code == status
    assert f"<code>{code}</code>" in page.text
    assert "<code>error-id-000</code>" in page.text
    assert (line["event"], line["code"], line["log_level"]) == ("refused", code, level)
    assert line["error_id"] == "error-id-000"
    assert (line["method"], line["path"]) == ("GET", "/broken")
    assert "why" not in page.text
    assert "secret" not in str(line)


def test_what_a_rule_refused_names_the_rule() -> None:
    assert shown(errors.AssertionInvalid("SP-01", "why"))[1]["rule"] == "SP-01"
    assert shown(errors.AssuranceTooLow("why"))[1]["rule"] == "FO-04"
    assert shown(errors.PersonConverted("why"))[1]["rule"] is None
    assert shown(errors.LoginExpired("why"))[1]["rule"] is None


def test_a_detail_is_cut_before_it_fills_the_log() -> None:
    assert len(shown(errors.LoginExpired("x" * 100_000))[1]["detail"]) == 1000


def test_a_wrong_method_lists_the_right_ones_in_order() -> None:
    page, _ = shown(HTTPException(405, headers={"Allow": "POST, GET"}))
    assert page.headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("agent", "app"),
    [
        ("Mozilla/5.0 (iPhone) Mattermost Mobile/2.30", True),
        ("Mozilla/5.0 Electron/30 MATTERMOST/5.9", True),
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", False),
        ("", False),
    ],
)
def test_an_app_is_told_by_its_user_agent(agent: str, *, app: bool) -> None:
    request = Request({"type": "http", "headers": [(b"user-agent", agent.encode())]})
    assert intake.from_app(request) is app
    assert intake.from_app(Request({"type": "http", "headers": []})) is False
