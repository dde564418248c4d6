"""The proxy's `converted_file`: who logs in by password for now, without naming anybody.

One lower-case hexadecimal HMAC-SHA256(key, UTF-8 auth_data) a line, sorted. The proxy sends such a
person to the password instead of to an error of Mattermost's. It is written after people were moved
and again before anybody is told to use SSO: a name too many keeps somebody out of SSO.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from conversion.decision.account import Source
from conversion.decision.lifecycle import RowState
from conversion.errors import ConfigError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from conversion.ledger.base import Ledger, Row

#: Rows whose account is at email and password, as far as is known. An intent is not among them:
#: where nobody knows, Mattermost has the last word.
AT_PASSWORD: Final = frozenset({RowState.CONVERTED, RowState.CLAIMED, RowState.WRITTEN_OFF})
#: Octets a key must have (RFC 2104 section 3: not shorter than the digest).
KEY_OCTETS: Final = 32


@dataclass(frozen=True, slots=True)
class Written:
    """How many people the file names, and who is left out for want of a known auth_data."""

    listed: int
    left_out: tuple[str, ...]


class ConvertedFile:
    """The file at `path`. Raises `ConfigError` for a key that is too short."""

    def __init__(self, path: Path, key: bytes) -> None:
        if len(key) < KEY_OCTETS:
            problem = (
                f"campaign.converted_key: {len(key)} octets, at least {KEY_OCTETS} are needed;"
                " use the key file of the proxy's service_provider.converted_key"
            )
            raise ConfigError([problem])
        self._path = path
        self._key = key

    def __repr__(self) -> str:
        return f"ConvertedFile({str(self._path)!r})"

    def write(self, rows: Iterable[Row]) -> Written:
        """Write the file anew, whole or not at all. Raises `LedgerError` if the disk refuses."""
        pseudonyms, left_out = [], []
        for row in rows:
            if row.binding.source is Source.EMAIL_FALLBACK:
                left_out.append(row.user_id)
            else:
                pseudonyms.append(self._pseudonym(row.binding.auth_data))
        text = "".join(f"{line}\n" for line in sorted(pseudonyms))
        try:
            _replace(self._path, text.encode("ascii"))
        except OSError as error:
            raise LedgerError(
                f"campaign.converted_file: {self._path}: {error.strerror}; the proxy would send"
                " people the wrong way: make room or mend the rights, then run verify"
            ) from error
        return Written(len(pseudonyms), tuple(sorted(left_out)))

    def refresh(self, ledger: Ledger, campaign: str) -> Written:
        """Write who is at a password now, by the ledger; whom an earlier campaign gave up too."""
        earlier = {
            row.user_id: row
            for row in ledger.given_up()
            if row.campaign != campaign and ledger.row(campaign, row.user_id) is None
        }
        return self.write(chain(ledger.rows(campaign, *AT_PASSWORD), earlier.values()))

    def _pseudonym(self, auth_data: str) -> str:
        return hmac.new(self._key, auth_data.encode(), hashlib.sha256).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Readers see the old file or the new one, after a power failure too."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _put(beside, content, _group_of(path))
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _group_of(path: Path) -> int:
    """The group by which the proxy reads: the file's so far, or its folder's."""
    return (path if path.exists() else path.parent).stat().st_gid


def _put(path: Path, content: bytes, group: int) -> None:
    # 0640, whatever the umask: the proxy runs as another user and reads it by its group.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if os.fstat(descriptor).st_gid != group:
            # Who may not give files to that group leaves it to the folder's setgid bit.
            with suppress(PermissionError):
                os.fchown(descriptor, -1, group)
        os.fchmod(descriptor, 0o640)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
