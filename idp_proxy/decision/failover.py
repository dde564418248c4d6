"""Whether the watch switches: the table of the design as data, one rule a row, the first one wins.

`decide` is a function of the switch's state, of what the fleet sees, and of the store's clock. It
never acts: `after` gives the state that a decision leads to, and the watch writes it by
compare-and-swap. What switches is the verdict on an upstream, never a failed authentication
(FO-02), never traffic that nobody authenticated (FO-06), never the sight of a host that is cut off.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.eligibility import (
    CLOCK_TOLERANCE,
    Failback,
    awaited,
    budget_left,
    eligible,
    in_words,
    why_ineligible,
    why_nobody,
)
from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import Departure, Left, Mode
from idp_proxy.decision.windows import next_opening

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from idp_proxy.decision.eligibility import FailoverLimits, Situation
    from idp_proxy.decision.fleet import Health
    from idp_proxy.decision.switching import SwitchState


#: The rules by which a return is proposed to people, and waits for a proof.
_RETURN: Final = "failback_approve"
_UNPROVEN: Final = "failback_unproven"


class Action(enum.StrEnum):
    """What the watch is told to do."""

    STAY = "stay"
    SWITCH = "switch"
    FAILBACK = "failback"
    LATCH = "latch"
    PROPOSE = "propose"


class Alarm(enum.StrEnum):
    """What people are woken for."""

    STORE = "store"
    ISOLATED = "isolated"
    OUTAGE = "outage"
    LATCHED = "latched"
    DISABLED = "disabled"
    FEW_HOSTS = "few_hosts"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do and why. `rule` names the row; `target` is where a switch or a proposal leads;
    `due_at` is when the next row is expected to hold, if nothing changes.
    """

    action: Action
    rule: str
    reason: str
    target: str | None = None
    alarm: Alarm | None = None
    due_at: datetime | None = None

    @property
    def is_return(self) -> bool:
        """Whether a failback is proposed: it hands the switch back, a switch by hand is held."""
        return self.rule == _RETURN

    @property
    def awaits_test(self) -> bool:
        """Whether a return waits for somebody to log in at `target` (`failback test`)."""
        return self.rule == _UNPROVEN and self.target is not None


# --- the table ------------------------------------------------------------------------------------


def _isolated(state: SwitchState, situation: Situation) -> Decision | None:
    why = situation.fleet.isolated.get(state.serving)
    if why is None:
        return None
    return _stay("isolated", f"no host can see {state.serving}: {why}", alarm=Alarm.ISOLATED)


def _held(state: SwitchState, situation: Situation) -> Decision | None:
    if state.mode is not Mode.HELD:
        return None
    return _for_people("held", f"held by {state.actor}: {state.cause}", state, situation)


def _latched(state: SwitchState, situation: Situation) -> Decision | None:
    if state.mode is not Mode.LATCHED:
        return None
    why = f"latched since the budget of automatic switches was used up: {state.cause}"
    return _for_people("latched", why, state, situation, Alarm.LATCHED)


def _disabled(state: SwitchState, situation: Situation) -> Decision | None:
    if state.serving not in state.disabled:
        return None
    why = f"{state.serving} is disabled, and nothing switches by itself then"
    return _propose("serving_disabled", why, eligible(state, situation), Alarm.DISABLED)


def _not_configured(state: SwitchState, situation: Situation) -> Decision | None:
    if state.serving in situation.candidates:
        return None
    why = f"{state.serving} serves, but is not configured any more"
    return _propose("serving_not_configured", why, eligible(state, situation), Alarm.OUTAGE)


def _looking_again(state: SwitchState, situation: Situation) -> Decision | None:
    target = awaited(state, situation) if _serving_is_down(state, situation) else None
    if target is None:
        return None
    return _stay("looking_again", f"{_down(state, situation)}; {target} is looked at again", target)


def _nobody_eligible(state: SwitchState, situation: Situation) -> Decision | None:
    if not _serving_is_down(state, situation) or eligible(state, situation) is not None:
        return None
    return _stay(
        "nobody_eligible",
        f"{_down(state, situation)}, and nobody may take over ({why_nobody(state, situation)})",
        alarm=Alarm.OUTAGE,
    )


def _few_hosts(state: SwitchState, situation: Situation) -> Decision | None:
    fleet = situation.fleet
    if not _serving_is_down(state, situation) or not fleet.few or fleet.reference_answers:
        return None
    why = (
        f"{_down(state, situation)}, but only {len(fleet.seen)} of {fleet.registered} hosts see it"
        " and no neutral reference answers"
    )
    return _propose("few_hosts", why, eligible(state, situation), Alarm.FEW_HOSTS)


def _budget_used(state: SwitchState, situation: Situation) -> Decision | None:
    limits = situation.limits
    if not _serving_is_down(state, situation) or budget_left(state, limits, situation.now):
        return None
    why = (
        f"{_down(state, situation)}, but {limits.automatic} automatic switches within "
        f"{in_words(limits.budget_window)} are the limit"
    )
    return Decision(
        Action.LATCH, "budget_used", why, eligible(state, situation), alarm=Alarm.LATCHED
    )


def _serving_down(state: SwitchState, situation: Situation) -> Decision | None:
    if not _serving_is_down(state, situation):
        return None
    target = eligible(state, situation)
    return Decision(Action.SWITCH, "serving_down", _down(state, situation), target)


def _failback(state: SwitchState, situation: Situation) -> Decision | None:
    target = _preferred(state, situation)
    if target is None:
        return None
    name, health = target
    waits = _failback_waits(state, name, health, situation)
    if waits is not None:
        return waits
    why = f"{name} is preferred to {state.serving}, and is up again"
    if situation.limits.failback is Failback.APPROVE:
        return _propose(_RETURN, why, name)
    return Decision(Action.FAILBACK, f"failback_{situation.limits.failback}", why, name)


def _failback_waits(
    state: SwitchState, name: str, health: Health, situation: Situation
) -> Decision | None:
    """What a return still waits for; None if it is due."""
    limits, now = situation.limits, situation.now
    proofs = (health.canary_passed_at, situation.candidates[name].failback_test_at)
    proven = max(filter(None, proofs), default=None)
    up_until = (health.up_since or now) + limits.hold_down
    if proven is None or not -CLOCK_TOLERANCE <= now - proven <= limits.proven_for_failback:
        why = f"{name} is up, but no login by it was proven in the last minutes"
        if health.has_canary:
            return _stay(_UNPROVEN, f"{why}: its canaries will tell")
        return _stay(_UNPROVEN, f"{why}: idp-proxy failback test {name}", name)
    if now < up_until:
        return _stay("hold_down", f"{name} must stay up for a while", due_at=up_until)
    if state.hold_until is not None and now < state.hold_until:
        return _stay("dwell", f"{state.serving} serves for a minimum time", due_at=state.hold_until)
    if limits.failback is Failback.APPROVE:
        return None
    return _automatic_return_waits(state, name, situation)


def _automatic_return_waits(state: SwitchState, name: str, situation: Situation) -> Decision | None:
    """A return that no person confirms keeps to the budget, and to its window.

    It never latches: a calm moment is no reason to take the automatic away.
    """
    limits, now = situation.limits, situation.now
    if not budget_left(state, limits, now):
        recent = [at for at in state.recent_switches if now - at < limits.budget_window]
        freed = min(recent, default=now)
        return _stay(
            "failback_budget",
            "the return waits until the budget of automatic switches allows it",
            due_at=freed + limits.budget_window,
        )
    if limits.failback is Failback.SCHEDULED:
        opens = next_opening(limits.windows, now)
        if opens is None or opens > now:
            return _stay("window", f"the return to {name} waits for a window", due_at=opens)
    return None


def _suspect(state: SwitchState, situation: Situation) -> Decision | None:
    health = situation.health(state.serving)
    if health is None or not (health.verdict is Verdict.SUSPECT or health.coming_back):
        return None
    target = eligible(state, situation)
    then = f"if it goes down, {target} takes over" if target else "nobody could take over"
    return _stay("serving_suspect", f"{state.serving}: {'; '.join(health.reasons)}; {then}", target)


def _steady(state: SwitchState, _situation: Situation) -> Decision:
    return _stay("steady", f"{state.serving} serves")


#: The rows, first match wins. The store that cannot be read comes before them all (`decide`).
RULES: Final[tuple[Callable[[SwitchState, Situation], Decision | None], ...]] = (
    _isolated,
    _held,
    _latched,
    _disabled,
    _not_configured,
    _looking_again,
    _nobody_eligible,
    _few_hosts,
    _budget_used,
    _serving_down,
    _failback,
    _suspect,
    _steady,
)


def decide(state: SwitchState | None, situation: Situation) -> Decision:
    """What the watch does now. `state` is None while the store cannot be read: it keeps the last
    state and switches nothing (design section 2, rule 4).
    """
    if state is None:
        return _stay("store_unreadable", "the store cannot be read", alarm=Alarm.STORE)
    found = (rule(state, situation) for rule in RULES)
    return next(decision for decision in found if decision is not None)


def after(
    state: SwitchState, decision: Decision, limits: FailoverLimits, actor: str, now: datetime
) -> SwitchState | None:
    """The state a decision leads to; None if it changes none. `actor` is the watch of a host.

    Every automatic switch counts against the budget and starts the dwell.
    """
    if decision.action is Action.LATCH:
        return replace(
            state, epoch=state.epoch + 1, mode=Mode.LATCHED, cause=decision.reason, actor=actor
        )
    if decision.action not in {Action.SWITCH, Action.FAILBACK} or decision.target is None:
        return None
    how = Departure.FAILOVER if decision.action is Action.SWITCH else Departure.PLANNED
    left = {name: entry for name, entry in state.left.items() if name != decision.target}
    left[state.serving] = Left(now, how)
    counted = tuple(at for at in state.recent_switches if now - at < limits.budget_window)
    return replace(
        state,
        epoch=state.epoch + 1,
        serving=decision.target,
        since=now,
        cause=decision.reason,
        actor=actor,
        left=left,
        hold_until=now + limits.dwell,
        recent_switches=(*counted, now),
    )


# --- words ----------------------------------------------------------------------------------------


def _serving_is_down(state: SwitchState, situation: Situation) -> bool:
    """One that answers again is not left: both come back when a network does, and one is first."""
    health = situation.health(state.serving)
    return health is not None and health.verdict is Verdict.DOWN and not health.coming_back


def _down(state: SwitchState, situation: Situation) -> str:
    health = situation.health(state.serving)
    return f"{state.serving} is down: {'; '.join(health.reasons) if health else ''}"


def _preferred(state: SwitchState, situation: Situation) -> tuple[str, Health] | None:
    """The most preferred eligible upstream before the serving one."""
    for name in takewhile(lambda name: name != state.serving, situation.candidates):
        health = situation.health(name)
        if health is not None and not why_ineligible(state, name, situation):
            return name, health
    return None


def _for_people(
    rule: str, why: str, state: SwitchState, situation: Situation, alarm: Alarm | None = None
) -> Decision:
    """HELD and LATCHED switch nothing; an outage meanwhile is an alarm and a proposal."""
    if not _serving_is_down(state, situation) or awaited(state, situation) is not None:
        return _stay(rule, why, alarm=alarm)
    both = f"{_down(state, situation)}; {why}"
    return _propose(rule, both, eligible(state, situation), Alarm.OUTAGE)


def _propose(rule: str, why: str, target: str | None, alarm: Alarm | None = None) -> Decision:
    """A switch that a person has to confirm; with nobody to switch to, only the alarm is left."""
    if target is None:
        return _stay(rule, f"{why}; nobody may take over", alarm=alarm)
    return Decision(Action.PROPOSE, rule, why, target, alarm)


def _stay(
    rule: str,
    why: str,
    target: str | None = None,
    *,
    alarm: Alarm | None = None,
    due_at: datetime | None = None,
) -> Decision:
    return Decision(Action.STAY, rule, why, target, alarm, due_at)
