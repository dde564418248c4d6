"""Events of the ledger in the audit chain: a whole group of them in one go.

The same rows as `AuditLog.append` makes one by one; a campaign writes two for each person moved.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, insert, select, update

from idp_proxy.audit.chain import PersonKey, append, pseudonym
from idp_proxy.audit.tables import audit_head, audit_person, audit_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from idp_proxy.audit.chain import Event, Head
    from idp_proxy.audit.log import AuditLog

_KEY_OCTETS: Final = 32
_ASKED_AT_ONCE: Final = 500
_ROW: Final = tuple(column.name for column in audit_row.c)
_KEY: Final = tuple(column.name for column in audit_person.c)

_NEW_ROW = insert(audit_row)
_NEW_PERSON = insert(audit_person)
_NEW_HEAD = insert(audit_head)
_HAS_HEAD = select(audit_head.c.seq).where(audit_head.c.chain == bindparam("of_chain"))
_MOVE_HEAD = (
    update(audit_head)
    .where(audit_head.c.chain == bindparam("to_chain"))
    .values(seq=bindparam("to_seq"), digest=bindparam("to_digest"))
)


def append_all(connection: Connection, log: AuditLog, events: Sequence[Event]) -> None:
    """Write `events` as the next rows of the chain, in the write transaction of `connection`.

    The transaction holds the ledger's only write lock, so that nobody else moves the head.
    """
    if not events:
        return
    people = sorted({event.person for event in events if event.person is not None})
    names = _names(connection, people)
    new = [_meet(person) for person in people if person not in names]
    names |= {key.person_id: key.pseudonym for key in new}
    before = head = log.head(connection)
    rows = []
    for event in events:
        row = append(head, event, None if event.person is None else names[event.person])
        rows.append(row)
        head = row.head
    connection.execute(_NEW_ROW, [{name: getattr(row, name) for name in _ROW} for row in rows])
    if new:
        connection.execute(
            _NEW_PERSON, [{name: getattr(key, name) for name in _KEY} for key in new]
        )
    _move_head(connection, before, head)


def _move_head(connection: Connection, before: Head, head: Head) -> None:
    to = {"chain": head.chain, "seq": head.seq, "digest": head.digest}
    if not before.seq and connection.execute(_HAS_HEAD, {"of_chain": head.chain}).first() is None:
        connection.execute(_NEW_HEAD, to)
    else:
        connection.execute(_MOVE_HEAD, {f"to_{name}": to[name] for name in to})


def _names(connection: Connection, people: Sequence[str]) -> dict[str, str]:
    """The pseudonyms of those who stand in the chain already."""
    found: dict[str, str] = {}
    for first in range(0, len(people), _ASKED_AT_ONCE):
        some = people[first : first + _ASKED_AT_ONCE]
        for known in connection.execute(
            select(audit_person.c.person_id, audit_person.c.pseudonym)
            .where(audit_person.c.person_id.in_(some))
            .order_by(audit_person.c.pseudonym.desc())
        ):
            found[known.person_id] = known.pseudonym
    return found


def _meet(person_id: str) -> PersonKey:
    key = secrets.token_bytes(_KEY_OCTETS)
    return PersonKey(pseudonym(key, person_id), person_id, key)
