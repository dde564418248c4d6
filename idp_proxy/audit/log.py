"""The log: chains in a database, written inside the caller's transaction.

Takes connections and never opens one; an event is on record exactly if what it records is.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from idp_proxy.audit import checkpoint as checkpoints_file
from idp_proxy.audit.chain import (
    SPOOL_JOINED,
    Event,
    Head,
    PersonKey,
    Row,
    append,
    audit_pruned,
    host_of,
    news,
    pseudonym,
    start,
)
from idp_proxy.audit.checkpoint import Checkpoint
from idp_proxy.audit.prepared import Prepared
from idp_proxy.audit.tables import audit_head, audit_person, audit_row
from idp_proxy.audit.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import Connection

    from idp_proxy.audit.verification import Verdict

_READ_AT_ONCE = 500
_KEY_BYTES = 32

_PSEUDONYM = (
    select(func.min(audit_person.c.pseudonym))
    .where(audit_person.c.person_id == bindparam("of_person"))
    .scalar_subquery()
)
_HEAD = (
    select(audit_head.c.seq, audit_head.c.digest, _PSEUDONYM.label("pseudonym"))
    .where(audit_head.c.chain == bindparam("of_chain"))
    .with_for_update(of=audit_head)
)
_MOVE_HEAD = (
    update(audit_head)
    .where(audit_head.c.chain == bindparam("of_chain"))
    .values(seq=bindparam("to_seq"), digest=bindparam("to_digest"))
)
_NEW_PERSON = insert(audit_person)
# A login waits for these.
_LOCK_HEAD = Prepared(_HEAD)
_INSERT_ROW = Prepared(insert(audit_row))
_UPDATE_HEAD = Prepared(_MOVE_HEAD)


class AuditLog:
    """One host's chain in a database that may hold the chains of many."""

    def __init__(
        self, chain: str, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self.chain = chain
        self._random_bytes = random_bytes

    def append(self, connection: Connection, event: Event) -> Row:
        """Write `event` as the next row of this chain, in the transaction of `connection`.

        Writers of one chain wait for each other at its head row. Raises `ValueError` when the
        event cannot be written as canonical JSON, and SQLAlchemy's errors.
        """
        head, person = _locked_head(connection, self.chain, event.person)
        if person is None and event.person is not None:
            person = self._meet(connection, event.person)
        row = append(head, event, person)
        _write(connection, (row,))
        return row

    def head(self, connection: Connection) -> Head:
        """The end of this chain as committed, or as this transaction left it."""
        return head_of(connection, self.chain)

    def adopt(
        self, connection: Connection, rows: Sequence[Row], people: Iterable[PersonKey]
    ) -> int:
        """Take over rows of another chain as they are; returns the last number known before.

        Rows that are there already are passed over. Raises `StoreConflict` when the rows do not
        continue what is there: then one of the two histories was altered.
        """
        if not rows:
            return 0
        head, _ = _locked_head(connection, rows[0].chain)
        fresh = news(head, rows)
        if fresh:
            _write(connection, fresh)
            _keep_people(connection, people)
        return head.seq

    def write_checkpoint(
        self, connection: Connection, path: Path, key: Ed25519PrivateKey, now: datetime
    ) -> Checkpoint | None:
        """Sign the end of this chain and append it to the file at `path`; None without any row.

        Raises `CheckpointInvalid` when the file cannot be written.
        """
        head = self.head(connection)
        if head.seq == 0:
            return None
        checkpoint = Checkpoint(head.chain, head.seq, head.digest, now)
        checkpoints_file.write(path, checkpoints_file.sign(checkpoint, key))
        return checkpoint

    def prune(
        self,
        connection: Connection,
        before: datetime,
        checkpoints: Iterable[Checkpoint],
        now: datetime,
    ) -> int:
        """Remove this chain's rows of before `before`, up to a checkpoint; returns how many.

        Rows go only as far as a signed checkpoint vouches for the last removed one, so that the
        rest still verifies; spool chains joined in that part go with it. The chain says what went.
        """
        end = self._prunable(connection, before, checkpoints)
        if end is None:
            return 0
        spools = _joined_until(connection, end)
        gone = connection.execute(
            delete(audit_row).where(audit_row.c.chain == end.chain, audit_row.c.seq <= end.seq)
        ).rowcount
        for spool in spools:
            gone += connection.execute(delete(audit_row).where(audit_row.c.chain == spool)).rowcount
            connection.execute(delete(audit_head).where(audit_head.c.chain == spool))
        self.append(connection, audit_pruned(end, gone, now))
        return gone

    def _prunable(
        self, connection: Connection, before: datetime, checkpoints: Iterable[Checkpoint]
    ) -> Head | None:
        """The newest checkpointed row that is old enough and is what the checkpoint says."""
        mine = {point.seq: point.head for point in checkpoints if point.chain == self.chain}
        for seq in sorted(mine, reverse=True):
            found = connection.execute(
                select(audit_row.c.at, audit_row.c.digest).where(
                    audit_row.c.chain == self.chain, audit_row.c.seq == seq
                )
            ).one_or_none()
            if found is not None and found.at < before and found.digest == mine[seq].digest:
                return mine[seq]
        return None

    def _meet(self, connection: Connection, person_id: str) -> str:
        """The pseudonym of somebody who never stood in the chains, or was forgotten."""
        key = self._random_bytes(_KEY_BYTES)
        name = pseudonym(key, person_id)
        connection.execute(_NEW_PERSON, {"pseudonym": name, "person_id": person_id, "key": key})
        return name


def head_of(connection: Connection, chain: str) -> Head:
    """The end of `chain`; row 0 when there is none."""
    found = connection.execute(
        select(audit_head.c.seq, audit_head.c.digest).where(audit_head.c.chain == chain)
    ).one_or_none()
    return start(chain) if found is None else Head(chain, found.seq, found.digest)


def rows(
    connection: Connection, chain: str | None = None, after: int | None = None
) -> Iterator[Row]:
    """The rows of one chain or of all, behind number `after`, streamed as `verify` wants them.

    Without `after` really all: a forger may have numbered a row below 1.
    """
    for name in _chains(connection) if chain is None else (chain,):
        wanted = select(audit_row).where(audit_row.c.chain == name).order_by(audit_row.c.seq)
        wanted = wanted.execution_options(yield_per=_READ_AT_ONCE)
        if after is not None:
            wanted = wanted.where(audit_row.c.seq > after)
        for row in connection.execute(wanted):
            yield Row(row.chain, row.seq, row.at, row.kind, row.body, row.previous, row.digest)


def last_of(connection: Connection, kind: str) -> Row | None:
    """The newest row of this kind, of any chain. It reads the whole table: for commands."""
    wanted = select(audit_row).where(audit_row.c.kind == kind)
    newest = wanted.order_by(audit_row.c.at.desc(), audit_row.c.seq.desc()).limit(1)
    row = connection.execute(newest).first()
    if row is None:
        return None
    return Row(row.chain, row.seq, row.at, row.kind, row.body, row.previous, row.digest)


def verify_log(
    connection: Connection,
    checkpoints: Iterable[Checkpoint] = (),
    elsewhere: Collection[str] = (),
) -> Verdict:
    """Verify every chain in the database; `connection` should see one snapshot of it."""
    heads = [
        Head(head.chain, head.seq, head.digest) for head in connection.execute(select(audit_head))
    ]
    return verify(rows(connection), checkpoints, heads, elsewhere)


def people(connection: Connection, names: Iterable[str]) -> tuple[PersonKey, ...]:
    """What links these pseudonyms to people, as far as nobody was forgotten."""
    found = connection.execute(
        select(audit_person).where(audit_person.c.pseudonym.in_(sorted(set(names))))
    )
    return tuple(PersonKey(row.pseudonym, row.person_id, row.key) for row in found)


def pseudonyms(connection: Connection, person_id: str) -> frozenset[str]:
    """Every pseudonym under which this person stands in the chains."""
    found = connection.execute(
        select(audit_person.c.pseudonym).where(audit_person.c.person_id == person_id)
    )
    return frozenset(found.scalars())


def forget(connection: Connection, person_id: str) -> int:
    """Erase what links this person to any row, for ever; returns how many links there were."""
    return connection.execute(
        delete(audit_person).where(audit_person.c.person_id == person_id)
    ).rowcount


def _chains(connection: Connection) -> list[str]:
    """Every chain with rows; spool chains first, because main chains refer to their ends."""
    names = connection.execute(select(audit_row.c.chain).distinct()).scalars()
    return sorted(names, key=lambda name: (host_of(name) is None, name))


def _locked_head(
    connection: Connection, chain: str, person_id: str | None = None
) -> tuple[Head, str | None]:
    """The head of `chain`, held until the transaction ends, and the pseudonym of `person_id`.

    One question instead of two: a login waits for it.
    """
    keys = {"of_chain": chain, "of_person": person_id}
    found = _LOCK_HEAD.first(connection, keys)
    if found is None:
        _first_head(connection, chain)
        found = connection.execute(_HEAD, keys).one()._asdict()
    return Head(chain, found["seq"], found["digest"]), found["pseudonym"]


def _first_head(connection: Connection, chain: str) -> None:
    empty = start(chain)
    try:
        with connection.begin_nested():
            connection.execute(
                insert(audit_head).values(chain=chain, seq=empty.seq, digest=empty.digest)
            )
    except IntegrityError:
        # Another process started the same chain a moment ago: its head row is the one to wait for.
        return


def _write(connection: Connection, new: Sequence[Row]) -> None:
    _INSERT_ROW.run(
        connection,
        *(
            {
                "chain": row.chain,
                "seq": row.seq,
                "at": row.at,
                "kind": row.kind,
                "body": row.body,
                "previous": row.previous,
                "digest": row.digest,
            }
            for row in new
        ),
    )
    last = new[-1]
    _UPDATE_HEAD.run(
        connection, {"of_chain": last.chain, "to_seq": last.seq, "to_digest": last.digest}
    )


def _keep_people(connection: Connection, new: Iterable[PersonKey]) -> None:
    by_name = {person.pseudonym: person for person in new}
    for known in people(connection, by_name):
        del by_name[known.pseudonym]
    for person in by_name.values():
        connection.execute(
            _NEW_PERSON,
            {"pseudonym": person.pseudonym, "person_id": person.person_id, "key": person.key},
        )


def _joined_until(connection: Connection, end: Head) -> tuple[str, ...]:
    """The spool chains that rows up to `end` join."""
    joins = connection.execute(
        select(audit_row).where(
            audit_row.c.chain == end.chain,
            audit_row.c.seq <= end.seq,
            audit_row.c.kind == SPOOL_JOINED,
        )
    )
    found = (
        Row(row.chain, row.seq, row.at, row.kind, row.body, row.previous, row.digest)
        for row in joins
    )
    return tuple(str(row.facts["spool"]) for row in found)
