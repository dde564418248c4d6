"""Who may do what, and with whose consent: the rules of DESIGN section 9 as a table.

Everything here is a function of values: which people said yes, in which order, and how many
approvers there are. An act that weakens a login is refused for everybody, whoever asks.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

#: How long an override waits before it acts, so that the alarmed can step in.
COUNTDOWN: Final = timedelta(seconds=60)
#: Approvers that must be enabled before the acts of `Need.APPROVALS` take two people.
_APPROVERS_FOR_TWO: Final = 2


class Role(enum.StrEnum):
    """What an operator is there for; one person may hold several."""

    VIEWER = "viewer"
    HELPDESK = "helpdesk"
    OPERATOR = "operator"
    APPROVER = "approver"
    SECURITY = "security"


class Need(enum.StrEnum):
    """How many people an act takes."""

    ONE = "one"
    SIGNED_IN = "signed_in"
    APPROVALS = "approvals"
    TWO = "two"
    NEVER = "never"


class Act(enum.StrEnum):
    """What an operator may want to do."""

    HOLD = "hold"
    DISABLE = "disable"
    ENABLE = "enable"
    BLOCK_PERSON = "block_person"
    UNBLOCK_PERSON = "unblock_person"
    ADMIT_PERSON = "admit_person"
    RESOLVE_PERSON = "resolve_person"
    RESET_FACTOR = "reset_factor"
    FORGET_PERSON = "forget_person"
    STOP_CAMPAIGN = "stop_campaign"
    CONVERT = "convert"
    CUTOVER = "cutover"
    CUTOVER_BACK = "cutover_back"
    SWITCH = "switch"
    FAILBACK = "failback"
    RELEASE = "release"
    SWITCH_INELIGIBLE = "switch_ineligible"
    METADATA_KEYS = "metadata_keys"
    ROSTER_REPLACE = "roster_replace"
    WAIVER = "waiver"
    OPERATOR_CHANGE = "operator_change"
    WRITTEN_OFF = "written_off"
    CAMPAIGN_ENVELOPE = "campaign_envelope"
    FORGET_HOST = "forget_host"
    STOP_OVERRIDE = "stop_override"
    REVOKE_SESSIONS = "revoke_sessions"
    BELOW_FLOOR = "below_floor"
    BLOCKED_PERSON = "blocked_person"
    BAD_SIGNATURE = "bad_signature"


@dataclass(frozen=True, slots=True)
class Rule:
    """What an act takes: how many people, who may begin it, and who may consent to it."""

    need: Need
    begin: frozenset[Role] = frozenset()
    confirm: frozenset[Role] = frozenset()


_ACTS_ITSELF: Final = frozenset({Role.OPERATOR, Role.APPROVER})
#: Security may always take something away, and has a say in what weakens a rule.
_PROTECTS: Final = _ACTS_ITSELF | {Role.SECURITY}
_ALONE: Final = Rule(Need.ONE, _ACTS_ITSELF)
_ALONE_TO_PROTECT: Final = Rule(Need.ONE, _PROTECTS)
_BY_APPROVALS: Final = Rule(Need.APPROVALS, _ACTS_ITSELF, _ACTS_ITSELF)
_BY_TWO: Final = Rule(Need.TWO, _ACTS_ITSELF, _PROTECTS)
#: One person, who showed that they are an approver; the host's user needs an override.
_BY_AN_APPROVER: Final = Rule(Need.SIGNED_IN, frozenset({Role.APPROVER}))
_BY_NOBODY: Final = Rule(Need.NEVER)

RULES: Final[Mapping[Act, Rule]] = MappingProxyType(
    {
        Act.HOLD: _ALONE_TO_PROTECT,
        Act.DISABLE: _ALONE_TO_PROTECT,
        Act.ENABLE: _ALONE,
        # The help desk hears first that somebody's phone was stolen.
        Act.BLOCK_PERSON: Rule(Need.ONE, _PROTECTS | {Role.HELPDESK}),
        Act.UNBLOCK_PERSON: _BY_AN_APPROVER,
        Act.ADMIT_PERSON: _BY_AN_APPROVER,
        Act.RESOLVE_PERSON: _BY_AN_APPROVER,
        # Nothing of it is urgent: a person changes their own, and who must be kept out is blocked.
        Act.RESET_FACTOR: _BY_AN_APPROVER,
        Act.STOP_CAMPAIGN: _ALONE_TO_PROTECT,
        Act.CONVERT: _ALONE,
        # The way back is one person's too, and lies on disk before it begins.
        Act.CUTOVER: _ALONE,
        Act.CUTOVER_BACK: _ALONE,
        Act.FORGET_HOST: _ALONE,
        Act.STOP_OVERRIDE: _ALONE_TO_PROTECT,
        Act.REVOKE_SESSIONS: _ALONE_TO_PROTECT,
        Act.SWITCH: _BY_APPROVALS,
        Act.FAILBACK: _BY_APPROVALS,
        Act.RELEASE: _BY_APPROVALS,
        Act.SWITCH_INELIGIBLE: _BY_TWO,
        Act.METADATA_KEYS: _BY_TWO,
        Act.ROSTER_REPLACE: _BY_TWO,
        # It erases who did what, so that nobody does it alone after a misuse.
        Act.FORGET_PERSON: _BY_TWO,
        Act.WAIVER: Rule(Need.TWO, _PROTECTS, _PROTECTS),
        Act.OPERATOR_CHANGE: _BY_TWO,
        Act.WRITTEN_OFF: _BY_TWO,
        Act.CAMPAIGN_ENVELOPE: _BY_APPROVALS,
        Act.BELOW_FLOOR: _BY_NOBODY,
        Act.BLOCKED_PERSON: _BY_NOBODY,
        Act.BAD_SIGNATURE: _BY_NOBODY,
    }
)

#: Acts on the switch: what was agreed for one epoch is not agreed for the next.
BOUND_TO_EPOCH: Final = frozenset({Act.SWITCH, Act.FAILBACK, Act.RELEASE, Act.SWITCH_INELIGIBLE})

#: Who may review an override, if it was not their own.
REVIEWERS: Final = _PROTECTS


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who said yes. `by_host` is a user of the host who gave no operator's credential;
    such a person is named `host:USER` or `host:root (sudo by USER)` and holds no role.
    """

    name: str
    roles: frozenset[Role] = frozenset()
    by_host: bool = False
    enabled: bool = True

    @property
    def human(self) -> str:
        """Who this is, whichever way they came: two names with one `human` are one person."""
        return human_of(self.name)


@dataclass(frozen=True, slots=True)
class Granted:
    """It may be done by these people. With a `countdown` it is an override: every channel is
    alarmed, the countdown runs, and it stays open until somebody else reviews it.
    """

    reason: str
    people: tuple[str, ...]
    countdown: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """It may be done once a person with one of `roles` agrees too."""

    reason: str
    people: tuple[str, ...]
    roles: frozenset[Role]


@dataclass(frozen=True, slots=True)
class Refused:
    """It may not be done like this; `reason` says what would help, if anything."""

    reason: str


Verdict: TypeAlias = Granted | Waits | Refused


def judge(
    act: Act,
    people: Sequence[Person],
    *,
    approvers_enabled: int,
    override: bool,
    operators_exist: bool,
) -> Verdict:
    """Whether `people`, in the order in which they said yes, suffice for `act`.

    The first of them began it. Before the first operator exists the host's user acts alone.
    """
    rule = RULES[act]
    if (refused := _never(act, rule, people)) is not None:
        return refused
    if not operators_exist:
        return _before_the_first(people)
    if (refused := _not_begun(act, rule, people[0])) is not None:
        return refused
    agreed = _agreed(rule, people)
    if _suffice(rule.need, agreed, approvers_enabled):
        return Granted(f"{act}: agreed as its rule asks", _names(agreed))
    if override:
        return Granted(f"{act}: by override", _names(agreed), COUNTDOWN)
    return _lacking(act, rule, agreed)


def _never(act: Act, rule: Rule, people: Sequence[Person]) -> Refused | None:
    """What holds for everybody, root and the time before the first operator included."""
    if rule.need is Need.NEVER:
        return Refused(f"{act}: no role, no second person and no override allows this")
    return None if people else Refused("nobody asked for this")


def _not_begun(act: Act, rule: Rule, first: Person) -> Refused | None:
    """Why `first` cannot have begun this; None if they can."""
    if not first.enabled:
        return Refused(f"{first.name} began this and is disabled: begin again")
    if not first.by_host and not first.roles & rule.begin:
        return Refused(f"{first.name} may not begin {act}: that takes role {named(rule.begin)}")
    return None


def _before_the_first(people: Sequence[Person]) -> Verdict:
    if all(person.by_host for person in people):
        return Granted("no operator exists yet: the host's user acts alone", _names(people))
    return Refused("there is no operator yet, so nobody can have signed in as one")


def _agreed(rule: Rule, people: Sequence[Person]) -> list[Person]:
    """Who counts, each human once: the first, and of the others who may consent."""
    agreed = [people[0]]
    for person in people[1:]:
        may = person.by_host or bool(person.roles & rule.confirm)
        if person.enabled and may and person.human not in {one.human for one in agreed}:
            agreed.append(person)
    return agreed


def _suffice(need: Need, agreed: Sequence[Person], approvers_enabled: int) -> bool:
    """Whether these people are enough without an override."""
    if need is Need.ONE:
        return True
    signed_in = [person for person in agreed if not person.by_host]
    if need is Need.SIGNED_IN:
        return bool(signed_in)
    if need is Need.APPROVALS and approvers_enabled < _APPROVERS_FOR_TWO:
        return bool(signed_in)
    return len(signed_in) > 1 and _has_approver(signed_in)


def _lacking(act: Act, rule: Rule, agreed: Sequence[Person]) -> Verdict:
    """Who is missing, now that neither these people nor an override suffice."""
    signed_in = [person for person in agreed if not person.by_host]
    if not signed_in:
        return Refused(
            f"{act} without an operator's credential takes an override (--override REASON); "
            "or sign in as an operator (--as NAME)"
        )
    roles = rule.confirm if _has_approver(signed_in) else frozenset({Role.APPROVER})
    return Waits(
        f"{act} takes two people, one of them an approver: another one with role {named(roles)} "
        "must agree",
        _names(signed_in),
        roles,
    )


def _has_approver(people: Iterable[Person]) -> bool:
    return any(Role.APPROVER in person.roles for person in people)


def _names(people: Iterable[Person]) -> tuple[str, ...]:
    return tuple(person.name for person in people)


def named(roles: Collection[Role]) -> str:
    """These roles in one phrase, in the order of `Role`."""
    return " or ".join(role for role in Role if role in roles)


_HOST_USER: Final = re.compile(r"host:(?P<user>\S+)(?: \(sudo by (?P<behind>\S+)\))?")


def human_of(name: str) -> str:
    """The human behind a name: `host:alice` and `host:root (sudo by alice)` are alice."""
    found = _HOST_USER.fullmatch(name)
    if found is None:
        return name.casefold()
    return (found["behind"] or found["user"]).casefold()
