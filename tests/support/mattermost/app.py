"""Mattermost's web side, as far as single sign-on goes."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.support import pages
from tests.support import saml_wire as wire
from tests.support.mattermost import relay_state
from tests.support.mattermost.accounts import Account, Accounts
from tests.support.mattermost.authn_request import depart
from tests.support.mattermost.errors import LoginFailed
from tests.support.mattermost.metadata import metadata
from tests.support.mattermost.response import Accepted, accept
from tests.support.mattermost.settings import SAML_PATH, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

_COOKIE = "MMAUTHTOKEN"
_PASSED_ON = ("action", "redirect_to", "team_id", "desktop_token")


@dataclass(slots=True)
class Mattermost:
    """One running server. `accepted` keeps what each login said, the newest last."""

    settings: Settings
    accounts: Accounts = field(default_factory=Accounts)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    accepted: list[Accepted] = field(default_factory=list)
    failures: list[LoginFailed] = field(default_factory=list)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), init=False, repr=False)
    _sessions: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route(SAML_PATH, self._begin, methods=["GET"]),
                Route(SAML_PATH, self._complete, methods=["POST"]),
                Route("/error", self._error),
                Route("/logout", self._logout),
                Route("/api/v4/saml/metadata", self._metadata),
                Route("/api/v4/system/ping", lambda _: JSONResponse({"status": "OK"})),
                Route("/accounts.json", self._accounts),
                Route("/", self._front),
            ]
        )

    def login(self, message: str, state: str) -> Account:
        """What the ACS does with a form. Raises `LoginFailed`."""
        now = self.now()
        try:
            relay_state.read(self.settings.relay_state, state, key=self._key, now=now)
            accepted = accept(message, self.settings, now=now)
            account = self.accounts.login(accepted.profile)
        except LoginFailed as failure:
            self.failures.append(failure)
            raise
        self.accepted.append(accepted)
        return account

    def _begin(self, request: Request) -> Response:
        query = request.query_params
        values = {name: query[name] for name in _PASSED_ON if name in query}
        now = self.now()
        state = relay_state.write(self.settings.relay_state, values, key=self._key, now=now)
        departure = depart(self.settings, state, now=now)
        if departure.fields is None:
            return RedirectResponse(departure.url, status_code=302)
        return pages.auto_post("Mattermost", action=departure.url, fields=departure.fields)

    async def _complete(self, request: Request) -> Response:
        body = (await request.body()).decode("utf-8", "replace")
        return await run_in_threadpool(self._finish, body)

    def _finish(self, body: str) -> Response:
        try:
            form = wire.query_values(body)
            account = self.login(form.get("SAMLResponse", ""), form.get("RelayState", ""))
        except (LoginFailed, wire.WireError) as failure:
            shown = failure.public if isinstance(failure, LoginFailed) else str(failure)
            error_id = failure.error_id if isinstance(failure, LoginFailed) else "form"
            query = urlencode({"type": "saml", "message": shown, "id": error_id})
            return RedirectResponse(f"/error?{query}", status_code=302)
        token = secrets.token_urlsafe(16)
        self._sessions[token] = account.id
        answer = RedirectResponse("/", status_code=302)
        secure = self.settings.site_url.startswith("https:")
        answer.set_cookie(_COOKIE, token, httponly=True, secure=secure, samesite="lax")
        return answer

    def _front(self, request: Request) -> HTMLResponse:
        account_id = self._sessions.get(request.cookies.get(_COOKIE, ""))
        account = None if account_id is None else self.accounts.by_id(account_id)
        if account is None:
            return pages.message(
                "Mattermost", "You are not logged in.", links={"Log in by SAML": SAML_PATH}
            )
        return pages.facts(
            f"Welcome {account.username}",
            {
                "account id": str(account.id),
                "auth_data": account.auth_data or "",
                "email": account.email,
                "user name": account.username,
            },
            links={"Log out": "/logout", "Log in again": SAML_PATH},
        )

    def _logout(self, request: Request) -> Response:
        self._sessions.pop(request.cookies.get(_COOKIE, ""), None)
        answer = RedirectResponse("/", status_code=302)
        answer.delete_cookie(_COOKIE)
        return answer

    def _error(self, request: Request) -> HTMLResponse:
        return pages.message(
            "Error",
            request.query_params.get("message", ""),
            f"error id: {request.query_params.get('id', '')}",
            status=400,
            alert=True,
            links={"Back to Mattermost": "/"},
        )

    def _metadata(self, _request: Request) -> Response:
        xml = metadata(self.settings, now=self.now())
        return Response(xml, media_type="application/xml")

    def _accounts(self, _request: Request) -> JSONResponse:
        return JSONResponse([asdict(account) for account in self.accounts])
