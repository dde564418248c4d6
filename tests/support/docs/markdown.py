"""Markdown, written and read: table cells on one side, headings, links and fences on the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from markdown_it.token import Token

NOTE = "<!-- Printed from the code by `make docs`. Change the code, not this page. -->"
#: What GitHub drops from a heading when it makes the anchor.
_NO_ANCHOR = re.compile(r"[^\w\- ]")


def one_line(text: str) -> str:
    """A docstring or a sentence as one line that may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@dataclass(frozen=True, slots=True)
class Link:
    """A link in a page, as it is written."""

    target: str
    line: int


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: its language, its text, and the line of its first fence."""

    language: str
    text: str
    line: int


class Page:
    """One Markdown file, parsed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8"))

    def anchors(self) -> set[str]:
        """The anchors that GitHub gives to this page's headings."""
        seen: dict[str, int] = {}
        found = set()
        for opening, content in zip(self._tokens, self._tokens[1:], strict=False):
            if opening.type != "heading_open":
                continue
            text = "".join(part.content for part in content.children or ())
            slug = _NO_ANCHOR.sub("", text.lower()).replace(" ", "-")
            number = seen.get(slug, 0)
            seen[slug] = number + 1
            found.add(f"{slug}-{number}" if number else slug)
        return found

    def links(self) -> Iterator[Link]:
        """Every link and image."""
        for token, line in self._inline():
            target = token.attrs.get("href") or token.attrs.get("src")
            if target is not None:
                yield Link(str(target), line)

    def code_words(self) -> Iterator[Link]:
        """Every piece of code inside a line of text."""
        for token, line in self._inline():
            if token.type == "code_inline":
                yield Link(token.content, line)

    def fences(self) -> Iterator[Fence]:
        """Every fenced block."""
        for token in self._tokens:
            if token.type == "fence":
                yield Fence(token.info.strip(), token.content, (token.map or [0])[0] + 1)

    def _inline(self) -> Iterator[tuple[Token, int]]:
        for token in self._tokens:
            for child in token.children or ():
                yield child, (token.map or [0])[0] + 1
