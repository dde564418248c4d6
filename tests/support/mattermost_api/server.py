"""The state of one server, and what tests may ask of it directly."""

from __future__ import annotations

import heapq
import itertools
import random
import string
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import bcrypt

from tests.support.mattermost_api import settings
from tests.support.mattermost_api.people import SAML, DuplicateError, User, Users
from tests.support.mattermost_api.records import (
    Audit,
    Job,
    Mail,
    PersonalToken,
    ResetToken,
    Session,
    Sessions,
)
from tests.support.mattermost_api.releases import Release
from tests.support.mattermost_api.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds a profile stays in the cache (localcachelayer, UserProfileByIDSec).
CACHE_S = 1800
#: Milliseconds that the session of a personal access token lasts: a hundred years.
TOKEN_LASTS_MS = 100 * 365 * 24 * 3_600_000
_LETTERS = string.ascii_lowercase + string.digits


class SamlRefusedError(Exception):
    """A SAML login that the server refuses; the message is its error id."""


@dataclass(slots=True)
class MattermostServer:
    """One server. Rows are frozen: write `server.users[id] = replace(row, ...)`, or `change`."""

    version: str = "5.37"
    seed: int = 1
    clock: Callable[[], float] = time.time
    hash_cost: int = 4
    licensed: bool = True
    ahead_s: float = 0.0
    users: Users = field(default_factory=Users)
    sessions: Sessions = field(default_factory=Sessions)
    tokens: dict[str, PersonalToken] = field(default_factory=dict)
    audits: deque[Audit] = field(default_factory=lambda: deque(maxlen=400_000))
    outbox: list[Mail] = field(default_factory=list)
    resets: dict[str, ResetToken] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    exports: dict[str, bytes] = field(default_factory=dict)
    preferences: dict[tuple[str, str, str], str] = field(default_factory=dict)
    teams: dict[str, set[str]] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=settings.defaults)
    # The fields of SamlSettings that stand in the environment; the certificate on disk, and loaded.
    pinned: set[str] = field(default_factory=set)
    idp_file: bytes = b""
    idp_loaded: bytes = b""
    trouble: Trouble = field(default_factory=Trouble)
    calls: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(init=False)
    _names: random.Random = field(init=False)
    admin: User = field(init=False)
    admin_token: str = field(init=False, repr=False)
    _cache: dict[str, tuple[float, User]] = field(default_factory=dict)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        # Ids come from another source: their number depends on timing, and chance must not.
        self._names = random.Random(self.seed + 1)
        self.admin = self.add("sysadmin", roles="system_user system_admin", email_verified=True)
        self.admin_token = self.give_token(self.admin.id, "conversion").token

    # Time and chance

    @property
    def release(self) -> Release:
        """The rules of the release that runs now; assign `version` to upgrade."""
        return Release.named(self.version)

    @property
    def now(self) -> float:
        """Seconds."""
        return self.clock() + self.ahead_s

    @property
    def now_ms(self) -> int:
        """Milliseconds, as the tables keep them."""
        return int(self.now * 1000)

    def new_id(self, length: int = 26) -> str:
        """An id as Mattermost makes them."""
        return "".join(self._names.choices(_LETTERS, k=length))

    def later(self, wait_s: float, what: Callable[[], None]) -> None:
        """Let something happen on the server by itself."""
        heapq.heappush(self._due, (self.now + wait_s, next(self._order), what))

    def settle(self) -> None:
        """Let happen what is due."""
        while self._due and self._due[0][0] <= self.now:
            heapq.heappop(self._due)[2]()

    def restart(self, down_s: float = 0.0) -> None:
        """Memory is lost (cache, counters of the rate limit), tables are kept."""
        self._cache.clear()
        if self.trouble.rate_limit is not None:
            self.trouble.rate_limit = replace(self.trouble.rate_limit, _arrival={})
        self.trouble.down_until = self.now + down_s

    # People

    def add(self, username: str, **fields: Any) -> User:
        """A new user. Raises `DuplicateError`."""
        now = self.now_ms
        row = User(
            id=fields.pop("id", "") or self.new_id(),
            username=username,
            email=fields.pop("email", f"{username}@corp.test"),
            create_at=now,
            update_at=now,
            last_password_update=now,
            **fields,
        )
        self.users[row.id] = row
        return row

    def add_saml(self, username: str, **fields: Any) -> User:
        """A new user who logs in by SAML."""
        return self.add(
            username,
            auth_service=SAML,
            auth_data=fields.pop("auth_data", f"nameid-{username}"),
            **fields,
        )

    def people(self, count: int, prefix: str = "user") -> None:
        """So many SAML users, quickly, with ids that tell the number."""
        for number in range(count):
            name = f"{prefix}{number:06d}"
            self.add_saml(name, id=f"p{number:025d}")

    def change(self, user_id: str, **fields: Any) -> User:
        """Write columns of a row, as somebody on the database would: no cache knows of it."""
        row = replace(self.users[user_id], **fields)
        self.users[user_id] = row
        return row

    def profile(self, user_id: str) -> User | None:
        """The row by the cache, as `GET /users/{id}` reads it."""
        kept = self._cache.get(user_id)
        if kept is not None and kept[0] > self.now:
            return kept[1]
        row = self.users.get(user_id)
        if row is not None:
            self._cache[user_id] = (self.now + CACHE_S, row)
        return row

    def forget(self, user_id: str) -> None:
        """Invalidate the cache of one user."""
        self._cache.pop(user_id, None)

    # Credentials

    def put_password(self, user_id: str, hashed: str) -> None:
        """Store().User().UpdatePassword: one UPDATE that ends the SSO binding too."""
        before, now = self.users[user_id], self.now_ms
        self.users[user_id] = replace(
            before,
            password=hashed,
            auth_service="",
            auth_data=None,
            failed_attempts=0,
            last_password_update=now,
            update_at=now,
        )
        self.forget(user_id)
        if not self.release.forgets_after_put_auth:
            # The answer to the caller and the clients of the person read it again at once.
            self.profile(user_id)
        self._perhaps_lose(before)

    def put_auth(self, user_id: str, service: str, data: str | None) -> None:
        """Store().User().UpdateAuthData. Unknown ids change nothing. Raises `DuplicateError`."""
        before = self.users.get(user_id)
        holder = self.users.find("auth_data", data) if data is not None else None
        if before is None:
            return
        if holder is not None and holder.id != user_id:
            raise DuplicateError("auth_data")
        now = self.now_ms
        self.users[user_id] = replace(
            before,
            password="",
            auth_service=service,
            auth_data=data,
            failed_attempts=0,
            last_password_update=now,
            update_at=now,
        )
        if self.release.forgets_after_put_auth:
            self.forget(user_id)
        if self.release.ends_sessions_on_auth:
            self.end_sessions(user_id)
        self._perhaps_lose(before)

    def hashed(self, password: str) -> str:
        """bcrypt with `$2a$`, at a cost that suits tests."""
        salt = bcrypt.gensalt(self.hash_cost, prefix=b"2a")
        return bcrypt.hashpw(password.encode()[:72], salt).decode()

    def _perhaps_lose(self, before: User) -> None:
        """User().Update of somebody else: all columns as they were read before this change."""
        if self.chance.random() >= self.trouble.lost_updates:
            return

        def undo() -> None:
            with suppress(DuplicateError, KeyError):
                current = self.users[before.id]
                self.users[before.id] = replace(
                    before, username=current.username, update_at=self.now_ms
                )
                self.forget(before.id)

        self.later(self.trouble.lost_after_s, undo)

    # Sessions and tokens

    def give_session(self, user_id: str, *, is_saml: bool = False, hours: int = 0) -> Session:
        """A login of this person."""
        unit = "Hours" if self.release.hours else "Days"
        name = f"SessionLength{'SSO' if is_saml else 'Web'}In{unit}"
        lasts = hours or self.settings["ServiceSettings"][name] * (1 if self.release.hours else 24)
        now = self.now_ms
        row = Session(
            id=self.new_id(),
            token=self.new_id(),
            user_id=user_id,
            create_at=now,
            expires_at=now + lasts * 3_600_000,
            last_activity_at=now,
            roles=self.users[user_id].roles,
            is_saml=is_saml,
        )
        self.sessions.add(row)
        return row

    def give_token(self, user_id: str, description: str = "") -> PersonalToken:
        """A personal access token."""
        row = PersonalToken(self.new_id(), self.new_id(), user_id, description)
        self.tokens[row.token] = row
        return row

    def session_by(self, token: str) -> Session | None:
        """The session of a login's token or of a personal access token."""
        found = self.sessions.find(token)
        return self._token_session(token) if found is None or found.is_token else found

    def _token_session(self, token: str) -> Session | None:
        """The session a personal access token makes when it is first used."""
        row = self.tokens.get(token)
        wanted = self.settings["ServiceSettings"]["EnableUserAccessTokens"]
        ended = row is not None and 0 < row.expires_at < self.now_ms
        if row is None or not row.is_active or not wanted or ended:
            return None
        found = next((s for s in self.sessions.of(row.user_id) if s.token == token), None)
        if found is None:
            now = self.now_ms
            roles = self.users[row.user_id].roles
            until = now + TOKEN_LASTS_MS
            found = Session(row.id, token, row.user_id, now, until, now, roles, is_token=True)
            self.sessions.add(found)
        return found

    def end_sessions(self, user_id: str) -> None:
        """Logins end, personal access tokens go on."""
        for row in self.sessions.of(user_id):
            if not row.is_token:
                self.sessions.end(row)

    def revoke_tokens(self, user_id: str) -> None:
        """Personal access tokens end."""
        for key in [key for key, row in self.tokens.items() if row.user_id == user_id]:
            del self.tokens[key]
        for session in self.sessions.of(user_id):
            if session.is_token:
                self.sessions.end(session)

    def note(self, actor: str, action: str, extra: str = "", session_id: str = "") -> None:
        """An audit row."""
        row = Audit(self.new_id(), self.now_ms, actor, action, extra, session_id)
        self.audits.appendleft(row)

    # SAML

    def saml_login(self, id_attribute: str, email: str, username: str) -> Session:
        """What the server does with an accepted assertion. Raises `SamlRefusedError`.

        By AuthData, else a SAML user of this address, who is bound anew, else a new account.
        """
        self.settle()
        user = self.users.find("auth_data", id_attribute)
        if user is None or user.auth_service != SAML:
            user = self._bound_by_email(id_attribute, email)
        if user is None:
            try:
                user = self.add_saml(username, email=email, auth_data=id_attribute)
            except DuplicateError as clash:
                raise SamlRefusedError(
                    f"ent.saml.save_user.{clash}_exists.saml_app_error"
                ) from clash
        if user.delete_at:
            raise SamlRefusedError("api.user.login.inactive.app_error")
        return self.give_session(user.id, is_saml=True)

    def _bound_by_email(self, id_attribute: str, email: str) -> User | None:
        user = self.users.find("email", email)
        if user is None:
            return None
        if user.auth_service != SAML:
            raise SamlRefusedError("ent.saml.save_user.email_exists.saml_app_error")
        self.forget(user.id)
        return self.change(user.id, auth_data=id_attribute)
