"""Signed policies and waivers in the store. Every function takes a connection of a transaction, so
that they are committed with the consent and the audit row that belong to them.

Each row bears a mark by a key that the database does not know: who can write there, and nowhere
else, cannot put a signature or a waiver under somebody's name.
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from idp_proxy.audit.log import last_of
from idp_proxy.decision.review import Policy, Signed, Waiver
from idp_proxy.seal import digest
from idp_proxy.store.tables import review_signature, review_waiver

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping, Table

#: The kind of the audit's row that says that somebody signed.
SIGNED: Final = "review_signed"
_NEWEST: Final = review_signature.c.at.desc(), review_signature.c.id
_TABLES: Final = review_signature, review_waiver


def keep_signed(connection: Connection, signed: Signed, keys: Sequence[bytes]) -> None:
    """Keep what somebody signed."""
    values = {
        "id": signed.id,
        "name": signed.name,
        "at": signed.at,
        "policy": dict(signed.policy.fields),
        "open_findings": signed.open_findings,
    }
    _keep(connection, review_signature, values, keys)


def last_signed(connection: Connection, keys: Sequence[bytes]) -> Signed | None:
    """What was signed last; None if nothing was."""
    found = connection.execute(select(review_signature).order_by(*_NEWEST).limit(1)).mappings()
    return next((_signed(one, keys) for one in found), None)


def signed_as(connection: Connection, signature_id: str, keys: Sequence[bytes]) -> Signed | None:
    """What was signed under this id."""
    wanted = select(review_signature).where(review_signature.c.id == signature_id)
    found = connection.execute(wanted).mappings()
    return next((_signed(one, keys) for one in found), None)


def keep_waiver(connection: Connection, waiver: Waiver, keys: Sequence[bytes]) -> None:
    """Keep what people took on themselves."""
    values = {
        "id": waiver.id,
        "rule": waiver.rule,
        "subject": waiver.subject,
        "checks": list(waiver.checks),
        "people": list(waiver.people),
        "reason": waiver.reason,
        "given_at": waiver.given_at,
        "ends_at": waiver.ends_at,
    }
    _keep(connection, review_waiver, values, keys)


def waivers(connection: Connection, now: datetime, keys: Sequence[bytes]) -> tuple[Waiver, ...]:
    """Those that have not ended, and are as they were given."""
    wanted = select(review_waiver).where(review_waiver.c.ends_at > now)
    found = connection.execute(wanted).mappings()
    return tuple(_waiver(one) for one in found if _is_genuine(review_waiver, one, keys))


def altered(connection: Connection, now: datetime, keys: Sequence[bytes]) -> tuple[str, ...]:
    """What counts now and is not as it was kept, or is gone: `signature 5e6f7a8b`, `waiver 1a2b`.
    It reads the audit: for commands.
    """
    last = connection.execute(select(review_signature).order_by(*_NEWEST).limit(1)).mappings()
    given = select(review_waiver).where(review_waiver.c.ends_at > now)
    rows = [("signature", review_signature, one) for one in last]
    rows += [("waiver", review_waiver, one) for one in connection.execute(given).mappings()]
    forged = [(what, one) for what, table, one in rows if not _is_genuine(table, one, keys)]
    found = [f"{what} {one['id']}" for what, one in forged]
    if (gone := _gone(connection)) is not None:
        found.append(f"signature {gone}")
    return tuple(found)


def _gone(connection: Connection) -> str | None:
    """The signature that was made last, by the audit, where the table does not have it."""
    row = last_of(connection, SIGNED)
    if row is None:
        return None
    try:
        made = str(json.loads(row.body)["facts"]["signature"])
    except (ValueError, KeyError, TypeError):
        return f"in the audit's row {row.chain} {row.seq}"
    known = select(review_signature.c.id).where(review_signature.c.id == made)
    return made if connection.execute(known).first() is None else None


def renew(connection: Connection, keys: Sequence[bytes]) -> int:
    """Mark anew, by the first key, whatever an old one marked: so that the old one may go."""
    renewed = 0
    for table in _TABLES:
        for one in connection.execute(select(table)).mappings().all():
            if not _is_genuine(table, one, keys[:1]) and _is_genuine(table, one, keys):
                mark = _mark(table, one, keys[0])
                connection.execute(update(table).where(table.c.id == one["id"]).values(mark=mark))
                renewed += 1
    return renewed


def _keep(
    connection: Connection, table: Table, values: dict[str, Any], keys: Sequence[bytes]
) -> None:
    connection.execute(insert(table).values(**values, mark=_mark(table, values, keys[0])))


def _is_genuine(table: Table, record: Mapping[Any, Any], keys: Sequence[bytes]) -> bool:
    mark = record["mark"] or b""
    return any(hmac.compare_digest(mark, _mark(table, record, key)) for key in keys)


def _mark(table: Table, record: Mapping[Any, Any], key: bytes) -> bytes:
    """Over every column but itself, and over which table it is."""
    values = {name: _lasting(value) for name, value in record.items() if name != "mark"}
    return digest(key, "review", table.name, json.dumps(values, sort_keys=True))


def _lasting(value: Any) -> Any:
    """A time as text, the same whatever zone a database gives it in."""
    return value.astimezone(UTC).isoformat() if hasattr(value, "astimezone") else value


def _signed(record: RowMapping, keys: Sequence[bytes]) -> Signed:
    values = {name: value for name, value in record.items() if name != "mark"}
    genuine = _is_genuine(review_signature, record, keys)
    return Signed(**{**values, "policy": Policy(record["policy"])}, genuine=genuine)


def _waiver(record: RowMapping) -> Waiver:
    lists = {name: tuple(record[name]) for name in ("people", "checks")}
    return Waiver(**{**{name: value for name, value in record.items() if name != "mark"}, **lists})
