"""The second factor: codes of six digits that change every 30 seconds (TOTP, RFC 6238)."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final

from pyotp import TOTP
from pyotp.exceptions import OTPVerificationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

#: RFC 4226 section 4, R6: 160 bits are recommended.
SECRET_OCTETS: Final = 20
#: Steps by which the clock of a device may be off, each way (RFC 6238 section 5.2).
DRIFT: Final = 1
_CODE: Final = re.compile(r"[0-9]{6}", re.ASCII)


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh secret in base32, as authenticator apps take it."""
    return base64.b32encode(random_bytes(SECRET_OCTETS)).decode("ascii")


def enrolment_uri(secret: str, name: str, issuer: str) -> str:
    """What an authenticator app reads from a QR code (`otpauth://totp/...`); holds the secret."""
    return TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The time step whose code this is, at most `DRIFT` steps from `now`; None if it is none.

    Blanks within the code do not count: apps show them.
    """
    digits = code.replace(" ", "")
    if _CODE.fullmatch(digits) is None:
        return None
    try:
        return TOTP(secret).verify_and_get_timecode(digits, for_time=now, valid_window=DRIFT)
    except OTPVerificationError:
        return None
