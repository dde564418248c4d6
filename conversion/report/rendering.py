"""A report as text, JSON, CSV or HTML."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Final

from conversion.decision.lifecycle import RowState
from conversion.report.forms import Format, cell, one_line, templates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conversion.report.account import Exceptional, Report


_COLUMNS: Final = ("user_id", "username", "state", "since", "owner", "reason")


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
        *(f"  {_name(one)}: {one.state.value}: {one_line(one.reason)}; owner: {one_line(one.owner)}"
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
        writer.writerow(cell(value) for value in _record(one).values())
    return text.getvalue()


def _html(report: Report) -> str:
    return templates.get_template("report.html").render(
        report=report,
        headline=headline(report),
        states=[(state.value, report.counts[state]) for state in RowState
                if report.counts.get(state)],
        exceptions=report.exceptions,
    )  # fmt: skip


def _record(one: Exceptional) -> dict[str, str]:
    return {
        "user_id": one.user_id,
        "username": one.username,
        "state": one.state.value,
        "since": one.since.isoformat(timespec="seconds"),
        "owner": one_line(one.owner),
        "reason": one_line(one.reason),
    }


def _name(one: Exceptional) -> str:
    return one.username or one.user_id


_RENDERERS: Final[Mapping[Format, Callable[[Report], str]]] = {
    Format.TEXT: _text,
    Format.JSON: _json,
    Format.CSV: _csv,
    Format.HTML: _html,
}
