"""The test browser keeps the cookie rules that decide whether a SAML login works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route

from tests.support.browser import Browser, BrowserError, site
from tests.support.launch import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

_COOKIES = (
    "strict=1; SameSite=Strict",
    "lax=1; SameSite=Lax",
    "unsaid=1",
    "none=1; SameSite=None",
    "secure=1; Secure; SameSite=None",
    "__Host-bad=1; SameSite=Lax",
)


async def _set(_request: Request) -> Response:
    answer = PlainTextResponse("set")
    for cookie in _COOKIES:
        answer.headers.append("set-cookie", cookie)
    return answer


async def _show(request: Request) -> Response:
    return PlainTextResponse(" ".join(sorted(request.cookies)))


async def _form(request: Request) -> Response:
    target = request.query_params["to"]
    return HTMLResponse(
        f'<title>f</title><form method=post action="{target}">'
        '<input type=hidden name=SAMLResponse value="a&amp;b"></form>'
    )


async def _round(_request: Request) -> Response:
    return RedirectResponse("/round")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    app = Starlette(
        routes=[
            Route("/set", _set),
            Route("/show", _show, methods=["GET", "POST"]),
            Route("/form", _form),
            Route("/round", _round),
        ]
    )
    with in_thread(app) as url:
        yield url


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, {"strict", "lax", "unsaid", "secure"}),
        ({"cookies_on": False}, set()),
    ],
)
def test_a_cookie_without_secure_may_not_be_samesite_none(
    address: str, options: dict[str, bool], kept: set[str]
) -> None:
    with Browser(**options) as browser:  # type: ignore[arg-type] # only flags are in the table
        browser.get(f"{address}/set")
        assert set(browser.cookies) == kept


def test_secure_cookies_stay_at_home_on_plain_http_unless_told_otherwise(address: str) -> None:
    with Browser() as browser:
        browser.get(f"{address}/set")
        assert browser.get(f"{address}/show").body == "lax strict unsaid"
    with Browser(secure_cookies=False) as browser:
        browser.get(f"{address}/set")
        assert browser.get(f"{address}/show").body == "lax secure strict unsaid"


def test_a_cross_site_post_carries_no_lax_and_no_strict_cookie(address: str) -> None:
    elsewhere = address.replace("127.0.0.1", "localhost")
    with Browser(secure_cookies=False) as browser:
        browser.get(f"{address}/set")
        page = browser.get(f"{elsewhere}/form?to={address}/show")
        assert browser.submit(page, page.forms[0]).body == "secure"
        own = browser.get(f"{address}/form?to={address}/show")
        assert browser.submit(own, own.forms[0]).body == "lax secure strict unsaid"


def test_hidden_fields_are_read_with_their_entities_resolved(address: str) -> None:
    with Browser() as browser:
        (form,) = browser.get(f"{address}/form?to=/show").forms
    assert (form.fields, form.action) == ({"SAMLResponse": "a&b"}, f"{address}/show")
    assert form.carries_saml


def test_redirects_that_never_end_are_an_error(address: str) -> None:
    with Browser() as browser, pytest.raises(BrowserError, match="redirects"):
        browser.get(f"{address}/round")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://chat.example.org/login", "https://example.org"),
        ("http://127.0.0.1:8065/x", "http://127.0.0.1"),
        ("http://localhost:1", "http://localhost"),
    ],
)
def test_a_site_is_scheme_and_registrable_host_without_port(url: str, expected: str) -> None:
    assert site(url) == expected
