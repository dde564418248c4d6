"""docs/conversion/lifecycle.md: what may become of one person's row, from the tables themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conversion.decision.lifecycle import (
    CLOSED,
    INITIAL,
    INTENTS,
    TRANSITIONS,
    Event,
    RowState,
    diagram,
)
from conversion.decision.settlement import SETTLEMENTS, Finding
from tests.support.docs.markdown import NOTE, one_line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = f"""{NOTE}

# The states of a row

Each person of a campaign has one row in the ledger. `sso-conversion status` counts the rows by
state, `sso-conversion report` names those that are not simply back.

- An *intent* (dashed) is on disk before the call it announces. After a crash the server is asked
  what became of it; nothing is guessed.
- A *closed* row (bold) needs nothing more. A campaign closes when every row is closed; until then
  commands end with exit code 3.
- A row whose account may have been touched is closed by `verified` alone, or by `written_off`.
"""

#: What somebody does at night about a row that stays in an open state.
_DO = {
    RowState.PLANNED: "`sso-conversion convert` with the plan, or `return`, which withdraws it",
    RowState.OFFERED: "nothing: who never calls is never moved",
    RowState.CLAIMING: "`sso-conversion return`, which asks the server",
    RowState.CLAIMED: "`sso-conversion return` once SSO works",
    RowState.CONVERTING: "`sso-conversion return`, which asks the server",
    RowState.CONVERTED: "`sso-conversion return` once SSO works",
    RowState.RETURNING: "`sso-conversion return`, which asks the server",
    RowState.RETURNED: "`sso-conversion verify`",
    RowState.CONFLICT: "look at both accounts, then `sso-conversion return --decide USER_ID`",
    RowState.FAILED: "read the reason, then `sso-conversion return --decide USER_ID`",
}


def lifecycle_page() -> str:
    """The whole page."""
    return "\n".join(
        (
            _HEAD,
            f"```mermaid\n{diagram()}\n```\n",
            "## What to do about a state\n",
            table(["state", "kind", "what to do"], _states()),
            "\n## What leads where\n",
            table(["from", "when", "to", "why"], _ways()),
            "\n## What the server's word does\n",
            "A look at the list holds every row against the account. Pairs that are not here",
            "agree: nothing changes.\n",
            table(["row", "the account", "then", "why"], _settlements()),
            "",
        )
    )


def _states() -> Iterator[list[str]]:
    for state in RowState:
        yield [f"`{state.value}`", _kind(state), _DO.get(state, "nothing")]


def _kind(state: RowState) -> str:
    if state in CLOSED:
        return "closed"
    words = ["intent, open" if state in INTENTS else "open"]
    if state in INITIAL:
        words.append("a row begins here")
    return "; ".join(words)


def _ways() -> Iterator[list[str]]:
    for one in TRANSITIONS:
        yield [f"`{one.state.value}`", one.event.value, f"`{one.to.value}`", one_line(one.why)]


def _settlements() -> Iterator[list[str]]:
    order = {state: number for number, state in enumerate(RowState)}
    findings = {finding: number for number, finding in enumerate(Finding)}
    cells: list[tuple[tuple[RowState, Finding], tuple[Event, str]]] = sorted(
        SETTLEMENTS.items(), key=lambda cell: (order[cell[0][0]], findings[cell[0][1]])
    )
    for (state, finding), (event, reason) in cells:
        yield [f"`{state.value}`", finding.value, event.value, one_line(reason)]
