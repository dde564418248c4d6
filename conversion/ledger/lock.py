"""The lock of bulk commands: one row that says who holds it, on which host, and since when."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from conversion.errors import LedgerBusy
from conversion.ledger.tables import bulk_lock

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

_START_TIME = 19  # of what follows the name in /proc/PID/stat (proc_pid_stat(5), field 22)


@dataclass(frozen=True, slots=True)
class Holder:
    """One process of one host that runs a bulk command for `owner`, since `since` (UTC).

    `started` tells apart two processes that had the same number one after the other.
    """

    command: str
    owner: str
    host: str
    pid: int
    started: str
    since: datetime


def holder(command: str, owner: str, host: str, now: datetime) -> Holder:
    """This process, as a holder."""
    pid = os.getpid()
    return Holder(command, owner, host, pid, started(pid), now)


def take(connection: Connection, wanted: Holder, *, alone: bool | None) -> Holder | None:
    """Take the lock; returns the holder it was taken from, whose process is gone, or None.

    `alone` is what the database says (`Database.alone`). Where it says nothing, a process of this
    host is looked at, and of another host nobody can tell. Raises `LedgerBusy` while somebody holds
    the lock, or may.
    """
    found = connection.execute(select(bulk_lock)).one_or_none()
    former = None
    if found is not None:
        former = Holder(
            found.command, found.owner, found.host, found.pid, found.started, found.since
        )
        if alone is False or (alone is None and _may_live(former, wanted.host)):
            raise LedgerBusy(_busy(former, wanted.host, alone=alone))
        connection.execute(delete(bulk_lock))
    elif alone is False:
        raise LedgerBusy("another command takes the ledger at this moment; try again")
    connection.execute(
        insert(bulk_lock).values(
            id=1,
            command=wanted.command,
            owner=wanted.owner,
            host=wanted.host,
            pid=wanted.pid,
            started=wanted.started,
            since=wanted.since,
        )
    )
    return former


def must_hold(connection: Connection, held: Holder) -> None:
    """Raise `LedgerBusy` if the lock is somebody else's: its connection was lost, and then taken
    for the end of this process. What a command does behind that is not on its record.
    """
    if connection.execute(select(bulk_lock.c.id).where(*_is(held))).first() is None:
        raise LedgerBusy(
            "the ledger took this command for dead, because its connection was lost, and another"
            " one may hold the lock: run status, then the command again"
        )


def release(connection: Connection, held: Holder) -> None:
    """Give the lock back, if it is still this holder's."""
    connection.execute(delete(bulk_lock).where(*_is(held)))


def _is(held: Holder) -> tuple[ColumnElement[bool], ...]:
    return (
        bulk_lock.c.host == held.host,
        bulk_lock.c.pid == held.pid,
        bulk_lock.c.started == held.started,
        bulk_lock.c.since == held.since,
    )


def _may_live(former: Holder, here: str) -> bool:
    return former.host != here or is_alive(former.pid, former.started)


def is_alive(pid: int, since: str) -> bool:
    """Whether process `pid` of this host still runs, and is the one that started at `since`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # Somebody else's process: it is there.
    now = started(pid)
    return not (since and now) or since == now


def started(pid: int) -> str:
    """When process `pid` started, in ticks since boot; empty where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return ""
    return stat.rpartition(") ")[2].split()[_START_TIME]


def _busy(held: Holder, here: str, *, alone: bool | None) -> str:
    way_out = f"wait for it; if {held.host} is gone for good, backup and restore release the lock"
    if alone is not None:
        way_out = "wait for it; the lock ends with that process"
    elif held.host == here:
        way_out = "wait for it, or end it with Ctrl-C"
    return (
        f"{held.command} holds the ledger: {held.owner} on {held.host}, process {held.pid}, "
        f"since {held.since:%Y-%m-%d %H:%M:%S} UTC; {way_out}"
    )
