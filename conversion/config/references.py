"""Files and secrets that a configuration refers to. No message holds what one of them contains."""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LARGEST: Final = 64 * 1024
#: Octets of a key for HMAC-SHA256 (RFC 2104 section 3: as long as the hash).
KEY_LENGTH: Final = 32
#: A random key of 32 octets has fewer different ones about once in 10^17 draws.
_FEWEST_DIFFERENT: Final = 16
_PROXYS: Final = "the very key that the proxy has in [proxy] state_keys"
_CURES: Final = {
    "campaign.converted_key": "the very key that the proxy has in [service_provider]",
    "ledger.backup_key": "head -c 32 /dev/urandom > FILE, and a copy of it in a safe place",
}


@dataclass(slots=True)
class References:
    """Reads what fields refer to; relative paths count from `folder`. Problems are collected."""

    folder: Path
    environ: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path | None:
        """The file that `name` means; None for no name."""
        return self.folder / name if name else None

    def readable(self, where: str, name: str) -> Path | None:
        """The file that `name` means, which must be there."""
        path = self.path(name)
        if path is not None and not path.is_file():
            self._problem(where, f"no such file: {name}")
        return path

    def text(self, where: str, reference: str) -> str:
        """A secret of one line; empty where there is none, or a problem was noted."""
        content = self._content(where, reference)
        if content is None:
            return ""
        try:
            text = content.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            self._problem(where, f"{reference} is not UTF-8 text")
            return ""
        if not text or not text.isprintable():
            self._problem(where, f"{reference} must hold exactly one line of text")
            return ""
        return text

    def key(self, where: str, reference: str) -> bytes | None:
        """32 random octets: raw in a file, base64 in a variable, as the proxy reads them."""
        content = self._content(where, reference)
        if content is None:
            return None
        if reference.startswith("env:"):
            try:
                content = base64.b64decode(content, validate=True)
            except binascii.Error:
                self._problem(where, f"{reference} holds no base64")
                return None
        if len(content) != KEY_LENGTH or len(set(content)) < _FEWEST_DIFFERENT:
            self._problem(
                where,
                f"{reference} must hold {KEY_LENGTH} random octets: {_CURES.get(where, _PROXYS)}",
            )
            return None
        return content

    def ed25519_key(self, where: str, reference: str) -> Ed25519PrivateKey | None:
        """A private Ed25519 key as PEM, without a password: its file is for its owner alone."""
        content = self._content(where, reference)
        if content is None:
            return None
        try:
            key = load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if isinstance(key, Ed25519PrivateKey):
            return key
        self._problem(
            where,
            f"{reference} must hold an Ed25519 key as PEM: openssl genpkey -algorithm ed25519",
        )
        return None

    def _content(self, where: str, reference: str) -> bytes | None:
        kind, _, name = reference.partition(":")
        if kind == "file" and name:
            return self._file(where, name)
        if kind == "env" and name:
            value = self.environ.get(name)
            if value is None:
                self._problem(where, f"the environment variable {name} is not set")
            return None if value is None else os.fsencode(value)
        self._problem(
            where,
            "a secret may not stand in this file; put it into a file of its own with "
            'chmod 600 and write "file:PATH", or write "env:NAME"',
        )
        return None

    def _file(self, where: str, name: str) -> bytes | None:
        path = self.folder / name
        try:
            # A named pipe that nobody writes into must not hang the command: open, then look.
            with open(path, "rb", opener=_not_waiting) as file:
                found = os.fstat(file.fileno())
                content = file.read(_LARGEST + 1) if stat.S_ISREG(found.st_mode) else None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._problem(where, f"cannot be read: {name!r}: {reason}")
            return None
        if content is None or len(content) > _LARGEST:
            self._problem(where, f"not a regular file of at most 64 KiB: {name}")
            return None
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            self._problem(
                where,
                f"{name} is open to other users (mode {mode:04o}); "
                f"run: chmod 600 {shlex.quote(str(path))}",
            )
            return None
        return content

    def _problem(self, where: str, text: str) -> None:
        self.problems.append(f"{where}: {text}")


def _not_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
