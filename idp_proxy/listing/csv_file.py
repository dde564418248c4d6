"""People in a CSV file: one line each, and canonical names as the head of the columns."""

from __future__ import annotations

import csv
import difflib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.roster import BY_HAND, Listed
from idp_proxy.errors import ListRefused
from idp_proxy.listing.base import Problems, listed_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from idp_proxy.listing.base import Demands

#: A column beside the canonical names: "true" for an account that may not be used any more.
DEACTIVATED: Final = "deactivated"
#: Columns of an export that an import passes over: what they say is not for a list to say.
EXPORTED_ONLY: Final = frozenset(
    {"source", "confirmed_at", "imported_at", "conflict", "blocks", "roles"}
)
_LONGEST_FIELD: Final = 4096
_LONGEST_LINE: Final = 65536
_YES_AND_NO: Final = {"true": True, "false": False, "": False}
#: What makes a spreadsheet take a cell for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")


def guarded(value: str) -> str:
    """The value as an export writes it: with an apostrophe where a spreadsheet would calculate."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def unguarded(cell: str) -> str:
    """What `guarded` made a cell of."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """The text of a file, with or without a byte order mark. Raises `ListRefused`, also for what
    turns out not to be text while it is read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as error:
        raise ListRefused([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        octet = f"{error.object[error.start]:#04x}"
        raise ListRefused([f"{path}: not UTF-8 text ({octet}); save it as CSV UTF-8"]) from error


def rows_of(file: TextIO, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    """Each row with its place, the head among them; blank lines are none. What is no proper CSV
    ends it, and is a problem.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(_lines(file), strict=True)
    try:
        for cells in reader:
            if cells:
                yield f"line {reader.line_num}", cells
    except csv.Error as error:
        problems.add(f"line {reader.line_num}", f"no proper CSV: {error}")


def _lines(file: TextIO) -> Iterator[str]:
    """The lines, each bounded: a file without an end of line is not read into memory."""
    while line := file.readline(_LONGEST_LINE + 1):
        if len(line) > _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE} characters")
        yield line


@dataclass(frozen=True, slots=True)
class CsvFile:
    """One file: UTF-8, commas, a head; implements `base.PeopleList`. A column `link_key` may be
    absent where it is the id.
    """

    path: Path
    demands: Demands
    name: str = "csv"
    exhaustive: bool = True

    def people(self) -> Iterator[tuple[str, Listed]]:
        """See `base.PeopleList`. Whatever is wrong is told at the end, all of it at once."""
        problems = Problems(str(self.path))
        with opened(self.path) as file:
            yield from self._rows(file, problems)
        problems.demand_none()

    def _rows(self, file: TextIO, problems: Problems) -> Iterator[tuple[str, Listed]]:
        rows = rows_of(file, problems)
        _, cells = next(rows, ("line 1", []))
        head = [name.strip() for name in cells]
        self._judge_head(head, problems)
        for place, cells in rows:
            if (found := self._person(place, head, cells, problems)) is not None:
                yield place, found

    def _judge_head(self, head: Sequence[str], problems: Problems) -> None:
        """Raises `ListRefused`: without its head nothing of the file can be understood."""
        known = self.demands.known | {"link_key", DEACTIVATED} | EXPORTED_ONLY
        if len(head) == 1 and ";" in head[0]:
            problems.add("line 1", "columns are parted by semicolons; write commas")
        else:
            for name in dict.fromkeys(head):
                if head.count(name) > 1:
                    problems.add("line 1", f"the column {name!a} stands there twice")
                if name not in known:
                    close = difflib.get_close_matches(name, known, n=1)
                    hint = f"; did you mean {close[0]}?" if close else ""
                    problems.add("line 1", f"no canonical name of the active: {name!a}{hint}")
            for name in self.demands.needed:
                if name not in head:
                    problems.add("line 1", f"has no column {name}")
        problems.demand_none()

    def _person(
        self, place: str, head: Sequence[str], cells: Sequence[str], problems: Problems
    ) -> Listed | None:
        if len(cells) != len(head):
            problems.add(place, f"{len(cells)} columns, the head has {len(head)}")
            return None
        row = {name: unguarded(cell) for name, cell in zip(head, cells, strict=True)}
        said = row.pop(DEACTIVATED, "").strip().lower()
        if said not in _YES_AND_NO:
            problems.add(place, f"column {DEACTIVATED}: neither true nor false")
        # Who was blocked when it was exported is not let in by reading the export again.
        deactivated = _YES_AND_NO.get(said, True) or bool(row.get("blocks"))
        values = {name: value for name, value in row.items() if name not in EXPORTED_ONLY}
        if not self._judged(place, values, problems):
            return None
        if row.get("source") == BY_HAND:  # an admission is over, and no list vouches for its key
            return Listed(values["id"], deactivated=deactivated, whole=False)
        return listed_of(values, deactivated=deactivated)

    def _judged(self, place: str, values: Mapping[str, str], problems: Problems) -> bool:
        fine = True
        for name, value in values.items():
            if name == "link_key" and not value:
                continue
            if (problem := self.demands.problem(name, value)) is not None:
                problems.add(place, f"column {name}: {problem}")
                fine = False
        return fine
