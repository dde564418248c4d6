"""docs/switching.md: the states of the switch, walked through by the functions that change it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from idp_proxy.decision.eligibility import FailoverLimits
from idp_proxy.decision.failover import Action, Decision, after
from idp_proxy.decision.switching import (
    Changed,
    Departure,
    Grace,
    Mode,
    SwitchState,
    Unchanged,
    disable,
    enable,
    fail_back_by_hand,
    first_state,
    hold,
    refuses_answer,
    release,
    route,
    switch_by_hand,
)
from tests.support.docs.markdown import NOTE, one_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_NAMES = ("active", "standby")
_USABLE = dict.fromkeys(_NAMES)

_HEAD = f"""{NOTE}

# The switch

One row in the store says where new logins go. It has an *epoch*, which every change raises by one.
A change is written only if the epoch is still the one that was read, so of two operators at the
same moment one wins and the other is told so. Each change stands in the audit with its cause and
its actor, in the same commit.

Commands of people and the watch change it. What the watch does by itself is marked *watch*: it
leaves an upstream that is down for the most preferred eligible one, and it latches when its budget
is used up. It returns by itself only with `failback = "auto"` or `"scheduled"`; with `"approve"` it
proposes, and a person confirms.
"""


def switching_page() -> str:
    """The whole page."""
    diagram = "\n".join(("stateDiagram-v2", *(f"    {line}" for line in _diagram())))
    return "\n".join(
        (
            _HEAD,
            "## Who serves\n",
            "For one active and one standby. Commands that leave the serving upstream as it is are",
            "left out.\n",
            f"```mermaid\n{diagram}\n```\n",
            _modes(),
            "## What is refused\n",
            "A refused command changes nothing and says why:\n",
            table(["command", "refused when", "what it says"], _refusals()),
            "\n## Whose answers still count\n",
            "A login is bound to the upstream that was asked. When its answer comes, the switch is",
            "looked at again ([FO-03](security/rules.md#fo-03)):\n",
            table(["the upstream that was asked", "its answer is taken"], _answers()),
            "",
        )
    )


def _acts(state: SwitchState) -> Iterator[tuple[str, Changed | Unchanged]]:
    """Every command an operator may type in this state, and what it does."""
    for name in _NAMES:
        moved = switch_by_hand(state, name, _USABLE, cause="", actor="", now=_NOW)
        yield f"switch to {name}", moved
        yield f"upstream disable {name}", disable(state, name, _NAMES)
        yield f"upstream enable {name}", enable(state, name, _NAMES)
    active = _NAMES[0]
    back = fail_back_by_hand(state, active, _USABLE, cause="", actor="", now=_NOW)
    yield "failback", back
    yield "hold", hold(state, cause="", actor="", now=_NOW)
    yield "release", release(state, cause="", actor="")


def _acts_of_the_watch(state: SwitchState) -> Iterator[tuple[str, SwitchState]]:
    """What the watch may do in this state: it switches in AUTO only, and from no disabled one."""
    if state.mode is not Mode.AUTO or route(state) is None:
        return
    others = [name for name in _NAMES if name != state.serving and name not in state.disabled]
    decisions = [Decision(Action.SWITCH, "serving_down", "", name) for name in others]
    decisions.append(Decision(Action.LATCH, "budget_used", ""))
    for decision in decisions:
        new = after(state, decision, FailoverLimits(), "watch", _NOW)
        if new is not None:
            words = f"{state.serving} is down" if decision.target else "budget used up"
            yield f"watch ({words})", new


def _reached() -> Iterator[tuple[SwitchState, str, SwitchState]]:
    """Every change that can happen, from the first state on."""
    waiting, seen = [first_state(_NAMES, _NOW)], set()
    while waiting:
        state = waiting.pop(0)
        if (state.mode, state.serving, state.disabled) in seen:
            continue
        seen.add((state.mode, state.serving, state.disabled))
        for act, decision in _acts(state):
            if isinstance(decision, Changed):
                waiting.append(decision.state)
                yield state, act, decision.state
        for act, new in _acts_of_the_watch(state):
            waiting.append(new)
            yield state, act, new


def _diagram() -> Iterator[str]:
    changes = list(_reached())
    first = first_state(_NAMES, _NOW)
    states = {_key(one): _label(one) for change in changes for one in (change[0], change[2])}
    yield from (f'state "{label}" as {key}' for key, label in sorted(states.items()))
    yield f"[*] --> {_key(first)}: first start"
    arrows = {(_key(before), _key(new), act) for before, act, new in changes}
    for origin, target, act in sorted(arrows):
        if origin != target:
            yield f"{origin} --> {target}: {act}"


def _key(state: SwitchState) -> str:
    return f"{state.mode.value}_{state.serving}_{'off' if route(state) is None else 'on'}"


def _label(state: SwitchState) -> str:
    if route(state) is None:
        return f"{state.mode.value}: nobody serves, {state.serving} is disabled"
    return f"{state.mode.value}: {state.serving} serves"


def _modes() -> str:
    """What each mode lets the watch do, by the functions that decide."""
    words = {
        Mode.AUTO: "the watch switches by itself",
        Mode.HELD: "nothing switches by itself until `release` or `failback`; an outage is an "
        "alarm and a proposal",
        Mode.LATCHED: "the budget of automatic switches was used up: nothing switches by itself "
        "until `release`",
    }
    return table(["mode", "what it means"], [[f"`{mode.value}`", words[mode]] for mode in Mode]) + (
        "\n"
    )


def _refusals() -> Iterator[list[str]]:
    first = first_state(_NAMES, _NOW)
    without = disable(first, "standby", _NAMES)
    disabled = without.state if isinstance(without, Changed) else first
    cases = (
        ("switch to NAME", "no upstream has this name", first, "other", _USABLE),
        ("switch to NAME", "it serves already", first, "active", _USABLE),
        ("switch to NAME", "it is disabled", disabled, "standby", _USABLE),
        (
            "switch to NAME",
            "nobody could log in there",
            first,
            "standby",
            {**_USABLE, "standby": "the metadata of standby expired at 2026-01-01 00:00 UTC"},
        ),
    )
    for command, when, state, name, usable in cases:
        said = switch_by_hand(state, name, usable, cause="", actor="", now=_NOW)
        yield [f"`{command}`", when, one_line(_reason(said))]
    again = disable(disabled, "standby", _NAMES)
    yield ["`upstream disable NAME`", "it is disabled already", one_line(_reason(again))]
    for command, when, said in (
        ("hold", "it is held already", hold(_held(first), cause="", actor="", now=_NOW)),
        ("release", "it is neither held nor latched", release(first, cause="", actor="")),
        (
            "failback",
            "the preferred one serves, and the watch switches",
            fail_back_by_hand(first, "active", _USABLE, cause="", actor="", now=_NOW),
        ),
    ):
        yield [f"`{command}`", when, one_line(_reason(said))]
    already = enable(first, "standby", _NAMES)
    yield ["`upstream enable NAME`", "it is not disabled", one_line(_reason(already))]


def _held(state: SwitchState) -> SwitchState:
    found = hold(state, cause="maintenance", actor="host:root", now=_NOW)
    return found.state if isinstance(found, Changed) else state


def _reason(decision: Changed | Unchanged) -> str:
    if isinstance(decision, Changed):
        raise TypeError("a command that should be refused was not")
    return decision.reason


def _answers() -> Iterator[list[str]]:
    grace, first = Grace(), first_state(_NAMES, _NOW)
    yield ["serves", "yes" if refuses_answer(first, "active", grace, _NOW) is None else "no"]
    spans = {Departure.PLANNED: grace.planned, Departure.FAILOVER: grace.failover}
    for how, span in spans.items():
        yield [f"was left ({how.value})", f"for {span.total_seconds():.0f} s after it was left"]
    off = disable(first, "active", _NAMES)
    if isinstance(off, Changed):
        yield ["is disabled", f"no: {refuses_answer(off.state, 'active', grace, _NOW)}"]
    yield ["never served", f"no: {refuses_answer(first, 'standby', grace, _NOW)}"]
