"""The composition root: from settings to adapters, journeys and the web application.

The adapters themselves are opened by `adapters`.
"""

from __future__ import annotations

import base64
import gc
import os
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import FastAPI

from idp_proxy import logs, upkeep
from idp_proxy.adapters import (
    new_id,
    open_kept_state,
    open_spool,
    open_standards,
    open_store,
    open_upstreams,
    utc_now,
)
from idp_proxy.config import CONFIG_VARIABLE, load
from idp_proxy.config.settings import EncryptionAlgorithm
from idp_proxy.converted import ConvertedFile, NobodyConverted
from idp_proxy.decision.canary import CanaryAccounts
from idp_proxy.decision.switching import Grace
from idp_proxy.directories import directory_route
from idp_proxy.drill import Joining
from idp_proxy.drill_pass import COOKIE, DrillPasses
from idp_proxy.drill_pass import PURPOSE as DRILL
from idp_proxy.enrolling import open_factors
from idp_proxy.errors import ConfigError
from idp_proxy.login import Login
from idp_proxy.login_record import LoginRecord
from idp_proxy.rehearsal import PURPOSE as REHEARSE
from idp_proxy.rehearsal import Rehearsal
from idp_proxy.saml.authn_request import ServiceProvider
from idp_proxy.saml.encryption import AES128_GCM, AES256_GCM
from idp_proxy.saml.own_metadata import identity_provider_metadata
from idp_proxy.saml.response import (
    Encryption,
    Issuer,
    Recipient,
    Reply,
    issue_no_passive,
    issue_response,
)
from idp_proxy.seal import KeyRing
from idp_proxy.seen_contexts import ContextMeter
from idp_proxy.standing_view import StandingView
from idp_proxy.store.switch_view import SwitchView
from idp_proxy.traffic import TELL_EVERY_S, TrafficMeter
from idp_proxy.transaction import PURPOSE, CookieStyle
from idp_proxy.web import acs, drill, enroll, factor_step, failures, operations, rehearse, sso
from idp_proxy.web.acs import Rehearsals
from idp_proxy.web.pages import Pages, origin
from idp_proxy.web.threads import THREADS, THREADS_REMOTE, JourneyThreads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from cryptography.x509 import Certificate

    from idp_proxy.config.settings import Settings
    from idp_proxy.decision.subject import Evidence, Identity
    from idp_proxy.login import Meter
    from idp_proxy.login_record import Contexts
    from idp_proxy.saml.signature import PublicKey
    from idp_proxy.store.base import Spool, Store
    from idp_proxy.survey import SeenStore
    from idp_proxy.upstream.configured import ConfiguredUpstream

_ALGORITHMS: Final = {
    EncryptionAlgorithm.AES128_GCM: AES128_GCM,
    EncryptionAlgorithm.AES256_GCM: AES256_GCM,
}


@dataclass(frozen=True, slots=True)
class Responses:
    """`login.ResponseIssuer`: what Mattermost gets, under fresh ids."""

    issuer: Issuer
    recipient: Recipient

    def issue(
        self, identity: Identity, evidence: Evidence, in_response_to: str, now: datetime
    ) -> str:
        """See `login.ResponseIssuer`."""
        reply = _reply(in_response_to, now)
        return _base64(issue_response(identity, evidence, reply, self.issuer, self.recipient))

    def no_passive(self, in_response_to: str, now: datetime) -> str:
        """See `login.ResponseIssuer`."""
        return _base64(issue_no_passive(_reply(in_response_to, now), self.issuer, self.recipient))


def _reply(in_response_to: str, now: datetime) -> Reply:
    return Reply(in_response_to, f"_{new_id()}", f"_{new_id()}", now)


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def build(
    settings: Settings,
    store: SeenStore,
    spool: Spool | None,
    upstreams: Mapping[str, ConfiguredUpstream],
    meter: Meter,
    contexts: Contexts,
    now: Callable[[], datetime] = utc_now,
    monotonic: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The web application over these adapters, by these two clocks."""
    kept = None if spool is None else open_kept_state(settings, now).told
    view = SwitchView(store, monotonic, now, kept=kept)
    login = _login(settings, store, spool, upstreams, view, meter, contexts, now)
    pages = _pages(settings)
    style = CookieStyle(insecure=settings.proxy.insecure_loopback)
    rehearsals = Rehearsals(
        _rehearsal(settings, store, upstreams, view, now), replace(style, purpose=REHEARSE)
    )
    app = FastAPI(
        title="idp-proxy",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # they would lead to whatever the Host header names
        # Spans and exception reports would carry queries and messages to whatever the environment
        # names as their exporter (OPS-01).
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    threads = JourneyThreads(THREADS if spool is None else THREADS_REMOTE)
    drills = replace(style, purpose=DRILL)
    joining = Joining(
        store=store, switch=view, ring=KeyRing(settings.proxy.state_keys, DRILL), now=now
    )
    drill_cookie = drills.name(COOKIE)
    app.router.routes.append(sso.route(login, pages, style, drill_cookie, threads))
    app.router.routes.append(drill.route(joining, pages, drills, drill_cookie, threads))
    standards = open_standards(settings, upstreams)
    factors = open_factors(settings, store, upstreams, standards, login, rehearsals, style, now)
    enrolments = None if factors is None else factors.enrolments
    app.router.routes.append(acs.route(login, rehearsals, enrolments, pages, style, threads))
    if factors is not None:
        app.router.routes.extend(enroll.routes(factors.enrolments, factors.desk, pages, threads))
        app.router.routes.append(
            factor_step.route(factors.steps, factors.directories, pages, threads)
        )
        app.router.routes.append(
            directory_route(
                settings, store, upstreams, login, rehearsals, factors, pages, style, now, monotonic
            )
        )
    app.router.routes.append(rehearse.route(rehearsals.journey, pages, rehearsals.style, threads))
    standing = StandingView(
        store=store,
        view=view,
        upstreams=upstreams,
        standards=standards,
        now=now,
        monotonic=monotonic,
        active_serves_on=spool is not None,
    )
    app.include_router(operations.router(pages, standing, now, _metadata(settings, upstreams)))
    failures.install(app, pages, new_id, drills.removal(drill_cookie))
    return app


def _login(
    settings: Settings,
    store: Store,
    spool: Spool | None,
    upstreams: Mapping[str, ConfiguredUpstream],
    view: SwitchView,
    meter: Meter,
    contexts: Contexts,
    now: Callable[[], datetime],
) -> Login:
    registered = settings.service_provider
    converted = registered.converted
    return Login(
        provider=ServiceProvider(
            entity_id=registered.entity_id,
            acs_url=registered.acs_url,
            sso_url=f"{settings.proxy.public_url}/saml/sso",
            keys=tuple(_public_key(one) for one in registered.signing_certificates),
            certificates=tuple(
                one.public_bytes(Encoding.DER) for one in registered.signing_certificates
            ),
            require_signed=registered.require_signed_requests,
        ),
        upstreams=upstreams,
        switch=view,
        record=LoginRecord(
            store=store,
            spool=spool,
            switch=view,
            active=next(iter(upstreams)),
            issued_to=registered.entity_id,
            converted=(
                ConvertedFile(converted.file, converted.key) if converted else NobodyConverted()
            ),
            canaries=_canaries(settings),
            withheld_from_standby=registered.role_attributes,
            answer_within=settings.proxy.answer_within,
            roster_policy=settings.roster.policy,
            assurance=settings.assurance,
            contexts=contexts,
            new_id=new_id,
        ),
        responses=_responses(settings),
        drills=DrillPasses(store, KeyRing(settings.proxy.state_keys, DRILL)),
        meter=meter,
        ring=KeyRing(settings.proxy.state_keys, PURPOSE),
        now=now,
        new_id=new_id,
        answer_within=settings.proxy.answer_within,
        standby_session=settings.failover.standby_session,
        grace=Grace(settings.proxy.answer_within, settings.failover.late_answers),
    )


def _canaries(settings: Settings) -> CanaryAccounts:
    return CanaryAccounts.of(
        canary.subject for one in settings.upstreams for canary in one.canaries
    )


def _rehearsal(
    settings: Settings,
    store: Store,
    upstreams: Mapping[str, ConfiguredUpstream],
    view: SwitchView,
    now: Callable[[], datetime],
) -> Rehearsal:
    return Rehearsal(
        upstreams=upstreams,
        switch=view,
        store=store,
        active=next(iter(upstreams)),
        canaries=_canaries(settings),
        roster_policy=settings.roster.policy,
        assurance=settings.assurance,
        ring=KeyRing(settings.proxy.state_keys, REHEARSE),
        now=now,
        new_id=new_id,
        answer_within=settings.proxy.answer_within,
    )


def _public_key(certificate: Certificate) -> PublicKey:
    """The key of a certificate; `config` has let only RSA and the named curves pass."""
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey | EllipticCurvePublicKey):
        raise ConfigError(["service_provider.signing_certificates: neither an RSA nor an EC key"])
    return key


def _responses(settings: Settings) -> Responses:
    registered, signing = settings.service_provider, settings.proxy.signing
    wanted = registered.encryption
    return Responses(
        Issuer(settings.proxy.entity_id, signing.key, signing.certificate),
        Recipient(
            registered.entity_id,
            registered.acs_url,
            registered.attributes,
            None
            if wanted is None
            else Encryption(wanted.certificate, _ALGORITHMS[wanted.algorithm]),
        ),
    )


def _pages(settings: Settings) -> Pages:
    registered = settings.service_provider
    return Pages(
        support_url=settings.proxy.support_url,
        login_url=registered.login_url,
        allowed_form_origins=(origin(registered.acs_url), origin(registered.login_url)),
        hsts=settings.proxy.public_url.startswith("https:"),
        insecure_loopback=settings.proxy.insecure_loopback,
    )


def _metadata(settings: Settings, upstreams: Mapping[str, ConfiguredUpstream]) -> dict[str, bytes]:
    proxy = settings.proxy

    def ours(successor: Certificate | None) -> bytes:
        return identity_provider_metadata(
            entity_id=proxy.entity_id,
            sso_url=f"{proxy.public_url}/saml/sso",
            certificate=proxy.signing.certificate,
            wants_signed_requests=settings.service_provider.require_signed_requests,
            successor=successor,
        )

    documents = {"/saml/metadata": ours(None)}
    if proxy.next_certificate is not None:
        documents["/saml/metadata?next=1"] = ours(proxy.next_certificate)
    for name, upstream in upstreams.items():
        if (own := upstream.own_metadata()) is not None:
            documents[f"/upstream/{name}/metadata"] = own
    return documents


def worker() -> FastAPI:
    """One worker's application; uvicorn calls it in each process that it starts."""
    logs.configure()
    settings = load(Path(os.environ[CONFIG_VARIABLE]))
    store, meter = open_store(settings, may_be_away=True), TrafficMeter()
    contexts, spool = ContextMeter(), open_spool(settings, store)
    tell = partial(meter.tell, store, settings.proxy.host)
    jobs = [
        upkeep.Job("traffic", TELL_EVERY_S, tell),
        upkeep.Job("contexts", TELL_EVERY_S, partial(contexts.tell, store)),
    ]
    upkeep.start(jobs)
    app = build(settings, store, spool, open_upstreams(settings), meter, contexts)
    _spare_the_collector()
    return app


def _spare_the_collector() -> None:
    """What a worker is made of lives as long as the worker: garbage is not looked for in it, and
    among the objects of logins not every few hundred, since hardly any of them form a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 20)
