"""A plan for people to read: every form tells the same, and none of them holds a binding."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.decision.account import Binding, Source
from conversion.decision.plan import Envelope, Head, Planned, digest, lines, parse
from conversion.decision.triage import Load
from conversion.report import Format, Sheet, render_plan, sheet_of

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
NEXT = "sso-conversion convert --plan abc"
SECRET = "the-way-back"


def person(user_id: str, name: str = "", **fields: object) -> Planned:
    return Planned(
        user_id,
        name or f"name-{user_id}",
        Binding(f"{SECRET}-{user_id}", Source.SQL, NOW),
        mfa_active=bool(fields.get("mfa")),
        groups=frozenset({"team:ops"}),
        standing=str(fields.get("standing", "locked out now")),
    )


def sheet(
    *people: Planned, answered: Sequence[str] = ("too_many: 2 of 3",), looked: bool = True
) -> Sheet:
    loads = (
        Load(timedelta(0), 14, timedelta(minutes=84)),
        Load(timedelta(hours=8), 96, timedelta(hours=9, minutes=36)),
    )
    head = Head(
        "https://chat.example.org",
        NOW,
        NOW - timedelta(hours=2),
        Envelope(frozenset({"team:ops"}), 40, frozenset({"u9"}), NOW + timedelta(hours=24)),
        len(people),
        tuple(answered),
        loads if looked else (),
    )
    octets = b"".join(lines(head, people))
    return sheet_of(digest(octets), parse(lambda: [octets]))


def written(of: Sheet, form: Format) -> str:
    return "".join(render_plan(of, form, NEXT))


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("form", list(Format))
def test_every_form_names_the_people_and_no_binding(form: Format) -> None:
    text = written(sheet(person("u1"), person("u2")), form)
    assert "name-u1" in text
    assert "name-u2" in text
    assert SECRET not in text
    assert "locked out now" in text
    assert text.endswith("\n")


@pytest.mark.parametrize("form", [Format.TEXT, Format.JSON, Format.HTML])
def test_digest_envelope_answers_and_load_are_told(form: Format) -> None:
    found = sheet(person("u1", mfa=True), person("u2"))
    text = written(found, form)
    for wanted in (found.digest, "40", "2026-03-04", "team:ops", "too_many: 2 of 3", "14", "96"):
        assert wanted in text


def test_json_is_one_object_with_what_to_do_next() -> None:
    told = json.loads(written(sheet(person("u1"), person("u2", mfa=True)), Format.JSON))
    assert [one["username"] for one in told["people"]] == ["name-u1", "name-u2"]
    assert told["count"] == 2
    assert told["with_mfa"] == 1
    assert told["ways_back"] == {"sql": 2}
    assert told["standings"] == {"locked out now": 2}
    assert told["locked_out"][1] == {"within_h": 8.0, "people": 96, "phone_h": 9.6}
    assert told["next"] == NEXT


def test_a_plan_whose_sessions_were_not_asked_claims_nothing_about_them() -> None:
    found = sheet(person("u1", standing=""), looked=False)
    assert json.loads(written(found, Format.JSON))["locked_out"] == []
    assert "phone" not in written(found, Format.TEXT)
    assert "Who is locked out when" not in written(found, Format.HTML)


_HOSTILE = (
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a\r\nnext: sso-conversion return",
    "{{ 7777 * 7777 }}",
    "\u202eevil",
)


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_name_is_never_a_formula_markup_or_a_line_of_its_own(name: str) -> None:
    hostile = sheet(person("u1", name), answered=(f"admin: {name}",))
    cells = list(csv.reader(io.StringIO(written(hostile, Format.CSV))))
    assert len(cells) == 2
    assert not cells[1][0].startswith(("=", "+", "-", "@"))
    page = Page(written(hostile, Format.HTML))
    assert {tag for tag, _ in page.elements} <= _TAGS
    assert "60481729" not in page.text
    text = written(hostile, Format.TEXT)
    assert "\nnext:" not in text
    assert json.loads(written(hostile, Format.JSON))["people"][0]["username"] == name


_TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "p", "code", "table",
    "thead", "tbody", "tr", "th", "td", "ul", "li", "div",
}  # fmt: skip


def test_the_page_runs_nothing_loads_nothing_and_can_be_used_without_a_mouse() -> None:
    page = Page(written(sheet(person("u1")), Format.HTML))
    policies = [one["content"] for tag, one in page.elements if "http-equiv" in one]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert ("html", {"lang": "en"}) in page.elements
    assert any(one.get("name") == "viewport" for _, one in page.elements)
    headers = [one for tag, one in page.elements if tag == "th"]
    assert all(one.get("scope") in {"col", "row"} for one in headers)
    scrolling = [one for _, one in page.elements if one.get("class") == "scroll"]
    labels = {one.get("id") for _, one in page.elements}
    for one in scrolling:
        assert (one["role"], one["tabindex"]) == ("region", "0")
        assert one["aria-labelledby"] in labels


@given(st.lists(st.text(min_size=1, max_size=20), max_size=30, unique=True))
def test_every_person_stands_in_every_form_once(names: list[str]) -> None:
    people = [person(f"u{number:03d}", name) for number, name in enumerate(names)]
    found = sheet(*people)
    told = json.loads(written(found, Format.JSON))
    assert [one["username"] for one in told["people"]] == names
    rows = list(csv.DictReader(io.StringIO(written(found, Format.CSV), newline="")))
    assert [row["user_id"] for row in rows] == [one.user_id for one in people]
    page = written(found, Format.HTML)
    assert all(page.count(f"<code>{one.user_id}</code>") == 1 for one in people)
