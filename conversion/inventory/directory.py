"""The directory behind the identity provider, read by LDAP: whose Id attribute is what.

Nothing is sent unencrypted: `ldaps://` is TLS from the start, and every `ldap://` connection is
upgraded by StartTLS (RFC 4513 section 3) before the bind. The certificate is verified. Referrals
are not followed, for they would take the password to another server.
"""

from __future__ import annotations

import ssl
import time
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from ldap3 import NONE, SAFE_SYNC, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import (
    LDAPCommunicationError,
    LDAPException,
    LDAPInvalidFilterError,
    LDAPOperationResult,
    LDAPStartTLSError,
)
from ldap3.core.results import RESULT_SUCCESS

from conversion.decision.account import Binding, Source
from conversion.errors import ConfigError
from conversion.inventory.merge import Key, Said
from conversion.mattermost.client import MAX_AUTH_DATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from conversion.config.settings import LdapSettings

    #: An entry as `ldap3` gives it: its `dn`, its `type`, its `raw_attributes`.
    Entry = dict[str, Any]

#: Entries of a page (RFC 2696); directories refuse much more.
PAGE: Final = 500
#: Seconds for the whole search, however many pages there are.
DEADLINE_S: Final = 900.0
_MOST_TOLD: Final = 20
_ENTRY: Final = "searchResEntry"
_NO_TLS: Final = "use ldaps://, or let the directory offer StartTLS"
_HALF: Final = "; raise the limits for ldap.bind_dn: half a list is none"
_WAYS: Final = {
    "invalidCredentials": "; check ldap.bind_dn and ldap.bind_password",
    "noSuchObject": "; check ldap.base",
    "invalidDNSyntax": "; check ldap.base and ldap.bind_dn",
    "insufficientAccessRights": "; let ldap.bind_dn read the base",
    "referral": "; the base is kept by another server: name that one in ldap.urls",
    "sizeLimitExceeded": _HALF,
    "timeLimitExceeded": _HALF,
    "adminLimitExceeded": _HALF,
    "protocolError": f"; {_NO_TLS}",
    "unavailable": f"; {_NO_TLS}",
    "strongerAuthRequired": f"; {_NO_TLS}",
}
#: The control of paged results (RFC 2696 section 2).
_PAGED: Final = "1.2.840.113556.1.4.319"
_PORTS: Final = {"ldap": 389, "ldaps": 636}


def read_directory(settings: LdapSettings, now: datetime) -> tuple[Said, ...]:
    """What the directory says. The servers are tried in turn; the first that answers is asked.

    Raises `ConfigError` when none answers, when one refuses, and for entries that are ambiguous.
    """
    unreachable = []
    for url in settings.urls:
        try:
            connection = _connected(settings, url)
        except (LDAPCommunicationError, LDAPStartTLSError, OSError) as error:
            unreachable.append(f"ldap.urls: {url}: {_described(error)}")
            continue
        except LDAPException as error:
            raise ConfigError([f"ldap: {url}: {_described(error)}{_way_out(error)}"]) from error
        try:
            return entries_said(settings, found(settings, connection), now)
        except LDAPException as error:
            raise ConfigError([f"ldap: {url}: {_described(error)}{_way_out(error)}"]) from error
        finally:
            _give_back(connection)
    raise ConfigError(unreachable)


def _connected(settings: LdapSettings, url: str) -> Connection:
    """A connection that is encrypted, verified and bound."""
    parts = urlsplit(url)
    tls = Tls(
        validate=ssl.CERT_REQUIRED,
        ca_certs_file=None if settings.tls_ca is None else str(settings.tls_ca),
    )
    server = Server(
        parts.hostname,
        port=parts.port or _PORTS[parts.scheme],
        use_ssl=parts.scheme == "ldaps",
        tls=tls,
        get_info=NONE,
        connect_timeout=settings.timeout_s,
    )
    connection = Connection(
        server,
        user=settings.bind_dn or None,
        password=settings.bind_password or None,
        client_strategy=SAFE_SYNC,
        receive_timeout=settings.timeout_s,
        auto_referrals=False,
        raise_exceptions=True,
        read_only=True,
    )
    try:
        connection.open()
        if parts.scheme == "ldap":
            connection.start_tls()
        connection.bind()
    except BaseException:
        _give_back(connection)
        raise
    return connection


def _give_back(connection: Connection) -> None:
    """End a connection that never came to be: `ldap3` leaves its socket open."""
    with suppress(LDAPException, OSError):
        connection.unbind()
    if connection.socket is not None:
        with suppress(OSError):
            connection.socket.close()


def found(
    settings: LdapSettings, connection: Connection, clock: Callable[[], float] = time.monotonic
) -> Iterator[Entry]:
    """The entries, page by page. Raises `ldap3`'s errors, and `ConfigError` for half a list: its
    own paged search takes an exceeded limit for the end.
    """
    until = clock() + DEADLINE_S
    cookie: bytes | None = None
    while cookie != b"":
        if clock() > until:
            raise ConfigError([f"ldap: the search did not end within {DEADLINE_S:.0f} s"])
        _, result, response, _ = connection.search(
            settings.base,
            settings.filter,
            search_scope=SUBTREE,
            attributes=[settings.id_attribute, settings.email or settings.username],
            paged_size=PAGE,
            paged_cookie=cookie,
            # A directory that cannot page shall say so, and not give what fits.
            paged_criticality=True,
        )
        if result["result"] != RESULT_SUCCESS:
            told = result["description"]
            raise ConfigError([f"ldap: the search ended by {told}{_WAYS.get(told, '')}"])
        yield from (entry for entry in response if entry["type"] == _ENTRY)
        cookie = result["controls"][_PAGED]["value"]["cookie"] or b""


def entries_said(
    settings: LdapSettings, entries: Iterable[Entry], now: datetime
) -> tuple[Said, ...]:
    """What these entries say. One without an Id or without a name is of nobody in Mattermost; every
    name of an entry counts. Raises `ConfigError` for an Id that is not one line of text, once.
    """
    key = Key.EMAIL if settings.email else Key.USERNAME
    by = settings.email or settings.username
    said: list[Said] = []
    problems: list[str] = []
    for entry in entries:
        values = _values(entry, settings.id_attribute)
        names = _values(entry, by)
        if not values or not names:
            continue
        told, problem = _id(settings, values)
        problem = problem or _name_problem(by, names)
        if problem:
            problems.append(f"ldap: {entry['dn']}: {problem}")
            continue
        binding = Binding(told, Source.LDAP, now)
        said += (Said(key, name.decode(), binding) for name in names)
    if problems:
        more = len(problems) - _MOST_TOLD
        raise ConfigError([*problems[:_MOST_TOLD], *[f"ldap: and {more} more"] * (more > 0)])
    if not said:
        told = (
            f"ldap: no entry below {settings.base!r} has both {settings.id_attribute} and {by}:"
            " check base, filter and the names of the attributes"
        )
        raise ConfigError([told])
    return tuple(said)


def _values(entry: Entry, name: str) -> Sequence[bytes]:
    """The values of an attribute, whose name is compared without regard to case."""
    for shown, values in entry["raw_attributes"].items():
        if shown.lower() == name.lower():
            return tuple(value for value in values if value)
    return ()


def _id(settings: LdapSettings, values: Sequence[bytes]) -> tuple[str, str]:
    """The Id as the provider sends it, and what is wrong with it."""
    name = settings.id_attribute
    if len(values) > 1:
        return "", f"{len(values)} values of {name}: nobody can tell which one the provider sends"
    try:
        text = _FORMS[settings.id_form](values[0])
    except UnicodeDecodeError:
        return "", f"{name} is no text: set ldap.id_form to the form that the provider sends"
    except ValueError:
        return "", f"{name} has {len(values[0])} octets, which is no GUID: see ldap.id_form"
    if not text.isprintable() or text != text.strip():
        return "", f"{name} has control characters, or blanks around it"
    if len(text) > MAX_AUTH_DATA:
        return "", f"{name} has {len(text)} characters; Mattermost keeps {MAX_AUTH_DATA}"
    return text, ""


def _guid(octets: bytes) -> str:
    """As Active Directory keeps it: the first three numbers have their octets the other way round.

    Raises `ValueError` unless there are 16.
    """
    return str(UUID(bytes_le=octets))


_FORMS: Final[dict[str, Callable[[bytes], str]]] = {
    "text": bytes.decode,
    "base64": lambda octets: b64encode(octets).decode("ascii"),
    "guid": _guid,
}


def _name_problem(name: str, values: Sequence[bytes]) -> str:
    try:
        printable = all(value.decode().isprintable() for value in values)
    except UnicodeDecodeError:
        printable = False
    return "" if printable else f"{name} is no text"


def _described(error: Exception) -> str:
    """The error's own words in one line; `ldap3` puts no password into them."""
    text = str(error) if not isinstance(error, LDAPOperationResult) else error.description
    line = " ".join(str(text).split())
    return f"{type(error).__name__}: {line or 'no reason given'}"


def _way_out(error: LDAPException) -> str:
    if isinstance(error, LDAPInvalidFilterError):
        return "; check ldap.filter (RFC 4515)"
    name = error.description if isinstance(error, LDAPOperationResult) else ""
    return _WAYS.get(str(name), "; see the directory's log")
