"""Proof that SSO works, without which nobody is returned: somebody would be locked out by us.

Either the operator logged in by SAML a moment ago with an account of their own, which no login page
and no health check can replace, or the failover proxy says that it serves logins.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision.account import SAML
from conversion.errors import ProofMissing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from conversion.bulk import Bulk
    from conversion.decision.account import Account

#: A login that proves anything is not older.
FRESH: Final = timedelta(minutes=10)
#: How far the server's clock may be off.
SKEW: Final = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Proof:
    """`kind` is for the audit and names nobody, `text` for the operator."""

    kind: str
    text: str


def prove(
    bulk: Bulk, accounts: Mapping[str, Account], operator: str, *, proxy_works: bool | None
) -> Proof:
    """What proves that SSO works. `operator` is a user name, empty for nobody.

    `proxy_works` is None where no proxy is configured or its status is not known. Raises
    `ProofMissing` with the way to give one.
    """
    if proxy_works:
        return Proof("proxy", "the proxy's status says that logins work")
    if not operator:
        raise ProofMissing(
            "nothing proves that SSO works: set campaign.operator_user to your own SAML account"
            " and log in with it, or set campaign.proxy_status_url"
        )
    if not bulk.capabilities.sees_sessions:
        raise ProofMissing(
            "local mode shows no sessions, so no login can prove that SSO works: set"
            " campaign.proxy_status_url, or use mattermost.token"
        )
    account = next((one for one in accounts.values() if one.username == operator), None)
    if account is None or not account.active:
        raise ProofMissing(
            f"campaign.operator_user: no active account is called {operator}; name your own"
        )
    if account.auth_service != SAML:
        raise ProofMissing(
            f"campaign.operator_user: {operator} is not on SAML; name an account that was not moved"
        )
    at = login_since(bulk, account.id, bulk.clock() - FRESH)
    if at is None:
        raise ProofMissing(
            f"{operator} has no SAML session younger than {FRESH // timedelta(minutes=1)} minutes:"
            " log in to Mattermost by SSO in a private window, then run return again"
        )
    return Proof("login", f"{operator} logged in by SAML at {at:%Y-%m-%d %H:%M:%S} UTC")


def login_since(
    bulk: Bulk, user_id: str, since: datetime, *, marked: bool = True
) -> datetime | None:
    """When this person last logged in by SAML, if that was after `since` and is not yet to come.

    From 9.1 on Mattermost does not mark the logins in its desktop app as SAML's. `marked=False`
    takes those too: only for an account that can have had no other login since.
    """
    now = bulk.clock()
    logins = [
        session.created_at
        for session in bulk.server.sessions(user_id)
        if (session.is_saml or not (marked or session.is_oauth))
        and session.live(now)
        and since <= session.created_at <= now + SKEW
    ]
    return max(logins, default=None)
