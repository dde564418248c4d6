"""The start of a conversion: a plan that may be carried out, its campaign, and everybody's way back
on disk before anybody is touched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from conversion.bulk import groups
from conversion.decision.lifecycle import Event, RowState
from conversion.decision.objections import breaches
from conversion.decision.people import People
from conversion.decision.plan import envelope_text, parse_envelope, stale
from conversion.decision.situation import UNTOUCHED
from conversion.errors import ConsentRefused, LedgerConflict, PlanStale, PlanUnsafe
from conversion.ledger.base import Campaign, Row
from conversion.stored_plan import stored_plan
from idp_proxy.audit.chain import Event as AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from conversion.bulk import Bulk
    from conversion.decision.plan import Envelope, Plan, Planned
    from conversion.ledger.base import Change, Ledger
    from idp_proxy.audit.chain import Fact

_ADDED_AT_ONCE: Final = 500
_REPLANNED: Final = frozenset({RowState.SKIPPED, RowState.WITHDRAWN, RowState.VERIFIED})


def journaled(
    bulk: Bulk, plan_digest: str, agreed: str | None = None, *, new_envelope: bool = False
) -> tuple[str, People]:
    """The campaign in which this plan is carried out, and its people, each with a row on disk.

    `agreed` is the campaign that operators agreed to, empty for a new one; `new_envelope` that the
    plan's own envelope takes the place of an open campaign's. Raises `PlanStale`, `PlanUnsafe`,
    `ConsentRefused`, and what the ledger says. Nothing of the plan is held: from here on the rows
    are the plan.
    """
    plan = _usable_plan(bulk, plan_digest)
    _must_be_agreed(bulk, agreed)
    wanted = People(person.user_id for person in plan.people())
    campaign = _campaign_for(bulk, plan, plan_digest, new_envelope=new_envelope)
    _journal(bulk, campaign, plan, plan_digest)
    return campaign, wanted


def _usable_plan(bulk: Bulk, plan_digest: str) -> Plan:
    plan = stored_plan(bulk.ledger, plan_digest)
    why = stale(plan.head, bulk.clock())
    if why is not None:
        raise PlanStale(f"{why}: plan again; who was moved already is left alone")
    return plan


def _must_be_agreed(bulk: Bulk, agreed: str | None) -> None:
    """Asked under the lock: who agreed to go on within an envelope did not open another one."""
    current = bulk.ledger.current_campaign()
    now = "" if current is None else current.id
    if agreed is not None and agreed != now:
        was = f"to go on with campaign {agreed}" if agreed else "to open a campaign"
        so = f"campaign {now} is open" if now else "none is open"
        raise ConsentRefused(f"it was agreed {was}, and by now {so}: ask again; nobody was touched")


def beyond(
    ledger: Ledger, campaign: Campaign, plan: Plan, now: datetime, envelope: Envelope | None = None
) -> tuple[str, ...]:
    """How carrying out `plan` leaves the envelope of the open campaign, or of `envelope` in its
    place; whoever was moved before counts too.
    """
    planned = People(person.user_id for person in plan.people())
    moved = sum(
        row.state not in UNTOUCHED and row.user_id not in planned
        for row in ledger.rows(campaign.id)
    )
    return breaches(envelope or parse_envelope(campaign.envelope), plan.people(), moved, now)


def _campaign_for(bulk: Bulk, plan: Plan, plan_digest: str, *, new_envelope: bool) -> str:
    """The open campaign if the plan keeps to its envelope, else a new one with the plan's own."""
    now, ledger = bulk.clock(), bulk.ledger
    current, own = ledger.current_campaign(), plan.head.envelope
    if current is None:
        if why := breaches(own, plan.people(), 0, now):
            raise PlanUnsafe(why)
        return _opened(bulk, plan, plan_digest)
    if why := beyond(ledger, current, plan, now, own if new_envelope else None):
        way_out = (
            "plan again with --at-most for the whole campaign: who was moved in it before counts"
            if new_envelope
            else "to go on all the same, confirm the plan's own envelope for it: --new-envelope"
        )
        raise PlanUnsafe([*why, way_out])
    if new_envelope:
        event = _envelope_event(bulk, "envelope_replaced", current.id, plan, plan_digest)
        ledger.set_envelope(current.id, envelope_text(own), event)
    return current.id


def _opened(bulk: Bulk, plan: Plan, plan_digest: str) -> str:
    # Named after the plan, so that the plan which opened a campaign cannot open a second one.
    name = f"{plan.head.created_at:%Y%m%d-%H%M%S}-{plan_digest[:8]}"
    event = _envelope_event(bulk, "campaign_opened", name, plan, plan_digest)
    opened = Campaign(name, bulk.clock(), envelope_text(plan.head.envelope))
    try:
        bulk.ledger.open_campaign(opened, event)
    except LedgerConflict as error:
        raise PlanStale(f"this plan was carried out before ({error.detail}): plan again") from error
    return name


def _envelope_event(
    bulk: Bulk, kind: str, campaign: str, plan: Plan, plan_digest: str
) -> AuditEvent:
    """Who confirmed which limits: the envelope itself stands in the plan of this digest."""
    envelope = plan.head.envelope
    facts: dict[str, Fact] = {
        "campaign": campaign,
        "plan": plan_digest,
        "at_most": envelope.at_most,
        "until": envelope.until.isoformat(),
    }
    return AuditEvent(kind, bulk.actor, bulk.clock(), facts=facts)


def _journal(bulk: Bulk, campaign: str, plan: Plan, plan_digest: str) -> None:
    """Every binding on disk before anybody is touched: new rows, and rows of an earlier plan."""
    for people in groups(_with_rows(plan.people(), bulk.ledger.rows(campaign)), _ADDED_AT_ONCE):
        fresh = [_new_row(bulk, campaign, person) for person, row in people if row is None]
        if fresh:
            bulk.ledger.add(fresh, [_rows_added(bulk, campaign, plan_digest, len(fresh))])
        again = [
            _replanned(bulk, row, person)
            for person, row in people
            if row is not None and _is_older(row, plan)
        ]
        if again:
            bulk.ledger.commit(again)


def _with_rows(
    people: Iterable[Planned], rows: Iterator[Row]
) -> Iterator[tuple[Planned, Row | None]]:
    """Each person with their row. Both come in order of user id, so that neither is held."""
    row = next(rows, None)
    for person in people:
        while row is not None and row.user_id < person.user_id:
            row = next(rows, None)
        is_theirs = row is not None and row.user_id == person.user_id
        yield person, row if is_theirs else None


def _is_older(row: Row, plan: Plan) -> bool:
    """Whether a closed row is of before this plan: what this very plan did is not done again."""
    return row.state in _REPLANNED and row.updated_at < plan.head.created_at


def _new_row(bulk: Bulk, campaign: str, person: Planned) -> Row:
    return Row(
        campaign,
        person.user_id,
        RowState.PLANNED,
        1,
        person.binding,
        person.mfa_active,
        bulk.clock(),
    )


def _rows_added(bulk: Bulk, campaign: str, plan_digest: str, people: int) -> AuditEvent:
    """Who they are stands in the plan of this digest, which never changes."""
    facts: dict[str, Fact] = {"campaign": campaign, "plan": plan_digest, "people": people}
    return AuditEvent("rows_planned", bulk.actor, bulk.clock(), facts=facts)


def _replanned(bulk: Bulk, row: Row, person: Planned) -> Change:
    fresh = replace(row, binding=person.binding, mfa_active=person.mfa_active)
    return bulk.step(fresh, Event.REPLAN, "", {})
