"""The bulk export job: below 10.11 the only way to `auth_data` by the API alone.

It exports all messages too, so on a grown server it takes long: `prepare` runs it ahead of an
outage. Only the lines of users are read; the file never has a name on this host, and the server's
copy is deleted afterwards.
"""

from __future__ import annotations

import re
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Annotated, Final

import structlog
from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from conversion.errors import MattermostError, Rejected, Unreachable
from conversion.mattermost.rows import JOB, NAMES, moment
from conversion.mattermost.wire import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conversion.mattermost.wire import Wire

#: States of a job that still changes.
WAITING: Final = frozenset({"pending", "in_progress", "cancel_requested"})
#: Octets of one line at most. Users come before messages, and theirs are short.
MAX_LINE: Final = 4 * 1024 * 1024

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}\.zip", re.ASCII)
_PEEK: Final = 200
_PIECE: Final = 1024 * 1024

#: What zipfile raises for octets that are no whole zip file, or one of an unknown kind.
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,  # encrypted; NotImplementedError, for an unknown compression, is one too
)

_log = structlog.get_logger("conversion.mattermost")


@dataclass(frozen=True, slots=True)
class ExportedUser:
    """One account as exported. There is no id in it: the user name joins it to the list."""

    username: str
    email: str
    auth_service: str
    auth_data: str | None
    deleted_at: datetime | None


class _User(BaseModel):
    username: str
    email: str
    auth_service: str | None = None
    auth_data: str | None = None
    delete_at: Annotated[datetime | None, BeforeValidator(moment)] = None


class _Line(BaseModel):
    user: _User


_LINE: Final = TypeAdapter(_Line)


def export_users(
    wire: Wire, folder: Path, deadline_s: float, poll_s: float, sleep: Callable[[float], None]
) -> Iterator[ExportedUser]:
    """Run the job, fetch its file into an unnamed one in `folder`, give its users, clean up.

    Raises `Unreachable` if it takes longer than `deadline_s` or the file is damaged, `Rejected` if
    the job fails or this server cannot export.
    """
    known = _exports(wire)
    job = wire.ask(
        Call("POST", "/jobs", "/jobs", body={"type": "export_process", "data": {}})
    ).read(JOB)
    status = _finished(wire, job.id, deadline_s, poll_s, sleep)
    if status != "success":
        raise Rejected(
            f"the export job {job.id} ended as {status!r}; the server's log says why,"
            " and the space for exports is the first thing to look at"
        )
    name = _file_of(job.id, known, _exports(wire))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for piece in wire.pieces(
                Call("GET", "/exports/{name}", f"/exports/{name}"), deadline_s
            ):
                file.write(piece)
            file.seek(0)
            yield from _users(file)
    finally:
        _delete(wire, name)


def _exports(wire: Wire) -> frozenset[str]:
    names = wire.ask(Call("GET", "/exports", "/exports")).read(NAMES)
    return frozenset(names or ())


def _finished(
    wire: Wire, job: str, deadline_s: float, poll_s: float, sleep: Callable[[float], None]
) -> str:
    waiting = Retrying(
        sleep=sleep,
        stop=stop_after_delay(deadline_s),
        wait=wait_fixed(poll_s),
        retry=retry_if_result(lambda status: status in WAITING),
    )
    call = Call("GET", "/jobs/{id}", f"/jobs/{job}")
    try:
        return waiting(lambda: wire.ask(call).read(JOB).status)
    except RetryError:
        raise Unreachable(
            f"the export job {job} still runs after {deadline_s:.0f} s; let it end, delete its"
            " file, and run this again with --export-wait-min MINUTES, or learn the bindings by SQL"
        ) from None


def _file_of(job: str, before: frozenset[str], after: frozenset[str]) -> str:
    """The file this job wrote: it bears the job's id, else it is the one that is new."""
    own = sorted(name for name in after if name.startswith(job)) or sorted(after - before)
    if len(own) != 1 or not _NAME.fullmatch(own[0]):
        raise Unreachable(
            f"the export job {job} succeeded, and {len(own)} of the server's export files could"
            " be its own; delete old exports, and run this again"
        )
    return own[0]


def _users(file: IO[bytes]) -> Iterator[ExportedUser]:
    try:
        with zipfile.ZipFile(file) as archive, archive.open("import.jsonl") as lines:
            # The checksum is at the end: no binding is given before all of it was read.
            while lines.read(_PIECE):
                pass
            lines.seek(0)
            while line := lines.readline(MAX_LINE):
                if _is_user(line):
                    yield _user(line)
    except _DAMAGED as error:
        raise Unreachable(
            f"the export file is damaged or no export ({type(error).__name__}); run this again"
        ) from error


def _is_user(line: bytes) -> bool:
    """By the first key, so that millions of messages need not be parsed."""
    head = line[:_PEEK].replace(b" ", b"")
    return head.startswith(b'{"type":"user"')


def _user(line: bytes) -> ExportedUser:
    try:
        row = _LINE.validate_json(line).user
    except ValidationError:
        raise Unreachable(
            "the export has a user without a name, an address or readable fields; learn the"
            " bindings by SQL"
        ) from None
    return ExportedUser(
        row.username, row.email, row.auth_service or "", row.auth_data or None, row.delete_at
    )


def _delete(wire: Wire, name: str) -> None:
    """All messages of the server are in that file: say so if it stays behind."""
    try:
        wire.ask(Call("DELETE", "/exports/{name}", f"/exports/{name}"))
    except MattermostError as error:
        _log.warning("mattermost_export_left_behind", file=name, reason=error.code)
