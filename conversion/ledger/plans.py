"""Stored plans: octets that never change, in parts, so that none is ever in memory as a whole."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, select

from conversion.errors import LedgerError
from conversion.ledger.records import as_json
from conversion.ledger.tables import plan, plan_part, upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from conversion.ledger.database import Database
    from conversion.ledger.work import Work

#: Octets of a part, about: one line of the mirror, and one row.
_PART: Final = 256 * 1024
_ID_OCTETS: Final = 16

_FIND = select(plan.c.parts).where(plan.c.digest == bindparam("of_digest"))
_READ = select(plan_part.c.octets).where(
    plan_part.c.parts == bindparam("of_parts"), plan_part.c.number == bindparam("of_number")
)


def put(work: Work, octets: Iterable[bytes], now: datetime) -> str:
    """Keep a plan for ever; gives its digest. The same octets are kept once."""
    parts = secrets.token_hex(_ID_OCTETS)
    seen = hashlib.sha256()
    for number, part in enumerate(_in_parts(octets)):
        seen.update(part)
        record = {"parts": parts, "number": number, "octets": part}
        work.connection.execute(insert(plan_part), record)
        work.note([("plan_part", _part_as_json(record))])
        work.flush()
    digest = seen.hexdigest()
    if work.connection.execute(_FIND, {"of_digest": digest}).first() is None:
        stored = {"digest": digest, "parts": parts, "stored_at": now}
        work.connection.execute(insert(plan), stored)
        work.note([("plan", as_json(stored))])
    else:
        work.connection.execute(delete(plan_part).where(plan_part.c.parts == parts))
    return digest


def read(database: Database, digest: str) -> Iterator[bytes] | None:
    """The very octets in parts, once all of them were seen to be what was stored; or None.

    Raises `LedgerError` when they are not.
    """
    with database.reading() as connection:
        parts = connection.execute(_FIND, {"of_digest": digest}).scalar()
    if parts is None:
        return None
    seen = hashlib.sha256()
    for part in _parts(database, parts):
        seen.update(part)
    if seen.hexdigest() != digest:
        raise LedgerError(f"plan {digest} was altered in the ledger: plan again")
    return _parts(database, parts)


def contents(connection: Connection) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every plan as operations for a new mirror."""
    for stored in connection.execute(select(plan)).mappings().all():
        number = 0
        while part := _part(connection, stored["parts"], number):
            record = {"parts": stored["parts"], "number": number, "octets": part}
            yield "plan_part", _part_as_json(record)
            number += 1
        yield "plan", as_json(dict(stored))


def carry(connection: Connection, records: Sequence[dict[str, Any]]) -> None:
    """Plans that only the mirror has."""
    connection.execute(upsert(connection.dialect.name, plan), records)


def carry_parts(connection: Connection, records: Sequence[dict[str, Any]]) -> None:
    """Parts of plans that only the mirror has."""
    read_back = [{**one, "octets": base64.b64decode(one["octets"])} for one in records]
    connection.execute(upsert(connection.dialect.name, plan_part), read_back)


def _part_as_json(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"octets": base64.b64encode(record["octets"]).decode("ascii")}


def _parts(database: Database, parts: str) -> Iterator[bytes]:
    number = 0
    while True:
        with database.reading() as connection:
            part = _part(connection, parts, number)
        if not part:
            return
        yield part
        number += 1


def _part(connection: Connection, parts: str, number: int) -> bytes:
    found: bytes | None
    found = connection.execute(_READ, {"of_parts": parts, "of_number": number}).scalar()
    return b"" if found is None else found


def _in_parts(octets: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for piece in octets:
        waiting += piece
        while len(waiting) >= _PART:
            yield bytes(waiting[:_PART])
            del waiting[:_PART]
    if waiting:
        yield bytes(waiting)
