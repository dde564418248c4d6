"""One method a call. Every one raises the errors of `conversion.errors.MattermostError`.

Synchronous, and safe for many threads at once: `httpx.Client` spends 0.5 ms of processor time on a
call and `httpx.AsyncClient` 1.2 ms, while the ledger, whose writes lie between the calls, is
synchronous anyway. Concurrency is the caller's thread pool, bounded by `Access.connections`.
"""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Self

from conversion.errors import NotFound, Rejected, Unauthorized, Unreachable
from conversion.mattermost import rows
from conversion.mattermost.answers import PASSWORD_REFUSED
from conversion.mattermost.export import ExportedUser, export_users
from conversion.mattermost.listing import PAGE_SIZE, Listing, walk
from conversion.mattermost.membership import members
from conversion.mattermost.pace import Pace
from conversion.mattermost.version import Version
from conversion.mattermost.wire import Answer, Call, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    import httpx

    from conversion.decision.account import Account
    from conversion.decision.scope import Scope
    from conversion.mattermost.access import Access
    from conversion.mattermost.roll import Roll
    from conversion.mattermost.rows import AuditRow, Session, Token

#: Characters of auth_data at most: the column is a varchar(128), and more is answered by a 500.
MAX_AUTH_DATA: Final = 128
#: The sections of the configuration a conversion looks at; the rest is not kept in memory.
SECTIONS: Final = frozenset(
    {
        "EmailSettings",
        "ExportSettings",
        "GuestAccountsSettings",
        "PasswordSettings",
        "RateLimitSettings",
        "SamlSettings",
        "ServiceSettings",
        "TeamSettings",
    }
)

_USER_ID: Final = re.compile(r"[a-z0-9]{26}", re.ASCII)
_HASH: Final = re.compile(r"\$2a\$(0[4-9]|1[0-9]|2[0-9]|3[01])\$[./A-Za-z0-9]{53}", re.ASCII)


class Mattermost:
    """The server's API. Use it as a context manager, or `close` it."""

    def __init__(
        self,
        access: Access,
        pace: Pace | None = None,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._sleep = sleep
        self._local = access.local_socket is not None
        self._wire = Wire(access, pace or Pace(sleep=sleep), sleep, transport)

    def close(self) -> None:
        """Give back the connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # The server

    def version(self) -> Version:
        """The release, by the header of every answer, else by the public configuration."""
        header = self._get("/system/ping").headers.get("X-Version-Id", "")
        try:
            return Version.parse(header)
        except ValueError:
            pass
        found = self._get("/config/client", params={"format": "old"}).read(rows.SECTIONS)
        try:
            return Version.parse(str(found.get("Version", "")))
        except ValueError as error:
            raise Unreachable(
                f"what answers at mattermost.url does not say which Mattermost it is: {error}"
            ) from error

    def clock(self) -> datetime | None:
        """The server's time, by the Date of an answer (RFC 9110 section 6.6.1), if it has one."""
        said = self._get("/system/ping").headers.get("Date", "")
        try:
            at = parsedate_to_datetime(said)
        except ValueError:
            return None
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)

    def ping(self) -> Mapping[str, str]:
        """What the server says of itself, its database and its files: each "OK" or not."""
        answer = self._get("/system/ping", params={"get_server_status": True}).read(rows.SECTIONS)
        return {name: str(answer[name]) for name in answer if name.endswith("status")}

    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings a conversion depends on, by section. Never log them."""
        found = self._get("/config").read(rows.SECTIONS)
        return {
            name: section
            for name, section in found.items()
            if name in SECTIONS and isinstance(section, dict)
        }

    def license(self) -> bool:
        """Whether the server has a licence."""
        found = self._get("/license/client", params={"format": "old"}).read(rows.SECTIONS)
        return found.get("IsLicensed") == "true"

    # Accounts

    def me(self) -> Account:
        """Whose token this is."""
        return rows.account(self._get("/users/me").read(rows.USER))

    def list_accounts(self, page: int) -> tuple[Account, ...]:
        """One page of the list, read from the database: what `verify` relies on."""
        params = {"page": page, "per_page": PAGE_SIZE}
        return tuple(
            rows.account(row) for row in self._get("/users", params=params).read(rows.USERS)
        )

    def list_ids(self, page: int) -> tuple[str, ...]:
        """Who is on one page of the list."""
        params = {"page": page, "per_page": PAGE_SIZE}
        return tuple(row.id for row in self._get("/users", params=params).read(rows.USER_IDS))

    def count_accounts(self) -> int:
        """How many accounts there are: deactivated ones, bots and those of other servers too."""
        kinds = ("include_deleted", "include_bots", "include_remote_users")
        params = dict.fromkeys(kinds, True)
        return self._get("/users/stats/filtered", params=params).read(rows.TOTAL).total_users_count

    def walk_accounts(self) -> Listing:
        """All accounts, read until two passes agree; local mode does not say how many there are.

        Raises `Unauthorized` for a token that reads the list and is no system administrator's: to
        anybody else every account seems to log in by email (facts of the API, section 4), so that
        everybody on SSO would be taken for somebody who was moved.
        """
        if self._local:
            return walk(self.list_accounts, lambda: 0, self.list_ids)
        found = walk(self.list_accounts, self.count_accounts, self.list_ids)
        # Behind the walk: whoever lost the right on the way has seen half of it so.
        me = self.me()
        if not me.is_admin:
            raise Unauthorized(
                f"{me.username}, whose token this is, is no system administrator, and sees nobody's"
                " way to log in: put a system administrator's token where mattermost.token says"
            )
        return found

    def all_accounts(self) -> Roll:
        """All accounts by user id, in order of it, read until two passes agree."""
        return self.walk_accounts().roll

    def members(self, scope: Scope) -> frozenset[str]:
        """The user ids in a team or a group. Raises `NotFound` where there is none of this name."""
        return members(self._wire, scope)

    def account(self, user_id: str) -> Account:
        """One account. Below 9.3 this may be 30 minutes old: for a look, never for a proof."""
        return rows.account(self._of("GET", user_id, "").read(rows.USER))

    def account_by_auth_data(self, auth_data: str) -> Account | None:
        """Who is bound to `auth_data`, or None. From 11.8; `Rejected` on an older server."""
        try:
            answer = self._get("/users/auth_data", params={"value": auth_data})
        except NotFound:
            return None
        except Rejected as refused:
            # Before 11.8 the last part of the path is taken for a user id.
            raise Rejected(
                "this server cannot look up an account by auth_data; walk the list",
                refused.error_id,
                refused.request_id,
            ) from refused
        return rows.account(answer.read(rows.USER))

    def sessions(self, user_id: str) -> tuple[Session, ...]:
        """All sessions of a person, expired ones too; none for an unknown id.

        `Rejected` in local mode, which has no such call.
        """
        if self._local:
            raise Rejected("not sent: local mode shows no sessions; use mattermost.token for that")
        listed = self._of("GET", user_id, "/sessions").read(rows.SESSIONS)
        return tuple(rows.session(row) for row in listed)

    def tokens(self, user_id: str) -> tuple[Token, ...]:
        """The personal access tokens of a person."""
        found: list[Token] = []
        while batch := self._tokens_page(user_id, len(found) // PAGE_SIZE):
            found += batch
            if len(batch) < PAGE_SIZE:
                break
        return tuple(found)

    def audits(self, page: int = 0) -> tuple[AuditRow, ...]:
        """What was done on the server, the latest first: 200 rows a page."""
        params = {"page": page, "per_page": PAGE_SIZE}
        return tuple(
            rows.audit(row) for row in self._get("/audits", params=params).read(rows.AUDITS)
        )

    # Changes: a 200 is no proof, and none is repeated

    def set_password_hash(self, user_id: str, bcrypt_hash: str) -> None:
        """Set a ready hash and end the SSO binding: no mail, no policy, no ended session.

        Only `$2a$`: every release reads it, and one that it cannot read locks the person out.
        """
        if not _HASH.fullmatch(bcrypt_hash):
            raise Rejected("not sent: a password hash must be bcrypt with the prefix $2a$")
        self._put_password(user_id, {"new_password": bcrypt_hash, "already_hashed": "true"})

    def set_password(self, user_id: str, password: str) -> None:
        """Set a password and end the SSO binding; the server hashes it and sends a mail."""
        self._put_password(user_id, {"new_password": password})

    def set_binding(self, user_id: str, auth_data: str) -> None:
        """Bind to SAML again, to the byte; the password goes. Says yes for unknown ids too.

        Raises `DuplicateBinding` if any other account holds this value.
        """
        if not auth_data or len(auth_data) > MAX_AUTH_DATA:
            raise Rejected(
                f"not sent: auth_data has {len(auth_data)} characters,"
                f" and Mattermost keeps 1 to {MAX_AUTH_DATA}"
            )
        self._of("PUT", user_id, "/auth", {"auth_service": "saml", "auth_data": auth_data})

    def patch_empty(self, user_id: str) -> None:
        """Change nothing, so that the server forgets what it remembers of this person."""
        self._of("PUT", user_id, "/patch", {})

    def clear_mfa(self, user_id: str) -> None:
        """End multi-factor authentication for this person; there is no way back."""
        self._of("PUT", user_id, "/mfa", {"activate": False})

    def verify_email(self, user_id: str) -> None:
        """Count the person's address as verified. The answer (5.37 shows the hash) is dropped."""
        self._of("POST", user_id, "/email/verify/member")

    def revoke_session(self, user_id: str, session_id: str) -> None:
        """End one session of the person. `Rejected` where there is no such session any more."""
        self._of("POST", user_id, "/sessions/revoke", {"session_id": session_id})

    # The export

    def export_users(
        self, folder: Path, deadline_s: float = 3600.0, poll_s: float = 2.0
    ) -> Iterator[ExportedUser]:
        """All people with their `auth_data`; `folder` needs room for the server's messages."""
        return export_users(self._wire, folder, deadline_s, poll_s, self._sleep)

    def _get(self, route: str, params: Mapping[str, str | int | bool] | None = None) -> Answer:
        return self._wire.ask(Call("GET", route, route, params))

    def _of(
        self,
        method: str,
        user_id: str,
        what: str,
        body: object = None,
        params: Mapping[str, int] | None = None,
    ) -> Answer:
        """A call about one person. The id is checked, for `me` would be the tool's own account."""
        if not _USER_ID.fullmatch(user_id):
            raise Rejected(f"not sent: {user_id[:40]!r} is no id of a Mattermost account")
        return self._wire.ask(
            Call(method, f"/users/{{id}}{what}", f"/users/{user_id}{what}", params, body)
        )

    def _tokens_page(self, user_id: str, page: int) -> list[Token]:
        params = {"page": page, "per_page": PAGE_SIZE}
        listed = self._of("GET", user_id, "/tokens", params=params).read(rows.TOKENS)
        return [rows.token(row) for row in listed]

    def _put_password(self, user_id: str, body: Mapping[str, str]) -> None:
        try:
            self._of("PUT", user_id, "/password", body)
        except Unauthorized as refused:
            if refused.error_id != PASSWORD_REFUSED:
                raise
            # One answer for two causes: this asks which. Without a right the token gets its 401
            # or 403 here too, or finds the account, and the refusal stands.
            self.account(user_id)
            raise
