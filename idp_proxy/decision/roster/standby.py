"""Whom of the roster a standby may name: each rule a function, asked in order until one refuses."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.roster.rows import lookup_key
from idp_proxy.decision.subject import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.decision.roster.rows import RosterRow
    from idp_proxy.decision.subject import Subject
    from idp_proxy.decision.switching import SwitchState

#: Evidence that lies further ahead was dated by a wrong clock, and proves nothing.
_AHEAD: Final = timedelta(hours=1)


class Role(enum.StrEnum):
    """A role that Mattermost gives and takes by an attribute, at each login."""

    ADMIN = "admin"
    GUEST = "guest"

    @property
    def in_mattermost(self) -> str:
        """What Mattermost's list of people calls it."""
        return f"system_{self.value}"


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Mattermost's AdminAttribute or GuestAttribute: whose `attribute` (a canonical name) has this
    value gets the role at the login.
    """

    role: Role
    attribute: str
    value: str

    def holds_for(self, row: RosterRow) -> bool:
        """Whether this person has the role: by the attribute, or as Mattermost's list said."""
        said = lookup_key(row.attributes.get(self.attribute, ""))
        return said == lookup_key(self.value) or self.role.in_mattermost in row.roles


@dataclass(frozen=True, slots=True)
class SecondAttribute:
    """The link key is an email address, which somebody else may get one day: this other attribute
    (a canonical name) must agree too. None: there is none, so nobody is recognised.
    """

    name: str | None


@dataclass(frozen=True, slots=True)
class RosterPolicy:
    """`[roster]`: how old the evidence for a row may be, and who needs more than that.

    `privileged` are the ids of people who may use a standby in spite of their role.
    """

    confirmed_by_login: timedelta = timedelta(days=90)
    confirmed_by_import: timedelta = timedelta(days=7)
    roles: tuple[RoleRule, ...] = ()
    privileged: frozenset[str] = frozenset()
    second: SecondAttribute | None = None


class Refusal(enum.Enum):
    """Why a standby's subject is not let in; each has a page of its own."""

    UNKNOWN = "person_unknown"
    UNCONFIRMED = "person_unconfirmed"
    CONFLICT = "person_conflict"
    BLOCKED = "person_blocked"
    MISMATCH = "person_mismatch"
    PRIVILEGED = "person_privileged"


#: What an approver's word may stand in for.
ADMISSIBLE: Final = frozenset({Refusal.UNCONFIRMED, Refusal.PRIVILEGED})


@dataclass(frozen=True, slots=True)
class AdmittedByHand:
    """An approver let somebody in for the outage that goes on (`roster admit`).

    It stands in for what confirms a person, and with `privileged` for being named as such. It never
    stands in for the rest: who is blocked, in conflict or somebody else stays out.
    """

    person: str
    at: datetime
    actor: str
    reason: str
    privileged: bool = False

    def in_force(self, state: SwitchState, active: str) -> bool:
        """Whether the outage in which it was said still goes on: it ended when the active served
        again, and no later outage revives it.
        """
        left = state.left.get(active)
        return state.serving != active and left is not None and left.at <= self.at


@dataclass(frozen=True, slots=True)
class Question:
    """About one person: their row, what the standby says of them (None where nobody logs in now,
    as in a forecast), and an approver's word that is in force.
    """

    row: RosterRow
    policy: RosterPolicy
    now: datetime
    said: Mapping[str, str] | None = None
    by_hand: AdmittedByHand | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """The standby's subject is this person, who leaves byte for byte as recorded."""

    row: RosterRow


@dataclass(frozen=True, slots=True)
class Refused:
    """The standby's subject is not let in; `reason` is for the log and for operators."""

    refusal: Refusal
    reason: str


def judge_standby(
    subject: Subject,
    row: RosterRow | None,
    policy: RosterPolicy,
    now: datetime,
    by_hand: AdmittedByHand | None = None,
) -> Admitted | Refused:
    """Whether the row that a standby's link key found is somebody who may log in by a standby."""
    if row is None:
        return Refused(Refusal.UNKNOWN, "FO-09: no roster row has this link key")
    said = {**subject.attributes, "link_key": subject.link_key}
    return judge_row(Question(row, policy, now, said, by_hand))


def judge_row(asked: Question) -> Admitted | Refused:
    """The same of a row that is at hand; without what a standby says this is a forecast."""
    for refusal, check in CHECKS:
        if (reason := check(asked)) is not None:
            return Refused(refusal, reason)
    return Admitted(asked.row)


def fo_08_not_blocked(asked: Question) -> str | None:
    """Nobody blocked this person: no operator, no authoritative import."""
    if not asked.row.blocks:
        return None
    return f"FO-08: blocked: {', '.join(sorted(asked.row.blocks))}"


def fo_09_one_person(asked: Question) -> str | None:
    """The link key is this person's alone."""
    return "FO-09: two people hold this link key" if asked.row.conflict else None


def fo_09_second_attribute(asked: Question) -> str | None:
    """Where the link key is an email address, another attribute agrees as well."""
    second = asked.policy.second
    if second is None:
        return None
    if second.name is None:
        return "FO-09: the link key is an email address, and nothing else is compared"
    known = lookup_key(asked.row.attributes.get(second.name, ""))
    if not known:
        return f"FO-09: the roster row has no {second.name}, which must agree beside the email"
    if asked.said is None or lookup_key(asked.said.get(second.name, "")) == known:
        return None
    return f"FO-09: the email address agrees, and {second.name} does not"


def fo_11_named(asked: Question) -> str | None:
    """Who has a role that a login without its attribute takes away is named for standbys."""
    row = asked.row
    if row.id in asked.policy.privileged or (asked.by_hand and asked.by_hand.privileged):
        return None
    held = [rule.role for rule in asked.policy.roles if rule.holds_for(row)]
    return f"FO-11: has role {' and '.join(held)}, and is not named for standbys" if held else None


def fo_08_confirmed(asked: Question) -> str | None:
    """A login at the active or an authoritative import vouches for the person, of late."""
    if asked.by_hand is not None or any(confirmations(asked.row, asked.policy, asked.now)):
        return None
    evidence = _evidence(asked.row, asked.policy)
    return "FO-08: " + "; ".join(_stale(what, at, lasts, asked.now) for what, at, lasts in evidence)


def confirmations(row: RosterRow, policy: RosterPolicy, now: datetime) -> tuple[bool, ...]:
    """Whether a login at the active vouches for the person, and whether an import does."""
    return tuple(
        at is not None and -_AHEAD <= now - at <= lasts for _, at, lasts in _evidence(row, policy)
    )


def _evidence(
    row: RosterRow, policy: RosterPolicy
) -> tuple[tuple[str, datetime | None, timedelta], ...]:
    return (
        ("login at the active", row.confirmed_at, policy.confirmed_by_login),
        ("import", row.imported_at, policy.confirmed_by_import),
    )


def _stale(what: str, at: datetime | None, lasts: timedelta, now: datetime) -> str:
    if at is None:
        return f"no {what}"
    if now < at:
        return f"last {what} lies in the future: a clock was wrong"
    return f"last {what} {(now - at).days} days ago, allowed {lasts.days}"


CHECKS: Final[tuple[tuple[Refusal, Callable[[Question], str | None]], ...]] = (
    (Refusal.BLOCKED, fo_08_not_blocked),
    (Refusal.CONFLICT, fo_09_one_person),
    (Refusal.MISMATCH, fo_09_second_attribute),
    (Refusal.PRIVILEGED, fo_11_named),
    (Refusal.UNCONFIRMED, fo_08_confirmed),
)


def identity_of(attributes: Mapping[str, str], withheld: frozenset[str]) -> Identity:
    """The person as Mattermost is told, without the canonical names in `withheld`.

    The email address leaves in lower case, as Mattermost itself would store it.
    """
    shown = {name: value for name, value in attributes.items() if name not in withheld}
    shown["email"] = shown["email"].lower()
    return Identity(id=attributes["id"], attributes=shown)
