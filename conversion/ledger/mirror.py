"""The mirror: a second file, best on another disk, that has every change before the ledger has it.

One line for each group of changes: length and CRC-32 of its JSON as eight hexadecimal digits each,
then the JSON, in ASCII and so without a line break. Lines are only ever appended, each one fsynced
before the next is written. What a dying process leaves is therefore at most one bad line at the
end, which nobody was ever told of; a bad line with a good one behind it is damage.

The ledger knows up to which octet it has what the mirror says; what lies behind is carried over
when the ledger is next opened or written. So a mirror also brings an old backup up to date, and
rebuilds a ledger that is lost.
"""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from conversion.errors import LedgerError
from conversion.ledger.database import (
    errors_translated,
    file_identity,
    in_words,
    keep_name,
    keep_private,
    new_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    #: What a line says: `operations` on the tables, and `events` for the audit.
    Group = Mapping[str, Any]

_FORMAT: Final = 1
_PREFIX: Final = 18


def carry_on(_point: str) -> None:
    """What happens at a named point outside of tests: nothing."""


class Mirror:
    """The mirror at `path`, open for appending. One writer at a time: who holds the ledger's."""

    def __init__(self, path: Path, crash: Callable[[str], None] = carry_on) -> None:
        """Open a mirror. Raises `LedgerError` when it is missing, or no mirror."""
        self._path = path
        self._crash = crash
        self._failed = False
        keep_private(path)
        self._file = file_identity(path)
        with errors_translated(path):
            flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(path, flags)
        try:
            self.id, self.begin = self._header()
        except BaseException:
            self.close()
            raise

    def size(self) -> int:
        """The length of the file, a torn end included."""
        if file_identity(self._path) != self._file:
            raise LedgerError(f"{self._path}: another file took its place; start again to use it")
        return os.fstat(self._descriptor).st_size

    def append(self, end: int, group: Group) -> int:
        """Write `group` behind octet `end`, onto the disk; returns the new end.

        Raises `LedgerError`; then nothing of it stays, or it is found as torn.
        """
        if self._failed:
            raise LedgerError(f"{self._path}: its disk failed before; start again once it is well")
        if self.size() != end:
            raise LedgerError(f"{self._path}: somebody else writes to this file")
        line = _line(group)
        self._crash("before_mirror_write")
        try:
            self._write(line)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._descriptor, end)
            raise LedgerError(f"{self._path}: {in_words(error)}") from error
        self._crash("after_mirror_write")
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            # What the disk holds is not known any more: another fsync would only seem to succeed.
            self._failed = True
            raise LedgerError(f"{self._path}: {in_words(error)}") from error
        self._crash("after_mirror_fsync")
        return end + len(line)

    def groups(self, after: int) -> Iterator[tuple[int, Group]]:
        """The whole groups behind octet `after`, each with the octet where it ends.

        Stops before a torn end. Raises `LedgerError` on damage.
        """
        with errors_translated(self._path), self._path.open("rb") as file:
            file.seek(after)
            end, torn = after, False
            for line in file:
                group = _read(line)
                if group is None:
                    torn = True
                elif torn:
                    raise LedgerError(
                        f"{self._path}: damaged behind octet {end}, with good lines after it; "
                        "keep this file, and restore the newest backup without it"
                    )
                else:
                    end += len(line)
                    yield end, group

    def cut(self, end: int) -> None:
        """Drop the torn line behind octet `end`, on disk before anything else is written."""
        with errors_translated(self._path):
            os.ftruncate(self._descriptor, end)
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Give back the file."""
        os.close(self._descriptor)

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def _header(self) -> tuple[str, int]:
        end, group = next(self.groups(0), (0, {}))
        if group.get("mirror") != _FORMAT:
            raise LedgerError(
                f"{self._path}: this is no mirror that this version can read; "
                "name another file in [ledger] mirror, or move this one away"
            )
        return str(group["id"]), end


def write_mirror(path: Path, mirror_id: str, groups: Iterable[Group]) -> int:
    """Make a mirror that holds `groups`, all or nothing; returns its length."""
    fresh = path.with_name(f"{path.name}.new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = new_file(fresh)
    with errors_translated(fresh), os.fdopen(descriptor, "wb") as file:
        file.write(_line({"mirror": _FORMAT, "id": mirror_id}))
        for group in groups:
            file.write(_line(group))
        file.flush()
        os.fsync(file.fileno())
        length = file.tell()
        fresh.rename(path)
    keep_name(path)
    return length


def _line(group: Group) -> bytes:
    content = json.dumps(group, separators=(",", ":")).encode("ascii")
    return b"%08x %08x %b\n" % (len(content), zlib.crc32(content), content)


def _read(line: bytes) -> Group | None:
    """What a whole line says; None for a torn one."""
    content = line[_PREFIX:-1]
    if line != b"%08x %08x %b\n" % (len(content), zlib.crc32(content), content):
        return None
    group: Group = json.loads(content)
    return group
