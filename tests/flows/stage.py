"""The stage of every flow: the proxy, its upstreams and Mattermost in one process.

A login in small steps: `begin` (Mattermost's request goes in, a question for an upstream comes
out), `answer` (what the upstream says), `post` (the answer goes to the ACS), `accepted` (what
Mattermost makes of the page that comes back).
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx
from lxml import etree
from sqlalchemy import select

from idp_proxy.audit.log import rows as rows_of
from idp_proxy.store.base import UsedId
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.records import used_id_digest
from idp_proxy.store.tables import used_id
from tests.flows.configuration import MATTERMOST_PATH, PUBLIC, SITE, SUPPORT, provider
from tests.support import identity_provider as idp
from tests.support import saml_wire
from tests.support.browser import Browser, Page
from tests.support.identity_provider.service_providers import read_sources
from tests.support.keys import rsa_pair
from tests.support.mattermost import Accepted, Mattermost, accept
from tests.support.mattermost import Settings as MattermostSettings
from tests.support.mattermost.authn_request import build as build_request
from tests.support.people import PEOPLE

if TYPE_CHECKING:
    from idp_proxy.audit.chain import Row
    from idp_proxy.config import Settings
    from idp_proxy.errors import ProxyError
    from idp_proxy.seen_contexts import ContextMeter
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.switch import Switchboard
    from idp_proxy.traffic import TrafficMeter
    from idp_proxy.upstream.configured import ConfiguredUpstream
    from tests.flows.wire import Wire
    from tests.support.identity_provider import Login, Provider, Question
    from tests.support.keys import KeyPair
    from tests.support.people import Person

RELAY_STATE = "eyJhY3Rpb24iOiAibG9naW4ifQ=="
TID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(slots=True)
class Clock:
    """The wall clock and a monotonic one, both moved by hand. The first starts at the real time,
    because python3-saml reads the real clock in Mattermost's place.
    """

    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    ticks: float = 1000.0

    def now(self) -> datetime:
        """The wall clock."""
        return self.at

    def monotonic(self) -> float:
        """The monotonic clock, in seconds."""
        return self.ticks

    def pass_by(self, **time: float) -> None:
        """Let time go by, as `timedelta` counts it."""
        passed = timedelta(**time)
        self.at += passed
        self.ticks += passed.total_seconds()


@dataclass(frozen=True, slots=True)
class Begun:
    """A login under way in one browser: the page it got, and the question for the upstream."""

    client: httpx.Client
    page: httpx.Response
    upstream: str
    tid: str
    question: Question
    sp_request_id: str


@dataclass(frozen=True, slots=True)
class Posted:
    """The form that the browser will post to Mattermost."""

    action: str
    fields: dict[str, str]


@dataclass(slots=True)
class Stage:
    """Everything that takes part, and what a test asks of it."""

    settings: Settings
    store: MemoryStore | SqlStore
    upstreams: dict[str, ConfiguredUpstream]
    switchboard: Switchboard
    mattermost: Mattermost
    clock: Clock
    wire: Wire
    meter: TrafficMeter
    contexts: ContextMeter

    # --- browsers --------------------------------------------------------------------------------

    def client(self, **headers: str) -> httpx.Client:
        """A new browser without a will of its own: cookies, and no redirects."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.Client(
            transport=self.wire, base_url=self.settings.proxy.public_url, headers=named
        )

    def browser(self, **habits: Any) -> Browser:
        """A new browser that goes through all the pages as a person's does."""
        return Browser(transport=self.wire, **habits)

    # --- one login, step by step -----------------------------------------------------------------

    def request(self, **attributes: str) -> etree._Element:
        """Mattermost's AuthnRequest, with these attributes set."""
        element = build_request(self.mattermost.settings, now=self.clock.now())
        for name, value in attributes.items():
            element.set(name, value)
        return element

    def sso_query(self, request: etree._Element, relay_state: str | None = RELAY_STATE) -> str:
        """The query of HTTP-Redirect, unsigned."""
        values = {"SAMLRequest": saml_wire.deflate(etree.tostring(request))}
        if relay_state is not None:
            values["RelayState"] = relay_state
        return urlencode(values, quote_via=quote_plus)

    def begin(
        self,
        client: httpx.Client | None = None,
        relay_state: str | None = RELAY_STATE,
        **attributes: str,
    ) -> Begun:
        """Mattermost sends a browser to the proxy, which sends it on."""
        client, request = client or self.client(), self.request(**attributes)
        page = client.get(f"/saml/sso?{self.sso_query(request, relay_state)}")
        return self.sent_on(client, page, request.get("ID", ""))

    def sent_on(self, client: httpx.Client, page: httpx.Response, sp_request_id: str) -> Begun:
        """What stands in the page or redirect that leads to an upstream."""
        if page.status_code == httpx.codes.FOUND:
            address, query = page.headers["location"].split("?", 1)
            values = saml_wire.query_values(query)
            message = saml_wire.inflate(values["SAMLRequest"])
            detached = saml_wire.detached_signature(query)
        else:
            posted = form_of(page)
            address, values, detached = posted.action, posted.fields, None
            message = saml_wire.decode(values["SAMLRequest"])
        upstream = str(urlsplit(address).hostname).split(".")[0]
        known = read_sources([lambda: described(self.upstreams[upstream])])
        question = idp.read_question(message, known, sso_url=address, detached=detached)
        return Begun(client, page, upstream, values["RelayState"], question, sp_request_id)

    def answer(
        self,
        begun: Begun,
        person: Person,
        *,
        by: Provider | None = None,
        login: Login | None = None,
        encrypt_for: KeyPair | None = None,
    ) -> str:
        """What the upstream that was asked says of `person`; `by` another one, or one that changed
        its habits.
        """
        return idp.issue(
            by or provider(begun.upstream),
            begun.question,
            person,
            now=self.clock.now(),
            login=login,
            encrypt_for=encrypt_for.certificate_pem if encrypt_for else None,
        )

    def refusal(self, begun: Begun, status: str) -> str:
        """The upstream that was asked says no."""
        known = provider(begun.upstream)
        return idp.refuse(known, begun.question, now=self.clock.now(), status=status)

    def post(
        self,
        begun: Begun,
        message: str,
        *,
        client: httpx.Client | None = None,
        upstream: str | None = None,
        tid: str | None = None,
        **headers: str,
    ) -> httpx.Response:
        """The browser posts the answer to the ACS."""
        return (client or begun.client).post(
            f"/upstream/{upstream or begun.upstream}/acs",
            data={"SAMLResponse": message, "RelayState": tid or begun.tid},
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    def log_in(self, person: Person, **begin: Any) -> Accepted:
        """A whole login, up to what Mattermost reads in it."""
        begun = self.begin(**begin)
        return self.accepted(self.post(begun, self.answer(begun, person)), begun)

    def accepted(self, page: httpx.Response, begun: Begun) -> Accepted:
        """What Mattermost's own checks make of the Response in `page`. Raises `LoginFailed`."""
        posted = form_of(page)
        assert posted.action == MATTERMOST_PATH
        accepted = accept(
            posted.fields["SAMLResponse"], self.mattermost.settings, now=self.clock.now()
        )
        assert accepted.in_response_to == begun.sp_request_id
        return accepted

    # --- what is on record -----------------------------------------------------------------------

    def on_record(self) -> list[str]:
        """What the audit says of logins, in order: `login`, or the code of a refusal."""
        rows = [row for row in audit_rows(self.store) if row.kind.startswith("login")]
        return [str(row.facts["reason"] or row.kind) for row in rows]

    def audit_rows(self, kind: str) -> list[Row]:
        """The audit rows of this kind, as they are kept."""
        return [row for row in audit_rows(self.store) if row.kind == kind]

    def used(self, begun: Begun, assertion_id: str) -> list[bool]:
        """Whether the request, the transaction and the assertion of this login count as used."""
        until = self.clock.now() + timedelta(minutes=1)
        issuer = provider(begun.upstream).entity_id
        return [
            is_used(self.store, UsedId(kind, of, value, until))
            for kind, of, value in (
                ("request", MATTERMOST_PATH, begun.sp_request_id),
                ("transaction", "", begun.tid),
                ("assertion", issuer, assertion_id),
            )
        ]

    def nothing_happened(self) -> bool:
        """No login is on record, and nobody is in the roster."""
        known = [self.store.person(one.employee_number) for one in PEOPLE]
        return self.on_record() == [] and known == [None] * len(PEOPLE)

    def switch(self, to: str) -> None:
        """An operator switches, and every worker has heard of it."""
        self.switchboard.to(to, "a test", "host:test")
        self.clock.pass_by(seconds=1)


def described(upstream: ConfiguredUpstream) -> bytes:
    """What a SAML upstream is told of the proxy."""
    found = upstream.own_metadata()
    assert found is not None
    return found


def is_used(store: MemoryStore | SqlStore, used: UsedId) -> bool:
    """Whether this id counts as used."""
    digest = used_id_digest(used)
    if isinstance(store, MemoryStore):
        return digest in store._contents.used
    with store.reading() as connection:
        found = connection.execute(select(used_id.c.digest).where(used_id.c.digest == digest))
        return found.first() is not None


def audit_rows(store: MemoryStore | SqlStore) -> list[Row]:
    """Every audit row."""
    if isinstance(store, MemoryStore):
        return list(store.audit_rows())
    with store.reading() as connection:
        return list(rows_of(connection))


def mattermost_settings(
    settings: Settings, *, encrypt: bool = False, **changes: Any
) -> MattermostSettings:
    """Mattermost, set up for this proxy."""
    return MattermostSettings(
        site_url=SITE,
        idp_url=f"{settings.proxy.public_url}/saml/sso",
        idp_descriptor_url=settings.proxy.entity_id,
        idp_certificate=rsa_pair("idp").certificate_pem,
        encrypt=encrypt,
        keys=rsa_pair("mattermost"),
        **changes,
    )


def assertion_id(message: str) -> str:
    """The ID of the assertion in a SAMLResponse."""
    root = saml_wire.parse(saml_wire.decode(message))
    return next(root.iter(f"{{{saml_wire.SAML}}}Assertion")).get("ID", "")


def form_of(page: httpx.Response) -> Posted:
    """The one form of an auto-posting page."""
    assert page.status_code == httpx.codes.OK, code_of(page)
    (form,) = Page(str(page.url), page.status_code, page.headers, page.text, ()).forms
    return Posted(form.action, dict(form.fields))


def code_of(page: httpx.Response) -> str:
    """The code on an error page, or the status of another page."""
    # The last one: the error id above it may happen to be of small letters only.
    found = re.findall(r"</dt><dd><code>([a-z_]+)</code>", page.text)
    return found[-1] if found else str(page.status_code)


def demand_refusal(page: httpx.Response, kind: type[ProxyError]) -> str:
    """The page is the one of this error and carries nothing for Mattermost; gives its text."""
    text = html.unescape(page.text)
    assert code_of(page) == kind.code
    assert page.status_code == kind.http_status
    assert kind.public in text
    assert "SAMLResponse" not in text
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers
    return text


__all__ = [
    "MATTERMOST_PATH",
    "PUBLIC",
    "RELAY_STATE",
    "SITE",
    "SUPPORT",
    "Begun",
    "Clock",
    "Posted",
    "Stage",
    "assertion_id",
    "audit_rows",
    "code_of",
    "demand_refusal",
    "described",
    "form_of",
    "is_used",
    "mattermost_settings",
]
