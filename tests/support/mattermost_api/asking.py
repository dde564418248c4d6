"""One request as a handler sees it, what it answers, and how it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.mattermost_api.people import User
    from tests.support.mattermost_api.records import Session
    from tests.support.mattermost_api.server import MattermostServer

_ID = re.compile(r"[a-z0-9]{26}", re.ASCII)

MESSAGES = {
    "api.context.permissions.app_error": "You do not have the appropriate permissions.",
    "api.context.session_expired.app_error": ("Invalid or expired session, please login again."),
    "app.user.missing_account.const": "Unable to find the user.",
}


class RefusedError(Exception):
    """An AppError: status, id and message of a real server."""

    def __init__(self, status: int, error_id: str, message: str = "", detailed: str = "") -> None:
        super().__init__(error_id)
        self.status = status
        self.error_id = error_id
        self.message = message or MESSAGES.get(error_id, "Refused.")
        self.detailed = detailed


@dataclass(frozen=True, slots=True)
class Reply:
    """What a handler answers: JSON, or octets."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


OK = Reply({"status": "OK"})


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `body` is None for none and for what is no JSON; `octets` is all of it, of the
    type that the caller says.
    """

    server: MattermostServer
    path: str
    names: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    caller: User | None
    session: Session | None
    local: bool
    octets: bytes = b""
    content_type: str = ""

    @property
    def is_admin(self) -> bool:
        """manage_system."""
        return self.local or (self.caller is not None and self.caller.is_admin)

    def require_session(self) -> None:
        """ApiSessionRequired."""
        if self.caller is None and not self.local:
            raise RefusedError(401, "api.context.session_expired.app_error")

    def require_admin(self) -> None:
        """Raises for everybody else."""
        if not self.is_admin:
            raise RefusedError(403, "api.context.permissions.app_error")

    def require_self_or_admin(self, user_id: str) -> None:
        """Raises for everybody else."""
        if self.caller is None or self.caller.id != user_id:
            self.require_admin()

    def user_id(self) -> str:
        """The id in the path; `me` is the caller."""
        found = self.names["user_id"]
        if found == "me" and self.caller is not None:
            return self.caller.id
        if not _ID.fullmatch(found):
            raise invalid_url("user_id")
        return found

    def user(self) -> User:
        """The user of the path, as the database has it."""
        row = self.server.users.get(self.user_id())
        if row is None:
            raise missing()
        return row

    def text(self, name: str) -> str:
        """A text of the body, else ""."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return value if isinstance(value, str) else ""

    def number(self, name: str, default: int) -> int:
        """A number of the query; what is none counts as the default."""
        value = self.query.get(name, "")
        return int(value) if value.isascii() and value.isdigit() else default

    def flag(self, name: str) -> bool:
        """A truth of the query."""
        return self.query.get(name) == "true"

    def note(self, extra: str = "") -> None:
        """An audit row of this request."""
        actor = self.caller.id if self.caller else ""
        self.server.note(actor, self.path, extra, self.session.id if self.session else "")


def missing() -> RefusedError:
    """No such user."""
    return RefusedError(404, "app.user.missing_account.const")


def invalid_url(name: str) -> RefusedError:
    """A part of the path that is none."""
    return RefusedError(
        400,
        "api.context.invalid_url_param.app_error",
        f"Invalid or missing {name} parameter in request URL.",
    )


def invalid_body(name: str) -> RefusedError:
    """A field of the body that is none."""
    return RefusedError(
        400,
        "api.context.invalid_body_param.app_error",
        f"Invalid or missing {name} in request body.",
    )
