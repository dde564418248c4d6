"""A plan as the ledger keeps it, found by its digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from conversion.decision.plan import parse
from conversion.errors import PlanStale

if TYPE_CHECKING:
    from conversion.decision.plan import Plan
    from conversion.ledger.base import Ledger

_SHOWN: Final = 16


def stored_plan(ledger: Ledger, plan_digest: str) -> Plan:
    """The plan of this digest. Raises `PlanStale` where there is none that can be used, and
    `LedgerError` where its octets are not those that were stored.
    """
    if ledger.plan(plan_digest) is None:
        raise PlanStale(
            f"no plan {plan_digest[:_SHOWN]} is stored here: run plan, and use its digest"
        )
    try:
        return parse(lambda: ledger.plan(plan_digest) or ())
    except ValueError as error:
        raise PlanStale(str(error)) from error
