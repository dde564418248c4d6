"""What each section means: its values judged, its files read. None after a problem was noted."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from idp_proxy.config import addresses
from idp_proxy.config.roster import role_attributes
from idp_proxy.config.settings import (
    AuditSettings,
    Checkpoints,
    Converted,
    Encryption,
    EncryptionAlgorithm,
    Outbound,
    ProxySettings,
    ServiceProviderSettings,
    StoreSettings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.engine import URL

    from idp_proxy.config.material import Reader
    from idp_proxy.config.mattermost_shape import ApiTable
    from idp_proxy.config.settings import Listen, TlsFiles
    from idp_proxy.config.shape import (
        AuditTable,
        ProxyTable,
        ServiceProviderTable,
        StoreTable,
        UpstreamTable,
    )

_HOST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_BY_REFERENCE = (
    "a password may not stand in this file (KEY-01); put the whole URL into a file of its own with "
    'chmod 600 and write "file:PATH", or write "env:NAME"'
)
_SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})
_POSTGRESQL = frozenset({"postgresql", "postgresql+psycopg"})


def require(reader: Reader, where: str, problem: str | None) -> None:
    """Note `problem` at `where` if there is one."""
    if problem is not None:
        reader.findings.problem(where, problem)


def read_proxy(table: ProxyTable, outbound: Outbound, reader: Reader) -> ProxySettings | None:
    """`[proxy]`."""
    _judge_addresses(table, reader)
    listen = _read_listen(table, reader)
    tls = _read_tls(table, reader, listen)
    signing = reader.key_pair("proxy", "signing", table.signing_key, table.signing_certificate)
    successor = None
    if table.next_signing_certificate:
        successor = reader.certificate(
            "proxy.next_signing_certificate", table.next_signing_certificate
        )
    state_keys = _read_state_keys(table.state_keys, reader)
    host = _read_host(table.host, reader)
    data_dir = _read_data_dir(table.data_dir, reader)
    if listen is None or signing is None:
        return None
    return ProxySettings(
        entity_id=table.entity_id,
        public_url=table.public_url,
        listen=listen,
        workers=table.workers,
        tls=tls,
        trusted_proxies=tuple(table.trusted_proxies),
        signing=signing,
        next_certificate=successor,
        state_keys=state_keys,
        support_url=table.support_url,
        outbound=outbound,
        data_dir=data_dir,
        host=host,
        insecure_loopback=table.insecure_loopback,
        answer_within=timedelta(seconds=table.answer_within_s),
    )


def _judge_addresses(table: ProxyTable, reader: Reader) -> None:
    require(reader, "proxy.entity_id", addresses.entity_id_problem(table.entity_id))
    require(
        reader,
        "proxy.public_url",
        addresses.origin_problem(table.public_url, loopback_http=table.insecure_loopback),
    )
    for index, network in enumerate(table.trusted_proxies):
        require(reader, f"proxy.trusted_proxies[{index}]", addresses.network_problem(network))
    if table.support_url:
        require(reader, "proxy.support_url", addresses.support_problem(table.support_url))
    else:
        reader.findings.warning(
            "proxy.support_url", "not set: who cannot log in finds no link to help"
        )


def _read_data_dir(name: str, reader: Reader) -> Path:
    """The folder of this host's own state; it is made at the first start if it is missing."""
    folder = reader.path(name)
    try:
        wrong = not name.isprintable() or not name or (folder.exists() and not folder.is_dir())
    except OSError:  # a name too long, or behind a closed folder
        wrong = True
    if wrong:
        reader.findings.problem("proxy.data_dir", f"not a folder: {name!r}")
    return folder


def _read_listen(table: ProxyTable, reader: Reader) -> Listen | None:
    listen = addresses.parse_listen(table.listen)
    if listen is None:
        reader.findings.problem(
            "proxy.listen",
            f"not an address: {table.listen!r}; it has the form 127.0.0.1:8443 or [::1]:8443",
        )
        return None
    if table.insecure_loopback:
        _judge_loopback(table, listen, reader)
    return listen


def _judge_loopback(table: ProxyTable, listen: Listen, reader: Reader) -> None:
    """Without TLS and Secure cookies the proxy is for one machine only (WEB-01)."""
    cure = "insecure_loopback is for 127.0.0.1 and localhost only (WEB-01); set it to false"
    if not addresses.is_loopback(listen.host):
        reader.findings.problem("proxy.listen", f"{listen.host} is not loopback: {cure}")
    if addresses.origin_problem(table.public_url, loopback_http=True) is None:
        host = addresses.url_host(table.public_url)
        if not addresses.is_loopback(host):
            reader.findings.problem("proxy.public_url", f"{host} is not loopback: {cure}")


def _read_tls(table: ProxyTable, reader: Reader, listen: Listen | None) -> TlsFiles | None:
    if table.tls_key or table.tls_certificate:
        return reader.tls_files("proxy", table.tls_key, table.tls_certificate)
    if listen is not None and not addresses.is_loopback(listen.host) and not table.trusted_proxies:
        reader.findings.problem(
            "proxy.listen",
            f"{listen.host} without TLS (WEB-01): set tls_certificate and tls_key, or name the "
            "reverse proxy that holds them in trusted_proxies",
        )
    return None


def _read_state_keys(references: Sequence[str], reader: Reader) -> tuple[bytes, ...]:
    if not references:
        reader.findings.problem(
            "proxy.state_keys", 'missing: at least one reference, such as ["file:keys/state.key"]'
        )
    keys = [
        reader.secret(f"proxy.state_keys[{index}]", reference)
        for index, reference in enumerate(references)
    ]
    return tuple(key for key in keys if key is not None)


def _read_host(name: str, reader: Reader) -> str:
    host = name or socket.gethostname()
    if _HOST_NAME.fullmatch(host) is None:
        reader.findings.problem(
            "proxy.host",
            f"{host!r} cannot name this host in the audit: letters, digits, dots, hyphens and "
            "underscores, at most 63",
        )
    return host


def read_outbound(
    where: str, table: ProxyTable | UpstreamTable | ApiTable, inherited: Outbound, reader: Reader
) -> Outbound:
    """How requests leave; what the table does not set is as `inherited`."""
    proxy, no_proxy, tls_ca = inherited.proxy, inherited.no_proxy, inherited.tls_ca
    if table.outbound_proxy is not None:
        proxy = _read_outbound_proxy(f"{where}.outbound_proxy", table.outbound_proxy, reader)
    if table.no_proxy is not None:
        no_proxy = tuple(table.no_proxy)
        for index, entry in enumerate(no_proxy):
            if not addresses.is_word(entry):
                reader.findings.problem(f"{where}.no_proxy[{index}]", f"not a host: {entry!r}")
    if table.tls_ca is not None:
        tls_ca = None
        if table.tls_ca and reader.certificates(f"{where}.tls_ca", table.tls_ca):
            tls_ca = reader.path(table.tls_ca)
    return Outbound(proxy, no_proxy, tls_ca)


def _read_outbound_proxy(where: str, text: str, reader: Reader) -> str:
    """A proxy's URL, which is a reference if it holds a password."""
    if text.startswith(("file:", "env:")):
        text = reader.secret_text(where, text) or ""
    elif text and addresses.holds_password(text):
        reader.findings.problem(where, _BY_REFERENCE)
        return ""
    if text:
        require(reader, where, addresses.outbound_problem(text))
    return text


def read_store(table: StoreTable, reader: Reader) -> StoreSettings | None:
    """`[store]`, with an absolute path for SQLite."""
    at, text = "store.url", table.url
    by_reference = text.startswith(("file:", "env:"))
    if by_reference:
        found = reader.secret_text(at, text)
        if found is None:
            return None
        text = found
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        reader.findings.problem(
            at, "not a database URL; the usual one is sqlite:///var/idp-proxy.db"
        )
        return None
    if not by_reference and (url.password is not None or "password" in url.query):
        reader.findings.problem(at, _BY_REFERENCE)
        return None
    if url.drivername in _SQLITE:
        return _sqlite(url, reader)
    if url.drivername in _POSTGRESQL:
        return StoreSettings(
            url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        )
    reader.findings.problem(at, f"unknown database {url.drivername!r}; use sqlite or postgresql")
    return None


def _sqlite(url: URL, reader: Reader) -> StoreSettings | None:
    database = url.database or ""
    if url.host or url.query or not database or database.startswith((":", "file:")):
        reader.findings.problem(
            "store.url",
            "all workers need one database file; the form is sqlite:///var/idp-proxy.db",
        )
        return None
    absolute = url.set(drivername="sqlite", database=str(reader.path(database)))
    return StoreSettings(absolute.render_as_string(hide_password=False))


def read_service_provider(
    table: ServiceProviderTable, reader: Reader, *, insecure_loopback: bool
) -> ServiceProviderSettings:
    """`[service_provider]`; what its attributes mean is judged with the upstreams."""
    where = "service_provider"
    require(reader, f"{where}.entity_id", addresses.entity_id_problem(table.entity_id))
    for name, url in (("acs_url", table.acs_url), ("login_url", table.login_url)):
        require(
            reader,
            f"{where}.{name}",
            addresses.url_problem(url, loopback_http=insecure_loopback),
        )
    certificates = [
        reader.certificate(f"{where}.signing_certificates[{index}]", name)
        for index, name in enumerate(table.signing_certificates)
    ]
    if table.require_signed_requests and not table.signing_certificates:
        reader.findings.problem(
            f"{where}.signing_certificates",
            "missing: require_signed_requests = true needs Mattermost's certificate (IDP-02)",
        )
    return ServiceProviderSettings(
        entity_id=table.entity_id,
        acs_url=table.acs_url,
        login_url=table.login_url,
        signing_certificates=tuple(found for found in certificates if found is not None),
        require_signed_requests=table.require_signed_requests,
        encryption=_read_encryption(table, reader),
        converted=_read_converted(table, reader),
        attributes=dict(table.attributes),
        role_attributes=role_attributes(table),
        enable_admin_attribute=table.enable_admin_attribute,
    )


def _read_encryption(table: ServiceProviderTable, reader: Reader) -> Encryption | None:
    """The certificate is read even when encryption is off: a wrong one shows before it counts."""
    at = "service_provider.encryption_certificate"
    if not table.encrypt and not table.encryption_certificate:
        return None
    if not table.encryption_certificate:
        reader.findings.problem(at, "missing: encrypt = true needs Mattermost's certificate")
        return None
    certificate = reader.certificate(at, table.encryption_certificate)
    if certificate is None or not table.encrypt:
        return None
    return Encryption(EncryptionAlgorithm(table.encryption_algorithm), certificate)


def _read_converted(table: ServiceProviderTable, reader: Reader) -> Converted | None:
    """The file itself may be missing: the login journey raises an alarm about that."""
    where = "service_provider"
    if not table.converted_file and not table.converted_key:
        return None
    if not table.converted_file:
        reader.findings.problem(f"{where}.converted_file", "missing: it comes with converted_key")
        return None
    if not table.converted_key:
        reader.findings.problem(f"{where}.converted_key", "missing: it comes with converted_file")
        return None
    key = reader.secret(f"{where}.converted_key", table.converted_key)
    return None if key is None else Converted(reader.path(table.converted_file), key)


def read_audit(table: AuditTable, reader: Reader) -> AuditSettings:
    """`[audit]`."""
    retention = timedelta(days=table.retention_days) if table.retention_days else None
    if not table.checkpoint_file and not table.checkpoint_key:
        reader.findings.warning(
            "audit.checkpoint_file", "not set: nobody could prove that no row was cut off the end"
        )
        if retention is not None:
            reader.findings.problem(
                "audit.retention_days",
                "needs checkpoint_file and checkpoint_key: rows go only as far as one vouches",
            )
        return AuditSettings(None, retention)
    for name, value in (
        ("checkpoint_file", table.checkpoint_file),
        ("checkpoint_key", table.checkpoint_key),
    ):
        if not value:
            reader.findings.problem(f"audit.{name}", "missing: file and key come together")
    if not table.checkpoint_file or not table.checkpoint_key:
        return AuditSettings(None, retention)
    key = reader.ed25519_key("audit.checkpoint_key", table.checkpoint_key)
    if key is None:
        return AuditSettings(None, retention)
    return AuditSettings(Checkpoints(reader.path(table.checkpoint_file), key), retention)
