"""Whether every relative link in a page leads somewhere: to a file, and to a heading in it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.support.docs.markdown import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def link_problems(pages: Iterable[Path]) -> Iterator[str]:
    """One line for each dead link."""
    for path in pages:
        for link in Page(path).links():
            if (why := _why_dead(path, link.target)) is not None:
                yield f"{path}:{link.line}: {link.target}: {why}"


def _why_dead(page: Path, target: str) -> str | None:
    parts = urlsplit(target)
    if parts.scheme:
        return None
    file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not file.exists():
        return "no such file"
    if parts.fragment and file.suffix == ".md" and parts.fragment not in _anchors(file):
        return "no heading has this anchor"
    return None


@cache
def _anchors(page: Path) -> set[str]:
    return Page(page).anchors()
