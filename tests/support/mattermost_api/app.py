"""The ASGI application in front of a server: routes, authentication, headers, faults."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.mattermost_api import (
    accounts,
    configuring,
    credentials,
    logins,
    sessions,
    system,
    teams,
)
from tests.support.mattermost_api.asking import Ask, RefusedError, Reply
from tests.support.mattermost_api.control import control
from tests.support.mattermost_api.trouble import Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from tests.support.mattermost_api.people import User
    from tests.support.mattermost_api.records import Session
    from tests.support.mattermost_api.server import MattermostServer
    from tests.support.mattermost_api.trouble import Fault

    Handler = Callable[[Ask], Reply]

HASH = "60e4fb673fe4b31731dfc68fe3d5dc8b"
PORTAL = b"<!doctype html><title>Sign in</title>"

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/system/ping", system.ping),
    ("GET", "/config/client", system.client_config),
    ("GET", "/config", system.config),
    ("GET", "/config/environment", configuring.environment),
    ("PUT", "/config/patch", configuring.patch),
    ("POST", "/saml/certificate/idp", configuring.add_idp_certificate),
    ("GET", "/license/client", system.client_license),
    ("GET", "/audits", system.audits),
    ("GET", "/teams/name/{name}", teams.get_team),
    ("GET", "/groups", teams.list_groups),
    ("GET", "/groups/{group_id}/members", teams.group_members),
    ("POST", "/saml/reset_auth_data", system.no_saml),
    ("POST", "/jobs", system.create_job),
    ("GET", "/jobs/{job_id}", system.get_job),
    ("GET", "/exports", system.list_exports),
    ("GET", "/exports/{name}", system.get_export),
    ("DELETE", "/exports/{name}", system.delete_export),
    ("POST", "/users/login", logins.login),
    ("POST", "/users/login/switch", credentials.switch),
    ("POST", "/users/password/reset/send", credentials.send_reset),
    ("POST", "/users/password/reset", credentials.reset),
    ("POST", "/users/migrate_auth/saml", system.no_saml),
    ("POST", "/users/ids", accounts.users_by_ids),
    ("POST", "/users/search", accounts.search),
    ("GET", "/users/stats/filtered", accounts.stats_filtered),
    ("GET", "/users/stats", accounts.stats),
    ("GET", "/users/auth_data", accounts.get_by_auth_data),
    ("GET", "/users/username/{username}", accounts.get_by_name),
    ("GET", "/users/email/{email}", accounts.get_by_email),
    ("GET", "/users", accounts.list_users),
    ("POST", "/users", accounts.create),
    ("PUT", "/users/{user_id}/auth", credentials.put_auth),
    ("PUT", "/users/{user_id}/password", credentials.put_password),
    ("PUT", "/users/{user_id}/patch", accounts.patch),
    ("PUT", "/users/{user_id}/active", accounts.set_active),
    ("PUT", "/users/{user_id}/mfa", accounts.set_mfa),
    ("PUT", "/users/{user_id}/preferences", accounts.put_preferences),
    ("POST", "/users/{user_id}/demote", accounts.demote),
    ("POST", "/users/{user_id}/email/verify/member", accounts.verify_email),
    ("GET", "/users/{user_id}/sessions", sessions.get_sessions),
    ("POST", "/users/{user_id}/sessions/revoke", sessions.revoke),
    ("POST", "/users/{user_id}/sessions/revoke/all", sessions.revoke_all),
    ("GET", "/users/{user_id}/tokens", sessions.get_tokens),
    ("GET", "/users/{user_id}/audits", system.user_audits),
    ("GET", "/users/{user_id}", accounts.get_user),
)


#: What local mode has of them (user_local.go, system_local.go, config_local.go and their like).
LOCAL: frozenset[tuple[str, str]] = frozenset(
    {
        ("GET", "/system/ping"),
        ("GET", "/config"),
        ("GET", "/teams/name/{name}"),
        ("POST", "/jobs"),
        ("GET", "/jobs/{job_id}"),
        ("GET", "/exports"),
        ("GET", "/exports/{name}"),
        ("DELETE", "/exports/{name}"),
        ("POST", "/users/password/reset/send"),
        ("POST", "/users/migrate_auth/saml"),
        ("POST", "/users/ids"),
        ("GET", "/users/username/{username}"),
        ("GET", "/users/email/{email}"),
        ("GET", "/users"),
        ("POST", "/users"),
        ("PUT", "/users/{user_id}/auth"),
        ("PUT", "/users/{user_id}/password"),
        ("PUT", "/users/{user_id}/active"),
        ("PUT", "/users/{user_id}/mfa"),
        ("POST", "/users/{user_id}/demote"),
        ("POST", "/users/{user_id}/email/verify/member"),
        ("GET", "/users/{user_id}/tokens"),
        ("GET", "/users/{user_id}"),
    }
)


def app(server: MattermostServer, *, local: bool = False, controlled: bool = False) -> Starlette:
    """The server's API; `local` is local mode (no token), `controlled` adds `POST /control`."""
    routes = [
        Route(f"/api/v4{path}", _endpoint(server, handler, local=local), methods=[method])
        for method, path, handler in ROUTES
        if not local or (method, path) in LOCAL
    ]
    if controlled:

        async def steer(request: Request) -> Response:
            return JSONResponse(control(server, await request.json()))

        routes.append(Route("/control", steer, methods=["POST"]))
    return Starlette(routes=routes, exception_handlers={404: _no_route, 405: _no_route})


def _endpoint(
    server: MattermostServer, handler: Handler, *, local: bool
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        octets = await request.body()
        server.calls[f"{request.method} {request.url.path.rsplit('/', 1)[-1]}"] += 1
        server.settle()
        if server.now < server.trouble.down_until:
            return Response(b"<h1>502 Bad Gateway</h1>", 502, media_type="text/html")
        limited = _limit(server, request)
        if isinstance(limited, Response):
            return limited
        fault = _fault(server, request)
        if fault is not None and not fault.kind.after:
            early = await _before(server, request, fault)
            if early is not None:
                return early
        answer = _answer(server, handler, request, octets, local=local)
        answer.headers.update(limited)
        if fault is None or not fault.kind.after:
            return answer
        return await _after(server, fault, answer)

    return endpoint


def _answer(
    server: MattermostServer, handler: Handler, request: Request, octets: bytes, *, local: bool
) -> Response:
    request_id = server.new_id()
    caller, session = (None, None) if local else _who(server, request)
    ask = Ask(
        server=server,
        path=request.url.path,
        names=request.path_params,
        query=dict(request.query_params),
        body=_parsed(octets),
        caller=caller,
        session=session,
        local=local,
        octets=octets,
        content_type=request.headers.get("Content-Type", ""),
    )
    try:
        _enforce_mfa(ask)
        reply = handler(ask)
    except RefusedError as refused:
        body = {
            "id": refused.error_id,
            "message": refused.message,
            "detailed_error": refused.detailed,
            "request_id": request_id,
            "status_code": refused.status,
        }
        reply = Reply(body, refused.status)
    return _response(server, request, reply, request_id)


def _response(
    server: MattermostServer, request: Request, reply: Reply, request_id: str
) -> Response:
    headers = {
        **reply.headers,
        "X-Request-Id": request_id,
        "X-Version-Id": f"{server.release.text}..{HASH}.{str(server.licensed).lower()}",
    }
    if request.method == "GET":
        headers["Expires"] = "0"
    if isinstance(reply.body, bytes):
        return Response(reply.body, reply.status, headers, "application/zip")
    octets = json.dumps(reply.body, separators=(",", ":"), ensure_ascii=False).encode()
    return Response(octets, reply.status, headers, "application/json")


def _parsed(octets: bytes) -> Any:
    try:
        return json.loads(octets) if octets else None
    except ValueError:
        return None


def _who(server: MattermostServer, request: Request) -> tuple[User | None, Session | None]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() not in {"bearer", "token"}:
        return None, None
    session = server.session_by(token)
    if session is None or 0 < session.expires_at < server.now_ms:
        return None, None
    user = server.users.get(session.user_id)
    return (None, None) if user is None or user.delete_at else (user, session)


def _enforce_mfa(ask: Ask) -> None:
    """EnforceMultifactorAuthentication: email and LDAP accounts must enrol first, SAML need not."""
    rules = ask.server.settings["ServiceSettings"]
    wanted = rules["EnableMultifactorAuthentication"] and rules["EnforceMultifactorAuthentication"]
    user = ask.caller
    if not wanted or not ask.server.licensed or user is None or user.mfa_active:
        return
    is_token = ask.session is not None and ask.session.is_token
    allowed = ask.path.endswith(("/users/me", "/mfa", "/mfa/generate"))
    if user.auth_service in {"", "ldap"} and not is_token and not allowed:
        raise RefusedError(403, "api.context.mfa_required.app_error")


def _limit(server: MattermostServer, request: Request) -> Response | dict[str, str]:
    limit = server.trouble.rate_limit
    if limit is None:
        return {}
    address = request.client.host if request.client else ""
    passes, headers = limit.take(address, server.now)
    if passes:
        return headers
    headers |= {"X-Content-Type-Options": "nosniff", "Content-Type": "text/plain; charset=utf-8"}
    return Response(b"limit exceeded\n", 429, headers)


def _fault(server: MattermostServer, request: Request) -> Fault | None:
    for fault in server.trouble.faults:
        if fault.strikes(request.method, request.url.path, server.chance):
            return fault
    return None


async def _before(server: MattermostServer, request: Request, fault: Fault) -> Response | None:
    """Faults that strike before anything is done; None lets the call go on."""
    if fault.kind is Kind.REVOKED:
        caller, _ = _who(server, request)
        if caller is not None:
            server.revoke_tokens(caller.id)
        return None
    if fault.kind is Kind.UNAVAILABLE:
        return Response(b"<h1>503 Service Unavailable</h1>", 503, media_type="text/html")
    if fault.kind is Kind.JUNK:
        return Response(PORTAL, 200, media_type="text/html")
    if fault.kind is Kind.HANG:
        await asyncio.sleep(server.trouble.hang_s)
    return _server_error(server)


async def _after(server: MattermostServer, fault: Fault, answer: Response) -> Response:
    """Faults that hide what was done."""
    if fault.kind is Kind.HANG_AFTER:
        await asyncio.sleep(server.trouble.hang_s)
        return answer
    if fault.kind is Kind.CUT_AFTER:
        return _CutResponse(answer)
    if fault.kind is Kind.HALF_JSON:
        octets = bytes(answer.body)
        half = octets[: len(octets) // 2]
        return Response(half, 200, media_type="application/json")
    return _server_error(server)


def _server_error(server: MattermostServer) -> Response:
    body = {"id": "api.context.internal.app_error", "message": "Internal", "detailed_error": ""}
    return JSONResponse({**body, "request_id": server.new_id(), "status_code": 500}, 500)


class _CutResponse(Response):
    """It promises more octets than it sends, and ends."""

    def __init__(self, answer: Response) -> None:
        super().__init__(bytes(answer.body), answer.status_code, media_type="application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        length = str(len(self.body) + 10).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})


async def _no_route(request: Request, _error: Exception) -> Response:
    body = {
        "id": "api.context.404.app_error",
        "message": "Sorry, we could not find the page.",
        "detailed_error": f"There doesn't appear to be an api call for {request.url.path!r}.",
        "status_code": 404,
    }
    return JSONResponse(body, 404)
