"""What the journeys ask of Mattermost; `conversion.mattermost.Mattermost` answers it.

Every call raises the errors of `conversion.errors.MattermostError`, and may be made by many threads
at once. A change that was answered is still no proof; who does not get an answer has to ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from conversion.decision.account import Account
    from conversion.decision.scope import Scope
    from conversion.mattermost.rows import Session, Token


class Server(Protocol):
    """The calls; their rules stand at `conversion.mattermost.client`."""

    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings, by section."""

    def all_accounts(self) -> Mapping[str, Account]:
        """All accounts by user id, in order of it, as the database has them."""

    def members(self, scope: Scope) -> frozenset[str]:
        """The user ids in a team or a group."""

    def sessions(self, user_id: str) -> Sequence[Session]:
        """All sessions of a person, expired ones too."""

    def account_by_auth_data(self, auth_data: str) -> Account | None:
        """Who is bound to `auth_data`; only where `Capabilities.users_by_auth_data`."""

    def set_password_hash(self, user_id: str, bcrypt_hash: str) -> None:
        """Set a ready hash and end the SSO binding."""

    def set_password(self, user_id: str, password: str) -> None:
        """Set a password, which the server hashes, and end the SSO binding; it sends a mail."""

    def set_binding(self, user_id: str, auth_data: str) -> None:
        """Bind to SAML again; the password goes."""

    def patch_empty(self, user_id: str) -> None:
        """Make the server forget what it remembers of this person."""

    def clear_mfa(self, user_id: str) -> None:
        """End multi-factor authentication for this person."""

    def verify_email(self, user_id: str) -> None:
        """Count the person's address as verified."""

    def revoke_session(self, user_id: str, session_id: str) -> None:
        """End one login of the person."""

    def tokens(self, user_id: str) -> Sequence[Token]:
        """The personal access tokens of a person."""
