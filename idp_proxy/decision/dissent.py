"""What a decision comes to at a host that is configured otherwise than the majority.

`decide` goes by the preference of the host it runs on. Two hosts with two preferences would each
fail over, and fail back, to another upstream in turn: so the minority only proposes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from idp_proxy.decision.failover import Action, Alarm

if TYPE_CHECKING:
    from idp_proxy.decision.failover import Decision


def as_dissenter(decision: Decision, why_outvoted: str | None) -> Decision:
    """`decision` where nobody outvotes this host; else what is left of it."""
    if why_outvoted is None or decision.action in {Action.STAY, Action.PROPOSE}:
        return decision
    reason = f"{decision.reason}; but {why_outvoted}"
    if decision.action is Action.FAILBACK or decision.target is None:
        return replace(decision, action=Action.STAY, rule="outvoted", reason=reason)
    return replace(
        decision, action=Action.PROPOSE, rule="outvoted", reason=reason, alarm=Alarm.OUTAGE
    )
