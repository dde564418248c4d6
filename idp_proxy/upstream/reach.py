"""L1: does an upstream answer, over verified TLS, with the page that a login would need.

What is asked: the configured `url`; else the metadata's address; else the sign-on endpoint in the
approved metadata, with a real signed AuthnRequest, which shows the login page. A status is not
enough: a maintenance page answers 200 as well.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import httpx
from cryptography import x509

from idp_proxy.config import MetadataUrl
from idp_proxy.config.addresses import url_problem
from idp_proxy.decision.health import Outcome
from idp_proxy.errors import SamlError, UpstreamUnavailable
from idp_proxy.saml.metadata import MAX_METADATA, read_metadata
from idp_proxy.upstream.base import Ask, PostForm
from idp_proxy.upstream.looking import (
    KEEP_METHOD,
    MAX_PAGE,
    NETWORK_ERRORS,
    REDIRECTS,
    Wrong,
    broken,
    explained,
    quoted,
    read_body,
    shortened,
)
from idp_proxy.upstream.probing import Expiry, Probed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.config import SamlSettings
    from idp_proxy.decision.health import Cadence
    from idp_proxy.saml.metadata import UpstreamMetadata
    from idp_proxy.upstream.base import Redirect
    from idp_proxy.upstream.dialling import Dialler

_MAX_REDIRECTS: Final = 5


class Approved(Protocol):
    """The approved metadata (`metadata_feed.MetadataFeed`)."""

    def current(self, now: datetime) -> UpstreamMetadata:
        """What counts now. Raises `UpstreamUnavailable`."""


class Asks(Protocol):
    """The upstream as a login would ask it (`base.Upstream`)."""

    def begin(self, ask: Ask) -> Redirect | PostForm:
        """The way to the upstream's login. Raises `UpstreamUnavailable`."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What is asked for, and which text proves the answer; None: the metadata itself."""

    url: str
    expect: str | None
    fields: Mapping[str, str] | None = None
    is_metadata: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    """The last answer of a chain of redirects; the certificate is the first host's."""

    status: int
    body: bytes
    certificate: Expiry | None


class Reach:
    """The L1 probe of one SAML upstream; implements `probing.Probe`."""

    def __init__(
        self,
        settings: SamlSettings,
        approved: Approved,
        asks: Asks,
        dialler: Dialler,
        new_id: Callable[[], str],
        *,
        insecure_loopback: bool = False,
    ) -> None:
        self._settings = settings
        self._approved = approved
        self._asks = asks
        self._dialler = dialler
        self._new_id = new_id
        self._insecure_loopback = insecure_loopback

    @property
    def upstream(self) -> str:
        """The name in the configuration."""
        return self._settings.name

    async def look(self, cadence: Cadence, now: datetime) -> Probed:
        """PASSED or BROKEN. Never raises for what a network or an upstream does."""
        try:
            metadata = self._approved.current(now)
            target = self._target(now)
        except UpstreamUnavailable as error:
            return replace(broken(error.detail), asked=False)
        expiries = _expiries_of(metadata)
        certificate: Expiry | None = None
        try:
            async with asyncio.timeout(cadence.timeout.total_seconds()):
                async with self._dialler.client(cadence.timeout, cadence.connect) as client:
                    answer = await self._visit(client, target)
            certificate = answer.certificate
            self._judge(target, answer, metadata, now)
        except Wrong as error:
            outcome = broken(str(error))
        except NETWORK_ERRORS as error:
            outcome = explained(error, cadence.timeout)
        else:
            outcome = Probed(Outcome.PASSED, "answers as it should")
        found = (*expiries, certificate) if certificate else expiries
        return Probed(outcome.outcome, outcome.reason, outcome.refused_by_proxy, found)

    def _target(self, now: datetime) -> _Target:
        """What to ask, with the entity's own login page as the last resort."""
        probe, metadata = self._settings.probe, self._settings.metadata
        if probe.url:
            return _Target(probe.url, probe.expect)
        if isinstance(metadata, MetadataUrl):
            return _Target(metadata.url, probe.expect, is_metadata=True)
        way = self._asks.begin(
            Ask(
                request_id=f"_{self._new_id()}",
                relay_state=self._new_id(),
                force_authn=False,
                is_passive=False,
                now=now,
            )
        )
        if isinstance(way, PostForm):
            return _Target(way.action, probe.expect, fields=way.fields)
        return _Target(way.url, probe.expect)

    async def _visit(self, client: httpx.AsyncClient, target: _Target) -> _Answer:
        """Follow redirects by hand, to hosts that the configuration names (own host included)."""
        allowed = {httpx.URL(target.url).host, *self._settings.probe.redirects}
        url, fields, certificate = httpx.URL(target.url), target.fields, None
        limit = MAX_METADATA if target.is_metadata else MAX_PAGE
        for hop in range(_MAX_REDIRECTS + 1):
            method = "GET" if fields is None else "POST"
            async with client.stream(method, url, data=fields) as response:
                if hop == 0:
                    certificate = _certificate_of(response)
                if response.status_code not in REDIRECTS:
                    body = await read_body(response, limit, cut=not target.is_metadata)
                    return _Answer(response.status_code, body, certificate)
                url = self._next(url, response.headers.get("location", ""), allowed)
                if response.status_code not in KEEP_METHOD:
                    fields = None
                elif fields is not None and url.host != httpx.URL(target.url).host:
                    raise Wrong(f"passes the question on to another host: {quoted(url.host)}")
        raise Wrong(f"redirects more than {_MAX_REDIRECTS} times")

    def _next(self, url: httpx.URL, location: str, allowed: set[str]) -> httpx.URL:
        if not location:
            raise Wrong("redirects to nowhere")
        following = url.join(location)
        problem = url_problem(str(following), loopback_http=self._insecure_loopback)
        if problem is not None:
            raise Wrong(f"redirects to what is no https address: {quoted(str(following))}")
        if following.host not in allowed:
            raise Wrong(
                f"redirects to another host: {quoted(following.host)}; if it belongs to the "
                "login, add it to [upstream.probe] redirects"
            )
        return following

    def _judge(
        self, target: _Target, answer: _Answer, metadata: UpstreamMetadata, now: datetime
    ) -> None:
        """Status, then content. Raises `Wrong`."""
        wanted = self._settings.probe.status
        if answer.status != wanted:
            raise Wrong(f"answers {answer.status}, not {wanted}")
        if target.is_metadata:
            self._judge_metadata(answer.body, metadata, now)
        text = answer.body.decode("utf-8", "replace")
        if target.expect is not None:
            if target.expect not in text:
                raise Wrong("answers, but the page lacks the expected text (wrong page?)")
        elif not target.is_metadata and "<form" not in text.lower():
            raise Wrong("answers, but the page has no login form (wrong page?)")

    def _judge_metadata(self, body: bytes, approved: UpstreamMetadata, now: datetime) -> None:
        try:
            offered = read_metadata(body, insecure_loopback=self._insecure_loopback)
        except SamlError as error:
            raise Wrong(f"answers, but not with its metadata: {quoted(str(error))}") from error
        if offered.entity_id != approved.entity_id:
            raise Wrong(f"answers as another entity: {quoted(offered.entity_id)}")
        if offered.expired(now):
            raise Wrong(f"offers metadata that expired at {offered.valid_until:%Y-%m-%d %H:%M}")


def _certificate_of(response: httpx.Response) -> Expiry | None:
    """When the certificate of the endpoint ends; None over plain http."""
    stream = response.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None else None
    if tls is None or (ends := _end_of(tls.getpeercert(binary_form=True) or b"")) is None:
        return None
    # The name is what the certificate was held against.
    return Expiry(f"TLS certificate of {tls.server_hostname}", ends)


def _expiries_of(metadata: UpstreamMetadata) -> tuple[Expiry, ...]:
    """What ends in the approved metadata: the document itself, and each signing certificate."""
    entity = shortened(metadata.entity_id)
    found = [
        Expiry(f"signing certificate of {entity}", ends)
        for ends in map(_end_of, metadata.signing_certificates)
        if ends is not None
    ]
    if metadata.valid_until is not None:
        found.append(Expiry(f"metadata of {entity}", metadata.valid_until))
    return tuple(found)


def _end_of(der: bytes) -> datetime | None:
    """None for dates that cannot be read: they count nowhere, TLS has judged its own."""
    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc
    except ValueError:
        return None
