"""The words of the pages: both languages complete, and the right one for each browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy import errors, links
from idp_proxy.errors import (
    ConfigError,
    CutoverRefused,
    HostRefused,
    ListRefused,
    MattermostError,
    ProxyError,
    RosterRefused,
    SwitchRefused,
)
from idp_proxy.web.wording import Language, choose_language, error_wording, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Raised by commands and at the start only; a page would show the root's words.
NEVER_IN_A_BROWSER: tuple[type[ProxyError], ...] = (
    ConfigError,
    CutoverRefused,
    HostRefused,
    ListRefused,
    MattermostError,
    RosterRefused,
    SwitchRefused,
)


def every_error() -> list[type[ProxyError]]:
    classes = [
        kind
        for kind in (vars(errors) | vars(links)).values()
        if isinstance(kind, type) and issubclass(kind, ProxyError)
    ]
    return [kind for kind in classes if not issubclass(kind, NEVER_IN_A_BROWSER)]


def keys(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from keys(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_every_error_a_browser_can_meet_has_its_own_words_in_both_languages(
    kind: type[ProxyError],
) -> None:
    for language in Language:
        assert kind.code in texts(language)["errors"]
        wording = error_wording(kind, language)
        assert wording.title
        assert wording.what_to_do
        assert all(paragraph.endswith(".") for paragraph in wording.what_to_do)
    assert error_wording(kind, Language.EN).title == kind.public


def test_each_code_names_one_class() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(set(codes)) == len(codes)


def test_no_text_is_for_an_error_that_does_not_exist() -> None:
    codes = {kind.code for kind in every_error()}
    assert set(texts(Language.EN)["errors"]) == set(texts(Language.DE)["errors"]) == codes


def test_both_languages_have_the_same_keys_and_english_writes_no_title_twice() -> None:
    english, german = (set(keys(texts(language))) for language in Language)
    titles = {f"errors.{kind.code}.title" for kind in every_error()}
    assert german - english == titles
    assert not english - german


@pytest.mark.parametrize("kind", NEVER_IN_A_BROWSER)
@pytest.mark.parametrize("language", Language)
def test_an_error_of_commands_is_told_in_the_words_of_the_root(
    kind: type[ProxyError], language: Language
) -> None:
    assert error_wording(kind, language) == error_wording(ProxyError, language)


def test_a_class_without_words_takes_those_of_the_class_above() -> None:
    class VeryLate(errors.LoginExpired):
        code = "very_late"
        public = "Internal words."

    wording = error_wording(VeryLate, Language.EN)
    assert wording == error_wording(errors.LoginExpired, Language.EN)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", Language.EN),
        ("de", Language.DE),
        ("DE-at", Language.DE),
        ("de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", Language.DE),
        ("en-GB,en;q=0.9,de;q=0.8", Language.EN),
        ("fr-FR,fr;q=0.9,de;q=0.5,en;q=0.3", Language.DE),
        ("fr, ja;q=0.5", Language.EN),
        ("de;q=0.3, en;q=0.7", Language.EN),
        ("en;q=0.3, de;q=0.301", Language.DE),
        ("de, en", Language.DE),
        ("en, de", Language.EN),
        ("*", Language.EN),
        ("*;q=0.5, de;q=0.4", Language.EN),
        ("en;q=0, *", Language.DE),
        ("de;q=0", Language.EN),
        ("de;q=0, en;q=0", Language.EN),
        ("de;q=0.1, de-CH;q=0.9, en;q=0.5", Language.DE),
        (" de ; q=1.000 , en ; Q=0.5", Language.DE),
        ("de;q=1.5, en;q=0.1", Language.EN),
        ("de;q=-1, de;q=nan, de;q=, de;level=1", Language.EN),
        ("den, deu, deutsch", Language.EN),
        ("../de, de/../../en.toml", Language.EN),
        ("x" * 600 + ",de", Language.EN),
        ("\u0000\uffff,de", Language.DE),
    ],
)
def test_the_language_is_the_one_the_browser_likes_best(header: str, language: Language) -> None:
    assert choose_language(header) is language


@given(st.text())
def test_any_header_leads_to_a_language_of_ours(header: str) -> None:
    assert choose_language(header) in Language
