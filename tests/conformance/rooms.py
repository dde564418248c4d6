"""Stores to hold against the Protocol, and the values that the tests put into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import AuditLog, rows, verify_log
from idp_proxy.decision.drill import Drill
from idp_proxy.decision.roster import RosterRow
from idp_proxy.decision.switching import Departure, Left, Mode, SwitchState
from idp_proxy.store.base import UsedId
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.schema import migrate
from idp_proxy.store.sql import SqlStore

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.audit.chain import Row
    from idp_proxy.audit.verification import Verdict

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
SOON = NOW + timedelta(minutes=10)


def used(
    value: str = "_1", kind: str = "assertion", issuer: str = "https://idp", attempt: str = ""
) -> UsedId:
    return UsedId(kind, issuer, value, SOON, attempt)


def person(person_id: str = "p-1", **changes: Any) -> RosterRow:
    fields: dict[str, Any] = {
        "id": person_id,
        "link_key": person_id.upper(),
        "lookup_key": person_id,
        "email": f"{person_id}@example.org",
        "username": person_id,
        "attributes": {"id": person_id, "first_name": "Zoë ☃"},
        "source": "okta",
        "confirmed_at": NOW,
    }
    return RosterRow(**fields | changes)


def event(kind: str = "login", person_id: str | None = "p-1", **facts: Any) -> Event:
    return Event(kind, "okta", NOW, person_id, facts)


def state(epoch: int = 1, serving: str = "okta") -> SwitchState:
    return SwitchState(
        epoch=epoch,
        serving=serving,
        mode=Mode.HELD,
        since=NOW,
        cause="a reason, with ünïcode",
        actor="host:root",
        disabled=frozenset({"entra", "keycloak"}),
        left={"entra": Left(NOW - timedelta(hours=1), Departure.FAILOVER)},
        hold_until=SOON,
        held_since=NOW + timedelta(seconds=1),
        recent_switches=(NOW - timedelta(minutes=30), NOW),
    )


def drill() -> Drill:
    return Drill(
        id="d1",
        version=1,
        upstream="entra",
        serving="okta",
        since=NOW,
        started_at=NOW,
        until=SOON,
        people=frozenset({"a" * 64, "b" * 64}),
        actor="operator:olga",
        reason="a reason, with ünïcode",
    )


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'store.db'}"


@dataclass(slots=True)
class Room:
    """A kind of store, opened as often as a test likes; memory is one store however often."""

    kind: str
    folder: Path
    #: The database on a real server; empty for the other kinds.
    url: str = ""
    _stores: list[MemoryStore | SqlStore] = field(default_factory=list)

    def open(self, chain: str = "host") -> MemoryStore | SqlStore:
        if self.kind == "memory":
            if not self._stores:
                self._stores.append(MemoryStore(chain))
            return self._stores[0]
        url = self.url or sqlite_url(self.folder)
        migrate(url)
        self._stores.append(SqlStore(url, AuditLog(chain)))
        return self._stores[-1]

    def close(self) -> None:
        for store in self._stores:
            store.close()


def audit_rows(store: MemoryStore | SqlStore) -> list[Row]:
    if isinstance(store, MemoryStore):
        return list(store.audit_rows())
    with store.reading() as connection:
        return list(rows(connection))


def verdict(store: MemoryStore | SqlStore) -> Verdict:
    if isinstance(store, MemoryStore):
        return store.verify_audit()
    with store.reading() as connection:
        return verify_log(connection)
