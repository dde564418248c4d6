"""A directory's values as the text under which a person is known."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Literal

_GUID: Final = "objectguid"
_GUID_OCTETS: Final = 16


def text_of(attribute: str, value: bytes, guid: Literal["uuid", "base64"]) -> str:
    """The value as text. Active Directory's objectGUID is 16 octets, written as `guid` says; what
    is no UTF-8 reads as "", which identifies nobody (SP-10).
    """
    if attribute.lower() == _GUID and len(value) == _GUID_OCTETS:
        if guid == "base64":
            return base64.b64encode(value).decode("ascii")
        return str(uuid.UUID(bytes_le=value))
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return ""
