"""The roster: people as the active described them, and whom of them a standby may name.

A standby never invents a person and never changes who somebody is (DESIGN section 2, FO-08, FO-09):
its subject is only a key into what the active said before. `learn` is what a verified login
at the active does to the roster; `judge_standby` what a standby's subject finds there.
"""

from __future__ import annotations

import enum
import unicodedata
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from idp_proxy.decision.subject import Identity, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class RosterRow:
    """One person as the active described them. `id` is unique, `lookup_key` is too where not None.

    `lookup_key` is None for a person whose link key belongs to somebody else's row: both rows then
    bear `conflict`, and neither person is let in by a standby until it is resolved. It is None too
    where nothing is left of the link key: nobody is found by an empty one.
    """

    id: str
    link_key: str
    lookup_key: str | None
    email: str
    username: str
    attributes: Mapping[str, str]
    source: str
    confirmed_at: datetime
    conflict: bool = False
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class RosterLimits:
    """How old the evidence for a row may be before a standby's subject is refused."""

    confirmed_within: timedelta = timedelta(days=90)


class Refusal(enum.Enum):
    """Why a standby's subject is not let in; each has a page of its own."""

    UNKNOWN = "person_unknown"
    UNCONFIRMED = "person_unconfirmed"
    CONFLICT = "person_conflict"
    BLOCKED = "person_blocked"


@dataclass(frozen=True, slots=True)
class Admitted:
    """The standby's subject is this person, who leaves byte for byte as recorded."""

    row: RosterRow


@dataclass(frozen=True, slots=True)
class Refused:
    """The standby's subject is not let in."""

    refusal: Refusal
    reason: str


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
    if known is not None and known.confirmed_at > late.confirmed_at:
        return ()
    return placed(late, known, holder)


def placed(
    row: RosterRow, known: RosterRow | None, holder: RosterRow | None
) -> tuple[RosterRow, ...]:
    """The rows to write, in this order, so that `row` is the word on its person.

    `known` is the row of this id before, `holder` the row that holds the link key now. A new link
    key retires the old one. A key that another id holds marks both people as in conflict; the
    holder keeps it, so that the conflict stays visible to a look-up. A block stays, and so does a
    conflict about the same key: an operator ends them, not a login (FO-08, FO-09).
    """
    unresolved = known is not None and known.conflict and known.lookup_key == row.lookup_key
    blocked = known is not None and known.blocked
    if holder is None or holder.id == row.id:
        return (replace(row, conflict=unresolved, blocked=blocked),)
    return (
        replace(holder, conflict=True),
        replace(row, lookup_key=None, conflict=True, blocked=blocked),
    )


def judge_standby(row: RosterRow | None, limits: RosterLimits, now: datetime) -> Admitted | Refused:
    """Whether the row that a standby's link key found is somebody who may log in by a standby."""
    if row is None:
        return Refused(Refusal.UNKNOWN, "no roster row has this link key")
    if row.blocked:
        return Refused(Refusal.BLOCKED, "the roster row is blocked")
    if row.conflict:
        return Refused(Refusal.CONFLICT, "two people hold this link key")
    age = now - row.confirmed_at
    if age > limits.confirmed_within:
        return Refused(
            Refusal.UNCONFIRMED,
            f"last confirmed {age.days} days ago, allowed {limits.confirmed_within.days}",
        )
    return Admitted(row)


def identity_of(attributes: Mapping[str, str], withheld: frozenset[str]) -> Identity:
    """The person as Mattermost is told, without the canonical names in `withheld`.

    The email address leaves in lower case, as Mattermost itself would store it.
    """
    shown = {name: value for name, value in attributes.items() if name not in withheld}
    shown["email"] = shown["email"].lower()
    return Identity(id=attributes["id"], attributes=shown)
