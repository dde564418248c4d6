"""The file that leads from the proxy back to an upstream: what Mattermost trusted before.

It is plain JSON, so that a person can type it off when nothing else works, and lies beside the
configuration, which the service cannot write: whoever changes it decides whom Mattermost trusts.
"""

from __future__ import annotations

import os
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from cryptography.x509 import load_pem_x509_certificate
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from idp_proxy import whole_file
from idp_proxy.decision.saml_settings import CHANGED
from idp_proxy.errors import CutoverRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

_LARGEST: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WayBack:
    """`upstream` is the name of what was trusted before, `proxy` the entity ID of what it leads
    back from. `settings` are the fields of `SamlSettings` that a cutover changes, `untouched` those
    that it only looks at; `certificate` is PEM.
    """

    at: datetime
    by: str
    upstream: str
    proxy: str
    settings: Mapping[str, str]
    untouched: Mapping[str, str]
    certificate: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    at: AwareDatetime
    by: str
    upstream: str
    proxy: str
    settings: dict[str, str]
    untouched: dict[str, str]
    certificate: str


def path_of(configuration: Path) -> Path:
    """Where it lies for a configuration file."""
    return configuration.with_suffix(".way-back.json")


def write(path: Path, way: WayBack) -> None:
    """Put it on disk, whole or not at all, and read it back; one that was there before is kept
    under the time that it was written. Raises `CutoverRefused`.
    """
    try:
        earlier = read(path)
        if earlier is not None:
            path.rename(path.with_suffix(f".{earlier.at:%Y%m%dT%H%M%SZ}.json"))
        record = _File(**asdict(way))
        whole_file.replace(path, record.model_dump_json(indent=2).encode() + b"\n")
    except OSError as error:
        raise CutoverRefused(
            f"{path}: the way back cannot be written ({error.strerror}), so that nothing was "
            "changed; run this as a user who may write beside the configuration"
        ) from error
    if read(path) != way:
        raise CutoverRefused(f"{path}: the way back is not what was written; nothing was changed")


def read(path: Path) -> WayBack | None:
    """What is on disk; None where there is no such file. Raises `CutoverRefused` for one that
    cannot be used: nothing is guessed about whom Mattermost is to trust.
    """
    try:
        with path.open("rb") as file:
            octets, status = file.read(_LARGEST + 1), os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CutoverRefused(f"{path}: cannot be read ({error.strerror})") from error
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in {0, os.geteuid()}:
        raise CutoverRefused(
            f"{path}: others may write it, and could lead Mattermost to a provider of theirs: "
            f"compare it with your copy, then make it yours and chmod 600 {path}"
        )
    try:
        found = _File.model_validate_json(octets)
        load_pem_x509_certificate(found.certificate.encode())
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_input=False)[0]["loc"])) or "no JSON"
        raise CutoverRefused(f"{path}: is no way back that was written here ({where})") from error
    except ValueError as error:
        raise CutoverRefused(
            f"{path}: is no way back that was written here (certificate: no PEM)"
        ) from error
    if set(found.settings) != set(CHANGED):
        raise CutoverRefused(f"{path}: its settings are not {', '.join(CHANGED)}")
    return WayBack(**found.model_dump())
