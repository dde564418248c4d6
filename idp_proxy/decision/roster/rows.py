"""Rows of the roster, and what a login at the active does to them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from idp_proxy.decision.subject import Subject

#: What every row that an import made has in front of the import's name, as its source.
IMPORTED: Final = "import:"
#: The source of a row that an approver's word made, for one outage (`by_hand`).
BY_HAND: Final = "by hand"
#: The block of an operator, which no import takes away.
BY_OPERATOR: Final = "operator"
#: In front of the import that says that the account is deactivated.
DEACTIVATED: Final = "deactivated:"
#: In front of the import that is authoritative and no longer names the person.
MISSING: Final = "missing:"


@dataclass(frozen=True, slots=True)
class RosterRow:
    """One person as the active described them. `id` is unique, `lookup_key` is too where not None.

    `lookup_key` is None for a person whose link key belongs to somebody else's row: both rows then
    bear `conflict`, and neither person is let in by a standby until it is resolved. It is None too
    where nothing is left of the link key: nobody is found by an empty one.

    `confirmed_at` is the last login at the active, `imported_at` the last authoritative import that
    named the person. `blocks` says who blocked them, each in words of its own (`BY_OPERATOR`,
    `DEACTIVATED` or `MISSING` and an import's name): each may take away only its own. `roles` are
    Mattermost's, as its list gave them.
    """

    id: str
    link_key: str
    lookup_key: str | None
    email: str
    username: str
    attributes: Mapping[str, str]
    source: str
    confirmed_at: datetime | None
    imported_at: datetime | None = None
    conflict: bool = False
    blocks: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    @property
    def blocked(self) -> bool:
        """Whether anybody blocked this person."""
        return bool(self.blocks)

    @property
    def is_by_login(self) -> bool:
        """Whether the active itself said what stands here, in a login; else an import did."""
        return not self.by_hand and not self.source.startswith(IMPORTED)

    @property
    def by_hand(self) -> bool:
        """Whether the row is an approver's word about an account, and nobody else's. It holds its
        link key against nobody: neither the active nor a list said that the two belong together.
        """
        return self.source == BY_HAND


def lookup_key(link_key: str) -> str:
    """The form of a link key under which it is looked up (NFKC, case-folded, outer blanks gone).

    For the look-up only: what leaves the proxy is the value as recorded. Two people whose keys
    fall together here are a conflict, not one person.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", link_key).casefold()).strip()


def learn(
    subject: Subject, known: RosterRow | None, holder: RosterRow | None, now: datetime
) -> tuple[RosterRow, ...]:
    """The rows to write after a verified login at the active (`placed` says how)."""
    row = RosterRow(
        id=subject.attributes["id"],
        link_key=subject.link_key,
        lookup_key=lookup_key(subject.link_key) or None,
        email=subject.attributes["email"],
        username=subject.attributes["username"],
        attributes=dict(subject.attributes),
        source=subject.upstream,
        confirmed_at=now,
    )
    return placed(row, known, holder)


def learn_late(
    late: RosterRow, known: RosterRow | None, holder: RosterRow | None
) -> tuple[RosterRow, ...]:
    """The rows to write for a login that was verified while the store was away.

    What was confirmed after it stays; else the row is held against what the roster knows by now.
    """
    confirmed, logged_in = (None if known is None else known.confirmed_at), late.confirmed_at
    if confirmed is not None and logged_in is not None and confirmed > logged_in:
        return ()
    return placed(late, known, holder)


def resolved(owner: RosterRow, rivals: Iterable[RosterRow]) -> tuple[RosterRow, ...]:
    """The rows to write when an operator says that the link key of `owner`'s row is theirs alone.

    `rivals` are others who hold it or claim it: they are left without a key, so that no standby
    finds them until the active names another one.
    """
    lost = (replace(row, lookup_key=None, conflict=False) for row in rivals if row.id != owner.id)
    key = lookup_key(owner.link_key) or None
    return (*lost, replace(owner, lookup_key=key, conflict=False))


def placed(
    row: RosterRow, known: RosterRow | None, holder: RosterRow | None
) -> tuple[RosterRow, ...]:
    """The rows to write, in this order, so that `row` is the word on its person.

    `known` is the row of this id before, `holder` the row that holds the link key now. A new link
    key retires the old one. A key that another id holds marks both people as in conflict; the
    holder keeps it, so that the conflict stays visible to a look-up. A block stays, and so does a
    conflict about the same key: an operator ends them, not a login (FO-08, FO-09). So does what
    imports knew of the person, as long as the key is the one that they vouched for. Who was
    admitted by hand gives the key up: that was for one outage.
    """
    if known is not None:
        same_key = known.lookup_key == row.lookup_key
        row = replace(
            row,
            conflict=known.conflict and same_key,
            blocks=known.blocks | row.blocks,
            roles=row.roles or known.roles,
            imported_at=row.imported_at or (known.imported_at if same_key else None),
        )
    if holder is None or holder.id == row.id:
        return (row,)
    if holder.by_hand:
        return (replace(holder, lookup_key=None), row)
    return (replace(holder, conflict=True), replace(row, lookup_key=None, conflict=True))
