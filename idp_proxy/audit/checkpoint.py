"""Signed checkpoints: how far a chain had grown at a time, kept in a second place.

A chain alone cannot show that its end was cut off, or that somebody with the database rewrote all
of it. A line in an append-only file can: one JSON object a line, signed with Ed25519 (RFC 8032).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature

from idp_proxy.audit.chain import Head, canonical, instant
from idp_proxy.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

#: Keeps a signature made here from meaning anything elsewhere.
_PURPOSE: Final = b"mattermost-sso-failover audit checkpoint v1\n"
_HEX_DIGEST: Final = 64
_FIELDS: Final = frozenset({"at", "chain", "digest", "seq", "signature"})


class CheckpointInvalid(ProxyError):
    """A checkpoint that the audit's key did not sign, or a checkpoint file that cannot be used."""

    code = "checkpoint_invalid"
    public = "The audit's checkpoints cannot be trusted."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The chain had a row `seq` with this digest at this time."""

    chain: str
    seq: int
    digest: str
    at: datetime

    @property
    def head(self) -> Head:
        """The end of the chain when the checkpoint was made."""
        return Head(self.chain, self.seq, self.digest)


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """The checkpoints of a file, and the numbers of lines that a crash left unfinished."""

    checkpoints: tuple[Checkpoint, ...]
    unreadable: tuple[int, ...]


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The line for `checkpoint`, without its end."""
    signature = base64.b64encode(key.sign(_signed(checkpoint))).decode()
    return canonical({**_content(checkpoint), "signature": signature})


def read(lines: Iterable[str], key: Ed25519PublicKey) -> CheckpointFile:
    """Every checkpoint in `lines`. Raises `CheckpointInvalid` on a signature that does not verify.

    A line that is no checkpoint at all is what a crash in the midst of a write leaves; it proves
    nothing and is reported, not trusted.
    """
    checkpoints: list[Checkpoint] = []
    unreadable: list[int] = []
    for number, line in enumerate(lines, start=1):
        parsed = _parse(line)
        if parsed is None:
            unreadable.append(number)
            continue
        checkpoint, signature = parsed
        try:
            key.verify(signature, _signed(checkpoint))
        except InvalidSignature:
            raise CheckpointInvalid(
                f"line {number}: the audit's key did not sign this checkpoint of "
                f"{checkpoint.chain!r} at row {checkpoint.seq}"
            ) from None
        checkpoints.append(checkpoint)
    return CheckpointFile(tuple(checkpoints), tuple(unreadable))


def read_file(path: Path, key: Ed25519PublicKey) -> CheckpointFile:
    """The checkpoints in the file at `path`. Raises `CheckpointInvalid` when it cannot be read."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise CheckpointInvalid(f"{path}: {error}") from error
    try:
        return read(lines, key)
    except CheckpointInvalid as error:
        raise CheckpointInvalid(f"{path}: {error.detail}") from None


def write(path: Path, line: str) -> None:
    """Append `line` to the file at `path` (made 0600) and bring it to the disk.

    A line that a crash cut off is ended first, so that it spoils no other. Raises
    `CheckpointInvalid` when the file cannot be written.
    """
    try:
        fresh = not path.exists()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            os.write(descriptor, (_line_end(descriptor) + line + "\n").encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointInvalid(f"{path}: {error.strerror}") from error


def _line_end(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return "\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else ""


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content(checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "at": instant(checkpoint.at),
        "chain": checkpoint.chain,
        "digest": checkpoint.digest,
        "seq": checkpoint.seq,
    }


def _signed(checkpoint: Checkpoint) -> bytes:
    return _PURPOSE + canonical(_content(checkpoint)).encode()


def _parse(line: str) -> tuple[Checkpoint, bytes] | None:
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.keys() != _FIELDS:
        return None
    chain, seq, digest = fields["chain"], fields["seq"], fields["digest"]
    if not isinstance(chain, str) or type(seq) is not int or not _is_digest(digest):
        return None
    try:
        at = datetime.fromisoformat(fields["at"])
        signature = base64.b64decode(fields["signature"], validate=True)
    except (TypeError, ValueError, binascii.Error):
        return None
    if at.tzinfo is None:
        return None
    return Checkpoint(chain, seq, digest, at.astimezone(UTC)), signature


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == _HEX_DIGEST
