"""The page that posts a form by itself, without the fields: it is the same for every login.

A page is rendered once by its template, with a mark where the fields stand; what a login adds to it
is the fields, each escaped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup, escape
from starlette.responses import Response

from idp_proxy.errors import Internal, RelayStateRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Stands for the fields while the page around them is rendered.
MARK: Final = Markup("<!-- fields -->")

# What a form cannot give back octet for octet: HTML turns NUL into U+FFFD, a form makes CRLF of
# each line break (HTML section 4.10.21.8), and a lone surrogate has no UTF-8.
_LOST_IN_A_FORM: Final = "\x00\r\n"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class FormPage:
    """A page of status 200 around the fields of its form, with its headers as ASGI wants them."""

    head: str
    tail: str
    headers: tuple[tuple[bytes, bytes], ...]

    @classmethod
    def around_mark(cls, page: Response) -> FormPage:
        """Take a page apart that was rendered with MARK in it. Raises `Internal` without one."""
        head, mark, tail = bytes(page.body).decode("utf-8").partition(MARK)
        if not mark or MARK in tail:
            raise Internal("the page of a form has no single place for its fields")
        headers = tuple(pair for pair in page.raw_headers if pair[0] != b"content-length")
        return cls(head, tail, headers)

    def with_fields(self, fields: Mapping[str, str]) -> Response:
        """The page with these hidden fields.

        Raises `RelayStateRefused` where the RelayState would not arrive byte for byte (WEB-03),
        `Internal` for another field that would not.
        """
        for name, value in fields.items():
            _demand_postable(name, value)
        inputs = "".join(
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">\n'
            for name, value in fields.items()
        )
        page = Response(f"{self.head}{inputs}{self.tail}")
        page.raw_headers = [*self.headers, (b"content-length", b"%d" % len(page.body))]
        return page


def _demand_postable(name: str, value: str) -> None:
    """Raise where `value` would reach the other side changed."""
    if not any(one in value for one in _LOST_IN_A_FORM) and (
        value.isascii() or not _SURROGATE.search(value)
    ):
        return
    detail = f"the field {name} holds a character that no form gives back unchanged"
    raise RelayStateRefused(detail) if name == "RelayState" else Internal(detail)
