"""The file that leads from the proxy back to an upstream: what Mattermost trusted before.

It is plain JSON, so that a person can type it off when nothing else works, and lies beside the
configuration, which the service cannot write: whoever changes it decides whom Mattermost trusts.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.x509 import load_pem_x509_certificate
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from idp_proxy.decision.cutover import CHANGED
from idp_proxy.errors import CutoverRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

_LARGEST: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class WayBack:
    """`upstream` is the name of what was trusted before; "" for what has none here. `settings` are
    fields of `SamlSettings`, `certificate` is PEM.
    """

    at: datetime
    by: str
    upstream: str
    settings: Mapping[str, str]
    certificate: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    at: AwareDatetime
    by: str
    upstream: str
    settings: dict[str, str]
    certificate: str


def path_of(configuration: Path) -> Path:
    """Where it lies for a configuration file."""
    return configuration.with_suffix(".way-back.json")


def write(path: Path, way: WayBack) -> None:
    """Put it on disk, whole or not at all. Raises `CutoverRefused`."""
    record: dict[str, Any] = {
        "at": way.at.isoformat(),
        "by": way.by,
        "upstream": way.upstream,
        "settings": dict(way.settings),
        "certificate": way.certificate,
    }
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(json.dumps(record, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync(path.parent)
    except OSError as error:
        raise CutoverRefused(
            f"{path}: the way back cannot be written ({error.strerror}), so that nothing was "
            "changed; run this as a user who may write beside the configuration"
        ) from error


def read(path: Path) -> WayBack | None:
    """What is on disk; None where there is no such file. Raises `CutoverRefused` for one that
    cannot be used: nothing is guessed about whom Mattermost is to trust.
    """
    try:
        with path.open("rb") as file:
            octets, mode = file.read(_LARGEST + 1), os.fstat(file.fileno()).st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CutoverRefused(f"{path}: cannot be read ({error.strerror})") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CutoverRefused(
            f"{path}: others may write it, and could lead Mattermost to a provider of theirs: "
            f"compare it with what you know, then chmod 600 {path}"
        )
    try:
        found = _File.model_validate_json(octets)
        load_pem_x509_certificate(found.certificate.encode())
    except (ValidationError, ValueError) as error:
        first = str(error).splitlines()[0][:200]
        raise CutoverRefused(f"{path}: is no way back that was written here ({first})") from error
    if set(found.settings) != set(CHANGED):
        raise CutoverRefused(f"{path}: its settings are not {', '.join(CHANGED)}")
    return WayBack(found.at, found.by, found.upstream, found.settings, found.certificate)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
