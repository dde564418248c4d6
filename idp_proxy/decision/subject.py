"""Who somebody is: what an upstream proved, and what Mattermost is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

#: Canonical names that decide who somebody is in Mattermost; the active always gives them.
IDENTIFIERS = ("id", "email", "username")


@dataclass(frozen=True, slots=True)
class Evidence:
    """How an upstream authenticated a person; passed on to Mattermost, never made stronger.

    `authn_context` is the AuthnContextClassRef as the upstream gave it (SAML core 2.7.2.2),
    `authn_instant` the time of the act itself (UTC), `authorities` the entity IDs of the chain,
    nearest first (SAML core 2.7.2.2, AuthenticatingAuthority). `attributes` are those that the
    configuration counts as evidence, by the upstream's own names, with every value as it came.
    """

    authn_instant: datetime
    authn_context: str
    authorities: tuple[str, ...]
    session_not_on_or_after: datetime | None = None
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subject:
    """What one upstream proved about one person, under our canonical names.

    `attributes` holds one value for each canonical name that the upstream's configuration maps and
    the answer carried. From the active, `id`, `email` and `username` are always among them; of a
    standby only `link_key` counts: what every upstream knows of a person, as this one gave it.
    `factor_of` is the id of the person whose second factor was shown with it, None where none was.
    """

    upstream: str
    link_key: str
    attributes: Mapping[str, str]
    evidence: Evidence
    factor_of: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The person as Mattermost is told: the same whichever upstream answered.

    `id` is what Mattermost stores as `auth_data`; `attributes` has canonical names.
    """

    id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
