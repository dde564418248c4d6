"""From a file to `Settings`, or to every problem at once."""

from __future__ import annotations

import os
import re
import socket
import stat
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from conversion.config.references import References
from conversion.config.settings import (
    CampaignSettings,
    Converted,
    LedgerSettings,
    NotifySettings,
    ProxyStatus,
    Settings,
)
from conversion.config.shape import read_shape
from conversion.config.sources import read_checkpoints, read_ldap, read_operators
from conversion.decision.deadline import Deadlines
from conversion.errors import ConfigError
from conversion.ledger.postgresql import tls_problem
from conversion.mattermost import Access

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import URL

    from conversion.config.shape import (
        CampaignTable,
        LedgerTable,
        MattermostTable,
        NotifyTable,
    )

_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
#: Characters of an owner's name at most.
_OWNER: Final = 100
_CHANNEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_YES: Final = frozenset({"yes", "true", "1", "on"})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def load(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and judge the configuration at `path`; `environ` answers `env:` references.

    Raises `ConfigError` with every problem, each with its path in the file.
    """
    path = path.absolute()
    references = References(path.parent, os.environ if environ is None else environ)
    file, problems = read_shape(_document(path))
    references.problems.extend(problems)
    access = _access(file.mattermost, references)
    ledger = _ledger(file.ledger, references)
    campaign = _campaign(file.campaign, references)
    notify = _notify(file.notify, references)
    operators = read_operators(file.operators, references)
    ldap = read_ldap(file.ldap, references)
    checkpoints = read_checkpoints(file.audit, references)
    if references.problems or access is None or ledger is None:
        raise ConfigError(references.problems)
    warnings = tuple(_warnings(path, ledger, campaign))
    return Settings(path, access, ledger, campaign, notify, operators, ldap, checkpoints, warnings)


def secret_of(
    where: str, reference: str, folder: Path, environ: Mapping[str, str] | None = None
) -> str:
    """The secret that an option refers to by `file:` or `env:`. Raises `ConfigError`."""
    references = References(folder, os.environ if environ is None else environ)
    text = references.text(where, reference)
    if references.problems:
        raise ConfigError(references.problems)
    return text


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError([f"{path}: {_unreadable(error)}"]) from error


def _unreadable(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file; name one by --config or SSO_CONVERSION_CONFIG"
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text: octet {error.start} is {error.object[error.start]:#04x}"
    if isinstance(error, RecursionError):
        return "not valid TOML: nested too deeply"
    return f"not valid TOML: {error}"


def _access(table: MattermostTable, references: References) -> Access | None:
    local = references.path(table.local_socket)
    if local is None and not table.url:
        references.problems.append("mattermost.url: missing; it has the form https://host")
    token = ""
    if local is None:
        if not table.token:
            references.problems.append(
                'mattermost.token: missing; write "file:PATH" or "env:NAME" of a personal access'
                " token of a system administrator"
            )
        else:
            token = references.text("mattermost.token", table.token)
    try:
        return Access(
            # Without an address what else is wrong with the access is still to be told.
            url=table.url or "https://missing.invalid",
            token=token,
            tls_ca=references.readable("mattermost.tls_ca", table.tls_ca),
            outbound_proxy=_outbound_proxy(table.outbound_proxy, references),
            local_socket=local,
            deadline_s=table.timeout_s,
            connections=table.concurrency,
            plain_connections=table.plain_concurrency,
            patience_s=table.patience_s,
        )
    except ConfigError as error:
        references.problems.extend(error.problems)
        return None


def _outbound_proxy(value: str, references: References) -> str:
    """An address, or a reference to one where it holds a password."""
    where = "mattermost.outbound_proxy"
    if not value:
        return ""
    url = references.text(where, value) if value.startswith(("file:", "env:")) else value
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, usable = None, False
    if parts is None or not usable:
        references.problems.append(f"{where}: no proxy's URL; it has the form http://host:port")
    elif parts.password is not None and url == value:
        references.problems.append(
            f'{where}: a password may not stand in this file; write "file:PATH" or "env:NAME"'
        )
    return url


def _ledger(table: LedgerTable, references: References) -> LedgerSettings | None:
    problems: list[str] = []
    place = _ledger_place(table.url, references, problems)
    mirror = references.path(table.mirror)
    if mirror is None:
        problems.append(
            "ledger.mirror: missing; name a file, best on another disk: it rebuilds a lost ledger"
        )
    elif mirror == place:
        problems.append("ledger.mirror: is the ledger itself; name another file")
    host = table.host or socket.gethostname()
    if not _HOST.fullmatch(host):
        problems.append(
            f"ledger.host: {host!r} is no name: letters, digits, dots, hyphens, at most 63"
        )
    references.problems.extend(problems)
    key = references.key("ledger.backup_key", table.backup_key) if table.backup_key else None
    if problems or place is None or mirror is None:
        return None
    return LedgerSettings(place, mirror, host, key)


def _ledger_place(text: str, references: References, problems: list[str]) -> Path | URL | None:
    by_reference = text.startswith(("file:", "env:"))
    if by_reference:
        text = references.text("ledger.url", text)
        if not text:
            return None
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        problems.append("ledger.url: no database URL; it has the form sqlite:///FILE")
        return None
    if url.get_backend_name() == "postgresql":
        problem = _postgresql_problem(url, by_reference=by_reference)
        problems += [f"ledger.url: {problem}"] * bool(problem)
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        problems.append(
            f"ledger.url: a ledger of {url.get_backend_name()!r} cannot be kept; use sqlite:///FILE:"
            " it is one file that stays when all else is down; or postgresql for several hosts"
        )
        return None
    return references.path(url.database)


def _postgresql_problem(url: URL, *, by_reference: bool) -> str:
    if not by_reference and (url.password is not None or "password" in url.query):
        return 'a password may not stand in this file; write "file:PATH" or "env:NAME" of the URL'
    if not url.database:
        return "it names no database; the form is postgresql://user@host/database"
    return tls_problem(url)


def _campaign(table: CampaignTable, references: References) -> CampaignSettings:
    if table.remind_h >= table.deadline_h:
        references.problems.append(
            f"campaign.remind_h: {table.remind_h:g} hours is no reminder of a deadline after"
            f" {table.deadline_h:g}; it comes before campaign.deadline_h"
        )
    if not table.owner.isprintable() or len(table.owner) > _OWNER:
        references.problems.append(
            f"campaign.owner: one line of at most {_OWNER} characters, like a team's name"
        )
    return CampaignSettings(
        operator_user=table.operator_user,
        proxy_status=_proxy_status(table, references),
        converted=_converted(table, references),
        settle_delay=timedelta(seconds=table.settle_delay_s),
        error_budget_percent=table.error_budget_percent,
        at_most_percent=table.at_most_percent,
        inventory_max_age=timedelta(hours=table.inventory_max_age_h),
        attempts=table.attempts,
        pilot=table.pilot,
        minutes_a_call=table.minutes_a_call,
        owner=table.owner,
        deadlines=Deadlines(timedelta(hours=table.remind_h), timedelta(hours=table.deadline_h)),
    )


def _proxy_status(table: CampaignTable, references: References) -> ProxyStatus | None:
    where = "campaign.proxy_status_url"
    tls_ca = references.readable("campaign.proxy_tls_ca", table.proxy_tls_ca)
    if not table.proxy_status_url:
        return None
    try:
        parts = urlsplit(table.proxy_status_url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        references.problems.append(f"{where}: no URL; it has the form https://host/status")
        return None
    if parts.scheme not in {"http", "https"} or not host or parts.username is not None:
        references.problems.append(f"{where}: no URL; it has the form https://host/status")
    elif parts.scheme == "http" and host not in _LOOPBACK:
        references.problems.append(
            f"{where}: who can change an unencrypted answer could have people returned; use https"
        )
    return ProxyStatus(table.proxy_status_url, tls_ca)


def _converted(table: CampaignTable, references: References) -> Converted | None:
    """The file itself may be missing: the first campaign makes it."""
    if not table.converted_file and not table.converted_key:
        return None
    for name, other in (("file", "key"), ("key", "file")):
        if not getattr(table, f"converted_{name}"):
            references.problems.append(
                f"campaign.converted_{name}: missing: it comes with converted_{other}"
            )
            return None
    key = references.key("campaign.converted_key", table.converted_key)
    return None if key is None else Converted(references.folder / table.converted_file, key)


def _notify(table: NotifyTable, references: References) -> NotifySettings:
    """The channels. A URL is a secret: a message names its place in the list, no more."""
    urls = []
    for index, reference in enumerate(table.urls):
        where = f"notify.urls[{index}]"
        url = references.text(where, reference)
        if url and (problem := _channel_problem(url)):
            references.problems.append(f"{where}: {reference} {problem}")
        urls.append(url)
    return NotifySettings(
        tuple(urls),
        table.language,
        timedelta(hours=table.repeat_h),
        timedelta(seconds=table.timeout_s),
    )


def _channel_problem(url: str) -> str:
    if not _CHANNEL.fullmatch(url):
        return "holds no URL of Apprise's, which has the form mmosts://chat.example.org/TOKEN"
    try:
        options = parse_qsl(urlsplit(url).query)
    except ValueError:
        return "holds a URL whose host or port is malformed"
    if any(name.lower() == "verify" and value.lower() not in _YES for name, value in options):
        return "holds verify=no, which would accept any certificate; remove it"
    return ""


def _warnings(path: Path, ledger: LedgerSettings, campaign: CampaignSettings) -> list[str]:
    warnings = []
    if stat.S_IMODE(path.stat().st_mode) & 0o022:
        warnings.append(f"{path}: others may change this file; run: chmod go-w {path}")
    if isinstance(ledger.place, Path) and ledger.place.parent == ledger.mirror.parent:
        warnings.append("ledger.mirror: lies beside the ledger; another disk would survive it")
    if not campaign.operator_user and campaign.proxy_status is None:
        warnings.append(
            "campaign.operator_user: neither this nor proxy_status_url is set: nothing can prove"
            " that SSO works, and return will refuse"
        )
    return warnings
