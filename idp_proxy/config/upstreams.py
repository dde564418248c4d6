"""What each `[[upstream]]` means, and what holds between the upstreams and Mattermost."""

from __future__ import annotations

import difflib
import hmac
import re
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256

from idp_proxy.config import addresses
from idp_proxy.config.canaries import read_canaries
from idp_proxy.config.probes import read_probe
from idp_proxy.config.review import read_domains
from idp_proxy.config.sections import read_outbound, require
from idp_proxy.config.settings import (
    MetadataFile,
    MetadataUrl,
    SamlSettings,
    Trust,
    UpstreamLimits,
)
from idp_proxy.config.shape import ServiceProviderTable, UpstreamTable
from idp_proxy.decision.subject import IDENTIFIERS
from idp_proxy.saml.answer import RequireSigned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cryptography.x509 import Certificate

    from idp_proxy.config.material import Reader
    from idp_proxy.config.settings import KeyPair, Outbound, UpstreamSettings
    from idp_proxy.config.shape import ConfigFile, MetadataTable, ProxyTable

_PIN = re.compile(r"sha256:[0-9a-f]{64}")
_CANONICAL = re.compile(r"[a-z][a-z0-9_]{0,63}")


def read_upstream(
    index: int, table: UpstreamTable, proxy: ProxyTable, outbound: Outbound, reader: Reader
) -> UpstreamSettings | None:
    """`[[upstream]]` number `index`, counted from 0; `outbound` is how `[proxy]` asks."""
    where = f"upstream[{index}]"
    require(reader, f"{where}.name", addresses.name_problem(table.name))
    _judge_domains(where, table, reader)
    if table.kind == "ldap":
        # The import of its library is slow: who has no directory does not wait for it.
        from idp_proxy.config.directory import read_directory  # noqa: PLC0415 - see above

        return read_directory(index, table, proxy, outbound, reader)
    return _read_saml(where, table, proxy, outbound, reader)


def _read_saml(
    where: str, table: UpstreamTable, proxy: ProxyTable, outbound: Outbound, reader: Reader
) -> SamlSettings | None:
    if "directory" in table.model_fields_set:
        reader.findings.problem(f"{where}.directory", 'belongs to kind = "ldap"')
    metadata = _read_metadata(
        f"{where}.metadata", table.metadata, reader, loopback_http=proxy.insecure_loopback
    )
    signing = reader.key_pair(where, "signing", table.signing_key, table.signing_certificate)
    decryption = _read_decryption(where, table, reader)
    _judge_fields(where, table, reader)
    own_outbound = read_outbound(where, table, outbound, reader)
    probe = read_probe(f"{where}.probe", table.probe, reader, loopback_http=proxy.insecure_loopback)
    canaries = read_canaries(where, table, reader)
    if metadata is None or signing is None:
        return None
    return SamlSettings(
        name=table.name,
        metadata=metadata,
        signing=signing,
        decryption=decryption,
        name_id_format=table.name_id_format,
        requested_authn_context=tuple(table.requested_authn_context),
        require_signed=RequireSigned(table.require_signed),
        allow_aes_cbc=table.allow_aes_cbc,
        email_domains=frozenset(domain.lower() for domain in table.email_domains),
        attributes=dict(table.attributes),
        limits=UpstreamLimits(
            timedelta(seconds=table.limits.clock_skew_s),
            timedelta(seconds=table.limits.max_assertion_lifetime_s),
        ),
        outbound=own_outbound,
        base_url=f"{proxy.public_url}/upstream/{table.name}",
        probe=probe,
        canaries=canaries,
        failure_domains=read_domains(where, table.failure_domains, reader),
    )


def _read_metadata(
    where: str, table: MetadataTable, reader: Reader, *, loopback_http: bool
) -> MetadataFile | MetadataUrl | None:
    if bool(table.file) == bool(table.url):
        reader.findings.problem(where, "exactly one of file and url must be set")
        return None
    if table.file:
        for name in ("certificate", "pin"):
            if getattr(table, name):
                reader.findings.problem(f"{where}.{name}", "belongs to a url, not to a file")
        if table.trust != "tls":
            reader.findings.problem(f"{where}.trust", "belongs to a url, not to a file")
        found = reader.octets(f"{where}.file", table.file)
        return None if found is None else MetadataFile(reader.path(table.file))
    require(reader, f"{where}.url", addresses.url_problem(table.url, loopback_http=loopback_http))
    certificate = _read_metadata_certificate(where, table, reader)
    return MetadataUrl(table.url, Trust(table.trust), certificate, pinned=bool(table.pin))


def _read_metadata_certificate(
    where: str, table: MetadataTable, reader: Reader
) -> Certificate | None:
    """The certificate that signs the metadata, held against its pin (MD-01)."""
    if table.trust == "tls":
        for name in ("certificate", "pin"):
            if getattr(table, name):
                reader.findings.problem(
                    f"{where}.{name}", 'has an effect only with trust = "signed" (MD-01)'
                )
        return None
    if table.pin and _PIN.fullmatch(table.pin) is None:
        reader.findings.problem(
            f"{where}.pin", "not a pin; it has the form sha256: and 64 lower-case hex digits"
        )
    if not table.certificate:
        reader.findings.problem(
            f"{where}.certificate", 'missing: trust = "signed" needs the signer\'s certificate'
        )
        return None
    certificate = reader.certificate(f"{where}.certificate", table.certificate)
    if certificate is not None and _PIN.fullmatch(table.pin):
        actual = f"sha256:{certificate.fingerprint(SHA256()).hex()}"
        if not hmac.compare_digest(actual, table.pin):
            reader.findings.problem(
                f"{where}.pin", f"{table.certificate} is another certificate: {actual} (MD-01)"
            )
    return certificate


def _read_decryption(where: str, table: UpstreamTable, reader: Reader) -> KeyPair | None:
    key, certificate = table.decryption_key, table.decryption_certificate
    if key and certificate:
        return reader.key_pair(where, "decryption", key, certificate)
    if key or certificate:
        absent = "certificate" if key else "key"
        reader.findings.problem(
            f"{where}.decryption_{absent}", "missing: key and certificate come as a pair"
        )
    elif table.allow_aes_cbc:
        reader.findings.warning(f"{where}.allow_aes_cbc", "has no effect without decryption_key")
    return None


def _judge_fields(where: str, table: UpstreamTable, reader: Reader) -> None:
    findings = reader.findings
    if table.allow_aes_cbc and table.require_signed == "assertion":
        findings.problem(
            f"{where}.allow_aes_cbc",
            "AES-CBC can be altered on the way, so the Response around it must be signed: "
            'require_signed = "both" or "response" (SP-02)',
        )
    if not addresses.is_word(table.name_id_format):
        findings.problem(f"{where}.name_id_format", f"not a URI: {table.name_id_format!r}")
    for index, context in enumerate(table.requested_authn_context):
        if not addresses.is_word(context):
            findings.problem(f"{where}.requested_authn_context[{index}]", f"not a URI: {context!r}")


def _judge_domains(where: str, table: UpstreamTable, reader: Reader) -> None:
    for index, domain in enumerate(table.email_domains):
        require(reader, f"{where}.email_domains[{index}]", addresses.domain_problem(domain))
    if table.email_domains and "email" not in table.attributes:
        reader.findings.problem(
            f"{where}.attributes.email", "missing: email_domains cannot be checked without (FO-10)"
        )


def judge_together(file: ConfigFile, reader: Reader) -> None:
    """What holds between sections: names, entity IDs and the way of each attribute."""
    findings, tables = reader.findings, file.upstream
    if not tables:
        findings.problem(
            "upstream", "missing: add one [[upstream]] for the active, one per standby"
        )
    elif len(tables) == 1:
        findings.warning("upstream", "only one: without a standby nothing can take over")
    first: dict[str, int] = {}
    for index, table in enumerate(tables):
        known = first.setdefault(table.name, index)
        if known != index and table.name:
            findings.problem(f"upstream[{index}].name", f"upstream[{known}] has this name too")
        if file.proxy.entity_id == f"{file.proxy.public_url}/upstream/{table.name}/metadata":
            findings.problem(
                "proxy.entity_id",
                f"is what upstream {table.name} knows this proxy by; each side needs its own "
                "(FO-12)",
            )
        _judge_mapping(index, table, reader)
    if file.proxy.entity_id and file.proxy.entity_id == file.service_provider.entity_id:
        findings.warning(
            "service_provider.entity_id",
            "the same as proxy.entity_id: set ServiceProviderIdentifier in Mattermost",
        )
    if tables and not findings.is_cut_out("upstream[0].attributes"):
        _judge_sent(file.service_provider, tables[0].attributes, reader)


def judge_references(
    references: Sequence[str], outbound: Outbound, file: ConfigFile, reader: Reader
) -> None:
    """A reference tells something only on a path that can reach it: a directory's is the direct
    one, whatever outbound proxy the others have.
    """
    hosts = [addresses.url_host(url) or "" for url in references]
    if not outbound.proxy or any(addresses.is_direct(host, outbound.no_proxy) for host in hosts):
        return
    for table in file.upstream:
        if table.kind == "ldap" and hosts:
            reader.findings.warning(
                "health.references",
                f"{table.name} is reached without the outbound proxy, and so are its references: "
                "add one that is reached directly (proxy.no_proxy), or an outage of it may be "
                "taken for one of this host",
            )


def _judge_mapping(index: int, table: UpstreamTable, reader: Reader) -> None:
    """The active says who somebody is; of a standby the link key is enough (FO-09)."""
    where = f"upstream[{index}].attributes"
    _judge_names(where, table.attributes, table.attributes, UpstreamTable.model_fields, reader)
    if index == 0:
        for name in IDENTIFIERS:
            if name not in table.attributes:
                reader.findings.problem(
                    f"{where}.{name}", "missing: the active gives id, email and username (FO-09)"
                )
    elif "link_key" not in table.attributes and "id" not in table.attributes:
        reader.findings.problem(
            f"{where}.link_key", "missing: a standby gives link_key, or id in its place (FO-09)"
        )


def _judge_sent(table: ServiceProviderTable, known: Mapping[str, str], reader: Reader) -> None:
    """What Mattermost is sent exists, has the identifiers, and roles are named right (IDP-06)."""
    where, findings = "service_provider.attributes", reader.findings
    sent = table.attributes
    _judge_names(where, sent, sent.values(), ServiceProviderTable.model_fields, reader)
    for name, canonical in sent.items():
        if canonical not in known:
            findings.problem(f"{where}.{name}", _no_canonical(canonical, known))
    for name in (name for name in IDENTIFIERS if name not in sent.values()):
        findings.problem(where, f'nothing is sent as {name}: add a line such as {name} = "{name}"')
    for index, name in enumerate(table.role_attributes):
        at = f"service_provider.role_attributes[{index}]"
        if name in IDENTIFIERS:
            findings.problem(at, f"{name} says who somebody is; it cannot be withheld (IDP-06)")
        elif name not in known:
            findings.problem(at, _no_canonical(name, known))


def _no_canonical(name: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
    return f"upstream[0].attributes has no {name!r}; {hint}"


def _judge_names(
    where: str,
    mapping: Mapping[str, str],
    canonical: Iterable[str],
    fields: Iterable[str],
    reader: Reader,
) -> None:
    """Names on both sides; a field that slipped below the attributes' header is called out."""
    slipped = set(fields) - {"name"}
    for name, value in mapping.items():
        if name in slipped:
            reader.findings.problem(
                f"{where}.{name}", "is a field, not an attribute: move it above the attributes"
            )
        if not name or not value or not (name + value).isprintable() or value != value.strip():
            reader.findings.problem(f"{where}.{name}", f"names no attribute: {value!r}")
    for name in canonical:
        if name and _CANONICAL.fullmatch(name) is None:
            reader.findings.problem(
                where, f"{name!r} is no canonical name: lower-case letters, digits, underscores"
            )
