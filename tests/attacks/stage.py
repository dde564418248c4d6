"""The real application, in this process, with a browser that a test holds in its own hands.

Two SAML upstreams, `active` and `standby`; SQLite; the log of refusals is recorded. A login is
begun over HTTP, its question read as the upstream would read it, and answered by any message.
"""

from __future__ import annotations

import base64
import re
import secrets
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from lxml import etree
from sqlalchemy import func, select

from idp_proxy import adapters
from idp_proxy import app as application
from idp_proxy.audit.tables import audit_row
from idp_proxy.config import load
from idp_proxy.seen_contexts import ContextMeter
from idp_proxy.store import schema
from idp_proxy.traffic import TrafficMeter
from tests.attacks.attack import Asking, Login, Policy, Registration
from tests.attacks.browser import Browser
from tests.attacks.requests import octets_of, parameter, plain, redirected
from tests.support import saml_wire
from tests.support.identity_provider.answers import Provider, metadata
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    import httpx

    from idp_proxy.config import Settings
    from idp_proxy.switch import Switchboard
    from tests.attacks.attack import Sent

PUBLIC = "https://sso.example.org"
MATTERMOST = "https://chat.example.org/login/sso/saml"
SECRET_RELAY_STATE = "eyJyZWRpcmVjdF90byI6Ii90ZWFtIn0+/="

_CONFIGURATION = """\
[proxy]
entity_id = "{PUBLIC}/saml/metadata"
public_url = "{PUBLIC}"
listen = "127.0.0.1:8443"
signing_key = "idp.key"
signing_certificate = "idp.crt"
state_keys = ["file:state.key"]
support_url = "https://help.example.org/sso"
data_dir = "data"
host = "attacked"
[store]
url = "sqlite:///idp-proxy.db"
[service_provider]
entity_id = "{MATTERMOST}"
acs_url = "{MATTERMOST}"
login_url = "{MATTERMOST}"
{registration}
[service_provider.attributes]
id = "id"
email = "email"
username = "username"
firstname = "first_name"
"""
_UPSTREAM = """
[[upstream]]
name = "{name}"
metadata = {{ file = "{name}.xml" }}
signing_key = "{name}-sp.key"
signing_certificate = "{name}-sp.crt"
decryption_key = "{name}-enc.key"
decryption_certificate = "{name}-enc.crt"
email_domains = ["example.org"]
{policy}
[upstream.attributes]
id = "urn:oid:2.16.840.1.113730.3.1.3"
email = "urn:oid:0.9.2342.19200300.100.1.3"
username = "urn:oid:0.9.2342.19200300.100.1.1"
first_name = "urn:oid:2.5.4.42"
"""
_POLICIES = {
    Policy.ASSERTION: 'require_signed = "assertion"',
    Policy.RESPONSE: 'require_signed = "response"',
    Policy.BOTH: 'require_signed = "both"',
    Policy.BOTH_WITH_CBC: 'require_signed = "both"\nallow_aes_cbc = true',
}
_REGISTRATIONS = {
    Registration.WITHOUT_KEYS: "signing_certificates = []",
    Registration.WITH_KEYS: 'signing_certificates = ["mattermost.crt"]',
    Registration.MUST_SIGN: (
        'signing_certificates = ["mattermost.crt"]\nrequire_signed_requests = true'
    ),
}


@dataclass(slots=True)
class Clock:
    """The time of the application, moved by a test."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)


@dataclass(slots=True)
class Journal:
    """What the application logged about refusals, newest last."""

    lines: list[dict[str, Any]] = field(default_factory=list)

    def warning(self, event: str, **facts: Any) -> None:
        """A refusal."""
        self.lines.append({"event": event, "level": "warning", **facts})

    def error(self, event: str, **facts: Any) -> None:
        """A fault of our own."""
        self.lines.append({"event": event, "level": "error", **facts})

    @property
    def last(self) -> dict[str, Any]:
        """The newest line."""
        return self.lines[-1]


@dataclass(frozen=True, slots=True)
class Begun:
    """A login under way in one browser: what it holds, and what an upstream is asked."""

    login: Login
    tid: str
    cookie: str


class Stage:
    """One running configuration."""

    def __init__(
        self, folder: Path, journal: Journal, policy: Policy, registration: Registration
    ) -> None:
        self.clock, self.journal = Clock(), journal
        self.settings = _settings(folder, policy, registration, self.clock())
        self.keys = {"active": rsa_pair("active"), "standby": rsa_pair("standby")}
        (folder / "idp-proxy.db").write_bytes(_empty_database())
        self.store = adapters.open_store(self.settings)
        self.upstreams = adapters.open_upstreams(self.settings)
        self.switchboard.current()
        self._browsers: list[Browser] = []
        self.browser = self.worker()

    @property
    def switchboard(self) -> Switchboard:
        """What an operator's commands use."""
        return adapters.open_switchboard(self.store, self.upstreams, self.clock)

    def worker(self) -> Browser:
        """A worker of its own over the same store; it reads the switch state anew."""
        meters = TrafficMeter(), ContextMeter()
        app = application.build(
            self.settings, self.store, None, self.upstreams, *meters, self.clock
        )
        self._browsers.append(Browser(app, PUBLIC))
        return self._browsers[-1]

    def close(self) -> None:
        """Give the store and the event loops back."""
        for browser in self._browsers:
            browser.close()
        self.store.close()

    @property
    def asking(self) -> Asking:
        """The registered service provider, now."""
        return Asking(
            request_id=f"_{secrets.token_hex(16)}",
            entity_id=MATTERMOST,
            acs_url=MATTERMOST,
            sso_url=f"{PUBLIC}/saml/sso",
            keys=rsa_pair("mattermost"),
            now=self.clock(),
        )

    def send(self, sent: Sent) -> httpx.Response:
        """An AuthnRequest as raw as it is."""
        if sent.method == "GET":
            return self.browser.send("GET", f"/saml/sso?{sent.query.decode('latin-1')}")
        headers = {"Content-Type": sent.content_type}
        return self.browser.send(sent.method, "/saml/sso", sent.body, headers)

    def begin(
        self,
        worker: Browser | None = None,
        relay_state: str = SECRET_RELAY_STATE,
        asking: Asking | None = None,
    ) -> Begun:
        """A login begun by an honest request, as far as the upstream's door."""
        sent = redirected(
            octets_of(plain(asking or self.asking)),
            b"RelayState=" + parameter(relay_state.encode()),
        )
        browser = worker or self.browser
        answer = browser.send("GET", f"/saml/sso?{sent.query.decode('ascii')}")
        assert answer.status_code == 302, (answer.status_code, self.journal.lines[-1:])
        query = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
        question = etree.fromstring(saml_wire.inflate(query["SAMLRequest"]))
        name = urlsplit(str(question.get("AssertionConsumerServiceURL"))).path.split("/")[2]
        cookie = answer.headers["set-cookie"].partition(";")[0]
        return Begun(self._login(name, str(question.get("ID"))), query["RelayState"], cookie)

    def _login(self, name: str, request_id: str) -> Login:
        other = "standby" if name == "active" else "active"
        return Login(
            request_id=request_id,
            acs_url=f"{PUBLIC}/upstream/{name}/acs",
            audience=f"{PUBLIC}/upstream/{name}/metadata",
            issuer=entity_id(name),
            keys=self.keys[name],
            standby_acs_url=f"{PUBLIC}/upstream/{other}/acs",
            standby_audience=f"{PUBLIC}/upstream/{other}/metadata",
            standby_issuer=entity_id(other),
            standby_keys=self.keys[other],
            recipient=rsa_pair(f"{name}-enc"),
            proxied_to=MATTERMOST,
            now=self.clock(),
        )

    def answer(
        self,
        begun: Begun,
        message: bytes | str,
        *,
        cookie: str | None = None,
        relay_state: str | None = None,
        acs_url: str | None = None,
        worker: Browser | None = None,
    ) -> httpx.Response:
        """The upstream's answer, posted by the browser with the login's own cookie, or another."""
        posting = self.posting(
            begun, message, cookie=cookie, relay_state=relay_state, acs_url=acs_url
        )
        return (worker or self.browser).send(*posting)

    def posting(
        self,
        begun: Begun,
        message: bytes | str,
        *,
        cookie: str | None = None,
        relay_state: str | None = None,
        acs_url: str | None = None,
    ) -> tuple[str, str, str, dict[str, str]]:
        """That request: method, path, body and headers. An empty cookie is none."""
        value = message if isinstance(message, str) else base64.b64encode(message).decode("ascii")
        tid = begun.tid if relay_state is None else relay_state
        body = urlencode({"SAMLResponse": value, "RelayState": tid})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        sent_cookie = begun.cookie if cookie is None else cookie
        if sent_cookie:
            headers["Cookie"] = sent_cookie
        return ("POST", urlsplit(acs_url or begun.login.acs_url).path, body, headers)

    def logins(self) -> int:
        """How many logins the audit has on record."""
        with self.store.reading() as connection:
            chosen = select(func.count()).where(audit_row.c.kind == "login")
            return int(connection.execute(chosen).scalar_one())


@cache
def _empty_database() -> bytes:
    """A store as `serve` makes it; copied, since migrating takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "empty.db"
        schema.migrate(f"sqlite:///{file}")
        return file.read_bytes()


def entity_id(name: str) -> str:
    """The entity ID of an upstream."""
    return f"https://{name}.example.org/metadata"


def issued(response: httpx.Response) -> etree._Element | None:
    """The Response on the page that posts to Mattermost, or None if there is no such page."""
    found = re.search(r'name="SAMLResponse" value="([^"]*)"', response.text)
    return None if found is None else etree.fromstring(base64.b64decode(unescape(found[1])))


def assert_refused(stage: Stage, response: httpx.Response, code: str) -> None:
    """A refusal of this kind; nobody was logged in."""
    line = stage.journal.last
    assert (line["code"], response.status_code // 100) == (code, 4), line
    assert line["detail"] == "" or line["detail"] not in response.text
    assert issued(response) is None
    assert stage.logins() == 0


def _settings(folder: Path, policy: Policy, registration: Registration, now: datetime) -> Settings:
    text_ = _CONFIGURATION.format(
        PUBLIC=PUBLIC, MATTERMOST=MATTERMOST, registration=_REGISTRATIONS[registration]
    )
    state_key = folder / "state.key"
    state_key.touch(mode=0o600)
    state_key.write_bytes(secrets.token_bytes(32))
    for stem in ("idp", "mattermost"):
        rsa_pair(stem).write(folder, stem)
    for name in ("active", "standby"):
        text_ += _UPSTREAM.format(name=name, policy=_POLICIES[policy])
        for suffix in ("sp", "enc"):
            rsa_pair(f"{name}-{suffix}").write(folder, f"{name}-{suffix}")
        provider = Provider(entity_id(name), f"https://{name}.example.org/sso", rsa_pair(name))
        (folder / f"{name}.xml").write_bytes(metadata(provider))
    file = folder / "idp-proxy.toml"
    file.write_text(text_, "utf-8")
    return load(file, now=now, environ={})
