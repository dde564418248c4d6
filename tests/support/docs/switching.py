"""docs/switching.md: the states of the switch, walked through by the functions that change it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from idp_proxy.decision.switching import (
    Changed,
    Departure,
    Grace,
    Mode,
    SwitchState,
    Unchanged,
    disable,
    enable,
    first_state,
    refuses_answer,
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

Nothing switches by itself in this version: each arrow is a command that a person types.
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


def _diagram() -> Iterator[str]:
    changes = list(_reached())
    first = first_state(_NAMES, _NOW)
    states = {_key(one): _label(one) for change in changes for one in (change[0], change[2])}
    yield from (f'state "{label}" as {key}' for key, label in sorted(states.items()))
    yield f"[*] --> {_key(first)}: first start"
    arrows = {(_key(before), _key(after), act) for before, act, after in changes}
    for before, after, act in sorted(arrows):
        if before != after:
            yield f"{before} --> {after}: {act}"


def _key(state: SwitchState) -> str:
    return f"{state.mode.value}_{state.serving}_{'off' if route(state) is None else 'on'}"


def _label(state: SwitchState) -> str:
    if route(state) is None:
        return f"{state.mode.value}: nobody serves, {state.serving} is disabled"
    return f"{state.mode.value}: {state.serving} serves"


def _modes() -> str:
    reached = {state.mode for change in _reached() for state in (change[0], change[2])}
    shown = ", ".join(f"`{mode.value}`" for mode in Mode if mode in reached)
    kept = ", ".join(f"`{mode.value}`" for mode in Mode if mode not in reached)
    later = f" The mode {kept} is kept for automatic failover, which is not built yet."
    return f"Modes that a command leads to: {shown}.{later if kept else ''}\n"


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
    already = enable(first, "standby", _NAMES)
    yield ["`upstream enable NAME`", "it is not disabled", one_line(_reason(already))]


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
