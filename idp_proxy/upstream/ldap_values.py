"""A directory's values as the text under which a person is known."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Literal

_GUID: Final = "objectguid"
_GUID_OCTETS: Final = 16


def text_of(attribute: str, value: bytes, guid: Literal["uuid", "base64"]) -> str | None:
    """The value as text; None for what has no reading. Active Directory's objectGUID is 16 octets,
    written as `guid` says: a login and a list of people write one person's alike.
    """
    if attribute.lower() == _GUID and len(value) == _GUID_OCTETS:
        if guid == "base64":
            return base64.b64encode(value).decode("ascii")
        return str(uuid.UUID(bytes_le=value))
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return None
