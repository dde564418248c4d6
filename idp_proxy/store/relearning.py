"""What the roster makes of a login that was verified while the store was away: pure.

The host then knew neither the person's row nor who holds the link key, so its row says nothing of
blocks and conflicts. At the merge it is held against what the roster knows by now.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idp_proxy.decision.roster import RosterRow


def relearn(
    late: RosterRow, known: RosterRow | None, holder: RosterRow | None
) -> tuple[RosterRow, ...]:
    """The rows to write, in this order, as `decision.roster.learn` would have at that time.

    A row that was confirmed after `late` stays. A block stays, and so does a conflict about the
    same key. A key that somebody else holds makes a conflict of both (FO-09).
    """
    if known is not None and known.confirmed_at > late.confirmed_at:
        return ()
    contested = holder is not None and holder.id != late.id
    unresolved = known is not None and known.conflict and known.lookup_key == late.lookup_key
    row = replace(
        late,
        lookup_key=None if contested else late.lookup_key,
        conflict=late.conflict or contested or unresolved,
        blocked=late.blocked or (known is not None and known.blocked),
    )
    if contested and holder is not None:
        return (replace(holder, conflict=True), row)
    return (row,)
