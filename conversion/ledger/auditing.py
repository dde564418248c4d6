"""Events of the ledger in the audit chain: a whole group of them in one go.

The same rows as `AuditLog.append` makes one by one; a campaign writes two for each person moved.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from idp_proxy.audit.chain import PersonKey, append, pseudonym
from idp_proxy.audit.tables import audit_person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from idp_proxy.audit.chain import Event
    from idp_proxy.audit.log import AuditLog

_KEY_OCTETS: Final = 32
_ASKED_AT_ONCE: Final = 500


def append_all(connection: Connection, log: AuditLog, events: Sequence[Event]) -> None:
    """Write `events` as the next rows of the chain, in the write transaction of `connection`."""
    people = sorted({event.person for event in events if event.person is not None})
    names = _names(connection, people)
    new = [_meet(person) for person in people if person not in names]
    names |= {key.person_id: key.pseudonym for key in new}
    head = log.head(connection)
    rows = []
    for event in events:
        row = append(head, event, None if event.person is None else names[event.person])
        rows.append(row)
        head = row.head
    log.adopt(connection, rows, new)


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
