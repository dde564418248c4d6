"""A canary that posts forms, against an upstream that is played page by page."""

from __future__ import annotations

import asyncio
import base64
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

import httpx
import pyotp
import pytest

from idp_proxy.config import CanarySettings
from idp_proxy.decision.health import Outcome
from idp_proxy.decision.subject import Evidence, Subject
from idp_proxy.errors import AssertionInvalid, UpstreamRefused, UpstreamUnavailable
from idp_proxy.upstream.base import Ask, Pending, PostForm, Proof, Redirect
from idp_proxy.upstream.canary import Canary, code_of
from idp_proxy.upstream.canary_form import FormDriver
from tests.support.login_pages import page

if TYPE_CHECKING:
    from idp_proxy.upstream.dialling import Dialler
    from idp_proxy.upstream.probing import Probed

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
IDP = "https://idp.example.org"
SSO = f"{IDP}/path/sso"
ACS = "https://sso.example.org/upstream/okta/acs"
SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
CODE = pyotp.TOTP(SECRET).at(NOW)
PASSWORD = "pass word&1"
REDIRECT = 302


@dataclass(slots=True)
class Okta:
    """The upstream as a login asks it. `refusal` is what its answers are met with."""

    by_post: bool = False
    subject: str = "e-9001"
    refusal: Exception | None = None
    unavailable: bool = False
    asked: list[Ask] = field(default_factory=list)
    seen: list[Pending] = field(default_factory=list)
    wait: threading.Event | None = None

    def entity_id(self, now: datetime) -> str:
        return f"{IDP}/{now.year}"

    def begin(self, ask: Ask) -> Redirect | PostForm:
        if self.unavailable:
            raise UpstreamUnavailable("okta has no approved metadata yet")
        self.asked.append(ask)
        fields = {"SAMLRequest": "x", "RelayState": ask.relay_state}
        return PostForm(SSO, fields) if self.by_post else Redirect(f"{SSO}?SAMLRequest=x")

    def finish(self, message: str, pending: Pending) -> Proof:
        assert threading.current_thread() is not threading.main_thread()
        if self.wait is not None:
            self.wait.wait(5)
        self.seen.append(pending)
        if self.refusal is not None:
            raise self.refusal
        evidence = Evidence(NOW, "urn:password", (IDP,))
        assert base64.b64decode(message) == b"<x>"
        return Proof(Subject("okta", self.subject, {}, evidence), "_a", IDP, NOW)


@dataclass(slots=True)
class Pages:
    """A provider that gives these answers in turn, and remembers what it was asked."""

    answers: list[Any]
    okta: Okta = field(default_factory=Okta)
    requests: list[httpx.Request] = field(default_factory=list)
    transport: Any = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(self)
        return (answer if isinstance(answer, Shown) else shown(answer)).response()

    def client(self, timeout: timedelta, connect: timedelta) -> httpx.AsyncClient:
        assert connect <= timeout
        return httpx.AsyncClient(transport=httpx.MockTransport(self.transport or self))

    def posted(self, number: int) -> dict[str, str]:
        return dict(parse_qsl(self.requests[number].content.decode(), keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Shown:
    """A page that can be shown more than once."""

    status: int
    body: bytes
    headers: dict[str, str]

    def response(self) -> httpx.Response:
        """As a stream, since its octets are read as they are on the wire."""
        return httpx.Response(self.status, headers=self.headers, stream=httpx.ByteStream(self.body))


def shown(body: bytes | str, status: int = 200, **headers: str) -> Shown:
    """A page of `login_pages` by its name, or these octets."""
    octets = page(body) if isinstance(body, str) and "<" not in body else body
    raw = octets.encode() if isinstance(octets, str) else octets
    return Shown(status, raw, {name.replace("_", "-"): value for name, value in headers.items()})


def moved(to: str, status: int = REDIRECT, **headers: str) -> Shown:
    return shown(b"", status, location=to, **headers)


def answer(pages: Pages, **changes: str) -> bytes:
    """The page that would have a browser post the answer."""
    values = {
        "action": ACS,
        "RelayState": pages.okta.asked[-1].relay_state,
        "SAMLResponse": base64.b64encode(b"<x>").decode(),
    } | changes
    action = values.pop("action")
    inputs = "".join(f'<input type=hidden name="{n}" value="{v}">' for n, v in values.items())
    return f'<form method="post" action="{action}">{inputs}</form>'.encode()


def log_in(
    pages: Pages, timeout: float = 5, known: frozenset[str] = frozenset(), **account: Any
) -> Probed:
    settings = CanarySettings(
        **{
            "name": "staff",
            "kind": "form",
            "username": "canary-staff",
            "password": PASSWORD,
            "subject": "e-9001",
        }
        | account
    )
    span = timedelta(seconds=timeout)
    ids = iter(f"{number:022}" for number in range(9))
    canary = Canary(
        upstream="okta",
        settings=settings,
        asks=pages.okta,
        driver=FormDriver(settings, cast("Dialler", pages), span, span),
        new_id=lambda: next(ids),
        acs_url=ACS,
        link_attribute="urn:id",
        timeout=span,
    )
    assert (canary.upstream, canary.name) == ("okta", "staff")
    seen = asyncio.run(canary.log_in(NOW))
    assert PASSWORD not in seen.reason
    assert len(seen.reason) <= 300
    assert {str(one.url.host) for one in pages.requests} <= {"idp.example.org", *known}
    return seen


PASSED = (Outcome.PASSED, "logs in, and the answer is verified")


def told(seen: Probed) -> tuple[Outcome, str]:
    return seen.outcome, seen.reason


def test_keycloak_by_password_and_code() -> None:
    pages = Pages(["keycloak-login", moved("/code", set_cookie="k=1; Path=/"), "keycloak-code"])
    pages.answers.append(answer)
    assert told(log_in(pages, totp=SECRET)) == PASSED
    first, second, third, fourth = pages.requests
    assert [one.method for one in pages.requests] == ["GET", "POST", "GET", "POST"]
    assert str(first.url) == f"{SSO}?SAMLRequest=x"
    assert second.url.path == "/realms/example/login-actions/authenticate"
    assert pages.posted(1) == {
        "username": "canary-staff",
        "password": PASSWORD,
        "credentialId": "",
        "login": "Sign In",
    }
    assert third.headers["cookie"] == "k=1"
    assert pages.posted(3) == {"otp": CODE, "login": "Sign In"}
    assert fourth.headers["cookie"] == "k=1"


def test_adfs_by_password_and_code() -> None:
    pages = Pages(["adfs-login", "adfs-code", answer])
    assert told(log_in(pages, totp=SECRET)) == PASSED
    assert pages.requests[1].url.path == "/adfs/ls/"
    assert pages.posted(1) == {
        "UserName": "canary-staff",
        "Password": PASSWORD,
        "AuthMethod": "FormsAuthentication",
    }
    assert pages.posted(2)["ChallengeQuestionAnswer"] == CODE


def test_shibboleth_through_its_storage_page() -> None:
    pages = Pages(["shibboleth-storage", "shibboleth-login", answer])
    assert told(log_in(pages)) == PASSED
    assert pages.posted(1)["_eventId_proceed"] == ""
    assert pages.posted(2)["j_password"] == PASSWORD


def test_a_name_first_and_a_password_then() -> None:
    name = "<form method=post action=/n><input name=identifier></form>"
    word = "<form method=post action=/p><input type=password name=pw></form>"
    pages = Pages([name, word, answer])
    assert told(log_in(pages)) == PASSED
    assert (pages.posted(1), pages.posted(2)) == ({"identifier": "canary-staff"}, {"pw": PASSWORD})


def test_a_code_beside_the_password() -> None:
    form = "<form method=post><input name=user><input type=password name=pw><input name=otp></form>"
    pages = Pages([form, answer])
    assert told(log_in(pages, totp=SECRET)) == PASSED
    assert pages.posted(1) == {"user": "canary-staff", "pw": PASSWORD, "otp": CODE}


def test_the_question_is_a_fresh_one_that_no_session_answers() -> None:
    pages = Pages(["simplesamlphp-login", answer], Okta(by_post=True))
    assert told(log_in(pages)) == PASSED
    (ask,), (pending,) = pages.okta.asked, pages.okta.seen
    assert (ask.force_authn, ask.is_passive, ask.now) == (True, False, NOW)
    assert (ask.request_id, ask.relay_state) == (f"_{0:022}", f"{1:022}")
    assert (pending.request_id, pending.entity_id) == (ask.request_id, f"{IDP}/2026")
    assert timedelta(0) <= pending.now - NOW < timedelta(seconds=5)
    assert pages.posted(0) == {"SAMLRequest": "x", "RelayState": ask.relay_state}


def test_each_login_has_cookies_of_its_own() -> None:
    pages = Pages([shown("adfs-login", set_cookie="session=1; Path=/"), answer])
    log_in(pages)
    pages.answers = [*pages.answers, *pages.answers]
    log_in(pages)
    assert "cookie" not in pages.requests[2].headers


BROKEN, REFUSED = Outcome.BROKEN, Outcome.REFUSED


@pytest.mark.parametrize(
    ("answers", "outcome", "reason"),
    [
        (["keycloak-login", "keycloak-again"], REFUSED, "asks for the password again"),
        (["adfs-login", "adfs-again"], REFUSED, "asks for the password again"),
        (["keycloak-login", "keycloak-update-password"], REFUSED, "asks for a new password"),
        (["adfs-login", moved("/u"), "adfs-update-password"], REFUSED, "asks for a new password"),
        (["keycloak-login", "keycloak-code"], REFUSED, "asks for a second factor"),
        (["shibboleth-login", "shibboleth-consent"], REFUSED, "asks for more after the password"),
        (["captcha-login"], REFUSED, "takes the canary for a robot"),
        ([shown("<p>slow down", 429)], REFUSED, "takes the canary for a robot"),
        ([shown("<p>wait", 503, cf_mitigated="challenge")], REFUSED, "for a robot"),
        ([shown("adfs-login", 403)], None, ""),
        ([shown("<p>no", 403)], REFUSED, "answers 403: it turns the canary away"),
        (["keycloak-error"], BROKEN, "shows no login form"),
        (["maintenance"], BROKEN, "shows no login form"),
        ([b"\x00"], BROKEN, "shows no login form"),
        (["keycloak-login", "keycloak-error"], BROKEN, "shows a wrong page after the password"),
        (["keycloak-login", shown("error-report", 500)], BROKEN, "answers 500 after the password"),
        ([shown("adfs-login", 503)], BROKEN, "answers 503"),
        ([shown("<p>", 404)], BROKEN, "answers 404"),
        ([moved("")], BROKEN, "redirects to nowhere"),
        ([moved("/again")], BROKEN, "leads through more than 25 pages and redirects"),
        (["shibboleth-storage"], BROKEN, "leads through more than 25 pages and redirects"),
        ([moved("https://status.example.com/?x=1")], BROKEN, "redirects to another host: status."),
        ([moved("http://idp.example.org/")], BROKEN, "redirects to what is no https address"),
        ([moved("https://idp.example.org:8443/")], BROKEN, "another host: idp.example.org:8443"),
        ([moved("https://idp.example.org@evil.example/")], BROKEN, "what is no https address"),
        ([moved("https://idp.example.org./")], BROKEN, "redirects to what is no https address"),
        (["adfs-login", moved("https://duo.example.com/")], REFUSED, "add it to hosts"),
        ([shown(b" " * 300_000)], BROKEN, "answers with more than 262144 octets"),
        ([shown(b"\x1f\x8b", content_encoding="gzip")], BROKEN, "answers compressed"),
        ([httpx.ConnectError("no")], BROKEN, "takes no connection"),
        (["adfs-login", httpx.ReadTimeout("no")], BROKEN, "within 5 s after the password"),
        (["adfs-login", httpx.RemoteProtocolError(PASSWORD)], BROKEN, "(hidden) after the pass"),
    ],
)
def test_what_does_not_lead_to_an_answer(
    answers: list[Any], outcome: Outcome | None, reason: str
) -> None:
    pages = Pages(answers if outcome else [*answers, answer])
    seen = log_in(pages)
    assert seen.outcome is (outcome or Outcome.PASSED), seen.reason
    assert reason in seen.reason


@pytest.mark.parametrize(
    "action",
    [
        "https://evil.example/",
        "http://idp.example.org/login",
        "//evil.example/",
        "https://idp.example.org:8443/",
        "javascript:steal()",
        "https://idp.example.org@evil.example/",
        "https://idp.example.org.evil.example/",
        "file:///etc/passwd",
        "\\\\evil.example\\",
        "https://[::1]/",
    ],
)
def test_the_password_goes_nowhere_else(action: str) -> None:
    form = f"<form method=post action='{action}'><input name=user><input type=password name=p>"
    pages = Pages([form, answer])
    seen = log_in(pages)
    for request in pages.requests:
        assert (request.url.scheme, request.url.host) == ("https", "idp.example.org")
        assert request.url.port in {None, 443}
    assert seen.outcome is REFUSED or len(pages.requests) == 2


def test_nor_is_it_passed_on_by_a_redirect_that_keeps_the_method() -> None:
    away = moved("https://login.example.org/", 307)
    pages = Pages(["adfs-login", away, answer])
    seen = log_in(pages, hosts=("login.example.org",))
    assert told(seen) == (REFUSED, "passes what was typed on to another host")
    assert len(pages.requests) == 2
    there = Pages(["adfs-login", moved("/adfs/2", 308), answer])
    assert told(log_in(there)) == PASSED
    assert there.posted(2)["Password"] == PASSWORD


def test_a_host_that_is_named_may_be_gone_to() -> None:
    pages = Pages([moved("https://login.example.org:8443/x?q=1"), "simplesamlphp-login", answer])
    hosts = ("login.example.org:8443",)
    assert told(log_in(pages, known=frozenset({"login.example.org"}), hosts=hosts)) == PASSED
    assert str(pages.requests[2].url) == "https://login.example.org:8443/x"


@pytest.mark.parametrize(
    ("okta", "change", "outcome", "reason"),
    [
        (Okta(subject="e-1001"), {}, REFUSED, "somebody else than the configured subject"),
        (Okta(subject="E-9001"), {}, REFUSED, "what the upstream sends as urn:id"),
        (
            Okta(refusal=UpstreamRefused("FO-02", "status 'AuthnFailed'")),
            {},
            REFUSED,
            "the answer says no: FO-02: status 'AuthnFailed'",
        ),
        (
            Okta(refusal=AssertionInvalid("SP-01", "no pinned key verifies it")),
            {},
            BROKEN,
            "the answer does not verify: SP-01: no pinned key verifies it",
        ),
        (Okta(refusal=UpstreamUnavailable("it expired")), {}, BROKEN, "it expired"),
        (Okta(unavailable=True), {}, BROKEN, "okta has no approved metadata yet"),
        (Okta(), {"action": f"{ACS}/"}, BROKEN, "posts its answer to another address"),
        (Okta(), {"RelayState": "other"}, BROKEN, "does not give the RelayState back"),
    ],
)
def test_an_answer_counts_only_as_a_persons_would(
    okta: Okta, change: dict[str, str], outcome: Outcome, reason: str
) -> None:
    pages = Pages(["adfs-login", lambda now: answer(now, **change)], okta)
    seen = log_in(pages)
    assert (seen.outcome, reason in seen.reason) == (outcome, True), seen.reason
    assert "e-1001" not in seen.reason


def test_a_page_that_never_comes_is_given_up_in_time() -> None:
    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    assert told(log_in(Pages([], transport=hang), timeout=0.05)) == (
        BROKEN,
        "no answer within 0.05 s",
    )


def test_a_host_that_cannot_keep_up_blames_nobody() -> None:
    wait = threading.Event()
    pages = Pages(["adfs-login", answer], Okta(wait=wait))
    timer = threading.Timer(0.6, wait.set)
    timer.start()
    assert told(log_in(pages, timeout=0.4)) == (
        REFUSED,
        "this host is too slow to do its own part in time",
    )
    timer.join()


def test_codes_are_those_of_rfc_6238_and_short_secrets_count() -> None:
    """Appendix B, cut to six digits: 94287082 at 59 s, 07081804 at 1111111109 s."""
    settings = CanarySettings("s", "form", "u", "p", "x", SECRET)
    for second, code in ((59, "287082"), (1111111109, "081804")):
        assert code_of(settings, datetime.fromtimestamp(second, UTC)) == code
    short = CanarySettings("s", "form", "u", "p", "x", "JBSWY3DPEHPK3PXP")
    assert code_of(short, datetime.fromtimestamp(0, UTC)) == "282760"


def test_a_fault_of_our_own_is_no_outcome() -> None:
    pages = Pages(["adfs-login", answer], Okta(refusal=RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        log_in(pages)
