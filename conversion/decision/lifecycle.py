"""What may become of one person's row in a campaign: the table of states, and its diagram.

House rules: every transition is in this file; a row leaves a state only by an event that the table
knows for it; `converting`, `claiming` and `returning` are intents, on disk before the call they
announce, and after a crash they are settled by what the server says (`settlement`), never by a
guess. Nobody whose account may have been touched reaches a closed state except through `verified`,
or through `written_off`, which two people sign.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


class RowState(enum.Enum):
    """The states of DESIGN section 10."""

    PLANNED = "planned"
    OFFERED = "offered"
    CLAIMING = "claiming"
    CLAIMED = "claimed"
    CONVERTING = "converting"
    CONVERTED = "converted"
    RETURNING = "returning"
    RETURNED = "returned"
    VERIFIED = "verified"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"
    CONFLICT = "conflict"
    FAILED = "failed"
    WRITTEN_OFF = "written_off"


class Event(enum.Enum):
    """What happens to a row: a step of the tool, or what the server was seen to say."""

    OFFER = "a code is issued"
    CLAIM = "the code is redeemed"
    CLAIM_DONE = "the server took the person's password"
    CONVERT = "about to set a password"
    CONVERT_DONE = "the server took the password"
    UNTOUCHED = "the server was never changed"
    SKIP = "no longer as it was planned"
    WITHDRAW = "not needed any more"
    REPLAN = "a later plan names the person again"
    RETURN = "about to restore the binding"
    RETURN_DONE = "the server took the binding"
    VERIFY = "the paged list shows the binding"
    FOUND_CONVERTED = "the server says: email and password"
    FOUND_RETURNED = "the server says: back on SSO"
    CONTRADICT = "the server says: another binding"
    GONE = "the server lists no such account"
    REJECTED = "the server refuses the way back"
    WRITE_OFF = "two people give the row up"


@dataclass(frozen=True, slots=True)
class Transition:
    """`state` becomes `to` by `event`; `why` is for people who read the diagram at night."""

    state: RowState
    event: Event
    to: RowState
    why: str


#: States in which a row may begin: by a plan, or adopted by `reconcile` after a hand-made change.
INITIAL: Final = frozenset({RowState.PLANNED, RowState.CONVERTED})

#: On disk before the call they announce; after a crash the server is asked.
INTENTS: Final = frozenset({RowState.CONVERTING, RowState.CLAIMING, RowState.RETURNING})

#: Nothing is left to be done.
CLOSED: Final = frozenset(
    {RowState.VERIFIED, RowState.SKIPPED, RowState.WITHDRAWN, RowState.WRITTEN_OFF}
)

#: Work is left: a campaign with such a row does not close, and commands end with exit code 3.
OPEN: Final = frozenset(RowState) - CLOSED

_S, _E = RowState, Event

_FORTH: Final = (
    Transition(_S.PLANNED, _E.OFFER, _S.OFFERED, "stays on SSO until the person calls"),
    Transition(_S.PLANNED, _E.CONVERT, _S.CONVERTING, "intent on disk before the call"),
    Transition(_S.PLANNED, _E.SKIP, _S.SKIPPED, "the account changed since the plan"),
    Transition(_S.PLANNED, _E.WITHDRAW, _S.WITHDRAWN, "the outage ended first"),
    Transition(_S.OFFERED, _E.CLAIM, _S.CLAIMING, "intent on disk before the call"),
    Transition(_S.OFFERED, _E.WITHDRAW, _S.WITHDRAWN, "nobody called: nothing to return"),
    Transition(_S.CLAIMING, _E.CLAIM_DONE, _S.CLAIMED, "the person's own password is set"),
    Transition(_S.CLAIMING, _E.UNTOUCHED, _S.OFFERED, "the call never arrived: still on SSO"),
    Transition(_S.CONVERTING, _E.CONVERT_DONE, _S.CONVERTED, "the binding is gone from the server"),
    Transition(_S.CONVERTING, _E.UNTOUCHED, _S.PLANNED, "the call never arrived: still on SSO"),
    Transition(_S.CONVERTED, _E.CLAIM, _S.CLAIMING, "the person chooses a password"),
    Transition(_S.CONVERTED, _E.CONVERT, _S.CONVERTING, "a concurrent update undid it: repair"),
)
_BACK: Final = (
    Transition(_S.CONVERTED, _E.RETURN, _S.RETURNING, "intent on disk before the call"),
    Transition(_S.CLAIMED, _E.RETURN, _S.RETURNING, "intent on disk before the call"),
    Transition(_S.RETURNING, _E.RETURN_DONE, _S.RETURNED, "the binding is back, to the byte"),
    Transition(_S.RETURNING, _E.REJECTED, _S.FAILED, "a person must look, then try again"),
    Transition(_S.RETURNED, _E.VERIFY, _S.VERIFIED, "seen after the settle delay"),
    Transition(_S.RETURNED, _E.RETURN, _S.RETURNING, "a concurrent update undid it: repair"),
    Transition(_S.CONFLICT, _E.RETURN, _S.RETURNING, "a person decided that ours is right"),
    Transition(_S.FAILED, _E.RETURN, _S.RETURNING, "try again"),
    Transition(_S.CONVERTED, _E.WRITE_OFF, _S.WRITTEN_OFF, "stays at a password: signed by two"),
    Transition(_S.CLAIMED, _E.WRITE_OFF, _S.WRITTEN_OFF, "stays at a password: signed by two"),
    Transition(_S.CONFLICT, _E.WRITE_OFF, _S.WRITTEN_OFF, "signed by two people"),
    Transition(_S.FAILED, _E.WRITE_OFF, _S.WRITTEN_OFF, "signed by two people"),
    Transition(_S.SKIPPED, _E.REPLAN, _S.PLANNED, "one row for each person and campaign"),
    Transition(_S.WITHDRAWN, _E.REPLAN, _S.PLANNED, "one row for each person and campaign"),
    Transition(_S.VERIFIED, _E.REPLAN, _S.PLANNED, "a second outage in one campaign"),
)


def _found(event: Event, to: RowState, why: str, *states: RowState) -> tuple[Transition, ...]:
    return tuple(Transition(state, event, to, why) for state in states)


_SEEN: Final = (
    *_found(
        _E.FOUND_CONVERTED, _S.CONVERTED, "somebody set a password: needs a return",
        _S.PLANNED, _S.OFFERED, _S.SKIPPED, _S.WITHDRAWN, _S.VERIFIED, _S.CONFLICT, _S.FAILED,
    ),
    *_found(
        _E.FOUND_CONVERTED, _S.CONVERTED, "whose password it is cannot be seen: set it again",
        _S.CLAIMING,
    ),
    *_found(
        _E.FOUND_CONVERTED, _S.CONVERTED, "the call never arrived: return again", _S.RETURNING
    ),
    *_found(
        _E.FOUND_RETURNED, _S.RETURNED, "somebody was quicker; still to be verified",
        _S.CONVERTED, _S.CLAIMED, _S.CONVERTING, _S.CLAIMING, _S.CONFLICT, _S.FAILED,
    ),
    *_found(
        _E.CONTRADICT, _S.CONFLICT, "never overwritten without a person's decision",
        _S.CONVERTING, _S.CLAIMING, _S.CONVERTED, _S.CLAIMED, _S.RETURNING, _S.RETURNED,
        _S.VERIFIED, _S.FAILED,
    ),
    *_found(
        _E.GONE, _S.FAILED, "deleted, or the list was not whole: look",
        _S.CONVERTING, _S.CLAIMING, _S.CONVERTED, _S.CLAIMED, _S.RETURNING, _S.RETURNED,
        _S.CONFLICT,
    ),
)  # fmt: skip

TRANSITIONS: Final[tuple[Transition, ...]] = (*_FORTH, *_BACK, *_SEEN)

_NEXT: Final = {(found.state, found.event): found.to for found in TRANSITIONS}
_STEPS: Final = frozenset((found.state, found.to) for found in TRANSITIONS)


def advance(state: RowState, event: Event) -> RowState | None:
    """Where `event` leads from `state`; None where the table knows no such way."""
    return _NEXT.get((state, event))


def leads(state: RowState, to: RowState) -> bool:
    """Whether any event leads from `state` straight to `to`; what a ledger asks of a change."""
    return (state, to) in _STEPS


def diagram() -> str:
    """The table as a Mermaid state diagram. Intents and closed states are marked by their class."""
    return "\n".join(("stateDiagram-v2", *(f"    {line}" for line in _lines())))


def _lines() -> Iterator[str]:
    yield "[*] --> planned: a plan names the person"
    yield "[*] --> converted: reconcile adopts a change made by hand"
    for step in TRANSITIONS:
        yield f"{step.state.value} --> {step.to.value}: {step.event.value}"
    for state in _ordered(CLOSED):
        yield f"{state.value} --> [*]"
    yield "classDef intent stroke-dasharray: 5 5"
    yield "classDef closed stroke-width: 3px"
    yield f"class {','.join(state.value for state in _ordered(INTENTS))} intent"
    yield f"class {','.join(state.value for state in _ordered(CLOSED))} closed"


def _ordered(states: frozenset[RowState]) -> list[RowState]:
    return [state for state in RowState if state in states]
