"""One method a call. All raise the kinds of `errors.MattermostError`, which name the way out."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import TypeAdapter

from idp_proxy.config.mattermost import demanded, read_token
from idp_proxy.decision.saml_settings import Seen
from idp_proxy.errors import MattermostRefused, MattermostUnauthorized, MattermostUnreachable
from idp_proxy.mattermost import rows
from idp_proxy.mattermost.listing import PAGE_SIZE, walk
from idp_proxy.mattermost.wire import Call, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    import httpx

    from idp_proxy.config.mattermost import ApiSettings
    from idp_proxy.config.settings import Settings
    from idp_proxy.mattermost.rows import Session, User

_ID: Final = re.compile(r"[a-z0-9]{26}", re.ASCII)
_ANYTHING: Final = TypeAdapter(Any)
_SAML: Final = "SamlSettings"


def open_api(
    settings: Settings, what: str, *, environ: Mapping[str, str] | None = None
) -> MattermostApi:
    """The API that `what` needs, by `[service_provider.api]`; the token is read now.

    Raises `ConfigError` where the section or the token is missing.
    """
    api = demanded(settings.mattermost_api, what)
    return open_api_of(api, settings.path.parent, environ=environ)


def open_api_of(
    api: ApiSettings, folder: Path, *, environ: Mapping[str, str] | None = None
) -> MattermostApi:
    """The API by this section of the configuration in `folder`. Raises `ConfigError`."""
    return MattermostApi(api, read_token(api, folder, environ=environ))


class MattermostApi:
    """Mattermost's API. Use it as a context manager, or `close` it."""

    def __init__(
        self,
        api: ApiSettings,
        token: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._wire = Wire(api, token, sleep=sleep, transport=transport)

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

    def whoami(self) -> User:
        """Whose token this is. Raises `MattermostUnauthorized` for one who is no administrator:
        lists are then shown in part, which looks like a whole.
        """
        me = self._wire.ask(Call("GET", "/users/me", "/users/me"), rows.USER).user()
        if not me.is_admin:
            raise MattermostUnauthorized(
                "the account of service_provider.api.token is no system administrator, so that "
                "Mattermost would show it only a part; make the token with an administrator's"
            )
        return me

    def users(self) -> Iterator[User]:
        """All accounts, deactivated ones and bots too, once two passes found the same."""
        own = self.whoami().id
        yield from walk(self._page, self._count, own)

    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """The server's settings by section, such as `SamlSettings`. Never print them whole."""
        found = self._wire.ask(Call("GET", "/config", "/config"), rows.SECTIONS)
        return {name: section for name, section in found.items() if isinstance(section, dict)}

    def saml(self) -> Seen:
        """`SamlSettings`, and which of them stand in the server's environment.

        Raises `MattermostUnauthorized` where the token is shown no such section.
        """
        section = self.config().get(_SAML)
        if not section:
            raise MattermostUnauthorized(
                "GET /config: no SamlSettings in it: the account of service_provider.api.token may "
                "not see them; make the token with a system administrator's"
            )
        environment = self._wire.ask(
            Call("GET", "/config/environment", "/config/environment"), rows.SECTIONS
        ).get(_SAML, {})
        return Seen.of(section, environment if isinstance(environment, dict) else {})

    def upload_idp_certificate(self, pem: str) -> None:
        """The certificate of the identity provider, in the place of the one before."""
        route = "/saml/certificate/idp"
        files = {"certificate": ("saml-idp.crt", pem.encode("ascii"))}
        self._wire.ask(Call("POST", route, route, files=files), _ANYTHING)

    def change_saml(self, fields: Mapping[str, str]) -> None:
        """Set these fields of `SamlSettings`; who must know looks again."""
        body = {_SAML: dict(fields)}
        self._wire.ask(Call("PUT", "/config/patch", "/config/patch", None, body), _ANYTHING)

    def sessions(self, user_id: str) -> tuple[Session, ...]:
        """All sessions of this account, expired ones too; none for an unknown one."""
        found = self._wire.ask(self._of("GET", user_id, "/sessions"), rows.SESSIONS)
        if any(row.user_id != user_id for row in found):
            raise MattermostUnreachable(
                "GET /users/{id}/sessions: it lists somebody else's sessions; look at what stands "
                "before the server, such as a cache"
            )
        return tuple(row.session() for row in found)

    def revoke(self, user_id: str, session_id: str) -> None:
        """End one session of this account. It may be said twice; who must know looks again."""
        call = self._of("POST", user_id, "/sessions/revoke", {"session_id": session_id})
        self._wire.ask(call, _ANYTHING)

    def _page(self, number: int) -> tuple[User, ...]:
        params = {"page": number, "per_page": PAGE_SIZE}
        found = self._wire.ask(Call("GET", "/users", "/users", params), rows.USERS)
        return tuple(row.user() for row in found)

    def _count(self) -> int:
        route = "/users/stats/filtered"
        kinds = ("include_deleted", "include_bots", "include_remote_users")
        params = dict.fromkeys(kinds, "true")
        return self._wire.ask(Call("GET", route, route, params), rows.TOTAL).total_users_count

    def _of(self, method: str, user_id: str, what: str, body: object = None) -> Call:
        """A call about one account: `me`, or a path, would be another call."""
        if not _ID.fullmatch(user_id):
            raise MattermostRefused("not sent: this is no id of a Mattermost account")
        return Call(method, f"/users/{{id}}{what}", f"/users/{user_id}{what}", None, body)
