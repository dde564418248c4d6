"""A form's page is taken apart where its fields stand, and put together with them escaped."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import HTMLResponse

from idp_proxy.errors import Internal, RelayStateRefused
from idp_proxy.web.form import MARK, FormPage

if TYPE_CHECKING:
    from starlette.responses import Response

AROUND = FormPage.around_mark(
    HTMLResponse(f'<form action="/x">\n{MARK}\n</form>', headers={"Cache-Control": "no-store"})
)
POSTABLE = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"))


def fields_of(page: Response) -> dict[str, str]:
    """As a browser reads them: what an attribute in double quotes holds, unescaped."""
    found = re.findall(
        r'<input type="hidden" name="([^"]*)" value="([^"]*)">', bytes(page.body).decode()
    )
    return {html.unescape(name): html.unescape(value) for name, value in found}


@given(name=POSTABLE.filter(bool), value=POSTABLE)
def test_every_field_arrives_as_it_is(name: str, value: str) -> None:
    page = AROUND.with_fields({name: value, "other": "1"})
    assert fields_of(page) == {name: value} | {"other": "1"}


def test_what_looks_like_the_mark_is_a_value_like_any_other() -> None:
    page = AROUND.with_fields({"RelayState": str(MARK), "SAMLResponse": "eA=="})
    assert fields_of(page) == {"RelayState": str(MARK), "SAMLResponse": "eA=="}


def test_the_headers_are_those_of_the_page_with_its_own_length() -> None:
    pages = [AROUND.with_fields({}), AROUND.with_fields({"RelayState": "ä" * 99})]
    for page in pages:
        assert page.headers["content-length"] == str(len(page.body))
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        page.headers.append("Set-Cookie", "a=1")
    assert AROUND.with_fields({}).headers.get("set-cookie") is None


@pytest.mark.parametrize("content", ["<p>none</p>", f"{MARK} {MARK}"])
def test_a_page_without_a_single_place_for_fields_is_a_fault(content: str) -> None:
    with pytest.raises(Internal):
        FormPage.around_mark(HTMLResponse(content))


@pytest.mark.parametrize("lost", ["\0", "\r", "\n", "\ud800", "ä\udfff"])
@pytest.mark.parametrize(
    ("name", "error"), [("RelayState", RelayStateRefused), ("SAMLResponse", Internal)]
)
def test_what_no_form_gives_back_is_refused(name: str, error: type[Exception], lost: str) -> None:
    with pytest.raises(error):
        AROUND.with_fields({"first": "1", name: f"a{lost}b"})
