"""What reports and plans may be written as, and how a text goes into each of them unharmed."""

from __future__ import annotations

import enum
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


class Format(enum.StrEnum):
    """What a report or a plan may be written as."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


#: A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

templates: Final = Environment(
    loader=PackageLoader("conversion.report", "."),
    autoescape=select_autoescape(("html",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def one_line(text: str) -> str:
    """`text` without line breaks and control characters."""
    return "".join(character if character.isprintable() else " " for character in text)


def cell(text: str) -> str:
    """`text` as a cell of a spreadsheet, never a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


templates.filters["one_line"] = one_line
