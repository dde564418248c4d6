"""What a valid `[[upstream.canary]]` says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """One `[[upstream.canary]]`: an account that logs in for the watch, and for nothing else.

    `subject` is what the upstream says for it as link key; `totp` the secret of its second factor
    in base32. A field's name that is empty is found by itself. `hosts` may be led to beside the
    sign-on endpoint's own, with a port unless it is 443. `chromium` is for kind "browser".
    """

    name: str
    kind: Literal["form", "browser"]
    username: str
    password: str = field(repr=False)
    subject: str
    totp: str | None = field(repr=False, default=None)
    username_field: str = ""
    password_field: str = ""
    totp_field: str = ""
    hosts: tuple[str, ...] = ()
    chromium: Path | None = None
