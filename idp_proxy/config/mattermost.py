"""`[service_provider.api]`: Mattermost's own API, for commands and the nightly timer.

The token is a system administrator's: with it, a worker that a stranger took over could take over
Mattermost. So settings hold where the token lies and never the token; `read_token` is called by
`idp_proxy.mattermost` alone, which no worker may import (see the contracts in pyproject.toml).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.config import addresses
from idp_proxy.config.findings import Findings
from idp_proxy.config.material import Reader
from idp_proxy.config.sections import read_outbound, require
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from idp_proxy.config.mattermost_shape import ApiTable
    from idp_proxy.config.settings import Outbound

_WHERE: Final = "service_provider.api"
_REFERENCE: Final = re.compile(r"(file|env):.+", re.DOTALL)
#: What Mattermost makes: 26 letters and digits; more is left to later releases.
_TOKEN: Final = re.compile(r"[A-Za-z0-9]{16,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """`url` is Mattermost's own address, without /api/v4. `token` is the reference to the token,
    as it stands in the file; `timeout` is what one call may take.
    """

    url: str
    token: str = field(repr=False)
    outbound: Outbound
    timeout: timedelta


def read_api(
    table: ApiTable, inherited: Outbound, reader: Reader, *, insecure_loopback: bool
) -> ApiSettings | None:
    """The section, or None where there is none. What `token` refers to is not looked at here."""
    if not table.model_fields_set:
        return None
    url = table.url.rstrip("/")
    problem = addresses.url_problem(url, loopback_http=insecure_loopback)
    if problem is None and any(mark in url for mark in "?#"):
        problem = "must be Mattermost's own address, such as https://chat.example.org"
    require(reader, f"{_WHERE}.url", problem)
    if not _REFERENCE.fullmatch(table.token):
        # Not repeated in the message: it may be the token itself.
        reader.findings.problem(
            f"{_WHERE}.token",
            "a secret may not stand in this file (KEY-01); put the token into a file of its own "
            'with chmod 600 and write "file:PATH", or write "env:NAME"',
        )
    return ApiSettings(
        url=url,
        token=table.token,
        outbound=read_outbound(_WHERE, table, inherited, reader),
        timeout=timedelta(seconds=table.timeout_s),
    )


def demanded(api: ApiSettings | None, what: str) -> ApiSettings:
    """The section, which `what` needs. Raises `ConfigError` where it is missing."""
    if api is None:
        problem = (
            f"{_WHERE}: missing, and {what} needs Mattermost's API: url and token "
            '(token = "file:mattermost.token"); see docs/operations/standby-logins.md'
        )
        raise ConfigError([problem])
    return api


def read_token(api: ApiSettings, folder: Path, *, environ: Mapping[str, str] | None = None) -> str:
    """The token itself; relative paths count from `folder`. Raises `ConfigError`."""
    findings, where = Findings(), f"{_WHERE}.token"
    reader = Reader(folder, os.environ if environ is None else environ, datetime.now(UTC), findings)
    token = reader.secret_text(where, api.token)
    if token is not None and not _TOKEN.fullmatch(token):
        findings.problem(
            where, "is no token of Mattermost's: letters and digits alone, in one line"
        )
    if token is None or findings.problems:
        raise ConfigError(findings.problems)
    return token
