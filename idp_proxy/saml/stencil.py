"""Messages that are the same each time but for a few values, in canonical octets.

A stencil is a message of pysaml2's object model like any other, written once with blanks where
values stand, canonicalised, and cut there. What fills a blank is escaped as canonical XML escapes
it, so the outcome is canonical as it stands: no tree is built, and none is canonicalised for its
signature, while somebody waits. Our own verifier knows nothing of this: it reads what leaves as any
relying party would.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from idp_proxy.saml.object_model import writable
from idp_proxy.saml.xml import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lxml.etree import _Element

#: A noncharacter of Unicode, which `writable` lets no value have: a value is never taken for a
#: blank.
_MARK: Final = "\ufdd0"
_BLANK: Final = re.compile(f"{_MARK}([^{_MARK}]*){_MARK}".encode())
#: What stands before and behind a blank: it is the whole text of an element, or a whole attribute.
_TEXT: Final = (b">", b"<")
_ATTRIBUTE: Final = (b'"', b'"')


def blank(name: str) -> str:
    """What stands in a message for the value that `fill` is given by this name."""
    return f"{_MARK}{name}{_MARK}"


class Stencil:
    """An element in canonical octets, with blanks."""

    def __init__(self, element: _Element) -> None:
        """Raises `ValueError` where a blank is only a part of a text or an attribute."""
        parts = _BLANK.split(canonical(element))
        self._fixed = tuple(parts[::2])
        self._blanks = tuple(
            (name.decode("utf-8"), _is_attribute(before[-1:], behind[:1]), behind)
            for before, name, behind in zip(parts[::2], parts[1::2], parts[2::2], strict=False)
        )

    def fill(self, values: Mapping[str, str]) -> bytes:
        """The element with these values. Raises `Unwritable` for one that cannot be sent."""
        filled = [self._fixed[0]]
        for name, is_attribute, behind in self._blanks:
            value = writable(values[name], name)
            filled += (_escaped(value, is_attribute=is_attribute), behind)
        return b"".join(filled)


def _is_attribute(before: bytes, behind: bytes) -> bool:
    if (before, behind) not in (_TEXT, _ATTRIBUTE):
        raise ValueError("a blank is a whole text or a whole attribute")
    return (before, behind) == _ATTRIBUTE


def _escaped(value: str, *, is_attribute: bool) -> bytes:
    """As canonical XML writes it (C14N 1.0 section 2.3); the line breaks and tabs that it escapes
    besides are refused by `writable`.
    """
    value = value.replace("&", "&amp;").replace("<", "&lt;")
    value = value.replace('"', "&quot;") if is_attribute else value.replace(">", "&gt;")
    return value.encode("utf-8")
