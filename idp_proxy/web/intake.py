"""What comes in: bodies with a bound and a deadline, and the few headers that are read."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from idp_proxy.errors import MalformedMessage, TooLarge
from idp_proxy.links import LinkFollowed
from idp_proxy.saml.bindings import MAX_FORM
from idp_proxy.web.next_steps import Way

if TYPE_CHECKING:
    from starlette.requests import Request

_BODY_WITHIN_S: Final = 15
_MOST_FIELDS: Final = 20
#: Octets of a form of ours; the largest has the answer of a passkey.
_OUR_FORM: Final = 65_536
_FORM: Final = "application/x-www-form-urlencoded"
#: What stands behind these is a secret until it was used.
_OF_A_LINK: Final = re.compile(r"((?:rehearse|drill/join)/+).+", re.IGNORECASE | re.DOTALL)


async def form_body(request: Request, most: int = MAX_FORM) -> bytes:
    """The raw octets of a posted form.

    Raises `TooLarge` as soon as more than `most` octets came, and `MalformedMessage` for another
    kind of body or one that does not arrive in time.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise MalformedMessage("XML-03", f"content type {kind[:100]!r}, expected {_FORM}")
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_WITHIN_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise TooLarge(f"a form of more than {most} octets")
    except TimeoutError as error:
        raise MalformedMessage("XML-02", "the form did not arrive in time") from error
    return bytes(body)


def query(request: Request) -> bytes:
    """The raw query, as a detached signature covers it. Raises `TooLarge`."""
    octets: bytes = request.scope["query_string"]
    if len(octets) > MAX_FORM:
        raise TooLarge(f"a query of more than {MAX_FORM} octets")
    return octets


def from_app(request: Request) -> bool:
    """Whether Mattermost's app shows the page: a hint for the wording, never for a decision."""
    return "mattermost" in request.headers.get("user-agent", "").lower()


async def demand_our_form(request: Request, most: int = _OUR_FORM) -> bytes:
    """What the form of our own page posted, and no other site's: a link is followed by a person.

    Every browser says so since 2023 (W3C Fetch Metadata); of an older one nothing is known. Raises
    `LinkFollowed`, and as `form_body`.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise LinkFollowed("the form was posted by another site")
    return await form_body(request, most)


async def our_fields(request: Request, most: int = _OUR_FORM) -> dict[str, str]:
    """The fields of our own form, each once. Raises as `demand_our_form`, and `MalformedMessage`
    for a body that is no form of ours.
    """
    body = await demand_our_form(request, most)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise MalformedMessage("XML-03", "the body is no form of ours") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedMessage("XML-03", "a field came twice")
    return fields


def came_by(request: Request, way: Way) -> None:
    """Note that what goes wrong from here on did not begin at Mattermost."""
    request.state.way = way


def way_of(request: Request) -> Way:
    """What `came_by` noted of this request."""
    found: Way = getattr(request.state, "way", Way.MATTERMOST)
    return found


def loggable_path(request: Request) -> str:
    """The path as the log may show it: without what a link's holder could do with it (OPS-01)."""
    return _OF_A_LINK.sub(r"\1...", request.url.path)[:200]
