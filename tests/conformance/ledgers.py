"""Ledgers to hold against the Protocol, and the values that the tests put into them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, make_url
from sqlalchemy.schema import DropSchema

from conversion.decision.account import Binding, Source
from conversion.decision.lifecycle import RowState
from conversion.ledger.base import Campaign, Change, InventoryRow, Row
from conversion.ledger.mirror import carry_on
from conversion.ledger.opening import open_ledger, rebuild
from conversion.ledger.postgresql import SCHEMA
from idp_proxy.audit.chain import Event

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy import URL

    from conversion.ledger.sql import SqlLedger

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
CAMPAIGN = Campaign("outage-1", NOW, '{"at_most":50}')
S = RowState


def digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def person(number: int = 1) -> str:
    return f"u{number:06}"


def row(number: int = 1, state: RowState = S.PLANNED, version: int = 1) -> Row:
    return Row(
        campaign=CAMPAIGN.id,
        user_id=person(number),
        state=state,
        version=version,
        binding=Binding(f"NameID-{number} ☃ '\"\\", Source.SQL, NOW - timedelta(days=1)),
        mfa_active=number % 2 == 0,
        updated_at=NOW + timedelta(seconds=version),
        note="a reason, with ünïcode",
        facts={"moved": "yes"} if version > 2 else {},
    )


def event(number: int | None = 1, kind: str = "row_changed") -> Event:
    return Event(kind, "host:root", NOW, None if number is None else person(number), {"n": number})


def change(number: int, was: RowState, to: RowState, version: int) -> Change:
    return Change(row(number, to, version), was, event(number, f"row_{to.value}"))


def intent(number: int) -> Change:
    return change(number, S.PLANNED, S.CONVERTING, 2)


def done(number: int) -> Change:
    return change(number, S.CONVERTING, S.CONVERTED, 3)


def inventoried(number: int = 1, binding: Binding | None = None) -> InventoryRow:
    return InventoryRow(
        user_id=person(number),
        username=f"name-{number:06}",
        email=f"{number}@example.org",
        binding=binding,
        roles=frozenset({"system_user", "system_admin"}),
        active=True,
        is_bot=False,
        mfa_active=number % 2 == 1,
        seen_at=NOW,
    )


def binding(auth_data: str, source: Source = Source.API) -> Binding:
    return Binding(auth_data, source, NOW)


def verified(number: int) -> tuple[Change, ...]:
    """The whole way of one person, from the plan to the last look."""
    way = (S.PLANNED, S.CONVERTING, S.CONVERTED, S.RETURNING, S.RETURNED, S.VERIFIED)
    return tuple(change(number, was, to, at + 2) for at, (was, to) in enumerate(pairwise(way)))


@dataclass(slots=True)
class Place:
    """Where a ledger and its mirrors lie; what was opened here is closed at the end.

    `url` names a database of PostgreSQL; without it the ledger is a file.
    """

    folder: Path
    url: str = ""
    _open: list[SqlLedger] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def at(self) -> Path | URL:
        return make_url(self.url) if self.url else self.path

    @property
    def mirror(self) -> Path:
        return self.mirror_of("night")

    def mirror_of(self, host: str) -> Path:
        """The one mirror of a file; of a database each host's own."""
        name = f"{host}.log" if self.url else "mirror.log"
        return self.folder / "elsewhere" / name

    def open(self, host: str = "night", crash: Callable[[str], None] = carry_on) -> SqlLedger:
        return self.keep(open_ledger(self.at, self.mirror_of(host), host=host, crash=crash))

    def rebuild(self, host: str = "night") -> SqlLedger:
        return self.keep(rebuild(self.at, self.mirror_of(host), host=host))

    def keep(self, ledger: SqlLedger) -> SqlLedger:
        self._open.append(ledger)
        return ledger

    def close(self) -> None:
        while self._open:
            self._open.pop().close()

    def lose_ledger(self) -> None:
        self.close()
        if self.url:
            drop_schema(self.url)
            return
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (self.folder / name).unlink(missing_ok=True)


def drop_schema(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(DropSchema(SCHEMA, cascade=True, if_exists=True))
    engine.dispose()


def filled(ledger: SqlLedger, people: int = 3) -> SqlLedger:
    """A campaign with these people planned."""
    ledger.open_campaign(CAMPAIGN)
    ledger.add([row(number) for number in range(people)], [event(n) for n in range(people)])
    return ledger


def shaped(found: Row, **changes: object) -> Row:
    return replace(found, **changes)  # type: ignore[arg-type]  # fields by name
