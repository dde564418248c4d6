"""The last good copy of one upstream's metadata on disk, so that a dead upstream stops no start.

NAME.xml is what counts, NAME.pending.xml what waits for approval, NAME.state.json when it was
looked at last and what was wrong. Each is replaced as a whole (written beside it, synced, renamed)
and belongs to the proxy's user alone, also where root approved. Writers hold NAME.lock; readers
need none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from idp_proxy import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Checked:
    """The last look at the source: when, and what was wrong with it (empty: nothing)."""

    at: datetime
    problem: str


class LastGood:
    """The files of one upstream in the metadata folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.approved = folder / f"{name}.xml"
        self.pending = folder / f"{name}.pending.xml"
        self._state = folder / f"{name}.state.json"
        self._lock = folder / f"{name}.lock"

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One writer at a time: the parent's refresh or somebody's approval. Raises `OSError`."""
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _give(self._folder, like=self._folder.parent)
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _give(handle, like=self._folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def checked(self) -> Checked | None:
        """The last look, or None if there never was one (or its record cannot be read)."""
        try:
            record = json.loads(self._state.read_text("utf-8"))
            return Checked(datetime.fromisoformat(record["at"]), str(record["problem"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def note(self, now: datetime, problem: str) -> None:
        """Remember this look. Raises `OSError`."""
        record = {"at": now.astimezone(UTC).isoformat(), "problem": problem}
        self.replace(self._state, json.dumps(record).encode())

    def replace(self, path: Path, octets: bytes) -> None:
        """Put `octets` in the place of `path`: all of it or nothing, on disk when this returns."""
        whole_file.replace(path, octets, lambda handle: _give(handle, like=self._folder))

    def drop_pending(self) -> None:
        """Nothing waits any more. Raises `OSError`."""
        self.pending.unlink(missing_ok=True)
        whole_file.sync(self._folder)


def _give(made: Path | int, *, like: Path) -> None:
    """What root makes belongs to whom the folder belongs to: the service must read it again."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(made, owner.st_uid, owner.st_gid)
