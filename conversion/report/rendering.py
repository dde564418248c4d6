"""A report as text, JSON, CSV or HTML."""

from __future__ import annotations

import csv
import enum
import io
import json
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from conversion.decision.lifecycle import RowState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conversion.report.account import Exceptional, Report


class Format(enum.StrEnum):
    """What a report may be written as."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


#: A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = ("user_id", "username", "state", "since", "reason")

_templates = Environment(
    loader=PackageLoader("conversion.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def render(report: Report, form: Format) -> str:
    """The report in `form`; ends with a line break."""
    return _RENDERERS[form](report)


def headline(report: Report) -> str:
    """The one sentence."""
    given_up = f", {report.given_up} given up" if report.given_up else ""
    return f"{report.moved} moved, {report.back} back, {report.left} left{given_up}"


def _text(report: Report) -> str:
    lines = [
        f"campaign {report.campaign}",
        f"opened   {report.opened_at:%Y-%m-%d %H:%M} UTC",
        f"closed   {f'{report.closed_at:%Y-%m-%d %H:%M} UTC' if report.closed_at else 'NOT YET'}",
        f"now      {report.made_at:%Y-%m-%d %H:%M} UTC",
        headline(report),
        *(f"  {report.counts[state]:6} {state.value}" for state in RowState
          if report.counts.get(state)),
        f"exceptions: {len(report.exceptions)}",
        *(f"  {_name(one)}: {one.state.value}: {_one_line(one.reason)}"
          for one in report.exceptions),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _json(report: Report) -> str:
    content = {
        "campaign": report.campaign,
        "opened_at": report.opened_at.isoformat(),
        "closed_at": report.closed_at.isoformat() if report.closed_at else None,
        "made_at": report.made_at.isoformat(),
        "moved": report.moved,
        "back": report.back,
        "left": report.left,
        "given_up": report.given_up,
        "waiting": report.waiting,
        "states": {state.value: report.counts.get(state, 0) for state in RowState},
        "exceptions": [_record(one) for one in report.exceptions],
    }
    return json.dumps(content, indent=2) + "\n"


def _csv(report: Report) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for one in report.exceptions:
        writer.writerow(_harmless(value) for value in _record(one).values())
    return text.getvalue()


def _html(report: Report) -> str:
    return _templates.get_template("report.html").render(
        report=report,
        headline=headline(report),
        states=[(state.value, report.counts[state]) for state in RowState
                if report.counts.get(state)],
        exceptions=[_record(one) for one in report.exceptions],
    )  # fmt: skip


def _record(one: Exceptional) -> dict[str, str]:
    return {
        "user_id": one.user_id,
        "username": one.username,
        "state": one.state.value,
        "since": one.since.isoformat(timespec="seconds"),
        "reason": _one_line(one.reason),
    }


def _name(one: Exceptional) -> str:
    return one.username or one.user_id


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


_RENDERERS: Final[Mapping[Format, Callable[[Report], str]]] = {
    Format.TEXT: _text,
    Format.JSON: _json,
    Format.CSV: _csv,
    Format.HTML: _html,
}
