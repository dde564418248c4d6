"""Who may take over, and what a decision about it is made from (FO-15)."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.health import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from idp_proxy.decision.fleet import Fleet, Health
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.decision.windows import Window


#: Evidence may be dated by a host's own clock; further ahead of the store's it proves nothing.
CLOCK_TOLERANCE: Final = timedelta(minutes=2)


class Failback(enum.StrEnum):
    """How the watch returns: when a person says yes, in a window, or as soon as it may."""

    APPROVE = "approve"
    SCHEDULED = "scheduled"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class FailoverLimits:
    """`[failover]`. At most `automatic` switches within `budget_window`, then LATCHED.

    A passed canary vouches for an upstream for `rehearsed_by_canary` where one runs; else a
    verified login or a rehearsal does, for `rehearsal_max_age`.
    """

    hold_down: timedelta = timedelta(minutes=10)
    dwell: timedelta = timedelta(minutes=15)
    automatic: int = 2
    budget_window: timedelta = timedelta(minutes=60)
    failback: Failback = Failback.APPROVE
    windows: tuple[Window, ...] = ()
    rehearsed_by_canary: timedelta = timedelta(minutes=15)
    rehearsal_max_age: timedelta = timedelta(hours=24)
    proven_for_failback: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of one upstream beside its health.

    `why_unusable`: no valid metadata or certificate. `proven_at`: the last verified real login or
    rehearsal. `failback_test_at`: an operator's own. `findings`: the review's that block it.
    """

    why_unusable: str | None = None
    proven_at: datetime | None = None
    failback_test_at: datetime | None = None
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """What a decision is made from. `candidates` has every configured upstream, in preference."""

    fleet: Fleet
    candidates: Mapping[str, Candidate]
    limits: FailoverLimits
    now: datetime

    def health(self, name: str) -> Health | None:
        """The fleet's verdict on this upstream."""
        return self.fleet.health.get(name)


def why_ineligible(state: SwitchState, name: str, situation: Situation) -> tuple[str, ...]:
    """Every reason why `name` may not take over by itself; empty if it may (FO-15).

    Eligible is what is enabled, UP, seen so since the serving one went down, rehearsed, without a
    blocking finding, has valid metadata and certificates, and takes the account that its probe
    asks as.
    """
    candidate, health = situation.candidates.get(name), situation.health(name)
    if candidate is None or health is None:
        return ("it is not configured",)
    verdict = f"it is {health.verdict}: {'; '.join(health.reasons)}"
    return tuple(
        why
        for why in (
            "it is disabled" if name in state.disabled else None,
            candidate.why_unusable,
            None if health.verdict is Verdict.UP else verdict,
            _not_seen(state, health),
            f"its probe is refused: {health.probe_refused}" if health.probe_refused else None,
            _not_rehearsed(candidate, health, situation),
            *(f"finding {one}" for one in candidate.findings),
        )
        if why is not None
    )


def _not_seen(state: SwitchState, health: Health) -> str | None:
    """One that died in the same moment as the serving one still looks well, until the next look."""
    if health.verdict is not Verdict.UP or state.serving not in health.unseen_since:
        return None
    what = f"failed: {'; '.join(health.reasons)}" if health.failures else "is due"
    return f"a look at it, since {state.serving} went down, {what}"


def awaited(state: SwitchState, situation: Situation) -> str | None:
    """The upstream that would take over, once the look at it that is due finds it well; none while
    a more preferred one may take over at once.
    """
    for name in situation.candidates:
        health = situation.health(name)
        if name == state.serving or health is None:
            continue
        reasons = why_ineligible(state, name, situation)
        if not reasons:
            return None
        if not health.failures and reasons == (_not_seen(state, health),):
            return name
    return None


def _not_rehearsed(candidate: Candidate, health: Health, situation: Situation) -> str | None:
    """A standby that nobody ever logged in by is a guess (FO-15)."""
    limits = situation.limits
    if health.has_canary:
        proven, lasts = health.canary_passed_at, limits.rehearsed_by_canary
    else:
        proven, lasts = candidate.proven_at, limits.rehearsal_max_age
    if proven is None:
        return "it was never rehearsed: no login by it was ever verified"
    if proven - situation.now > CLOCK_TOLERANCE:
        return f"its last rehearsal is dated {proven:%Y-%m-%d %H:%M} UTC: a host's clock is wrong"
    if situation.now - proven > lasts:
        return f"it was last rehearsed {proven:%Y-%m-%d %H:%M} UTC, more than {in_words(lasts)} ago"
    return None


def eligible(state: SwitchState, situation: Situation) -> str | None:
    """The most preferred upstream that may take over from the serving one."""
    return next(
        (
            name
            for name in situation.candidates
            if name != state.serving and not why_ineligible(state, name, situation)
        ),
        None,
    )


def why_nobody(state: SwitchState, situation: Situation) -> str:
    """Why each of the others may not take over, in one line."""
    reasons = (
        f"{name}: {', '.join(why_ineligible(state, name, situation))}"
        for name in situation.candidates
        if name != state.serving
    )
    return "; ".join(reasons) or "there is no standby"


def budget_left(state: SwitchState, limits: FailoverLimits, now: datetime) -> bool:
    """Whether one more automatic switch is allowed."""
    return switches_left(state, limits, now) > 0


def switches_left(state: SwitchState, limits: FailoverLimits, now: datetime) -> int:
    """How many automatic switches the budget still allows. One from the future counts too: a clock
    that jumped back must not give a second budget.
    """
    recent = [at for at in state.recent_switches if now - at < limits.budget_window]
    return max(0, limits.automatic - len(recent))


def in_words(span: timedelta) -> str:
    """A span of time for a sentence."""
    minutes = span.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 2 * 60 else f"{minutes / 60:.0f} h"
