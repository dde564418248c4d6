"""Somebody whom the roster does not know is let in for one outage: who has an account in
Mattermost, and by which link key, on an approver's word.

Who they are is what Mattermost has recorded of the account; the approver says by which link key the
standby will name them, and nothing else. So whatever could make one person pass for another is
refused here: an id, an address, a name or a key that the roster has for somebody else, in whatever
case or form, and a key that merely looks like one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.roster.looks import drawn
from idp_proxy.decision.roster.rows import BY_HAND, RosterRow, lookup_key
from idp_proxy.decision.roster.standby import Role

if TYPE_CHECKING:
    from collections.abc import Callable

_SAML: Final = "saml"
#: Roles that a login may give or take; the others say nothing about logins.
TOLD_ROLES: Final = frozenset(role.in_mattermost for role in Role)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as Mattermost's list describes it. `auth_data` is the id that leaves, "" where the
    server does not tell it; `roles` are all of Mattermost's.
    """

    email: str
    username: str
    auth_service: str
    auth_data: str
    roles: frozenset[str] = frozenset()
    deactivated: bool = False
    is_bot: bool = False

    def is_called(self, who: str) -> bool:
        """Whether somebody means this account: the id to the letter, or a name that Mattermost
        keeps in lower case.
        """
        return who == self.auth_data or who.lower() in {self.email.lower(), self.username.lower()}


def row_of(account: Account, link_key: str) -> RosterRow:
    """The row that lets this account in once somebody vouches for it: nothing confirms it."""
    said = {"id": account.auth_data, "email": account.email, "username": account.username}
    return RosterRow(
        id=account.auth_data,
        link_key=link_key,
        lookup_key=lookup_key(link_key) or None,
        email=account.email,
        username=account.username,
        attributes=said,
        source=BY_HAND,
        confirmed_at=None,
        roles=account.roles & TOLD_ROLES,
    )


def why_no_account(account: Account, *, privileged: bool) -> str | None:
    """Why nobody is let in to this account; None if somebody may be."""
    for wrong, reason in (
        (account.is_bot, "it is a bot"),
        (account.deactivated, "it is deactivated in Mattermost"),
        (
            not account.auth_service,
            "it has a password of its own, which no outage of a provider stops",
        ),
        (account.auth_service != _SAML, f"it logs in by {account.auth_service!a}, not by saml"),
        (
            not account.auth_data,
            "the server does not tell its auth_data (10.11 does); --accounts FILE names it",
        ),
        (
            Role.ADMIN.in_mattermost in account.roles and not privileged,
            "FO-11: it is a system administrator's; --in-spite-of-role admits one",
        ),
    ):
        if wrong:
            return reason
    return None


def why_taken(row: RosterRow, other: RosterRow) -> str | None:
    """Why `row` cannot be somebody else than `other`, whose row is known; None if they can be two
    people (FO-09).
    """
    if other.id == row.id:
        return None
    key = lookup_key(row.link_key)
    if key in {other.lookup_key, lookup_key(other.link_key)}:
        return "the link key is theirs"
    alike: tuple[tuple[Callable[[RosterRow], str], str], ...] = (
        (lambda one: lookup_key(one.id), "only case or form tells the ids apart"),
        (lambda one: lookup_key(one.email), "the email address is theirs"),
        (lambda one: lookup_key(one.username), "the user name is theirs"),
        (lambda one: drawn(one.link_key), "the link key looks like theirs"),
    )
    return next((what for of, what in alike if of(row) == of(other)), None)
