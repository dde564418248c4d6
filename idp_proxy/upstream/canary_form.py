"""A canary that posts forms: for login pages that work without JavaScript.

It goes where the upstream's pages lead, but only to origins that the configuration knows: the
password is never sent to another one, nor over plain http.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from idp_proxy.decision.canary import GIVEN, Ended, Given, Step, next_step
from idp_proxy.decision.health import Outcome
from idp_proxy.upstream.base import PostForm
from idp_proxy.upstream.canary import Answer, Halted, names_of, typed
from idp_proxy.upstream.canary_origins import Origins, host_and_port
from idp_proxy.upstream.login_page import RELAY_STATE, SAML_RESPONSE, read_page
from idp_proxy.upstream.looking import (
    KEEP_METHOD,
    MAX_PAGE,
    REDIRECTS,
    Wrong,
    read_body,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from idp_proxy.config import CanarySettings
    from idp_proxy.upstream.canary import Progress, Question
    from idp_proxy.upstream.dialling import Dialler
    from idp_proxy.upstream.login_page import FieldNames, Form, LoginPage

#: Requests of one login, redirects included: Keycloak, AD FS and SimpleSAMLphp need 3 to 6.
_MAX_REQUESTS: Final = 25


@dataclass(frozen=True, slots=True)
class _Target:
    """What is asked for next; with `fields` by POST."""

    url: httpx.URL
    fields: Mapping[str, str] | None = None


class FormDriver:
    """Implements `canary.Driver`: its own client, and cookies of its own, for each login."""

    def __init__(
        self,
        settings: CanarySettings,
        dialler: Dialler,
        timeout: timedelta,
        connect: timedelta,
        *,
        insecure_loopback: bool = False,
    ) -> None:
        self._settings = settings
        self._dialler = dialler
        self._timeout = timeout
        self._connect = connect
        self._insecure_loopback = insecure_loopback
        self._names = names_of(settings)

    async def drive(self, question: Question, progress: Progress) -> Answer:
        """See `canary.Driver`."""
        origins = Origins.of(
            question.address, self._settings.hosts, insecure_loopback=self._insecure_loopback
        )
        way = question.way
        target = _Target(
            httpx.URL(question.address), way.fields if isinstance(way, PostForm) else None
        )
        async with (
            self._dialler.client(self._timeout, self._connect) as client,
            asyncio.timeout_at(question.deadline),
        ):
            walk = _Walk(client, origins, progress, self._names)
            while True:
                page = await walk.load(target)
                step = next_step(
                    page.seen, progress.given, has_totp=self._settings.totp is not None
                )
                if isinstance(step, Ended):
                    raise Halted(step.outcome, step.reason)
                if page.form is None:
                    raise Wrong("shows a page that asks for something in no form")
                if step is Step.TAKE_ANSWER:
                    values = page.form.values
                    return Answer(page.form.action, values[SAML_RESPONSE], values.get(RELAY_STATE))
                target = walk.answered(
                    page.form, typed(page.form.asked, step, self._settings, question.now())
                )
                progress.given = GIVEN.get(step, progress.given)


@dataclass(slots=True)
class _Walk:
    """One login's way through the pages, within bounds."""

    client: httpx.AsyncClient
    origins: Origins
    progress: Progress
    names: FieldNames
    requests: int = 0

    async def load(self, target: _Target) -> LoginPage:
        """The page behind `target`, redirects followed by hand."""
        while True:
            self.requests += 1
            if self.requests > _MAX_REQUESTS:
                raise Wrong(f"leads through more than {_MAX_REQUESTS} pages and redirects")
            method = "GET" if target.fields is None else "POST"
            async with self.client.stream(method, target.url, data=target.fields) as response:
                if response.status_code not in REDIRECTS:
                    return read_page(
                        str(target.url),
                        response.status_code,
                        await read_body(response, MAX_PAGE, cut=False),
                        self.names,
                        challenged=response.headers.get("cf-mitigated") == "challenge",
                    )
                target = self._following(target, response)

    def _following(self, target: _Target, response: httpx.Response) -> _Target:
        location = response.headers.get("location", "")
        if not location:
            raise Wrong("redirects to nowhere")
        url = target.url.join(location)
        why = self.origins.problem(url)
        if why is not None:
            # Before anything was given this is a login that is not there; after it, one that wants
            # more than the canary may do.
            nothing = self.progress.given is Given.NOTHING
            raise Halted(Outcome.BROKEN if nothing else Outcome.REFUSED, f"redirects {why}")
        if response.status_code not in KEEP_METHOD or target.fields is None:
            return _Target(url)
        if host_and_port(url) != host_and_port(target.url):
            raise Halted(Outcome.REFUSED, "passes what was typed on to another host")
        return _Target(url, target.fields)

    def answered(self, form: Form, filled: Mapping[str, str]) -> _Target:
        """What sends `form` with what was `filled` in. Raises `Halted` if it would go elsewhere."""
        url = httpx.URL(form.action)
        why = self.origins.problem(url)
        if why is not None:
            raise Halted(Outcome.REFUSED, f"sends what is typed {why}")
        return _Target(url, {**form.values, **filled})
