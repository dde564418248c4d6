"""Signed policies and waivers in the store. Every function takes a connection of a transaction, so
that they are committed with the consent and the audit row that belong to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from idp_proxy.decision.review import Policy, Signed, Waiver
from idp_proxy.store.tables import review_signature, review_waiver

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

_NEWEST = review_signature.c.at.desc(), review_signature.c.id


def keep_signed(connection: Connection, signed: Signed) -> None:
    """Keep what somebody signed."""
    connection.execute(
        insert(review_signature).values(
            id=signed.id,
            name=signed.name,
            at=signed.at,
            policy=dict(signed.policy.fields),
            open_findings=signed.open_findings,
        )
    )


def last_signed(connection: Connection) -> Signed | None:
    """What was signed last; None if nothing was."""
    found = connection.execute(select(review_signature).order_by(*_NEWEST).limit(1)).mappings()
    return next(map(_signed, found), None)


def signed_as(connection: Connection, signature_id: str) -> Signed | None:
    """What was signed under this id."""
    wanted = select(review_signature).where(review_signature.c.id == signature_id)
    return next(map(_signed, connection.execute(wanted).mappings()), None)


def keep_waiver(connection: Connection, waiver: Waiver) -> None:
    """Keep what people took on themselves."""
    connection.execute(
        insert(review_waiver).values(
            id=waiver.id,
            rule=waiver.rule,
            subject=waiver.subject,
            checks=list(waiver.checks),
            people=list(waiver.people),
            reason=waiver.reason,
            given_at=waiver.given_at,
            ends_at=waiver.ends_at,
        )
    )


def waivers(connection: Connection, now: datetime) -> tuple[Waiver, ...]:
    """Those that have not ended."""
    wanted = select(review_waiver).where(review_waiver.c.ends_at > now)
    return tuple(map(_waiver, connection.execute(wanted).mappings()))


def _signed(record: RowMapping) -> Signed:
    return Signed(**{**record, "policy": Policy(record["policy"])})


def _waiver(record: RowMapping) -> Waiver:
    lists = {name: tuple(record[name]) for name in ("people", "checks")}
    return Waiver(**{**record, **lists})
