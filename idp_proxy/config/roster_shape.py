"""The shape of `[roster]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from idp_proxy.config.table import Table


class RosterLdapTable(Table):
    """`[roster.ldap]`."""

    upstream: str = ""
    base: str = ""
    filter: str = "(objectClass=person)"
    attributes: dict[str, str] = Field(default_factory=dict)
    guid: Literal["uuid", "base64"] = "uuid"
    page_size: Annotated[int, Field(ge=1, le=10000)] = 500
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = 900


class RosterTable(Table):
    """`[roster]`."""

    confirmed_by_login_days: Annotated[int, Field(ge=1, le=3650)] = 90
    confirmed_by_import_days: Annotated[int, Field(ge=1, le=90)] = 7
    link_key_is_email: bool = False
    agreeing_attribute: str = ""
    privileged_at_standby: list[str] = Field(default_factory=list)
    max_blocked_percent: Annotated[int, Field(ge=1, le=50)] = 5
    csv: str = ""
    mattermost: bool = False
    ldap: RosterLdapTable = Field(default_factory=RosterLdapTable)
