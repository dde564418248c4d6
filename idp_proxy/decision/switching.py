"""The switch: which upstream serves, and which upstream's answers are still taken.

`SwitchState` is one row in the store, changed by compare-and-swap on `epoch`. Everything here is a
function of such a row and of `now`; nobody here reads a clock or a store.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class Mode(enum.Enum):
    """Who may switch: the watch (AUTO), or a person only (HELD, LATCHED)."""

    AUTO = "auto"
    HELD = "held"
    LATCHED = "latched"


class Departure(enum.Enum):
    """How an upstream was left, which decides how long its late answers count."""

    PLANNED = "planned"
    FAILOVER = "failover"


@dataclass(frozen=True, slots=True)
class Left:
    """When and how an upstream stopped serving."""

    at: datetime
    how: Departure


@dataclass(frozen=True, slots=True)
class SwitchState:
    """The one row that says where new logins go.

    `epoch` counts every change. `left` has an entry for each upstream that served before;
    `disabled` names upstreams whose logins stop at once. `recent_switches` are the times of the
    automatic switches that count against the budget, oldest first; `hold_until` is the end of the
    dwell that the last of them began. `held_since` is when somebody chose that nothing switches by
    itself: HELD, which may be long after `since`; None in a row of an older version.
    """

    epoch: int
    serving: str
    mode: Mode
    since: datetime
    cause: str
    actor: str
    disabled: frozenset[str] = frozenset()
    left: Mapping[str, Left] = field(default_factory=dict)
    hold_until: datetime | None = None
    recent_switches: tuple[datetime, ...] = ()
    held_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Grace:
    """How long an upstream that was left may still answer what it was asked before."""

    planned: timedelta = timedelta(seconds=280)
    failover: timedelta = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Changed:
    """The new state; `reason` is the line for the audit."""

    state: SwitchState
    reason: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing changes; `reason` tells the operator why and what to do."""

    reason: str


def first_state(preference: Sequence[str], now: datetime) -> SwitchState:
    """The state of a proxy that never switched: the most preferred upstream serves."""
    return SwitchState(
        epoch=1,
        serving=preference[0],
        mode=Mode.AUTO,
        since=now,
        cause="first start",
        actor="idp-proxy",
    )


def switch_by_hand(
    state: SwitchState,
    target: str,
    usable: Mapping[str, str | None],
    *,
    cause: str,
    actor: str,
    now: datetime,
) -> Changed | Unchanged:
    """An operator sends new logins to `target`; the state is HELD there until released.

    `usable` has every configured upstream, with None or the reason why it cannot serve.
    """
    if target not in usable:
        return Unchanged(f"no upstream is called {target}; there are {', '.join(usable)}")
    if target == state.serving:
        return Unchanged(f"{target} is serving already, since {state.since:%Y-%m-%d %H:%M:%S} UTC")
    if target in state.disabled:
        return Unchanged(f"{target} is disabled: idp-proxy upstream enable {target} --reason TEXT")
    if (why_not := usable[target]) is not None:
        return Unchanged(f"{target} cannot serve: {why_not}")
    left = {name: entry for name, entry in state.left.items() if name != target}
    left[state.serving] = Left(now, Departure.PLANNED)
    return Changed(
        replace(
            state,
            epoch=state.epoch + 1,
            serving=target,
            mode=Mode.HELD,
            since=now,
            cause=cause,
            actor=actor,
            left=left,
            hold_until=None,
            held_since=now,
        ),
        f"{state.serving} -> {target} by hand: {cause}",
    )


def disable(state: SwitchState, name: str, configured: Sequence[str]) -> Changed | Unchanged:
    """Logins at `name` stop at once, the ones under way included; nothing switches by itself."""
    if name not in configured:
        return Unchanged(f"no upstream is called {name}; there are {', '.join(configured)}")
    if name in state.disabled:
        return Unchanged(f"{name} is disabled already")
    return Changed(
        replace(state, epoch=state.epoch + 1, disabled=state.disabled | {name}), f"{name} disabled"
    )


def enable(state: SwitchState, name: str, configured: Sequence[str]) -> Changed | Unchanged:
    """`name` may serve again, and its answers are taken again."""
    if name not in configured:
        return Unchanged(f"no upstream is called {name}; there are {', '.join(configured)}")
    if name not in state.disabled:
        return Unchanged(f"{name} is not disabled")
    return Changed(
        replace(state, epoch=state.epoch + 1, disabled=state.disabled - {name}), f"{name} enabled"
    )


def hold(state: SwitchState, *, cause: str, actor: str, now: datetime) -> Changed | Unchanged:
    """The watch switches nothing any more, until `release`."""
    if state.mode is Mode.HELD:
        return Unchanged(f"held already, by {state.actor}: {state.cause}")
    return Changed(
        replace(
            state,
            epoch=state.epoch + 1,
            mode=Mode.HELD,
            cause=cause,
            actor=actor,
            held_since=now,
        ),
        f"held at {state.serving}: {cause}",
    )


def release(state: SwitchState, *, cause: str, actor: str) -> Changed | Unchanged:
    """The watch switches by itself again, with a fresh budget."""
    if state.mode is Mode.AUTO:
        return Unchanged("the watch switches by itself already")
    return Changed(
        replace(
            state,
            epoch=state.epoch + 1,
            mode=Mode.AUTO,
            cause=cause,
            actor=actor,
            recent_switches=(),
            held_since=None,
        ),
        f"released at {state.serving}: {cause}",
    )


def fail_back_by_hand(
    state: SwitchState,
    target: str,
    usable: Mapping[str, str | None],
    *,
    cause: str,
    actor: str,
    now: datetime,
) -> Changed | Unchanged:
    """A person returns to `target`, which is preferred to the serving upstream; from then on the
    watch switches by itself. Where `target` serves already it is a release.

    Raises nothing; `Unchanged` as `switch_by_hand`, and where `target` is not preferred.
    """
    if state.serving == target:
        return release(state, cause=cause, actor=actor)
    moved = switch_by_hand(state, target, usable, cause=cause, actor=actor, now=now)
    if isinstance(moved, Unchanged):
        return moved
    names = list(usable)
    if state.serving in names and names.index(target) > names.index(state.serving):
        return Unchanged(
            f"{target} is not preferred to {state.serving}: a failback leads to a preferred one; "
            f"idp-proxy switch to {target} --reason TEXT"
        )
    state = replace(moved.state, mode=Mode.AUTO, recent_switches=(), held_since=None)
    return Changed(state, moved.reason)


def route(state: SwitchState) -> str | None:
    """Where a new login goes: the serving upstream, or None while that one is disabled (FO-05)."""
    return None if state.serving in state.disabled else state.serving


def refuses_answer(state: SwitchState, upstream: str, grace: Grace, now: datetime) -> str | None:
    """Why an answer of `upstream` is no longer taken; None if it is (FO-03)."""
    if upstream in state.disabled:
        return f"{upstream} is disabled"
    if upstream == state.serving:
        return None
    left = state.left.get(upstream)
    if left is None:
        return f"{upstream} never served"
    allowed = grace.planned if left.how is Departure.PLANNED else grace.failover
    if now - left.at > allowed:
        return f"{upstream} was left {(now - left.at).total_seconds():.0f} s ago"
    return None
