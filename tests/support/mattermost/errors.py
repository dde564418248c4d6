"""How a login at Mattermost fails."""

from __future__ import annotations


class LoginFailed(Exception):
    """`error_id` is Mattermost's own where one is known; `public` is what the error page says."""

    def __init__(self, error_id: str, public: str, detail: str = "") -> None:
        super().__init__(f"{error_id}: {detail or public}")
        self.error_id = error_id
        self.public = public
        self.detail = detail


class ImportFailed(Exception):
    """`Get SAML Metadata` cannot use these metadata."""
