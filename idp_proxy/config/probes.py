"""`[upstream.probe]`: what the watch asks an upstream for, and by what it knows the right page."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from idp_proxy.config import addresses
from idp_proxy.config.sections import require
from idp_proxy.config.settings import ProbeSettings

if TYPE_CHECKING:
    from idp_proxy.config.material import Reader
    from idp_proxy.config.shape import ProbeTable

_HOST = re.compile(r"[a-z0-9.-]{1,253}|\[?[0-9a-f:.]{2,45}\]?")


def read_probe(
    where: str, table: ProbeTable, reader: Reader, *, loopback_http: bool
) -> ProbeSettings:
    """`[upstream.probe]` at `where`."""
    if table.url:
        problem = addresses.url_problem(table.url, loopback_http=loopback_http)
        require(reader, f"{where}.url", problem)
        if not table.expect:
            reader.findings.problem(
                f"{where}.expect",
                "missing: with a url of your own name a text that only the right page has, "
                "or any page would count as up",
            )
    if table.expect and not table.expect.isprintable():
        reader.findings.problem(f"{where}.expect", "must be one line of text")
    if HTTPStatus.MULTIPLE_CHOICES <= table.status < HTTPStatus.BAD_REQUEST:
        reader.findings.problem(
            f"{where}.status",
            f"{table.status} is a redirect, which is followed: set the status of the page behind",
        )
    for index, host in enumerate(table.redirects):
        if _HOST.fullmatch(host) is None:
            reader.findings.problem(
                f"{where}.redirects[{index}]",
                f"not a host name: {host!r}; it has the form login.example.org, in lower case",
            )
    return ProbeSettings(
        url=table.url,
        status=table.status,
        expect=table.expect or None,
        redirects=tuple(table.redirects),
    )
