"""`[[upstream.canary]]`: accounts that log in for the watch, one for each population."""

from __future__ import annotations

import base64
import binascii
import importlib.util
import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from idp_proxy.config import addresses
from idp_proxy.config.sections import require
from idp_proxy.decision.roster import lookup_key
from idp_proxy.saml.checks import why_ambiguous

if TYPE_CHECKING:
    from collections.abc import Iterable

    from idp_proxy.config.material import Reader
    from idp_proxy.config.settings import UpstreamSettings
    from idp_proxy.config.shape import CanaryTable, UpstreamTable

_HOST: Final = re.compile(r"([a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[1-9][0-9]{0,4})?")
_FIELDS: Final = ("username_field", "password_field", "totp_field")
#: RFC 4226 section 4, R6, wants 128 bits at least; some providers give 80.
_SHORTEST_TOTP: Final = 10
#: RFC 6238: how long a code lives, and a provider takes each once.
_CODE_LIVES: Final = timedelta(seconds=30)
_CHROMIUM: Final = tuple(
    Path(name)
    for name in (
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome-stable",
        "/usr/bin/google-chrome",
    )
)


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """One `[[upstream.canary]]`: an account that logs in for the watch, and for nothing else.

    `subject` is what the upstream says for it as link key; `totp` the secret of its second factor
    in base32. A field's name that is empty is found by itself. `hosts` may be led to beside the
    sign-on endpoint's own, with a port unless it is 443. `chromium` is for kind "browser".
    """

    name: str
    kind: Literal["form", "browser", "bind"]
    username: str
    password: str = field(repr=False)
    subject: str
    totp: str | None = field(repr=False, default=None)
    username_field: str = ""
    password_field: str = ""
    totp_field: str = ""
    hosts: tuple[str, ...] = ()
    chromium: Path | None = None


@dataclass(frozen=True, slots=True)
class CanaryTimes:
    """How often a canary logs in: at the serving upstream, at a standby, and after a failure;
    `timeout` bounds one whole login.
    """

    serving: timedelta
    standby: timedelta
    retry: timedelta
    timeout: timedelta


def read_canaries(
    where: str, upstream: UpstreamTable, reader: Reader
) -> tuple[CanarySettings, ...]:
    """Every `[[upstream.canary]]` of the upstream at `where` that can be used."""
    first: dict[str, int] = {}
    found = []
    for index, table in enumerate(upstream.canary):
        at = f"{where}.canary[{index}]"
        known = first.setdefault(table.name, index)
        if known != index and table.name:
            reader.findings.problem(f"{at}.name", f"canary[{known}] has this name too")
        canary = _read_canary(at, table, reader, directory=upstream.kind == "ldap")
        if canary is not None:
            found.append(canary)
    return tuple(found)


def _read_canary(
    at: str, table: CanaryTable, reader: Reader, *, directory: bool
) -> CanarySettings | None:
    _judge_kind(at, table, reader, directory=directory)
    require(reader, f"{at}.name", addresses.name_problem(table.name))
    require(reader, f"{at}.username", _username_problem(table.username))
    require(reader, f"{at}.subject", _subject_problem(table.subject))
    for name in _FIELDS:
        value = getattr(table, name)
        if value and not value.isprintable():
            reader.findings.problem(f"{at}.{name}", "names no field: it has control characters")
    for index, host in enumerate(table.hosts):
        if _HOST.fullmatch(host) is None:
            reader.findings.problem(
                f"{at}.hosts[{index}]",
                f"not a host: {host!r}; it has the form login.example.org or "
                "login.example.org:8443, in lower case",
            )
    password = _read_password(f"{at}.password", table.password, reader)
    totp = _read_totp(f"{at}.totp", table.totp, reader) if table.totp else None
    chromium = _read_chromium(at, table, reader)
    if password is None:
        return None
    return CanarySettings(
        name=table.name,
        kind=table.kind,
        username=table.username,
        password=password,
        subject=table.subject,
        totp=totp,
        username_field=table.username_field,
        password_field=table.password_field,
        totp_field=table.totp_field,
        hosts=tuple(table.hosts),
        chromium=chromium,
    )


def _judge_kind(at: str, table: CanaryTable, reader: Reader, *, directory: bool) -> None:
    """A directory has no pages to go through, and a SAML upstream nothing to bind to."""
    if directory != (table.kind == "bind"):
        use = 'kind = "bind"' if directory else 'kind = "form" or "browser"'
        reader.findings.problem(f"{at}.kind", f"this upstream's canary has {use}")
    if not directory:
        return
    for name in sorted(table.model_fields_set & {"totp", "hosts", *_FIELDS}):
        reader.findings.problem(f"{at}.{name}", "belongs to a canary that goes through pages")


def _username_problem(username: str) -> str | None:
    if not username:
        return "missing: the name that this account logs in with"
    return None if username.isprintable() else "must be one line of text"


def _subject_problem(subject: str) -> str | None:
    """What keeps a text from ever being the subject of a verified answer (SP-10)."""
    if not subject:
        return (
            "missing: the link key that the upstream sends for this account; no other proves "
            "anything, and nobody logs in to Mattermost as it"
        )
    why = why_ambiguous(subject)
    if why is None and not lookup_key(subject):
        why = "is blank to a look-up"
    return None if why is None else f"no upstream could say this: it {why} (SP-10)"


def _read_password(at: str, reference: str, reader: Reader) -> str | None:
    if not reference:
        reader.findings.problem(at, 'missing: "file:PATH" or "env:NAME"')
        return None
    return reader.secret_text(at, reference)


def _read_totp(at: str, reference: str, reader: Reader) -> str | None:
    """The secret of the second factor, in base32 as providers show it."""
    text = reader.secret_text(at, reference)
    if text is None:
        return None
    secret = text.replace(" ", "").replace("-", "").upper().rstrip("=")
    try:
        octets = base64.b32decode(secret + "=" * (-len(secret) % 8))
    except (binascii.Error, ValueError):
        octets = b""
    if len(octets) < _SHORTEST_TOTP:
        reader.findings.problem(
            at,
            f"{reference} holds no base32 secret: take the text that the provider shows beside the "
            "QR code, not a code of six digits",
        )
        return None
    return secret


def _read_chromium(at: str, table: CanaryTable, reader: Reader) -> Path | None:
    """Where Chromium is; that it is missing warns, for it must not stop the logins of people."""
    if table.kind != "browser":
        if table.chromium:
            reader.findings.problem(f"{at}.chromium", 'belongs to kind = "browser"')
        return None
    if importlib.util.find_spec("playwright") is None:
        reader.findings.warning(
            f"{at}.kind",
            "playwright is not installed, so this canary can prove nothing: install the proxy with "
            "its extra: pip install '.[browser]'",
        )
    candidates = (reader.path(table.chromium),) if table.chromium else _CHROMIUM
    found = next((one for one in candidates if os.access(one, os.X_OK)), None)
    if found is None:
        looked = ", ".join(str(one) for one in candidates)
        reader.findings.warning(
            f"{at}.chromium",
            f"no Chromium at {looked}, so this canary can prove nothing: apt install chromium",
        )
    return found


def warn_of_used_codes(
    upstreams: Iterable[UpstreamSettings | None], retry: timedelta, reader: Reader
) -> None:
    """A code counts once: a look within its life after a failure would be refused, not broken."""
    for index, upstream in enumerate(upstreams):
        for number, canary in enumerate(upstream.canaries if upstream else ()):
            if canary.totp is not None and retry < _CODE_LIVES:
                reader.findings.warning(
                    f"upstream[{index}].canary[{number}].totp",
                    "a provider takes each code once, so a look again after a failure may be "
                    f"refused: set failover.canary_retry_s to {_CODE_LIVES.seconds} or more",
                )
