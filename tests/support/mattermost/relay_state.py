"""RelayState in its two generations."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.support.mattermost.errors import LoginFailed
from tests.support.mattermost.settings import RelayStateForm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Decoder = Callable[[str], bytes]

_LIFE = timedelta(minutes=5)


def write(form: RelayStateForm, values: Mapping[str, str], *, key: bytes, now: datetime) -> str:
    """The RelayState that carries `values` to the identity provider and back."""
    if form is RelayStateForm.LEGACY:
        return base64.b64encode(json.dumps(dict(values)).encode()).decode("ascii")
    expires = {"exp": str(int((now + _LIFE).timestamp()))}
    body = json.dumps({**values, **expires}).encode()
    return f"{_url_safe(body)}.{_url_safe(hmac.digest(key, body, hashlib.sha256))}"


def read(form: RelayStateForm, text: str, *, key: bytes, now: datetime) -> dict[str, str]:
    """The values, or {} for none at all in the legacy form. Raises `LoginFailed`."""
    if form is RelayStateForm.LEGACY:
        return _values(base64.b64decode, text) if text else {}
    body, _, seal = text.partition(".")
    octets = _octets(base64.urlsafe_b64decode, body)
    expected = _url_safe(hmac.digest(key, octets, hashlib.sha256))
    if not seal or not hmac.compare_digest(seal, expected):
        raise LoginFailed("relay_state.seal", "The RelayState is not ours.")
    values = _values(base64.urlsafe_b64decode, body)
    if now >= datetime.fromtimestamp(int(values.pop("exp", "0")), UTC):
        raise LoginFailed("relay_state.expired", "The login took longer than five minutes.")
    return values


def _url_safe(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def _octets(decode: Decoder, text: str) -> bytes:
    try:
        return decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise LoginFailed("relay_state.form", "The RelayState is not readable.") from None


def _values(decode: Decoder, text: str) -> dict[str, str]:
    try:
        values = json.loads(_octets(decode, text))
    except ValueError:
        raise LoginFailed("relay_state.form", "The RelayState is not readable.") from None
    if not isinstance(values, dict):
        raise LoginFailed("relay_state.form", "The RelayState holds no object.")
    return {str(name): str(value) for name, value in values.items()}
