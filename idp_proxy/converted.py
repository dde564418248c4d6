"""The list of people who log in with email and password for now, as the conversion tool writes it.

One lower-case hexadecimal HMAC-SHA256(key, UTF-8 canonical id) a line: the file names nobody. It is
read again when it changes. Missing or unreadable, nobody counts as converted and the log alarms:
then Mattermost itself refuses such a login, while everybody else's goes on.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

_log = structlog.get_logger("idp_proxy.converted")
_LINE = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ConvertedFile:
    """A file of pseudonyms, looked into by canonical id."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._lock = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._alarmed = False
        self._entries: frozenset[str] = frozenset()

    def __contains__(self, person_id: str) -> bool:
        """Whether this person logs in with a password for now."""
        pseudonym = hmac.new(self._key, person_id.encode(), hashlib.sha256).hexdigest()
        with self._lock:
            self._refresh()
            return pseudonym in self._entries

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
            if version != self._version:
                self._entries = self._read()
                self._version = version
            self._alarmed = False
        except (OSError, ValueError) as error:
            if not self._alarmed:
                _log.error("converted_file_unreadable", file=self._path.name, detail=str(error))
            self._version, self._alarmed, self._entries = None, True, frozenset()

    def _read(self) -> frozenset[str]:
        lines = self._path.read_text(encoding="ascii").split()
        if any(_LINE.fullmatch(line) is None for line in lines):
            raise ValueError("a line that is not 64 lower-case hexadecimal digits")
        return frozenset(lines)


class NobodyConverted:
    """The list of a proxy that has none configured."""

    def __contains__(self, person_id: str) -> bool:
        """Nobody is on it."""
        return False
