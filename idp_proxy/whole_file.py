"""A file that is there as a whole, or is what it was before: written beside it, synced, renamed."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def replace(path: Path, octets: bytes, prepare: Callable[[int], None] | None = None) -> None:
    """Put `octets` in the place of `path`, for its owner alone; on disk when this returns.

    `prepare` is given the descriptor before anything is written. Raises `OSError`.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            if prepare is not None:
                prepare(handle)
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """What was renamed or removed in `folder` is so on disk, too. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
