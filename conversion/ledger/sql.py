"""The ledger in a database with its mirror, by SQLAlchemy Core."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import starmap
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, insert, or_, select
from sqlalchemy.exc import DatabaseError

from conversion.decision.lifecycle import INITIAL, OPEN, RowState
from conversion.errors import LedgerConflict, LedgerError
from conversion.ledger import inventory, lock, plans
from conversion.ledger.mirror import Mirror, carry_on
from conversion.ledger.records import campaign_from, campaign_record, row_of, row_record
from conversion.ledger.swap import swap
from conversion.ledger.tables import VERSION, ledger_schema, person
from conversion.ledger.tables import campaign as campaigns
from conversion.ledger.tables import inventory as inventories
from conversion.ledger.work import (
    CLOSE,
    ENVELOPE,
    Work,
    campaign_done,
    close_done,
    envelope_done,
    person_done,
)
from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import AuditLog, verify_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import Connection

    from conversion.decision.account import Source
    from conversion.ledger.base import Campaign, Change, InventoryRow, Row
    from conversion.ledger.database import Database
    from idp_proxy.audit.chain import Fact
    from idp_proxy.audit.checkpoint import Checkpoint
    from idp_proxy.audit.verification import Verdict

_AT_ONCE: Final = 500
_SHOWN: Final = 5

_OPEN_CAMPAIGN = select(campaigns).where(campaigns.c.closed_at.is_(None))
_LAST_CAMPAIGN = select(campaigns).order_by(campaigns.c.opened_at.desc()).limit(1)
_ROW = select(person).where(
    person.c.campaign == bindparam("of_campaign"), person.c.user_id == bindparam("of_user")
)
_COUNTS = (
    select(person.c.state, func.count().label("people"))
    .where(person.c.campaign == bindparam("of_campaign"))
    .group_by(person.c.state)
)
_GIVEN_UP = (
    select(person)
    .outerjoin(inventories, inventories.c.user_id == person.c.user_id)
    .where(
        person.c.state == RowState.WRITTEN_OFF.value,
        or_(inventories.c.seen_at.is_(None), inventories.c.seen_at <= person.c.updated_at),
    )
    .order_by(person.c.user_id)
)


class SqlLedger:
    """The `conversion.ledger.base.Ledger` in a database; `opening.open_ledger` opens it."""

    def __init__(
        self,
        database: Database,
        mirror: Path,
        *,
        host: str,
        crash: Callable[[str], None] = carry_on,
    ) -> None:
        """Take over `database`, and bring it up to what the mirror says. Raises `LedgerError`."""
        self._host = host
        self._crash = crash
        self._audit = AuditLog(f"conversion/{host}")
        self._held: lock.Holder | None = None
        self.database = database
        try:
            check_version(self.database)
            self._mirror = Mirror(mirror, crash)
        except BaseException:
            self.database.close()
            raise
        try:
            with self._work():
                pass
        except BaseException:
            self.close()
            raise

    @contextmanager
    def lock(self, command: str, owner: str, now: datetime) -> Iterator[None]:
        """See `base.Ledger`."""
        held = lock.holder(command, owner, self._host, now)
        with self.database.alone() as alone:
            with self._work() as work:
                former = lock.take(work.connection, held, alone=alone)
                if former is not None:
                    facts: dict[str, Fact] = {
                        "command": former.command,
                        "of": former.owner,
                        "pid": former.pid,
                    }
                    work.event(Event("ledger_lock_taken_over", owner, now, facts=facts))
            self._held = held
            try:
                yield
            finally:
                self._held = None
                with self.database.writing() as connection:
                    lock.release(connection, held)

    def put_inventory(self, rows: Iterable[InventoryRow], now: datetime) -> None:
        """See `base.Ledger`."""
        with self._work() as work:
            inventory.replace(work, rows, now)

    def inventory(self) -> Iterator[InventoryRow]:
        """See `base.Ledger`."""
        return inventory.read(self.database)

    def open_campaign(self, campaign: Campaign, *events: Event) -> None:
        """See `base.Ledger`."""
        with self._work() as work:
            found = _current(work.connection)
            if found is not None:
                raise LedgerConflict(
                    f"campaign {found.id} is open since {found.opened_at:%Y-%m-%d %H:%M} UTC; "
                    "it ends when everybody is back"
                )
            same = select(campaigns.c.id).where(campaigns.c.id == campaign.id)
            if work.connection.execute(same).first() is not None:
                raise LedgerConflict(
                    f"there was a campaign {campaign.id} before; name it otherwise"
                )
            work.connection.execute(insert(campaigns), campaign_record(campaign))
            work.note([campaign_done(campaign)])
            work.event(*events)

    def set_envelope(self, campaign: str, envelope: str, *events: Event) -> None:
        """See `base.Ledger`."""
        with self._work() as work:
            _must_be_open(work.connection, campaign)
            work.connection.execute(ENVELOPE, {"of_id": campaign, "to": envelope})
            work.note([envelope_done(campaign, envelope)])
            work.event(*events)

    def current_campaign(self) -> Campaign | None:
        """See `base.Ledger`."""
        with self.database.reading() as connection:
            return _current(connection)

    def last_campaign(self) -> Campaign | None:
        """See `base.Ledger`."""
        with self.database.reading() as connection:
            found = connection.execute(_LAST_CAMPAIGN).mappings().first()
        return None if found is None else campaign_from(found)

    def close_campaign(self, campaign: str, now: datetime, *events: Event) -> None:
        """See `base.Ledger`."""
        with self._work() as work:
            _must_be_open(work.connection, campaign)
            counts = _counts(work.connection, campaign)
            left = {state.value: people for state, people in counts.items() if state in OPEN}
            if left:
                said = ", ".join(f"{people} {state}" for state, people in sorted(left.items()))
                raise LedgerConflict(f"campaign {campaign} has open rows: {said}")
            work.connection.execute(CLOSE, {"of_id": campaign, "to": now})
            work.note([close_done(campaign, now)])
            work.event(*events)

    def put_plan(self, octets: Iterable[bytes], now: datetime) -> str:
        """See `base.Ledger`."""
        with self._work() as work:
            return plans.put(work, octets, now)

    def plan(self, digest: str) -> Iterator[bytes] | None:
        """See `base.Ledger`."""
        return plans.read(self.database, digest)

    def add(self, rows: Sequence[Row], events: Sequence[Event]) -> None:
        """See `base.Ledger`."""
        with self._work() as work:
            for row in rows:
                _must_be_new(row)
            for campaign in {row.campaign for row in rows}:
                _must_be_open(work.connection, campaign)
            _must_be_unknown(work.connection, rows)
            if rows:
                records = [row_record(row) for row in rows]
                work.connection.execute(insert(person), records)
                work.note(map(person_done, records))
            work.event(*events)

    def commit(self, changes: Sequence[Change]) -> tuple[Row, ...]:
        """See `base.Ledger`."""
        if not changes:
            return ()
        with self._work() as work:
            for campaign in {change.row.campaign for change in changes}:
                _must_be_open(work.connection, campaign)
            records = [row_record(change.row) for change in changes]
            lost = swap(work.connection, changes, records)
            won = [number for number in range(len(changes)) if number not in lost]
            work.note(person_done(records[number]) for number in won)
            work.event(*(changes[number].event for number in won))
        return tuple(changes[number].row for number in sorted(lost))

    def rows(self, campaign: str, *states: RowState, source: Source | None = None) -> Iterator[Row]:
        """See `base.Ledger`."""
        wanted = select(person).where(person.c.campaign == campaign)
        if source is not None:
            wanted = wanted.where(person.c.source == source.value)
        if states:
            wanted = wanted.where(person.c.state.in_([state.value for state in states]))
        wanted = wanted.order_by(person.c.user_id).limit(_AT_ONCE)
        page = wanted
        while True:
            with self.database.reading() as connection:
                found = connection.execute(page).all()
            yield from starmap(row_of, found)
            if len(found) < _AT_ONCE:
                return
            page = wanted.where(person.c.user_id > found[-1].user_id)

    def row(self, campaign: str, user_id: str) -> Row | None:
        """See `base.Ledger`."""
        key = {"of_campaign": campaign, "of_user": user_id}
        with self.database.reading() as connection:
            found = connection.execute(_ROW, key).first()
        return None if found is None else row_of(*found)

    def given_up(self) -> Iterator[Row]:
        """See `base.Ledger`."""
        with self.database.reading() as connection:
            found = connection.execute(_GIVEN_UP).all()
        return starmap(row_of, found)

    def counts(self, campaign: str) -> Mapping[RowState, int]:
        """See `base.Ledger`."""
        with self.database.reading() as connection:
            return _counts(connection, campaign)

    def record(self, event: Event) -> None:
        """See `base.Ledger`."""
        with self._work() as work:
            work.event(event)

    def checkpoint(self, file: Path, key: Ed25519PrivateKey, now: datetime) -> None:
        """See `base.Ledger`."""
        with self.database.reading() as connection:
            self._audit.write_checkpoint(connection, file, key, now)

    def verify_audit(self, checkpoints: Iterable[Checkpoint] = ()) -> Verdict:
        """See `base.Ledger`."""
        with self.database.reading() as connection:
            return verify_log(connection, checkpoints)

    def close(self) -> None:
        """See `base.Ledger`."""
        self._mirror.close()
        self.database.close()

    @contextmanager
    def _work(self) -> Iterator[Work]:
        database = self.database
        with database.writing() as connection:
            if database.shared and self._held is not None:
                lock.must_hold(connection, self._held)
            host = mirror_host(database, self._host)
            work = Work(connection, self._mirror, self._audit, self._crash, host)
            yield work
            work.finish()
        self._crash("after_commit")


def mirror_host(database: Database, host: str) -> str:
    """By which name a host's mirror is known: each has its own where the database is shared."""
    return host if database.shared else ""


def check_version(database: Database) -> None:
    """Raises `LedgerError` unless the file has the shape that this version works with."""
    try:
        with database.reading() as connection:
            found = connection.execute(select(ledger_schema.c.version)).scalar()
    except LedgerError as error:
        if not isinstance(error.__cause__, DatabaseError):
            raise
        raise LedgerError(f"{error.detail}; it is no ledger of this tool, or damaged") from error
    if found != VERSION:
        raise LedgerError(
            f"{database.name}: the ledger has version {found}, this tool works with {VERSION}: "
            "install the version of the tool that made it"
        )


def _current(connection: Connection) -> Campaign | None:
    found = connection.execute(_OPEN_CAMPAIGN).mappings().first()
    return None if found is None else campaign_from(found)


def _counts(connection: Connection, campaign: str) -> dict[RowState, int]:
    found = connection.execute(_COUNTS, {"of_campaign": campaign})
    return {RowState(row.state): row.people for row in found}


def _must_be_open(connection: Connection, campaign: str) -> None:
    found = _current(connection)
    if found is None or found.id != campaign:
        raise LedgerConflict(f"campaign {campaign} is not open")


def _must_be_new(row: Row) -> None:
    if row.state not in INITIAL or row.version != 1:
        raise LedgerConflict(
            f"{row.user_id}: a new row is {' or '.join(sorted(one.value for one in INITIAL))}, "
            f"in version 1, and not {row.state.value} in version {row.version}"
        )


def _must_be_unknown(connection: Connection, rows: Sequence[Row]) -> None:
    known: list[str] = []
    for first in range(0, len(rows), _AT_ONCE):
        some = rows[first : first + _AT_ONCE]
        ids = select(person.c.user_id).where(
            person.c.campaign == some[0].campaign,
            person.c.user_id.in_([row.user_id for row in some]),
        )
        known.extend(connection.execute(ids).scalars())
    if known or len({row.user_id for row in rows}) < len(rows):
        shown = ", ".join(sorted(known)[:_SHOWN]) or "one person twice"
        raise LedgerConflict(f"in the campaign already: {shown} ({len(known)} in all)")
