"""A plan for people to read and agree to: text, JSON, CSV, HTML, written person by person.

None of them holds a binding: where the way back was learnt is told, and what it is stays in the
ledger.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from conversion.decision.situation import locked_out, phone
from conversion.report.forms import Format, cell, one_line, templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from conversion.decision.account import Source
    from conversion.decision.plan import Head, Plan, Planned

_SHOWN: Final = 20
_COLUMNS: Final = ("username", "user_id", "standing", "way_back", "mfa", "groups")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A plan, and what is counted over its people."""

    digest: str
    plan: Plan = field(repr=False)
    sources: Mapping[Source, int]
    standings: Mapping[str, int]
    mfa: int

    @property
    def head(self) -> Head:
        """What the plan says besides its people."""
        return self.plan.head

    @property
    def sources_said(self) -> str:
        """The sources of the ways back, the most frequent first."""
        ordered = sorted(self.sources.items(), key=lambda item: (-item[1], item[0].value))
        return ", ".join(f"{source.value} ({people})" for source, people in ordered) or "nowhere"


@dataclass(frozen=True, slots=True)
class _Line:
    """One person, as text."""

    username: str
    user_id: str
    standing: str
    way_back: str
    mfa: str
    groups: str


def sheet_of(plan_digest: str, plan: Plan) -> Sheet:
    """The sheet of a stored plan, whose people are gone through once."""
    sources: Counter[Source] = Counter()
    standings: Counter[str] = Counter()
    mfa = 0
    for one in plan.people():
        sources[one.binding.source] += 1
        standings[one.standing] += 1
        mfa += one.mfa_active
    return Sheet(plan_digest, plan, sources, standings, mfa)


def render_plan(sheet: Sheet, form: Format, next_command: str) -> Iterator[str]:
    """The plan in `form`, in pieces; `next_command` stands in JSON, where programs look for it."""
    if form is Format.JSON:
        return _json(sheet, next_command)
    return _RENDERERS[form](sheet)


def _text(sheet: Sheet) -> Iterator[str]:
    head, envelope = sheet.head, sheet.head.envelope
    names = nsmallest(_SHOWN, (one.username for one in sheet.plan.people()))
    more = f" and {head.people - _SHOWN} more" if head.people > _SHOWN else ""
    yield f"plan {sheet.digest}\n"
    yield f"moves {head.people} people: {one_line(', '.join(names))}{more}\n"
    yield f"ways back from {sheet.sources_said}; {sheet.mfa} have MFA\n"
    if head.loads:
        yield f"locked out of those looked at: {locked_out(head.loads)}\n"
        yield f"phone: {phone(head.loads)}\n"
        found = sorted((name, people) for name, people in sheet.standings.items() if name)
        yield f"who is moved: {', '.join(f'{people} {name}' for name, people in found)}\n"
    of = f", of {', '.join(sorted(envelope.groups))}" if envelope.groups else ""
    until = f"{envelope.until:%Y-%m-%d %H:%M} UTC"
    yield f"the campaign may move {envelope.at_most} people{of} until {until}\n"
    for objection in head.answered:
        yield f"accepted: {one_line(objection)}\n"
    yield "valid for 60 minutes; nobody was touched\n"


def _json(sheet: Sheet, next_command: str) -> Iterator[str]:
    head, envelope = sheet.head, sheet.head.envelope
    summary = {
        "digest": sheet.digest,
        "server": head.server,
        "created_at": head.created_at.isoformat(),
        "inventory_at": head.inventory_at.isoformat(),
        "until": envelope.until.isoformat(),
        "at_most": envelope.at_most,
        "groups": sorted(envelope.groups),
        "excluded": sorted(envelope.exclude),
        "answered": list(head.answered),
        "locked_out": [
            {
                "within_h": load.after / timedelta(hours=1),
                "people": load.people,
                "phone_h": round(load.phone_hours, 1),
            }
            for load in head.loads
        ],
        "standings": {name: people for name, people in sheet.standings.items() if name},
        "ways_back": {source.value: people for source, people in sheet.sources.items()},
        "with_mfa": sheet.mfa,
        "count": head.people,
        "next": next_command,
    }
    # The people follow one by one inside the same object.
    yield json.dumps(summary, indent=2).removesuffix("\n}") + ',\n  "people": ['
    separator = "\n    "
    for one in sheet.plan.people():
        yield separator + json.dumps(asdict(_line(one)))
        separator = ",\n    "
    yield "\n  ]\n}\n"


def _csv(sheet: Sheet) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for one in sheet.plan.people():
        yield text.getvalue()
        text.seek(0)
        text.truncate()
        line = asdict(_line(one))
        writer.writerow(cell(one_line(line[column])) for column in _COLUMNS)
    yield text.getvalue()


def _html(sheet: Sheet) -> Iterator[str]:
    people = (_line(one) for one in sheet.plan.people())
    return templates.get_template("plan.html").generate(sheet=sheet, people=people)


def _line(one: Planned) -> _Line:
    return _Line(
        username=one.username,
        user_id=one.user_id,
        standing=one.standing or "not looked at",
        way_back=one.binding.source.value,
        mfa="yes" if one.mfa_active else "no",
        groups=", ".join(sorted(one.groups)),
    )


_RENDERERS: Final[Mapping[Format, Callable[[Sheet], Iterator[str]]]] = {
    Format.TEXT: _text,
    Format.CSV: _csv,
    Format.HTML: _html,
}
