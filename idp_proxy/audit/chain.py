"""The chain itself, pure: what an event is, and how a row is bound to the one before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime



@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `kind` is a stable slug, `actor` who caused it, `facts` what is so.

    `person` is the canonical id of the person concerned, in the clear; the log writes a pseudonym
    in its place. `facts` never hold a secret nor anything that identifies a person.
    """

    kind: str
    actor: str
    at: datetime
    person: str | None = None
    facts: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
