"""The shape of the file: sections, names, types and ranges. What they mean is judged elsewhere.

Every field has a default, so that a file with wrong fields still has a shape once these are cut
out, and the rest is judged in the same reading. A field that must be there is empty by default.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails


class Table(BaseModel):
    """A TOML table: no unknown field, and no value of another type is bent into shape."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class MattermostTable(Table):
    """`[mattermost]`."""

    url: str = ""
    token: str = ""
    tls_ca: str = ""
    outbound_proxy: str = ""
    local_socket: str = ""
    timeout_s: Annotated[float, Field(ge=1, le=300)] = 30.0
    concurrency: Annotated[int, Field(ge=1, le=64)] = 16
    plain_concurrency: Annotated[int, Field(ge=1, le=64)] = 2
    patience_s: Annotated[float, Field(ge=1, le=3600)] = 60.0


class LedgerTable(Table):
    """`[ledger]`."""

    url: str = "sqlite:///conversion.db"
    mirror: str = ""
    host: str = ""
    backup_key: str = ""


class CampaignTable(Table):
    """`[campaign]`."""

    operator_user: str = ""
    proxy_status_url: str = ""
    proxy_tls_ca: str = ""
    converted_file: str = ""
    converted_key: str = ""
    settle_delay_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    error_budget_percent: Annotated[float, Field(ge=0, le=100)] = 5.0
    at_most_percent: Annotated[float, Field(gt=0, le=100)] = 25.0
    inventory_max_age_h: Annotated[float, Field(gt=0, le=8760)] = 26.0
    attempts: Annotated[int, Field(ge=1, le=50)] = 5
    pilot: Annotated[int, Field(ge=1, le=100)] = 5
    minutes_a_call: Annotated[float, Field(gt=0, le=120)] = 6.0
    owner: str = ""
    remind_h: Annotated[float, Field(gt=0, le=8760)] = 24.0
    deadline_h: Annotated[float, Field(gt=0, le=8760)] = 72.0


class NotifyTable(Table):
    """`[notify]`."""

    urls: list[str] = Field(default_factory=list)
    language: Literal["en", "de"] = "en"
    repeat_h: Annotated[float, Field(ge=1, le=168)] = 24.0
    timeout_s: Annotated[float, Field(ge=1, le=60)] = 10.0


class LdapTable(Table):
    """`[ldap]`."""

    urls: list[str] = Field(default_factory=list)
    base: str = ""
    filter: str = "(objectClass=person)"
    id_attribute: str = ""
    id_form: Literal["text", "base64", "guid"] = "text"
    email: str = ""
    username: str = ""
    bind_dn: str = ""
    bind_password: str = ""
    tls_ca: str = ""
    timeout_s: Annotated[int, Field(ge=1, le=300)] = 10


class AuditTable(Table):
    """`[audit]`."""

    checkpoint_file: str = ""
    checkpoint_key: str = ""


class OperatorsTable(Table):
    """`[operators]`."""

    url: str = ""
    state_keys: list[str] = Field(default_factory=list)


class ConfigFile(Table):
    """The whole file."""

    mattermost: MattermostTable = Field(default_factory=MattermostTable)
    ledger: LedgerTable = Field(default_factory=LedgerTable)
    campaign: CampaignTable = Field(default_factory=CampaignTable)
    notify: NotifyTable = Field(default_factory=NotifyTable)
    operators: OperatorsTable = Field(default_factory=OperatorsTable)
    ldap: LdapTable = Field(default_factory=LdapTable)
    audit: AuditTable = Field(default_factory=AuditTable)


_TABLES: Final[dict[str, type[Table]]] = {
    "mattermost": MattermostTable,
    "ledger": LedgerTable,
    "campaign": CampaignTable,
    "notify": NotifyTable,
    "operators": OperatorsTable,
    "ldap": LdapTable,
    "audit": AuditTable,
}

_TYPES: Final = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number without quotes",
    "float_type": "must be a number without quotes",
    "finite_number": "must be a finite number",
    "model_type": "must be a table",
    "list_type": "must be a list in brackets",
}


def read_shape(document: dict[str, Any]) -> tuple[ConfigFile, tuple[str, ...]]:
    """`document` without whatever has no place or another type, and what was wrong with that.

    It is cut out of `document` itself: a copy would follow tables to whatever depth they nest.
    """
    try:
        return ConfigFile.model_validate(document), ()
    except ValidationError as error:
        errors = error.errors(include_url=False)
    for one in errors:
        _cut_out(document, one["loc"])
    problems = tuple(f"{'.'.join(map(str, one['loc']))}: {_explain(one)}" for one in errors)
    return ConfigFile.model_validate(document), problems


def _cut_out(document: dict[str, Any], location: Sequence[str | int]) -> None:
    container: Any = document
    for part in location[:-1]:
        container = container[part]
    container.pop(location[-1], None)


def _explain(error: ErrorDetails) -> str:
    """What is wrong, in words for whoever edits the file. Text may be a secret: not shown."""
    kind, limits = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(error["loc"])
    if kind in {"greater_than_equal", "greater_than"}:
        edge = f"at least {limits['ge']}" if "ge" in limits else f"more than {limits['gt']}"
        return f"{error['input']} is too small: {edge}"
    if kind == "literal_error":
        return f"must be {limits['expected']}"
    if kind == "less_than_equal":
        return f"{error['input']} is too large: at most {limits['le']}"
    return _TYPES.get(kind, error["msg"])


def _unknown(location: Sequence[str | int]) -> str:
    """An unknown field: the name that was probably meant, or the table where it belongs."""
    name = str(location[-1])
    model = _TABLES[str(location[0])] if len(location) > 1 else ConfigFile
    close = difflib.get_close_matches(name, model.model_fields, n=1, cutoff=0.6)
    if close:
        return f"unknown field; did you mean {close[0]}?"
    homes = [home for home, table in _TABLES.items() if name in table.model_fields]
    if homes:
        return f"unknown field here; it belongs in [{homes[0]}]"
    return f"unknown field; there are {', '.join(model.model_fields)}"
