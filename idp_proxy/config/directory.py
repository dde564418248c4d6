"""`[[upstream]]` of kind "ldap": what `[upstream.directory]` means, and what stands beside it.

Whoever reads a directory's answer believes it: each connection is encrypted and verified, and bound
by name. A filter is judged here by the parser that will send it; the user name is put in escaped.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ldap3.core.exceptions import LDAPInvalidDnError
from ldap3.operation.search import AND, MATCH_EQUAL, MATCH_EXTENSIBLE, ROOT
from ldap3.utils.dn import parse_dn

from idp_proxy.config import addresses
from idp_proxy.config.canaries import read_canaries
from idp_proxy.config.ldap_filter import parsed
from idp_proxy.config.review import read_domains
from idp_proxy.config.sections import require
from idp_proxy.config.settings import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.decision.password_limits import PasswordLimits
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from idp_proxy.config.material import Reader
    from idp_proxy.config.shape import DirectoryTable, ProxyTable, UpstreamTable

USERNAME: Final = "{username}"
#: The fields of `[[upstream]]` that every kind has; `directory` is this kind's own.
_FIELDS: Final = frozenset(
    {
        "name",
        "kind",
        "email_domains",
        "failure_domains",
        "attributes",
        "assurance",
        "canary",
        "directory",
    }
)
_INSTEAD: Final = {
    "tls_ca": "; a directory's authorities are directory.tls_ca",
    "outbound_proxy": "; a directory is reached directly, never by an outbound proxy",
    "no_proxy": "; a directory is reached directly, never by an outbound proxy",
    "probe": "; a directory is asked for directory.probe_user",
}
_PORTS: Final = {"ldap": 389, "ldaps": 636}
_MOST_HOSTS: Final = 5
#: By how much the clocks of the proxy's hosts may differ.
_CLOCKS: Final = timedelta(minutes=2)
_LONGEST: Final = 1024
#: Stands for a user name while a filter is judged; no filter has it by chance.
_MARK: Final = "the-name-of-a-user"
#: RFC 4512 section 2.5: a short name or a dotted number, with options.
_ATTRIBUTE: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)(;[A-Za-z0-9-]+)*")


def read_directory(
    index: int, table: UpstreamTable, proxy: ProxyTable, outbound: Outbound, reader: Reader
) -> DirectorySettings | None:
    """`[[upstream]]` number `index` and its `[upstream.directory]`; None after a problem."""
    where = f"upstream[{index}]"
    _judge_place(index, table, reader)
    own, at = table.directory, f"{where}.directory"
    hosts = tuple(_read_hosts(at, own, proxy, reader))
    _judge_names(at, own, reader)
    _judge_attributes(f"{where}.attributes", table, reader)
    canaries = read_canaries(where, table, reader)
    password = reader.secret_text(f"{at}.bind_password", own.bind_password)
    if own.connect_timeout_s > own.timeout_s:
        reader.findings.problem(f"{at}.connect_timeout_s", "longer than timeout_s, the whole")
    if password is None or not hosts:
        return None
    return DirectorySettings(
        name=table.name,
        email_domains=frozenset(domain.lower() for domain in table.email_domains),
        attributes=dict(table.attributes),
        outbound=Outbound(tls_ca=outbound.tls_ca),
        hosts=hosts,
        tls_ca=_read_authorities(f"{at}.tls_ca", own.tls_ca, reader),
        bind_dn=own.bind_dn,
        bind_password=password,
        base=own.base,
        user_filter=own.user_filter,
        probe_user=own.probe_user,
        connect_timeout=timedelta(seconds=own.connect_timeout_s),
        timeout=timedelta(seconds=own.timeout_s),
        failure_domains=read_domains(where, table.failure_domains, reader),
        base_url=f"{proxy.public_url}/upstream/{table.name}",
        guid=own.guid,
        limits=PasswordLimits(
            lockout_after=own.lockout_after,
            lockout_window=timedelta(seconds=own.lockout_window_s),
            # A try may wait for each host before the one that takes it.
            late=timedelta(seconds=own.timeout_s * len(hosts)) + _CLOCKS,
            per_source=own.failures_per_source,
            elsewhere=own.failures_elsewhere,
        ),
        canaries=canaries,
    )


def _judge_place(index: int, table: UpstreamTable, reader: Reader) -> None:
    """What belongs to the other kind, and the place of the active."""
    where = f"upstream[{index}]"
    for name in sorted(table.model_fields_set - _FIELDS):
        reader.findings.problem(
            f"{where}.{name}", f'belongs to kind = "saml"{_INSTEAD.get(name, "")}'
        )
    if index == 0:
        reader.findings.problem(
            f"{where}.kind",
            "a directory only stands by: the active makes the roster, by answers that it signs; "
            'put one of kind "saml" first',
        )


def _read_hosts(
    at: str, table: DirectoryTable, proxy: ProxyTable, reader: Reader
) -> Iterator[DirectoryHost]:
    if not table.urls:
        reader.findings.problem(f"{at}.urls", 'missing; it has the form ["ldaps://ldap1.corp"]')
    if len(table.urls) > _MOST_HOSTS:
        reader.findings.problem(f"{at}.urls", f"more than {_MOST_HOSTS} hosts")
    known: set[tuple[str, int]] = set()
    for index, url in enumerate(table.urls):
        where = f"{at}.urls[{index}]"
        if (problem := addresses.directory_problem(url)) is not None:
            reader.findings.problem(where, problem)
            continue
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        if (host, port) in known:
            reader.findings.problem(where, f"names {host} once more")
        known.add((host, port))
        encrypted: Encrypted | None = (
            Encrypted.LDAPS if parts.scheme == "ldaps" else Encrypted.START_TLS
        )
        if encrypted is Encrypted.START_TLS and not table.start_tls:
            encrypted = None
            if not (proxy.insecure_loopback and addresses.is_loopback(host)):
                reader.findings.problem(
                    where,
                    "passwords would be sent in the clear; use ldaps://, or leave start_tls on "
                    "(plain ldap is for 127.0.0.1 with insecure_loopback = true)",
                )
        yield DirectoryHost(host, port, encrypted)


def _read_authorities(where: str, name: str, reader: Reader) -> Path | None:
    return reader.path(name) if name and reader.certificates(where, name) else None


def _judge_names(at: str, table: DirectoryTable, reader: Reader) -> None:
    """Names of entries, and the filter. All of them go to the directory as they stand."""
    for name in ("bind_dn", "base", "user_filter", "probe_user"):
        value = getattr(table, name)
        if not value:
            reader.findings.problem(f"{at}.{name}", "missing")
        elif not value.isprintable() or value != value.strip() or len(value) > _LONGEST:
            reader.findings.problem(
                f"{at}.{name}", "must be one line, without blanks around it, at most 1024 long"
            )
        elif name == "user_filter":
            require(reader, f"{at}.{name}", _filter_problem(value))
        elif name == "base" or (name == "bind_dn" and "=" in value):
            require(reader, f"{at}.{name}", _dn_problem(value))
        elif name == "bind_dn" and "@" not in value:
            require(reader, f"{at}.{name}", "neither a DN nor an Active Directory name (svc@corp)")


def _judge_attributes(where: str, table: UpstreamTable, reader: Reader) -> None:
    for name, attribute in table.attributes.items():
        if attribute and _ATTRIBUTE.fullmatch(attribute) is None:
            reader.findings.problem(
                f"{where}.{name}", f"not the name of a directory's attribute: {attribute!r}"
            )


def _dn_problem(text: str) -> str | None:
    try:
        parse_dn(text)
    except LDAPInvalidDnError as error:
        return f"no DN: {error}; it has the form ou=people,dc=example,dc=org"
    return None


def _filter_problem(text: str) -> str | None:
    """What keeps `text` from finding exactly the person whose name is put in (RFC 4515)."""
    if text.count(USERNAME) != 1:
        return f"must hold {USERNAME} exactly once, as in (uid={USERNAME})"
    try:
        root = parsed(text.replace(USERNAME, _MARK), f"(uid={USERNAME})")
    except ConfigError as error:
        return error.problems[0]
    decisive = False
    for leaf, around in _assertions(root, frozenset()):
        name = leaf.assertion.get("attr") or ""
        if _ATTRIBUTE.fullmatch(name) is None or _MARK in name:
            return f"names no attribute: {name.replace(_MARK, USERNAME)!r}"
        if _MARK in str(leaf.assertion.get("value", "")):
            decisive = leaf.tag in {MATCH_EQUAL, MATCH_EXTENSIBLE} and around <= {ROOT, AND}
    if not decisive:
        return (
            f"{USERNAME} must decide who is found: by =, without *, and with nothing but (& ) "
            "around it"
        )
    return None


def _assertions(node: Any, around: frozenset[int]) -> Iterator[tuple[Any, frozenset[int]]]:
    """Each assertion of a parsed filter, with the operators around it."""
    if not node.elements:
        yield node, around
    for element in node.elements:
        yield from _assertions(element, around | {node.tag})
