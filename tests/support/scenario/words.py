"""The words of a scenario: a line is held against forms such as `UPSTREAM answers TEXT [for HOST]`.

Words in small letters stand as they are, those in capitals mean a value, brackets what may be left
out. A line that fits no form is an error that names the forms it might have been.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_WORD = re.compile(r'"[^"]*"|[^\s"]+')
_TIME = re.compile(r"(?:(\d+):)?(\d+):(\d\d)")
_SPAN = re.compile(r"([+-])(.*)")
_OPTION = re.compile(r" ?\[([^]]*)\]")


class ScenarioError(Exception):
    """A line of a scenario cannot be understood; the text names the file and the line."""


@dataclass(slots=True)
class Names:
    """What a story has: its values are checked against it as they are read."""

    upstreams: list[str] = field(default_factory=lambda: ["active", "standby"])
    hosts: list[str] = field(default_factory=lambda: ["proxy-1"])
    canaries: list[tuple[str, str]] = field(default_factory=list)
    reasons: frozenset[str] = frozenset()


def split(line: str) -> list[str]:
    """The words of a line without its comment; a text in quotes is one word, with them."""
    words: list[str] = []
    for word in _WORD.findall(line):
        if word.startswith("#"):
            break
        words.append(word)
    return words


def seconds(text: str) -> float:
    """`M:SS` or `H:MM:SS`. Raises `ValueError`."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"not a time: {text} (M:SS or H:MM:SS)")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    return hours * 3600.0 + minutes * 60 + rest


def _span(text: str, _names: Names) -> float:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"not a span: {text} (+M:SS or -M:SS)")
    return (1 if found[1] == "+" else -1) * seconds(found[2])


def _text(word: str, _names: Names) -> str:
    if len(word) < 2 or not word.startswith('"'):
        raise ValueError(f"{word} must stand in quotes")
    return word[1:-1]


def _reason(word: str, names: Names) -> str:
    """What a probe or a canary said; only what a real one has said somewhere."""
    said = _text(word, names)
    if said not in names.reasons:
        raise ValueError(f"{word} is no recorded answer: see answers.toml")
    return said


def _one_of(known: Iterable[str], word: str, what: str) -> str:
    names = list(known)
    if word not in names:
        raise ValueError(f"no {what} is called {word}; there are {', '.join(names)}")
    return word


def _canary(word: str, names: Names) -> tuple[str, str]:
    known = {f"{upstream}/{name}": (upstream, name) for upstream, name in names.canaries}
    return known[_one_of(known, word, "canary")]


def _number(word: str, _names: Names) -> int:
    if not word.isdecimal():
        raise ValueError(f"{word} is no number")
    return int(word)


_VALUES: dict[str, Callable[[str, Names], Any]] = {
    "UPSTREAM": lambda word, names: _one_of(names.upstreams, word, "upstream"),
    "HOST": lambda word, names: _one_of(names.hosts, word, "host"),
    "CANARY": _canary,
    "TIME": lambda word, _names: seconds(word),
    "SPAN": _span,
    "TEXT": _text,
    "REASON": _reason,
    "NUMBER": _number,
    "WORD": lambda word, _names: word,
}


@dataclass(frozen=True, slots=True)
class Form:
    """One way to say something, and what it means."""

    pattern: str
    means: Any

    def ways(self) -> list[tuple[str, ...]]:
        """The pattern with and without what stands in brackets."""
        option = _OPTION.search(self.pattern)
        if option is None:
            return [tuple(self.pattern.split())]
        start, end = option.span()
        long = f"{self.pattern[:start]} {option[1]}{self.pattern[end:]}"
        short = self.pattern[:start] + self.pattern[end:]
        return [tuple(long.split()), tuple(short.split())]


@dataclass(frozen=True, slots=True)
class Said:
    """What a line says: the meaning of the form it fits, and the values in it."""

    means: Any
    values: tuple[Any, ...]
    taken: int


def understood(
    words: Sequence[str], forms: Iterable[Form], names: Names, *, whole: bool = True
) -> Said:
    """The longest form that `words` fit; all of them, or with `whole` off their beginning.

    Raises `ValueError`.
    """
    ways = [(form, way) for form in forms for way in form.ways()]
    ways.sort(key=lambda one: -len(one[1]))
    wrong: list[str] = []
    for form, way in ways:
        if len(way) > len(words) or (whole and len(way) != len(words)):
            continue
        if not all(_is_value(part) or part == word for part, word in zip(way, words, strict=False)):
            continue
        try:
            found = [
                _VALUES[part](word, names)
                for part, word in zip(way, words, strict=False)
                if _is_value(part)
            ]
        except ValueError as error:
            wrong.append(str(error))
            continue
        return Said(form.means, tuple(found), len(way))
    raise ValueError("; ".join(wrong) if wrong else _nothing_fits(words, [way for _, way in ways]))


def _is_value(part: str) -> bool:
    return part in _VALUES


def _nothing_fits(words: Sequence[str], ways: Iterable[tuple[str, ...]]) -> str:
    """The forms that share a word with what was written."""
    close = [" ".join(way) for way in ways if {part for part in way if part.islower()} & set(words)]
    known = "; ".join(dict.fromkeys(close)) or "; ".join(" ".join(way) for way in ways)
    return f"cannot be understood: {' '.join(words)}; the forms are: {known}"
