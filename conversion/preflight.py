"""Gathers the evidence for a preflight from server, ledger and configuration; changes nothing.

What cannot be learnt is noted with its reason and goes on: at night every other answer still helps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from conversion.decision.evidence import Evidence, Operator, Release
from conversion.errors import MattermostError
from conversion.inventory import age_of
from conversion.mattermost import capabilities_of, shows_auth_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from conversion.config import Settings
    from conversion.decision.account import Account
    from conversion.ledger.base import Ledger
    from conversion.mattermost import Listing, Token, Version

T = TypeVar("T")


class Server(Protocol):
    """What a preflight asks. Every call raises the errors of `MattermostError`."""

    def version(self) -> Version:
        """The release."""

    def ping(self) -> Mapping[str, str]:
        """The server's word on itself, its database and its files."""

    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings, by section."""

    def license(self) -> bool:
        """Whether there is a licence."""

    def me(self) -> Account:
        """Whose token this is."""

    def tokens(self, user_id: str) -> Sequence[Token]:
        """The personal access tokens of a person."""

    def walk_accounts(self) -> Listing:
        """All accounts, read until two passes agree."""


def gather(server: Server, ledger: Ledger, settings: Settings, now: datetime) -> Evidence:
    """The evidence. Raises `LedgerError` only: without a ledger nothing else matters."""
    failures: dict[str, str] = {}

    def asked(what: str, ask: Callable[[], T]) -> T | None:
        try:
            return ask()
        except MattermostError as error:
            failures[what] = error.detail
            return None

    known = _known(ledger, settings, now)
    version = asked("version", server.version)
    if version is None:
        # Each further question would wait as long as this one did.
        return replace(known, failures=failures)
    local = settings.access.local_socket is not None
    me = None if local else asked("token", server.me)
    listing = asked("accounts", server.walk_accounts)
    return replace(
        known,
        statuses=asked("health", server.ping),
        settings=asked("settings", server.config),
        licensed=asked("licence", server.license),
        operator=None if me is None else _operator(server, me, asked),
        release=_release(version, listing),
        accounts=None if listing is None else listing.accounts,
        missing=0 if listing is None else listing.missing,
        failures=failures,
    )


def _known(ledger: Ledger, settings: Settings, now: datetime) -> Evidence:
    """What needs no server."""
    rows = list(ledger.inventory())
    age = age_of(rows, now)
    campaign = settings.campaign
    return Evidence(
        now=now,
        local_mode=settings.access.local_socket is not None,
        inventory={row.user_id: row.binding for row in rows},
        inventory_at=None if age is None else now - age,
        inventory_max_age=campaign.inventory_max_age,
        proof_possible=bool(campaign.operator_user) or campaign.proxy_status is not None,
    )


def _operator(
    server: Server,
    me: Account,
    asked: Callable[[str, Callable[[], Sequence[Token]]], Sequence[Token] | None],
) -> Operator:
    tokens = asked("tokens", lambda: server.tokens(me.id)) or ()
    return Operator(me, tuple(token.expires_at for token in tokens if token.is_active))


def _release(version: Version, listing: Listing | None) -> Release:
    """The table's word, and for `auth_data` what is seen besides."""
    known = capabilities_of(version)
    seen = listing is not None and shows_auth_data(listing.accounts)
    return Release(
        version=str(version),
        warning=known.warning,
        auth_data_visible=seen,
        patch_after_auth=known.patch_after_auth,
        password_may_end_sessions=known.password_may_end_sessions,
        login_may_undo_return=known.login_may_undo_return,
        put_auth_ends_sessions=known.put_auth_ends_sessions,
        session_lengths_in_hours=known.session_lengths_in_hours,
    )
