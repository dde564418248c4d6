"""A part of the people: a team, a group or a role, as an envelope names it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Part(enum.Enum):
    """TEAM and GROUP are lists of the server's, ROLE is a word that accounts carry."""

    TEAM = "team"
    GROUP = "group"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Scope:
    """`str` gives it as an envelope keeps it: `team:ops`."""

    part: Part
    name: str

    def __str__(self) -> str:
        return f"{self.part.value}:{self.name}"


def scope_of(text: str) -> Scope:
    """The scope that `str` wrote. Raises `ValueError` for anything else."""
    for part in Part:
        name = text.removeprefix(f"{part.value}:")
        if name not in {text, ""}:
            return Scope(part, name)
    raise ValueError(f"{text!r} is no scope: write team:NAME, group:NAME or role:NAME")
