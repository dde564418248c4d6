"""`[ldap]`, the directory that `prepare --ldap` asks; `[operators]`, who agrees; `[audit]`, where
checkpoints go.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from conversion.config.settings import Checkpoints, LdapSettings, OperatorsSettings
from conversion.ledger.postgresql import tls_problem

if TYPE_CHECKING:
    from conversion.config.references import References
    from conversion.config.shape import AuditTable, LdapTable, OperatorsTable

#: The name of an attribute, options and all (RFC 4512 section 2.5).
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*(;[A-Za-z0-9-]+)*", re.ASCII)
_NEEDED: Final = ("base", "id_attribute")


def read_ldap(table: LdapTable, references: References) -> LdapSettings | None:
    """The directory; None where none is configured. Problems are noted."""
    if not table.urls:
        if table.model_fields_set:
            references.problems.append('ldap.urls: missing; it has the form ["ldaps://host"]')
        return None
    problems = [*_missing(table), *_url_problems(table.urls), *_attribute_problems(table)]
    references.problems.extend(f"ldap.{problem}" for problem in problems)
    password = ""
    if table.bind_password:
        password = references.text("ldap.bind_password", table.bind_password)
    if bool(table.bind_dn) != bool(table.bind_password):
        references.problems.append("ldap.bind_dn: it comes with bind_password; or leave out both")
    return LdapSettings(
        urls=tuple(table.urls),
        base=table.base,
        filter=table.filter,
        id_attribute=table.id_attribute,
        id_form=table.id_form,
        email=table.email,
        username=table.username,
        bind_dn=table.bind_dn,
        bind_password=password,
        tls_ca=references.readable("ldap.tls_ca", table.tls_ca),
        timeout_s=table.timeout_s,
    )


def read_checkpoints(table: AuditTable, references: References) -> Checkpoints | None:
    """Both fields or none. The file itself may be missing: the first campaign makes it."""
    if not table.checkpoint_file and not table.checkpoint_key:
        return None
    for name in ("checkpoint_file", "checkpoint_key"):
        if not getattr(table, name):
            references.problems.append(f"audit.{name}: missing: file and key come together")
            return None
    key = references.ed25519_key("audit.checkpoint_key", table.checkpoint_key)
    return None if key is None else Checkpoints(references.folder / table.checkpoint_file, key)


def read_operators(table: OperatorsTable, references: References) -> OperatorsSettings | None:
    """Both fields or none: without the keys no second factor can be read."""
    if not table.url and not table.state_keys:
        return None
    for name in ("url", "state_keys"):
        if not getattr(table, name):
            references.problems.append(f"operators.{name}: missing: url and state_keys go together")
            return None
    url = _operators_url(references.text("operators.url", table.url), references)
    keys = [
        references.key(f"operators.state_keys[{index}]", reference)
        for index, reference in enumerate(table.state_keys)
    ]
    return OperatorsSettings(url, tuple(key for key in keys if key is not None))


def _operators_url(text: str, references: References) -> str:
    """The proxy's own URL, as it stands there. It may hold a password, so that none is repeated."""
    if not text:
        return ""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        references.problems.append("operators.url: no database URL; copy the proxy's [store] url")
        return ""
    kind = url.get_backend_name()
    if kind == "postgresql":
        if problem := tls_problem(url):
            references.problems.append(f"operators.url: {problem}")
        url = url.set(drivername="postgresql+psycopg")
    elif kind != "sqlite" or not Path(url.database or "").is_absolute():
        references.problems.append(
            "operators.url: the proxy's database is postgresql://..., or sqlite:////FILE with its"
            " whole path"
        )
    return url.render_as_string(hide_password=False)


def _missing(table: LdapTable) -> list[str]:
    found = [f"{name}: missing" for name in _NEEDED if not getattr(table, name)]
    if bool(table.email) == bool(table.username):
        found.append("email: name one attribute, in email or in username, by which an entry is met")
    return found


def _url_problems(urls: list[str]) -> list[str]:
    """No message repeats an address: somebody may have written a password into it."""
    found = []
    for index, url in enumerate(urls):
        try:
            parts = urlsplit(url)
            port = parts.port
            good = parts.scheme in {"ldap", "ldaps"} and bool(parts.hostname) and port != 0
        except ValueError:
            good, parts = False, urlsplit("")
        odd = parts.path.strip("/") or parts.query or parts.fragment or "@" in url
        if not good or odd:
            found.append(f"urls[{index}]: no address; it has the form ldaps://host or ldap://host")
    return found


def _attribute_problems(table: LdapTable) -> list[str]:
    names = {"id_attribute": table.id_attribute, "email": table.email, "username": table.username}
    return [
        f"{name}: {value!r} is no name of an attribute"
        for name, value in names.items()
        if value and not _ATTRIBUTE.fullmatch(value)
    ]
