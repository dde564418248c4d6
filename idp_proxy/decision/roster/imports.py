"""What an authoritative import does to the roster: a list of people, held against the rows.

An import confirms people, makes rows for those who never logged in, and blocks whom it no longer
names. It overwrites what a login at the active said only where that is asked (`replace`), it takes
away no block but its own, and it blocks nobody in a hurry: too many at once are refused.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.roster.rows import (
    DEACTIVATED,
    IMPORTED,
    MISSING,
    RosterRow,
    lookup_key,
    placed,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

#: An import that wrote nothing for so long was given up, and another may begin.
GIVEN_UP_AFTER: Final = timedelta(minutes=10)
#: Two nights in which a timer did not import a list.
OVERDUE_AFTER: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Listed:
    """One person as an import names them. `attributes` has every canonical name that it gives.

    `link_key` is None where the list knows no link keys: it confirms rows by their id, and makes
    none. `roles` are Mattermost's, None where the import does not know them. One that is not
    `whole` lacks something that a row needs: the person is there, neither learned nor confirmed.
    """

    id: str
    link_key: str | None = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    roles: frozenset[str] | None = None
    deactivated: bool = False
    whole: bool = True

    @property
    def key(self) -> str | None:
        """As `RosterRow.lookup_key`."""
        return lookup_key(self.link_key or "") or None


class Effect(enum.StrEnum):
    """What an import does about one person it names."""

    NEW = "new"
    CHANGED = "changed"
    CONFIRMED = "confirmed"
    DIFFERS = "differs"
    CONFLICT = "conflict"
    INCOMPLETE = "incomplete"
    WITHOUT_ROW = "without_row"
    DEACTIVATED = "deactivated"


@dataclass(frozen=True, slots=True)
class Run:
    """One import. `source` names it; `read_at` is when its list was read.

    `replaces`: what logins said is overwritten. `partial`: the list is not everybody this time;
    not `exhaustive`: it never is. Neither blocks somebody whom it does not name.
    """

    source: str
    read_at: datetime
    replaces: bool = False
    partial: bool = False
    exhaustive: bool = True

    def owns(self, row: RosterRow) -> bool:
        """Whether this import may say who somebody is: it did before, it replaces, or only an
        approver's word stands there.
        """
        return self.replaces or row.by_hand or row.source == f"{IMPORTED}{self.source}"


@dataclass(frozen=True, slots=True)
class Landed:
    """The rows to write for one person, in this order, and what that does."""

    rows: tuple[RosterRow, ...]
    effect: Effect


def land(
    listed: Listed, known: RosterRow | None, holder: RosterRow | None, run: Run, *, moves: bool
) -> Landed:
    """What `listed` makes of the row of this id (`known`) and of who holds the link key now.

    `moves`: the list gives the holder another key, so that this one is free.
    """
    if known is None:
        if (effect := _makes_none(listed)) is not None:
            return Landed((), effect)
        return _written(listed, None, holder, run, moves=moves, effect=Effect.NEW)
    kept = replace(
        known,
        blocks=_blocks(known, listed, run),
        roles=known.roles if listed.roles is None else listed.roles,
    )
    if listed.deactivated or not listed.whole:
        return Landed((kept,), Effect.DEACTIVATED if listed.deactivated else Effect.INCOMPLETE)
    if not run.owns(known) or listed.link_key is None:
        return _confirmed(listed, known, kept, run)
    same_key = _is_about_same_key(listed, known)
    if same_key and known.conflict:
        return Landed((replace(kept, imported_at=run.read_at),), Effect.CONFLICT)
    effect = Effect.CONFIRMED if same_key and _agrees(listed, known) else Effect.CHANGED
    return _written(listed, kept, holder, run, moves=moves, effect=effect)


def _makes_none(listed: Listed) -> Effect | None:
    """Why no row is made of somebody who has none; None where one is."""
    if listed.deactivated:
        return Effect.DEACTIVATED
    if not listed.whole:
        return Effect.INCOMPLETE
    return Effect.WITHOUT_ROW if listed.link_key is None else None


def _confirmed(listed: Listed, known: RosterRow, kept: RosterRow, run: Run) -> Landed:
    """What somebody else said stays; the list vouches for it where it is about the same key. Of an
    admission by hand a list without keys says nothing: it does not know whose the key is.
    """
    if known.by_hand:
        return Landed((kept,), Effect.INCOMPLETE)
    if not _is_about_same_key(listed, known):
        return Landed((kept,), Effect.DIFFERS)
    effect = Effect.CONFIRMED if _agrees(listed, known) else Effect.DIFFERS
    return Landed((replace(kept, imported_at=run.read_at),), effect)


def _is_about_same_key(listed: Listed, known: RosterRow) -> bool:
    return listed.link_key is None or listed.key == (lookup_key(known.link_key) or None)


def _written(
    listed: Listed,
    known: RosterRow | None,
    holder: RosterRow | None,
    run: Run,
    *,
    moves: bool,
    effect: Effect,
) -> Landed:
    """The row as the import has it. A login's word lasts while it was about the same key."""
    same_key = known is not None and known.lookup_key == listed.key
    row = RosterRow(
        id=listed.id,
        link_key=listed.link_key or "",
        lookup_key=listed.key,
        email=listed.attributes["email"],
        username=listed.attributes["username"],
        attributes=dict(listed.attributes),
        source=f"{IMPORTED}{run.source}",
        confirmed_at=known.confirmed_at if known is not None and same_key else None,
        imported_at=run.read_at,
        roles=listed.roles or frozenset(),
    )
    if holder is not None and holder.id != row.id and moves and run.owns(holder):
        return Landed((replace(holder, lookup_key=None), *placed(row, known, None)), effect)
    rows = placed(row, known, holder)
    return Landed(rows, Effect.CONFLICT if rows[-1].conflict else effect)


def _agrees(listed: Listed, known: RosterRow) -> bool:
    """Whether the list says of a person what the row says, as far as it says anything. Mattermost
    keeps addresses and user names in lower case.
    """
    said = listed.attributes.items()
    return all(_same(name, known.attributes.get(name, ""), value) for name, value in said)


def _same(name: str, known: str, said: str) -> bool:
    folded = name in {"email", "username"}
    return known == said or (folded and lookup_key(known) == lookup_key(said))


def _blocks(known: RosterRow, listed: Listed, run: Run) -> frozenset[str]:
    mine = {f"{MISSING}{run.source}", f"{DEACTIVATED}{run.source}"}
    added = {f"{DEACTIVATED}{run.source}"} if listed.deactivated else set()
    return known.blocks - mine | added


def unnamed(row: RosterRow, run: Run) -> RosterRow | None:
    """The row of somebody whom the list does not name, blocked for it; None if nothing changes.

    Who logged in at the active after the list was read may be too new for it; who was admitted by
    hand never stood in one.
    """
    block = f"{MISSING}{run.source}"
    if run.partial or not run.exhaustive or row.by_hand or block in row.blocks:
        return None
    if row.confirmed_at is not None and row.confirmed_at >= run.read_at:
        return None
    return replace(row, blocks=row.blocks | {block})


@dataclass(slots=True)
class Tally:
    """What an import does, counted. `rows` is the roster before it, `free` whom nobody blocked and
    it could; it vouches for `vouched` people.
    """

    effects: Counter[Effect] = field(default_factory=Counter)
    rows: int = 0
    free: int = 0
    blocked: int = 0
    unblocked: int = 0
    vouched: int = 0

    def count(self, before: RosterRow | None, landed: Landed, run: Run) -> None:
        """One person whom the list names."""
        self.effects[landed.effect] += 1
        after = landed.rows[-1] if landed.rows else None
        self.vouched += after is not None and after.imported_at == run.read_at
        if before is None or before.by_hand:
            return
        if after is not None and before.blocked != after.blocked:
            self.blocked += after.blocked
            self.unblocked += before.blocked

    @property
    def named(self) -> int:
        """How many people the list names."""
        return self.effects.total()


def why_refused(tally: Tally, run: Run, most_percent: int, *, overridden: bool) -> str | None:
    """Why this import may not happen: a list that lost its people would lock everybody out, and
    one that lost what it says of them would pass for fresh while they run out.
    """
    if not tally.named:
        return "the list names nobody: an empty list never blocks people"
    if run.exhaustive and not run.partial and not tally.vouched:
        return "the list confirms nobody: it says of no person what the roster needs"
    if tally.blocked and tally.blocked == tally.free:
        return "it would block everybody who is not blocked yet; no override allows that"
    allowed = max(1, tally.free * most_percent // 100)
    if tally.blocked <= allowed or overridden:
        return None
    return (
        f"it would block {tally.blocked} of {tally.free} people; {allowed} are allowed at once "
        f"([roster] max_blocked_percent = {most_percent})"
    )


def sources_that_count(configured: Collection[str], imported: Iterable[str]) -> tuple[str, ...]:
    """The lists whose age matters: those that a timer is to import; without any, those that
    somebody imported by hand.
    """
    return tuple(configured) or tuple(sorted(imported))


def overdue(completed: Mapping[str, datetime | None], now: datetime) -> str | None:
    """What is wrong with lists that a timer is to import every night: it did not, or half of it
    failed. Said before anybody is unconfirmed for it; None if all is well.
    """
    late = [
        f"the list {source} was never imported whole"
        if at is None
        else f"the list {source} was last imported whole {(now - at).days} days ago"
        for source, at in completed.items()
        if at is None or now - at > OVERDUE_AFTER
    ]
    return "; ".join(late) or None


def fo_08_sync_age(
    source: str, completed_at: datetime | None, lasts: timedelta, now: datetime
) -> str | None:
    """What is wrong with the age of a source that is imported; None if its word still counts."""
    if completed_at is None:
        return f"FO-08: the import by {source} was never complete"
    if now - completed_at > lasts:
        return (
            f"FO-08: the last complete import by {source} is {(now - completed_at).days} days old, "
            f"allowed {lasts.days}"
        )
    return None
