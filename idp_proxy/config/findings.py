"""What is wrong with a configuration file: collected, so that one reading names everything."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def path_of(parts: Iterable[str | int]) -> str:
    """The path of a field as it is reported: `upstream[1].metadata.file`."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else json.dumps(part)
            path += f".{name}" if path else name
    return path


@dataclass(slots=True)
class Findings:
    """Problems stop the start, warnings do not.

    Where a value was cut out because it has the wrong shape, nothing more is said, there or below:
    what follows from a mistake is not another mistake.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _cut_out: set[str] = field(default_factory=set)

    def problem(self, where: str, text: str) -> None:
        """Note that the field `where` cannot be used."""
        if not self.is_cut_out(where):
            self.problems.append(f"{where}: {text}")

    def cut_out(self, where: str, text: str) -> None:
        """Note that the value at `where` has the wrong shape and is not looked at any further."""
        self.problem(where, text)
        self._cut_out.add(where)

    def warning(self, where: str, text: str) -> None:
        """Note something about `where` that a person should know; it never stops a start."""
        self.warnings.append(f"{where}: {text}")

    def is_cut_out(self, where: str) -> bool:
        """Whether the value at `where`, or one above it, has the wrong shape."""
        return any(
            where == known or where.startswith((f"{known}.", f"{known}["))
            for known in self._cut_out
        )
