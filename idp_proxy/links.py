"""Links that a command makes for one person to open once: sealed, and stored nowhere until used.

What a link is for stands in it, sealed by a ring of its journey's purpose: nobody can alter one,
make one, or use one of another journey. A page shows what it is for; only the form on that page
uses it, so that a chat or a mail scanner that looks at the link does not use it up.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from idp_proxy.errors import ProxyError
from idp_proxy.seal import opened_text, sealed_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.seal import KeyRing

#: What a link is sealed for. No transaction's id is of this length: neither opens as the other.
_CONTEXT: Final = "link"
#: Characters that a link of ours stays within.
_LONGEST: Final = 2048


class LinkRefused(ProxyError):
    """A link that a command made for one person to open; nothing came of it."""

    code = "link_refused"
    public = "This link cannot be used."
    http_status = 400


class LinkUnknown(LinkRefused):
    """Not a link of this proxy: mistyped, cut off, altered, or sealed by other keys."""

    code = "link_unknown"
    public = "This is no link of ours, or not all of it."
    http_status = 404


class LinkExpired(LinkRefused):
    """The link's time is over, or what it was for has ended."""

    code = "link_expired"
    public = "This link is no longer valid."
    http_status = 410


class LinkUsed(LinkRefused):
    """The link counted already, in this browser or in another one."""

    code = "link_used"
    public = "This link was already used."
    http_status = 410


class LinkFollowed(LinkRefused):
    """The form of a link's page was posted by another site than ours (WEB-02)."""

    code = "link_followed"
    public = "Another website wanted to use this link in your name."
    http_status = 403


def write(facts: Mapping[str, str | int], ring: KeyRing) -> str:
    """The last part of a link's address. It is a secret until it was used."""
    content = json.dumps(dict(facts), separators=(",", ":")).encode()
    return sealed_text(_CONTEXT, content, ring)


def read(token: str, ring: KeyRing) -> dict[str, Any]:
    """What `write` was given. Raises `LinkUnknown` unless a ring of the same keys and purpose did
    it.
    """
    content = opened_text(_CONTEXT, token, ring) if len(token) <= _LONGEST else None
    if content is None:
        raise LinkUnknown("no link that these state keys sealed")
    facts: dict[str, Any] = json.loads(content)
    return facts
