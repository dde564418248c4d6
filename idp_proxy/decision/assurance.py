"""How strongly somebody must have been authenticated, and what an upstream's word for it is worth.

The deployer names levels, weakest first, and says for each upstream which context class and which
attribute stands for which level. What nobody mapped counts as the lowest level: an upstream, or one
behind it, cannot talk itself up (FO-04). A standby's people must reach the floor, by an
authentication that is not too old (IDP-04); with `enforce = "all"` the active's must as well.

Without any levels nothing is demanded, and a standby's word for its own strength is not passed on.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.decision.subject import Evidence

#: The class that claims nothing (SAML authentication context, 3.4.25).
UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
#: How far an upstream's clock, or that of another host of ours, may be apart from this one.
CLOCK_SKEW: Final = timedelta(seconds=120)
#: The most that an upstream may be ahead (SP-07); further ahead is no time at all.
_AHEAD: Final = timedelta(seconds=180)


class Enforce(enum.Enum):
    """Whose people must reach the floor."""

    STANDBYS = "standbys"
    ALL = "all"


class Comparison(enum.Enum):
    """How an answer must compare with what was asked for (SAML core 3.3.2.2.1)."""

    EXACT = "exact"
    MINIMUM = "minimum"


class Shortfall(enum.StrEnum):
    """Why an authentication does not do; the value is the slug of the page."""

    TOO_WEAK = "assurance_too_low"
    TOO_OLD = "authentication_too_old"


@dataclass(frozen=True, slots=True)
class AttributeEvidence:
    """An attribute, by the name that the upstream gives it, which stands for a level when its
    value is exactly this one. `among_others`: when it is one of several values.
    """

    attribute: str
    value: str
    level: str
    among_others: bool = False

    def shown_by(self, attributes: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether the upstream said this, to the letter."""
        values = attributes.get(self.attribute, ())
        return self.value in values if self.among_others else values == (self.value,)


@dataclass(frozen=True, slots=True)
class UpstreamAssurance:
    """What one upstream's words are worth, and what it is asked for.

    `contexts`: AuthnContextClassRef -> level. `requested` are classes of which the answer must
    have one, or one as strong; `force_authn` asks it to authenticate everybody anew.
    """

    contexts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    evidence: tuple[AttributeEvidence, ...] = ()
    requested: tuple[str, ...] = ()
    comparison: Comparison = Comparison.EXACT
    force_authn: bool = False


_NOTHING_MAPPED: Final = UpstreamAssurance()


@dataclass(frozen=True, slots=True)
class AssurancePolicy:
    """What is demanded. `levels` are weakest first; none means that nobody declared any.

    `active` is the upstream that the others stand by for.
    """

    active: str
    levels: tuple[str, ...] = ()
    floor: str = ""
    enforce: Enforce = Enforce.STANDBYS
    max_age: timedelta | None = None
    upstreams: Mapping[str, UpstreamAssurance] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, upstream: str) -> UpstreamAssurance:
        """What is mapped for this upstream."""
        return self.upstreams.get(upstream, _NOTHING_MAPPED)

    def binds(self, upstream: str) -> bool:
        """Whether the people of this upstream must reach the floor."""
        return bool(self.levels) and (upstream != self.active or self.enforce is Enforce.ALL)

    def reaches(self, level: str) -> bool:
        """Whether a level is the floor or above it; without levels everything is."""
        return not self.levels or self.levels.index(level) >= self.levels.index(self.floor)


@dataclass(frozen=True, slots=True)
class Assured:
    """It does. `context` is the class that Mattermost is told, `level` what it counts for ("" where
    no levels are declared); `below_floor` only at an active that is not bound.
    """

    level: str
    context: str
    below_floor: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """It does not, by this rule; `reason` begins with it, and is for the log and for operators."""

    shortfall: Shortfall
    rule: str
    reason: str
    level: str


@dataclass(frozen=True, slots=True)
class Question:
    """About one authentication at `upstream`. `fresh_since` is when a fresh one was asked for."""

    policy: AssurancePolicy
    upstream: str
    evidence: Evidence
    now: datetime
    fresh_since: datetime | None = None

    @property
    def level(self) -> str:
        """What it counts for."""
        return level_of(
            self.policy, self.upstream, self.evidence.authn_context, self.evidence.attributes
        )


def level_of(
    policy: AssurancePolicy,
    upstream: str,
    context: str,
    attributes: Mapping[str, tuple[str, ...]] | None = None,
) -> str:
    """The highest level that this upstream's map has for the class and the attributes; what it does
    not have is the lowest. "" without levels.
    """
    if not policy.levels:
        return ""
    mapped = policy.of(upstream)
    found = [policy.levels[0], mapped.contexts.get(context, policy.levels[0])]
    found += [one.level for one in mapped.evidence if one.shown_by(attributes or {})]
    return max(found, key=policy.levels.index)


def suffices(
    policy: AssurancePolicy,
    upstream: str,
    context: str,
    attributes: Mapping[str, tuple[str, ...]] | None = None,
) -> bool:
    """Whether an authentication of this kind would do at this upstream: a password alone, say."""
    return not policy.binds(upstream) or policy.reaches(
        level_of(policy, upstream, context, attributes)
    )


def can_reach_floor(policy: AssurancePolicy, upstream: str) -> bool:
    """Whether anything that is mapped for this upstream reaches the floor (FO-04)."""
    mapped = policy.of(upstream)
    levels = [*policy.levels[:1], *mapped.contexts.values()]
    levels += [one.level for one in mapped.evidence]
    return not policy.levels or any(policy.reaches(level) for level in levels)


def told_context(asked: Question) -> str:
    """The class that Mattermost is told: the upstream's own word, never a stronger one.

    A class that this upstream's map does not have claims nothing; nor does one that stands for more
    at another upstream than was proven here. Without levels only the active's word is passed on.
    """
    policy, context = asked.policy, asked.evidence.authn_context
    if not policy.levels:
        return context if asked.upstream == policy.active else UNSPECIFIED
    if context not in policy.of(asked.upstream).contexts:
        return UNSPECIFIED
    rank = policy.levels.index
    lowest, maps = policy.levels[0], policy.upstreams.values()
    meant = max(rank(one.contexts.get(context, lowest)) for one in maps)
    return context if meant <= rank(asked.level) else UNSPECIFIED


def judge(asked: Question) -> Assured | Refused:
    """Whether an authentication does, and what Mattermost is told of it."""
    for shortfall, rule, check in CHECKS:
        if (reason := check(asked)) is not None:
            return Refused(shortfall, rule, f"{rule}: {reason}", asked.level)
    level = asked.level
    return Assured(
        level=level,
        context=told_context(asked),
        below_floor=not asked.policy.reaches(level),
    )


def idp_04_fresh(asked: Question) -> str | None:
    """Who asked for a fresh authentication gets one: an older session does not do."""
    if asked.fresh_since is None:
        return None
    if asked.evidence.authn_instant >= asked.fresh_since - CLOCK_SKEW:
        return None
    return "ForceAuthn was asked, and an older session answered"


def idp_04_age(asked: Question) -> str | None:
    """The authentication is not older than allowed, and not from the future."""
    if asked.policy.max_age is None or not asked.policy.binds(asked.upstream):
        return None
    age = asked.now - asked.evidence.authn_instant
    if age < -_AHEAD:
        return "the authentication lies in the future: a clock is wrong"
    if age > asked.policy.max_age:
        return (
            f"authenticated {age.total_seconds():.0f} s ago, "
            f"at most {asked.policy.max_age.total_seconds():.0f}"
        )
    return None


def fo_04_as_requested(asked: Question) -> str | None:
    """The answer has a class that was asked for, or with `minimum` one that counts for as much."""
    mapped, context = asked.policy.of(asked.upstream), asked.evidence.authn_context
    if not mapped.requested or context in mapped.requested:
        return None
    if mapped.comparison is Comparison.MINIMUM and asked.policy.levels:
        rank = asked.policy.levels.index
        given = level_of(asked.policy, asked.upstream, context)
        least = min(rank(level_of(asked.policy, asked.upstream, one)) for one in mapped.requested)
        if context in mapped.contexts and rank(given) >= least:
            return None
    return "the answer has another context class than was asked for"


def fo_04_floor(asked: Question) -> str | None:
    """The level reaches the floor, where this upstream's people must."""
    if not asked.policy.binds(asked.upstream) or asked.policy.reaches(asked.level):
        return None
    return f"level {asked.level}, below the floor {asked.policy.floor}"


CHECKS: Final[tuple[tuple[Shortfall, str, Callable[[Question], str | None]], ...]] = (
    (Shortfall.TOO_OLD, "IDP-04", idp_04_fresh),
    (Shortfall.TOO_OLD, "IDP-04", idp_04_age),
    (Shortfall.TOO_WEAK, "FO-04", fo_04_as_requested),
    (Shortfall.TOO_WEAK, "FO-04", fo_04_floor),
)
