"""The shape of the file: sections, names, types and ranges. What they mean is judged elsewhere.

Every field has a default, so that a file with wrong fields still has a shape once these are cut
out, and the rest is checked in the same reading. A field that must be there is empty by default.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError

from idp_proxy.config.assurance_shape import (
    AssuranceTable,
    EvidenceTable,
    UpstreamAssuranceTable,
)
from idp_proxy.config.failover_shape import FailoverTable, HealthTable
from idp_proxy.config.findings import Findings, path_of
from idp_proxy.config.mattermost_shape import ApiTable
from idp_proxy.config.metrics import MetricsTable
from idp_proxy.config.networks_shape import KnownNetworkTable
from idp_proxy.config.review_shape import OperatorsPathTable, ReviewTable
from idp_proxy.config.roster_shape import RosterLdapTable, RosterTable
from idp_proxy.config.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"


class ProxyTable(Table):
    """`[proxy]`."""

    entity_id: str = ""
    public_url: str = ""
    listen: str = "127.0.0.1:8443"
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    tls_certificate: str = ""
    tls_key: str = ""
    trusted_proxies: list[str] = Field(default_factory=list)
    signing_key: str = ""
    signing_certificate: str = ""
    next_signing_certificate: str = ""
    state_keys: list[str] = Field(default_factory=list)
    support_url: str = ""
    outbound_proxy: str = ""
    no_proxy: list[str] = Field(default_factory=list)
    tls_ca: str = ""
    data_dir: str = "var"
    host: str = ""
    insecure_loopback: bool = False
    answer_within_s: Annotated[int, Field(ge=1, le=280)] = 280


class StoreTable(Table):
    """`[store]`."""

    url: str = "sqlite:///var/idp-proxy.db"


class ServiceProviderTable(Table):
    """`[service_provider]`."""

    entity_id: str = ""
    acs_url: str = ""
    login_url: str = ""
    signing_certificates: list[str] = Field(default_factory=list)
    require_signed_requests: bool = False
    encrypt: bool = False
    encryption_certificate: str = ""
    encryption_algorithm: Literal["aes128-gcm", "aes256-gcm"] = "aes128-gcm"
    converted_file: str = ""
    converted_key: str = ""
    attributes: dict[str, str] = Field(default_factory=dict)
    role_attributes: list[str] = Field(default_factory=list)
    enable_admin_attribute: bool = False
    admin_attribute: str = ""
    guest_attribute: str = ""
    api: ApiTable = Field(default_factory=ApiTable)


class MetadataTable(Table):
    """`metadata = { ... }`."""

    file: str = ""
    url: str = ""
    trust: Literal["tls", "signed"] = "tls"
    certificate: str = ""
    pin: str = ""


class LimitsTable(Table):
    """`[upstream.limits]`."""

    clock_skew_s: Annotated[int, Field(ge=0, le=180)] = 120
    max_assertion_lifetime_s: Annotated[int, Field(ge=1, le=3600)] = 3600


class ProbeTable(Table):
    """`[upstream.probe]`."""

    url: str = ""
    status: Annotated[int, Field(ge=200, le=499)] = 200
    expect: str = ""
    redirects: list[str] = Field(default_factory=list)


class CanaryTable(Table):
    """`[[upstream.canary]]`."""

    name: str = ""
    kind: Literal["form", "browser", "bind"] = "form"
    username: str = ""
    password: str = ""
    totp: str = ""
    subject: str = ""
    username_field: str = ""
    password_field: str = ""
    totp_field: str = ""
    hosts: list[str] = Field(default_factory=list)
    chromium: str = ""


class DirectoryTable(Table):
    """`[upstream.directory]`."""

    urls: list[str] = Field(default_factory=list)
    start_tls: bool = True
    tls_ca: str = ""
    bind_dn: str = ""
    bind_password: str = ""
    base: str = ""
    user_filter: str = "(uid={username})"
    probe_user: str = ""
    connect_timeout_s: Annotated[float, Field(ge=0.1, le=60)] = 2
    timeout_s: Annotated[float, Field(ge=0.1, le=60)] = 5
    guid: Literal["uuid", "base64"] = "uuid"
    lockout_after: Annotated[int, Field(ge=4, le=100)] = 10
    lockout_window_s: Annotated[int, Field(ge=60, le=86400)] = 1800
    failures_per_source: Annotated[int, Field(ge=1, le=1000)] = 20
    failures_elsewhere: Annotated[int, Field(ge=1, le=100000)] = 200


class UpstreamTable(Table):
    """`[[upstream]]`. None: as in `[proxy]`."""

    name: str = ""
    kind: Literal["saml", "ldap"] = "saml"
    metadata: MetadataTable = Field(default_factory=MetadataTable)
    signing_key: str = ""
    signing_certificate: str = ""
    decryption_key: str = ""
    decryption_certificate: str = ""
    name_id_format: str = PERSISTENT
    requested_authn_context: list[str] = Field(default_factory=list)
    require_signed: Literal["assertion", "response", "both"] = "assertion"
    allow_aes_cbc: bool = False
    email_domains: list[str] = Field(default_factory=list)
    failure_domains: list[str] = Field(default_factory=list)
    outbound_proxy: str | None = None
    no_proxy: list[str] | None = None
    tls_ca: str | None = None
    attributes: dict[str, str] = Field(default_factory=dict)
    limits: LimitsTable = Field(default_factory=LimitsTable)
    probe: ProbeTable = Field(default_factory=ProbeTable)
    canary: list[CanaryTable] = Field(default_factory=list)
    directory: DirectoryTable = Field(default_factory=DirectoryTable)
    assurance: UpstreamAssuranceTable = Field(default_factory=UpstreamAssuranceTable)


class AuditTable(Table):
    """`[audit]`."""

    checkpoint_file: str = ""
    checkpoint_key: str = ""
    retention_days: Annotated[int, Field(ge=0, le=36500)] = 0


class NotifyTable(Table):
    """`[notify]`."""

    urls: list[str] = Field(default_factory=list)
    language: Literal["en", "de"] = "en"
    repeat_minutes: Annotated[int, Field(ge=1, le=10080)] = 60
    held_reminder_hours: Annotated[int, Field(ge=1, le=168)] = 4
    timeout_s: Annotated[int, Field(ge=1, le=60)] = 10


class ConfigFile(Table):
    """The whole file."""

    proxy: ProxyTable = Field(default_factory=ProxyTable)
    store: StoreTable = Field(default_factory=StoreTable)
    service_provider: ServiceProviderTable = Field(default_factory=ServiceProviderTable)
    upstream: list[UpstreamTable] = Field(default_factory=list)
    assurance: AssuranceTable = Field(default_factory=AssuranceTable)
    roster: RosterTable = Field(default_factory=RosterTable)
    known_network: list[KnownNetworkTable] = Field(default_factory=list)
    audit: AuditTable = Field(default_factory=AuditTable)
    failover: FailoverTable = Field(default_factory=FailoverTable)
    health: HealthTable = Field(default_factory=HealthTable)
    notify: NotifyTable = Field(default_factory=NotifyTable)
    metrics: MetricsTable = Field(default_factory=MetricsTable)
    review: ReviewTable = Field(default_factory=ReviewTable)


_TABLES: dict[str, type[Table]] = {
    "proxy": ProxyTable,
    "store": StoreTable,
    "service_provider": ServiceProviderTable,
    "upstream": UpstreamTable,
    "metadata": MetadataTable,
    "limits": LimitsTable,
    "probe": ProbeTable,
    "canary": CanaryTable,
    "directory": DirectoryTable,
    "evidence": EvidenceTable,
    "assurance": AssuranceTable,
    "upstream.assurance": UpstreamAssuranceTable,
    "api": ApiTable,
    "roster": RosterTable,
    "ldap": RosterLdapTable,
    "known_network": KnownNetworkTable,
    "audit": AuditTable,
    "notify": NotifyTable,
    "metrics": MetricsTable,
    "failover": FailoverTable,
    "health": HealthTable,
    "review": ReviewTable,
    "operators_path": OperatorsPathTable,
}

_LISTS_OF_TABLES = frozenset({"upstream", "canary", "evidence", "known_network"})

#: The rule that a limit comes from.
_RULES = {"clock_skew_s": " (SP-07)", "max_assertion_lifetime_s": " (SP-07)"}

_TYPES = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number without quotes",
    "float_type": "must be a number without quotes",
    "bool_type": "must be true or false, without quotes",
    "list_type": "must be a list in brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}


def read_shape(document: dict[str, Any], findings: Findings) -> ConfigFile:
    """`document` without whatever has no place, or another type than its place asks for.

    That is cut out of `document` itself: a copy would follow every table that a stranger nests.
    """
    try:
        return ConfigFile.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    for one in errors:
        findings.cut_out(path_of(one["loc"]), _explain(one))
        _cut_out(document, one["loc"])
    return ConfigFile.model_validate(document)


def _cut_out(document: dict[str, Any], location: Sequence[str | int]) -> None:
    """Remove one wrong value; in a list an empty one takes its place, so that indexes stay."""
    container: Any = document
    for part in location[:-1]:
        container = container[part]
    last = location[-1]
    if isinstance(container, list):
        container[int(last)] = {} if location[-2] in _LISTS_OF_TABLES else ""
    else:
        container.pop(last, None)


def _explain(error: ErrorDetails) -> str:
    """What is wrong, in words for whoever edits the file. The value itself may be a secret."""
    location, kind, context = error["loc"], error["type"], error.get("ctx", {})
    rule = _RULES.get(str(location[-1]), "")
    if kind == "extra_forbidden":
        return _unknown(location)
    if kind == "literal_error" and not isinstance(error["input"], str):
        return f"{_TYPES['string_type']}: {context['expected']}"
    if kind == "literal_error":
        return f"unknown value {error['input']!r}; use {context['expected']}"
    if kind == "greater_than_equal":
        return f"{error['input']} is too small: at least {context['ge']}{rule}"
    if kind == "less_than_equal":
        return f"{error['input']} is too large: at most {context['le']}{rule}"
    return _TYPES.get(kind, error["msg"]) + rule


def _unknown(location: Sequence[str | int]) -> str:
    """An unknown field: the name that was probably meant, or the table where it belongs."""
    name = str(location[-1])
    tables = [part for part in location[:-1] if isinstance(part, str)]
    nested = ".".join(tables[-2:])
    model = _TABLES[nested if nested in _TABLES else tables[-1]] if tables else ConfigFile
    close = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.6)
    if close:
        return f"unknown field; did you mean {close[0]}?"
    homes = [home for home, table in _TABLES.items() if name in table.model_fields]
    if homes:
        return f"unknown field here; it belongs in {' or '.join(homes)}"
    return f"unknown field; there are {', '.join(model.model_fields)}"
