"""What our pages say, in English and German, and which of the two a browser gets.

The texts are TOML files beside this module. A title of an error in English is the class's `public`,
so that it is written once; everything else is in the files, keyed by the error's `code`.
"""

from __future__ import annotations

import enum
import functools
import re
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from idp_proxy.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST_HEADER = 512
_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8}|\*)(?:-[A-Za-z0-9-]*)?"
    r"\s*(?:;\s*[qQ]\s*=\s*(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\s*)?"
)


class Language(enum.StrEnum):
    """The languages our pages speak; the first is for whoever asks for none of them."""

    EN = "en"
    DE = "de"


@dataclass(frozen=True, slots=True)
class ErrorWording:
    """One error in one language: `title` says what happened, `what_to_do` has short paragraphs."""

    title: str
    what_to_do: tuple[str, ...]


def choose_language(accept_language: str) -> Language:
    """The language of ours that the header `Accept-Language` likes best, else English.

    RFC 9110 section 12.5.4, ranges cut to their first subtag (RFC 4647 section 3.4). What is not of
    that grammar is passed over, and nothing is read beyond 512 characters.
    """
    quality: dict[str, float] = {}
    for part in accept_language[:_LONGEST_HEADER].split(","):
        if found := _RANGE.fullmatch(part):
            tag = found[1].lower()
            quality[tag] = max(quality.get(tag, 0.0), float(found[2] or 1))
    mentioned = list(quality)

    def liking(language: Language) -> tuple[float, int]:
        tag = language if language in quality else "*"
        return (quality[tag], -mentioned.index(tag)) if tag in quality else (0.0, 0)

    best = max(Language, key=liking)
    return best if liking(best)[0] > 0 else Language.EN


@functools.cache
def texts(language: Language) -> Mapping[str, Any]:
    """The tables of the language's file, as they stand there."""
    file = resources.files("idp_proxy.web").joinpath("texts", f"{language}.toml")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def error_wording(kind: type[ProxyError], language: Language) -> ErrorWording:
    """What to tell a person about an error of class `kind`.

    A class without a text of its own, as those that only commands raise, is told in the words of
    the nearest class above it, so that no page can be without words or show internals.
    """
    errors = texts(language)["errors"]
    nearest = next(cls for cls in _ancestry(kind) if cls.code in errors)
    entry = errors[nearest.code]
    title = nearest.public if language is Language.EN else entry["title"]
    return ErrorWording(title=title, what_to_do=tuple(entry["what_to_do"]))


def _ancestry(kind: type[ProxyError]) -> Iterator[type[ProxyError]]:
    return (cls for cls in kind.__mro__ if issubclass(cls, ProxyError))
