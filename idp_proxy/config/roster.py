"""`[roster]`: what confirms a person, and who needs more than that at a standby."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from idp_proxy.decision.roster import Role, RoleRule, RosterPolicy, SecondAttribute
from idp_proxy.decision.subject import IDENTIFIERS
from idp_proxy.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from idp_proxy.config.material import Reader
    from idp_proxy.config.roster_shape import RosterLdapTable, RosterTable
    from idp_proxy.config.shape import ConfigFile, ServiceProviderTable, UpstreamTable

#: Names under which upstreams give an email address, in lower case.
_NAMES_OF_EMAIL: Final = frozenset(
    {
        "mail",
        "email",
        "emailaddress",
        "urn:oid:0.9.2342.19200300.100.1.3",
        "urn:oid:1.2.840.113549.1.9.1",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    }
)
_EMAIL_FORMAT: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"


@dataclass(frozen=True, slots=True)
class RosterLdapSettings:
    """`[roster.ldap]`: everybody in the directory that `upstream` names, whom `written` finds.

    `attributes`: canonical name = attribute there. `guid` is how an objectGUID is written as text.
    """

    upstream: str
    base: str
    written: str
    attributes: Mapping[str, str]
    guid: Literal["uuid", "base64"]
    page_size: int
    timeout: timedelta


@dataclass(frozen=True, slots=True)
class RosterSettings:
    """`[roster]`. `policy` is what a standby's people are judged by (FO-08, FO-09, FO-11).

    An import may block `most_blocked_percent` of the people at once. `csv` and `ldap` are what the
    nightly import reads, None for what it does not; `mattermost` is whether it reads that list.
    """

    policy: RosterPolicy
    most_blocked_percent: int
    csv: Path | None
    ldap: RosterLdapSettings | None
    mattermost: bool

    @property
    def sources(self) -> tuple[str, ...]:
        """What a timer imports, in this order, by the names of the lists."""
        wanted = (("ldap", self.ldap), ("csv", self.csv), ("mattermost", self.mattermost))
        return tuple(name for name, value in wanted if value)


def read_roster(table: RosterTable, file: ConfigFile, reader: Reader) -> RosterSettings:
    """`[roster]`, with what the upstreams' maps and Mattermost's role attributes mean for it."""
    return RosterSettings(
        RosterPolicy(
            confirmed_by_login=timedelta(days=table.confirmed_by_login_days),
            confirmed_by_import=timedelta(days=table.confirmed_by_import_days),
            roles=_read_roles(file.service_provider, reader),
            privileged=_read_privileged(table, reader),
            second=_read_second(table, file.upstream, reader),
        ),
        most_blocked_percent=table.max_blocked_percent,
        # Whatever writes the file may come later than the start, and every night again.
        csv=reader.path(table.csv) if table.csv else None,
        ldap=_read_ldap(table.ldap, file, reader),
        mattermost=table.mattermost,
    )


def _read_ldap(
    table: RosterLdapTable, file: ConfigFile, reader: Reader
) -> RosterLdapSettings | None:
    """The directory whose people are imported: one of the upstreams, with a map of its own, since
    a standby's map need not say all that the active says.
    """
    where, problem = "roster.ldap", reader.findings.problem
    if not table.model_fields_set:
        return None
    named = {one.name: one for one in file.upstream if one.kind == "ldap"}
    if table.upstream not in named:
        known = ", ".join(named) or "none"
        problem(f"{where}.upstream", f'no upstream of kind "ldap" is called so; there are {known}')
        return None
    needed = [
        *IDENTIFIERS,
        *(rule.attribute for rule in _read_roles(file.service_provider, reader)),
    ]
    active = file.upstream[0].attributes
    if "link_key" in active:
        needed.append("link_key")
    for name in dict.fromkeys(needed):
        if not table.attributes.get(name):
            problem(f"{where}.attributes.{name}", "missing: an import says all that a login says")
    for name in table.attributes:
        if name not in active:
            problem(f"{where}.attributes.{name}", "the active maps no such canonical name")
    if (why := _filter_problem(table.filter)) is not None:
        problem(f"{where}.filter", why)
    return RosterLdapSettings(
        upstream=table.upstream,
        base=table.base or named[table.upstream].directory.base,
        written=table.filter,
        attributes=dict(table.attributes),
        guid=table.guid,
        page_size=table.page_size,
        timeout=timedelta(seconds=table.timeout_s),
    )


def _filter_problem(text: str) -> str | None:
    # The import of its library is slow: who imports from no directory does not wait for it.
    from idp_proxy.config.ldap_filter import parsed  # noqa: PLC0415 - see above

    try:
        parsed(text, "(objectClass=person)")
    except ConfigError as error:
        return error.problems[0]
    return None


def role_attributes(table: ServiceProviderTable) -> frozenset[str]:
    """The canonical names that give rights in Mattermost: whatever names them (IDP-06)."""
    sent = (rule.partition("=")[0] for rule in (table.admin_attribute, table.guest_attribute))
    named = {table.attributes[name] for name in sent if name in table.attributes}
    return frozenset(table.role_attributes) | named


def _read_roles(table: ServiceProviderTable, reader: Reader) -> tuple[RoleRule, ...]:
    """Mattermost's own settings, as it writes them: the name that is sent, `=`, and a value."""
    if table.enable_admin_attribute and not table.admin_attribute:
        reader.findings.problem(
            "service_provider.admin_attribute",
            "missing: with enable_admin_attribute, Mattermost's AdminAttribute, such as "
            '"IsAdmin=true" (FO-11)',
        )
    rules = []
    for role, field, text in (
        (Role.ADMIN, "admin_attribute", table.admin_attribute),
        (Role.GUEST, "guest_attribute", table.guest_attribute),
    ):
        name, found, value = text.partition("=")
        where = f"service_provider.{field}"
        if not text:
            continue
        if not found or not name or not value or "=" in value:
            reader.findings.problem(where, f'not of the form "name=value": {text!r} (FO-11)')
        elif name not in table.attributes:
            reader.findings.problem(
                where, f"nothing is sent as {name!r}; see service_provider.attributes (FO-11)"
            )
        elif role is Role.GUEST or table.enable_admin_attribute:
            rules.append(RoleRule(role, table.attributes[name], value))
    return tuple(rules)


def _read_privileged(table: RosterTable, reader: Reader) -> frozenset[str]:
    for index, person in enumerate(table.privileged_at_standby):
        if not person or person != person.strip() or not person.isprintable():
            reader.findings.problem(
                f"roster.privileged_at_standby[{index}]",
                f"not the id of a person: {person!r}; it is what Mattermost stores as auth_data",
            )
    return frozenset(table.privileged_at_standby)


def _read_second(
    table: RosterTable, upstreams: Sequence[UpstreamTable], reader: Reader
) -> SecondAttribute | None:
    """What must agree beside a link key that is an email address (FO-09)."""
    where, wanted = "roster.agreeing_attribute", table.agreeing_attribute
    if not table.link_key_is_email and not any(_links_by_email(one) for one in upstreams):
        if wanted:
            reader.findings.problem(
                where, "has an effect only where the link key is an email address (FO-09)"
            )
        return None
    possible = _comparable(upstreams)
    if wanted:
        if wanted not in possible:
            known = f"possible are {', '.join(possible)}" if possible else "there is none"
            reader.findings.problem(
                where,
                f"{wanted!r} is not mapped by every upstream, or is the email address itself; "
                f"{known} (FO-09)",
            )
        return SecondAttribute(wanted)
    if not possible:
        reader.findings.warning(
            where,
            "the link key is an email address, and no other attribute is mapped by every "
            "upstream: a standby lets in nobody (FO-09)",
        )
        return SecondAttribute(None)
    reader.findings.warning(
        where,
        f"not set: the link key is an email address, so at a standby {possible[0]} must agree "
        "too (FO-09)",
    )
    return SecondAttribute(possible[0])


def _links_by_email(table: UpstreamTable) -> bool:
    source = _link_source(table)
    if source == "NameID":
        return table.name_id_format == _EMAIL_FORMAT
    return source.casefold() in _NAMES_OF_EMAIL or source == table.attributes.get("email")


def _comparable(upstreams: Sequence[UpstreamTable]) -> tuple[str, ...]:
    """Canonical names that every upstream gives, from another place than the link key; identifiers
    first.
    """
    active = upstreams[0].attributes if upstreams else {}
    ordered = (*(name for name in IDENTIFIERS if name in active), *active)
    return tuple(
        dict.fromkeys(
            name
            for name in ordered
            if name not in {"link_key", "email"}
            and all(
                one.attributes.get(name) not in {None, "", _link_source(one)} for one in upstreams
            )
        )
    )


def _link_source(table: UpstreamTable) -> str:
    return table.attributes.get("link_key") or table.attributes.get("id", "")
