"""What tells one installation from another that was given the same name: a random id in its folder.

It is no secret, and no identity towards anybody: it goes with the host's reports, so that two
machines of one name are noticed (`decision.membership`).
"""

from __future__ import annotations

import os
import re
import secrets
from typing import TYPE_CHECKING, Final

from idp_proxy.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = "host-id"
_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


def host_id(folder: Path) -> str:
    """The id in `folder`, made where there is none yet. Raises `StoreError`."""
    path = folder / _NAME
    try:
        known = path.read_text("ascii", "replace") if path.exists() else ""
        if _ID.fullmatch(known):
            return known
        made = secrets.token_hex(16)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = folder / f".{_NAME}.{made}"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(made)
        beside.rename(path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return made
