"""What may become of one person's row in a campaign: the table, and how an intent is settled.

House rules: every transition is in this file; a row leaves a state only by an event that the table
knows for it; `converting`, `claiming` and `returning` are intents, on disk before the call they
announce, and after a crash they are settled by what the server says, never by a guess.
"""

from __future__ import annotations

import enum


class RowState(enum.Enum):
    """The states of DESIGN section 10."""

    PLANNED = "planned"
    OFFERED = "offered"
    CLAIMING = "claiming"
    CLAIMED = "claimed"
    CONVERTING = "converting"
    CONVERTED = "converted"
    RETURNING = "returning"
    RETURNED = "returned"
    VERIFIED = "verified"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"
    CONFLICT = "conflict"
    FAILED = "failed"
    WRITTEN_OFF = "written_off"
