"""The identity provider's web side: metadata, single sign-on, the login form."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.support import pages, people
from tests.support import saml_wire as wire
from tests.support.identity_provider import answers
from tests.support.identity_provider.service_providers import (
    QuestionRefused,
    ServiceProvider,
    Source,
    read_question,
    read_sources,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from tests.support.identity_provider.answers import Login, Provider, Question
    from tests.support.people import Person

_COOKIE = "idp-session"
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question whose person has not logged in yet."""

    question: Question
    relay_state: str | None
    encrypt_for: bytes | None


@dataclass(slots=True)
class IdentityProvider:
    """One running provider. `sources` are read at every request; `sessions` switches cookies on.

    `title` is what its pages are called; `now` is its clock.
    """

    provider: Provider
    sources: Sequence[Source]
    sessions: bool = False
    require_signed_requests: bool = False
    title: str = "Company login"
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _asked: dict[str, _Asked] = field(default_factory=dict, init=False)
    _logins: dict[str, tuple[Person, Login]] = field(default_factory=dict, init=False)

    @property
    def app(self) -> Starlette:
        """The ASGI application; metadata is at /metadata."""
        return Starlette(
            routes=[
                Route("/metadata", self._metadata),
                Route(urlsplit(self.provider.sso_url).path, self._sso, methods=["GET", "POST"]),
                Route("/login", self._login, methods=["POST"]),
                Route("/healthz", lambda _: Response("ok")),
                Route("/", self._front),
            ]
        )

    def _front(self, _request: Request) -> HTMLResponse:
        return pages.message(self.title, "An identity provider for tests and demonstrations.")

    def _metadata(self, _request: Request) -> Response:
        xml = answers.metadata(self.provider, wants_signed_requests=self.require_signed_requests)
        return Response(xml, media_type="application/samlmetadata+xml")

    async def _sso(self, request: Request) -> HTMLResponse:
        form = (await request.body()).decode("utf-8", "replace") if request.method == "POST" else ""
        cookie = request.cookies.get(_COOKIE, "")
        try:
            asked = await run_in_threadpool(self._read, form, request.url.query)
        except (QuestionRefused, wire.WireError) as error:
            return pages.message(self.title, str(error), status=400, alert=True)
        return await run_in_threadpool(self._begin, asked, cookie)

    def _read(self, form: str, query: str) -> _Asked:
        values = wire.query_values(form or query)
        if "SAMLRequest" not in values:
            raise QuestionRefused("no SAMLRequest")
        message = (wire.decode if form else wire.inflate)(values["SAMLRequest"])
        detached = None if form else wire.detached_signature(query)
        known = read_sources(self.sources)
        question = read_question(message, known, sso_url=self.provider.sso_url, detached=detached)
        self._check_policy(known[question.issuer], message, detached)
        certificate = known[question.issuer].encryption_certificate
        return _Asked(question, values.get("RelayState"), certificate)

    def _check_policy(
        self, asker: ServiceProvider, message: bytes, detached: wire.DetachedSignature | None
    ) -> None:
        signed = detached is not None or b"SignatureValue" in message
        if self.require_signed_requests and not signed:
            raise QuestionRefused(f"{asker.entity_id} must sign its requests here")

    def _begin(self, asked: _Asked, cookie: str) -> HTMLResponse:
        known = self._logins.get(cookie) if self.sessions else None
        if known is not None and not asked.question.force_authn:
            return self._answer(asked, *known)
        if asked.question.is_passive:
            message = answers.refuse(
                self.provider, asked.question, now=self.now(), status=wire.NO_PASSIVE
            )
            return self._post(asked, message)
        return self._form(asked)

    def _form(self, asked: _Asked, problem: str = "") -> HTMLResponse:
        pending = secrets.token_urlsafe(16)
        while len(self._asked) >= _KEPT:
            self._asked.pop(next(iter(self._asked)))
        self._asked[pending] = asked
        return pages.login(
            self.title,
            action="/login",
            pending=pending,
            asker=asked.question.issuer,
            problem=problem,
        )

    async def _login(self, request: Request) -> HTMLResponse:
        body = (await request.body()).decode("utf-8", "replace")
        try:
            values = wire.query_values(body)
        except wire.WireError as error:
            return pages.message(self.title, str(error), status=400, alert=True)
        return await run_in_threadpool(self._authenticate, values)

    def _authenticate(self, values: dict[str, str]) -> HTMLResponse:
        asked = self._asked.pop(values.get("pending", ""), None)
        if asked is None:
            return pages.message(
                self.title, "This login form is no longer valid.", status=400, alert=True
            )
        person = people.find(values.get("username", ""), values.get("password", ""))
        if person is None:
            return self._form(asked, "User name or password is wrong.")
        login = answers.Login(self.now())
        page = self._answer(asked, person, login)
        if self.sessions:
            cookie = secrets.token_urlsafe(16)
            self._logins[cookie] = (person, login)
            secure = self.provider.sso_url.startswith("https:")
            page.set_cookie(
                _COOKIE,
                cookie,
                httponly=True,
                secure=secure,
                samesite="none" if secure else "lax",
            )
        return page

    def _answer(self, asked: _Asked, person: Person, login: Login) -> HTMLResponse:
        try:
            message = answers.issue(
                self.provider,
                asked.question,
                person,
                now=self.now(),
                login=login,
                encrypt_for=asked.encrypt_for,
            )
        except ValueError as error:
            return pages.message(self.title, str(error), status=500, alert=True)
        return self._post(asked, message)

    def _post(self, asked: _Asked, message: str) -> HTMLResponse:
        fields = {"SAMLResponse": message}
        if asked.relay_state is not None:
            fields["RelayState"] = asked.relay_state
        return pages.auto_post(self.title, action=asked.question.acs_url, fields=fields)
