"""What else a server keeps: sessions, tokens, audits, mails, jobs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Session:
    """A row of the sessions table; times are milliseconds, `expires_at` 0 for never."""

    id: str
    token: str
    user_id: str
    create_at: int
    expires_at: int
    last_activity_at: int
    roles: str = "system_user"
    is_saml: bool = False
    is_mobile: bool = False
    is_token: bool = False
    is_oauth: bool = False


class Sessions:
    """The sessions table, with the two ways it is asked."""

    def __init__(self) -> None:
        self._by_token: dict[str, Session] = {}
        self._by_user: dict[str, dict[str, Session]] = {}

    def add(self, row: Session) -> None:
        """A new row."""
        self._by_token[row.token] = row
        self._by_user.setdefault(row.user_id, {})[row.token] = row

    def find(self, token: str) -> Session | None:
        """By its token."""
        return self._by_token.get(token)

    def by_id(self, session_id: str) -> Session | None:
        """By its id."""
        return next((row for row in self._by_token.values() if row.id == session_id), None)

    def of(self, user_id: str) -> list[Session]:
        """All of one person, the latest first; expired ones too."""
        rows = self._by_user.get(user_id, {}).values()
        return sorted(rows, key=lambda row: -row.last_activity_at)

    def end(self, row: Session) -> None:
        """Delete a row."""
        self._by_token.pop(row.token, None)
        self._by_user.get(row.user_id, {}).pop(row.token, None)


@dataclass(slots=True)
class PersonalToken:
    """A personal access token."""

    id: str
    token: str
    user_id: str
    description: str = ""
    is_active: bool = True
    expires_at: int = 0


@dataclass(frozen=True, slots=True)
class Audit:
    """A row of the audits table."""

    id: str
    create_at: int
    user_id: str
    action: str
    extra_info: str
    session_id: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail the server sent. `token` is that of a reset link."""

    to: str
    kind: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class ResetToken:
    """An unused link of a reset mail."""

    user_id: str
    create_at: int


@dataclass(slots=True)
class Job:
    """An export job: it is done after it was looked at `looks` times."""

    id: str
    create_at: int
    looks: int
    status: str = "pending"
    data: dict[str, str] = field(default_factory=dict)
