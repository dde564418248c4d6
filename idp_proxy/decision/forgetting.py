"""Whom the proxy may forget: all that it keeps of somebody is erased, but for what protects others.

A person's row, factors and link to the audit are theirs to have erased (Regulation (EU) 2016/679,
article 17). What they did stays in the audit, under a pseudonym that leads to nobody any more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp_proxy.decision.roster.rows import BY_OPERATOR

if TYPE_CHECKING:
    from idp_proxy.decision.roster.rows import RosterRow


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one person: their row, how many admissions by hand, second factors, counts of
    wrong codes and logins by a standby, and under how many pseudonyms the audit knows them.
    """

    row: RosterRow | None = None
    admissions: int = 0
    factors: int = 0
    tries: int = 0
    standby_logins: int = 0
    pseudonyms: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether the proxy does not know them at all."""
        return self == Kept()


def why_not_forgotten(kept: Kept) -> str | None:
    """Why nobody may erase it now; None if they may."""
    if kept.row is not None and BY_OPERATOR in kept.row.blocks:
        return (
            "an operator blocked them, and who is forgotten is blocked no more: leave the row, or"
            " have an approver unblock them first"
        )
    if kept.standby_logins:
        return (
            f"{kept.standby_logins} of their logins by a standby are not settled, and the sessions"
            " would never be found: standby-logins revoke comes first"
        )
    return None


def names_whom(text: str, person_id: str, row: RosterRow | None) -> bool:
    """Whether `text`, which is to stay, says who it is about: in a word of its own, in any case."""
    said = {person_id} if row is None else {person_id, row.link_key, row.email, row.username}
    words = (rf"(?<!\w){re.escape(one.casefold())}(?!\w)" for one in said if one)
    return any(re.search(word, text.casefold()) for word in words)
