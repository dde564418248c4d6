"""Whatever a client sends: a page that says what is wrong, the right code, and nothing issued."""

from __future__ import annotations

import asyncio
import base64
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from idp_proxy import errors
from idp_proxy.web import intake
from tests.flows.configuration import MATTERMOST_PATH
from tests.flows.stage import RELAY_STATE, Stage, code_of, demand_refusal
from tests.support import saml_wire
from tests.support.people import ALICE

if TYPE_CHECKING:
    import httpx
    from starlette.types import Message

    from idp_proxy.errors import ProxyError

FORM = {"content-type": "application/x-www-form-urlencoded"}
FORM_OCTETS = {b"content-type": b"application/x-www-form-urlencoded"}


def deflated(octets: bytes) -> str:
    return quote(saml_wire.deflate(octets), safe="")


#: Query of /saml/sso -> the error it deserves; REQUEST stands for a good request, deflated.
QUERIES: dict[str, tuple[str, type[ProxyError]]] = {
    "nothing": ("", errors.RequestInvalid),
    "no request": ("RelayState=x", errors.RequestInvalid),
    "an empty request": ("SAMLRequest=", errors.MalformedMessage),
    "garbage": ("SAMLRequest=%%%", errors.MalformedMessage),
    "no base64": ("SAMLRequest=!!!!", errors.MalformedMessage),
    "no deflate": ("SAMLRequest=AAAA", errors.MalformedMessage),
    "a broken escape": ("SAMLRequest=%ZZ", errors.MalformedMessage),
    "no UTF-8": ("SAMLRequest=%FF%FE", errors.MalformedMessage),
    "a relay state that is no UTF-8": (
        "SAMLRequest=REQUEST&RelayState=%C3",
        errors.MalformedMessage,
    ),
    "no XML": (f"SAMLRequest={deflated(b'hello')}", errors.MalformedMessage),
    "another document": (f"SAMLRequest={deflated(b'<a/>')}", errors.SamlError),
    "a DTD": (
        f"SAMLRequest={deflated(b'<!DOCTYPE a [<!ENTITY b SYSTEM %27file:///etc/passwd%27>]><a>&b;</a>')}",
        errors.MalformedMessage,
    ),
    "an inflation bomb": (
        f"SAMLRequest={deflated(b' ' * 40_000_000)}",
        errors.MalformedMessage,
    ),
    "a deep document": (
        f"SAMLRequest={deflated(b'<a>' * 5000 + b'</a>' * 5000)}",
        errors.MalformedMessage,
    ),
    "two requests": ("SAMLRequest=REQUEST&SAMLRequest=REQUEST", errors.RequestInvalid),
    "two relay states": ("SAMLRequest=REQUEST&RelayState=a&RelayState=b", errors.RequestInvalid),
    "a response beside it": ("SAMLRequest=REQUEST&SAMLResponse=AAAA", errors.RequestInvalid),
    "half a signature": ("SAMLRequest=REQUEST&SigAlg=urn:x", errors.RequestInvalid),
    "a signature of nobody": (
        (
            "SAMLRequest=REQUEST&SigAlg=http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256"
            "&Signature=AAAA"
        ),
        errors.RequestInvalid,
    ),
    "another encoding": ("SAMLRequest=REQUEST&SAMLEncoding=urn:x", errors.RequestInvalid),
    "too many parameters": ("&".join(f"a{n}=1" for n in range(40)), errors.MalformedMessage),
    "a huge relay state": (
        f"SAMLRequest=REQUEST&RelayState={'x' * 2049}",
        errors.RelayStateRefused,
    ),
    "2 KiB in letters, more in octets": (
        f"SAMLRequest=REQUEST&RelayState={quote('ü' * 1025)}",
        errors.RelayStateRefused,
    ),
    "a line break in the relay state": (
        "SAMLRequest=REQUEST&RelayState=a%0D%0Ab",
        errors.RelayStateRefused,
    ),
    "NUL in the relay state": ("SAMLRequest=REQUEST&RelayState=a%00b", errors.RelayStateRefused),
}


def request_with(stage: Stage, attributes: dict[str, str], issuer: str | None = None) -> str:
    request = stage.request(**attributes)
    if issuer is not None:
        request[0].text = issuer
    return stage.sso_query(request)


@pytest.mark.parametrize("name", QUERIES)
def test_a_bad_query_gets_its_own_page(stage: Stage, name: str) -> None:
    query, kind = QUERIES[name]
    good = quote(saml_wire.deflate(etree.tostring(stage.request())), safe="")
    page = stage.client().get(f"/saml/sso?{query.replace('=REQUEST', f'={good}')}")
    if kind is errors.SamlError:
        assert page.status_code == 400
        assert code_of(page) in {"request_invalid", "malformed_message"}
    else:
        demand_refusal(page, kind)
    assert "root:" not in page.text


@pytest.mark.parametrize(
    ("attributes", "issuer", "kind"),
    [
        ({}, "https://evil.example/saml", errors.UnknownServiceProvider),
        ({}, "", errors.UnknownServiceProvider),
        ({}, f"{MATTERMOST_PATH} ", errors.UnknownServiceProvider),
        ({"AssertionConsumerServiceURL": "https://evil.example/acs"}, None, errors.WrongAcs),
        ({"AssertionConsumerServiceURL": f"{MATTERMOST_PATH}/"}, None, errors.WrongAcs),
        ({"AssertionConsumerServiceURL": MATTERMOST_PATH.upper()}, None, errors.WrongAcs),
        ({"AssertionConsumerServiceIndex": "1"}, None, errors.WrongAcs),
        ({"ProtocolBinding": saml_wire.REDIRECT}, None, errors.RequestInvalid),
        ({"Destination": "https://evil.example/sso"}, None, errors.RequestInvalid),
        ({"ID": ""}, None, errors.RequestInvalid),
        ({"ID": "1 2"}, None, errors.RequestInvalid),
        ({"ID": "_" + "x" * 5000}, None, errors.RequestInvalid),
        ({"Version": "1.1"}, None, errors.RequestInvalid),
        ({"IssueInstant": "yesterday"}, None, errors.RequestInvalid),
        ({"IssueInstant": "2001-01-01T00:00:00Z"}, None, errors.RequestExpired),
        ({"IssueInstant": "9999-12-31T23:59:59Z"}, None, errors.RequestExpired),
        ({"ForceAuthn": "maybe"}, None, errors.RequestInvalid),
        ({"IsPassive": "TRUE"}, None, errors.RequestInvalid),
    ],
)
def test_a_wrong_request_gets_its_own_page(
    stage: Stage, attributes: dict[str, str], issuer: str | None, kind: type[ProxyError]
) -> None:
    page = stage.client().get(f"/saml/sso?{request_with(stage, attributes, issuer)}")
    text = demand_refusal(page, kind)
    assert "evil.example" not in text


BODIES: dict[str, tuple[bytes, type[ProxyError]]] = {
    "nothing": (b"", errors.MalformedMessage),
    "no response": (b"RelayState=x", errors.MalformedMessage),
    "a request beside it": (b"SAMLResponse=AAAA&SAMLRequest=AAAA", errors.MalformedMessage),
    "two responses": (b"SAMLResponse=AAAA&SAMLResponse=AAAA", errors.MalformedMessage),
    "no UTF-8": (b"SAMLResponse=\xff\xfe", errors.MalformedMessage),
    "NUL": (b"SAMLResponse=%00&RelayState=%00", errors.LoginUnsolicited),
    "too many parameters": (b"&".join(b"a=1" for _ in range(40)), errors.MalformedMessage),
    "two megabytes": (b"SAMLResponse=" + b"A" * 2_000_000, errors.TooLarge),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_answer_gets_its_own_page(stage: Stage, name: str) -> None:
    body, kind = BODIES[name]
    page = stage.client().post("/upstream/active/acs", content=body, headers=FORM)
    demand_refusal(page, kind)


MESSAGES: dict[str, str] = {
    "empty": "",
    "garbage": "%%%",
    "no base64": "<Response/>",
    "no XML": base64.b64encode(b"hello").decode(),
    "NUL": base64.b64encode(b"\0" * 100).decode(),
    "UTF-16": base64.b64encode("<a/>".encode("utf-16")).decode(),
    "a billion laughs": base64.b64encode(
        b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>'
    ).decode(),
    "deflated": base64.b64encode(zlib.compress(b"<a/>")).decode(),
    "deep": base64.b64encode(b"<a>" * 5000 + b"</a>" * 5000).decode(),
    "another document": base64.b64encode(b"<a/>").decode(),
    "300 KiB": base64.b64encode(b"<a>" + b" " * 300_000 + b"</a>").decode(),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_bad_message_of_a_real_login_is_refused_and_the_login_goes_on(
    stage: Stage, name: str
) -> None:
    begun = stage.begin()
    page = stage.post(begun, MESSAGES[name])
    assert page.status_code in {400, 403, 413}
    assert code_of(page) in {"malformed_message", "answer_refused", "too_large"}
    assert "SAMLResponse" not in page.text
    assert stage.nothing_happened()
    good = stage.post(begun, stage.answer(begun, ALICE))
    assert stage.accepted(good, begun).profile.id == "e-1001"


def test_an_answer_with_one_letter_changed_is_refused(stage: Stage) -> None:
    begun = stage.begin()
    octets = saml_wire.decode(stage.answer(begun, ALICE))
    forged = saml_wire.encode(octets.replace(b"alice@example.org", b"admin@example.org"))
    demand_refusal(stage.post(begun, forged), errors.AssertionInvalid)
    assert stage.nothing_happened()


# --- addresses and methods -----------------------------------------------------------------------

METHODS = {
    "/saml/sso": {"GET", "POST"},
    "/upstream/active/acs": {"POST"},
    "/upstream/active/metadata": {"GET", "HEAD"},
    "/saml/metadata": {"GET", "HEAD"},
    "/status": {"GET", "HEAD"},
    "/healthz": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
}
ALL = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW"]


@pytest.mark.parametrize("path", METHODS)
@pytest.mark.parametrize("method", ALL)
def test_a_wrong_method_is_told_the_right_ones(stage: Stage, method: str, path: str) -> None:
    if method in METHODS[path]:
        assert stage.client().request(method, path).status_code in {200, 400}
        return
    page = stage.client().request(method, path)
    assert page.status_code == errors.WrongMethod.http_status
    assert method == "HEAD" or code_of(page) == "wrong_method"
    assert set(page.headers["allow"].split(", ")) == METHODS[path]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/favicon.ico",
        "/saml",
        "/saml/sso/",
        "/saml/sso/x",
        "/SAML/SSO",
        "//saml/sso",
        "/saml/metadata/",
        "/upstream/nobody/metadata",
        "/upstream//acs",
        "/upstream/active",
        "/upstream/active/acs/",
        "/upstream/..%2F..%2Fetc/metadata",
        "/status/",
        "/docs",
        "/openapi.json",
        "/static/../app.py",
        "/%00",
        "/%ff%fe",
        "/" + "x" * 5000,
    ],
)
def test_an_unknown_address_has_a_page_and_no_redirect(stage: Stage, path: str) -> None:
    page = stage.client().get(path)
    demand_refusal(page, errors.NotFound)
    assert "location" not in page.headers


def test_an_unknown_upstream_takes_no_answer(stage: Stage) -> None:
    begun = stage.begin()
    page = stage.post(begun, stage.answer(begun, ALICE), upstream="nobody")
    demand_refusal(page, errors.NotFound)


@pytest.mark.parametrize("path", ["/saml/sso", "/upstream/active/acs"])
@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/json", "multipart/form-data; boundary=x", "a" * 3000]
)
def test_another_content_type_is_refused(stage: Stage, path: str, kind: str) -> None:
    page = stage.client().post(path, content=b"SAMLResponse=AAAA", headers={"content-type": kind})
    demand_refusal(page, errors.MalformedMessage)


# --- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoof",
    [
        {"host": "evil.example"},
        {"host": "sso.example.org:1"},
        {"host": ""},
        {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http"},
        {"forwarded": "host=evil.example;proto=http"},
        {"x-original-url": "/evil", "x-rewrite-url": "/evil"},
        {"origin": "https://evil.example", "referer": "https://evil.example/"},
    ],
    ids=str,
)
def test_a_spoofed_host_changes_nothing(stage: Stage, spoof: dict[str, str]) -> None:
    client = stage.client()
    client.headers.update(spoof)
    begun = stage.begin(client)
    assert begun.question.acs_url == "https://sso.example.org/upstream/active/acs"
    assert "evil" not in begun.page.headers["location"]
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert stage.accepted(page, begun).profile.id == "e-1001"
    for path in ("/saml/metadata", "/upstream/active/metadata", "/status", "/nothing"):
        assert "evil" not in client.get(path).text


@pytest.mark.parametrize(
    "headers",
    [
        {"accept-language": "de" * 4000},
        {"accept-language": ";;q=,,,=1;q=x"},
        {"accept-language": "*"},
        {"user-agent": "x" * 60000},
        {"cookie": "=;=;;;,,;" * 2000},
        {"cookie": "__Host-login-" + "a" * 60000},
        {"cookie": "\udcff"},
        {"transfer-encoding": "chunked, chunked"},
        {"range": "bytes=0-"},
        {"expect": "100-continue"},
    ],
    ids=lambda headers: ascii(str(headers)[:40]),
)
def test_absurd_headers_do_no_harm(stage: Stage, headers: dict[str, str]) -> None:
    raw = {
        name.encode(): value.encode("utf-8", "surrogateescape") for name, value in headers.items()
    }
    query = stage.sso_query(stage.request())
    assert stage.client().get(f"/saml/sso?{query}", headers=raw).status_code == 302
    assert stage.client().get("/status", headers=raw).status_code == 200
    begun = stage.begin()
    page = begun.client.post(
        "/upstream/active/acs", content=b"SAMLResponse=A", headers=raw | FORM_OCTETS
    )
    demand_refusal(page, errors.LoginUnsolicited)


# --- bodies that take their time -----------------------------------------------------------------


async def send_slowly(
    stage: Stage, chunks: list[bytes], *, then: str = "wait", query: bytes = b""
) -> tuple[int, bytes]:
    """Post to the ACS, straight to the application: the chunks, then wait for ever or hang up.
    With a `query`, it goes to /saml/sso instead.
    """
    path = "/saml/sso" if query else "/upstream/active/acs"
    waiting, sent = list(chunks), list[Any]()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET" if query else "POST",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list(FORM_OCTETS.items()),
        "client": ("192.0.2.1", 1),
        "server": ("sso.example.org", 443),
    }

    async def receive() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(0), "more_body": True}
        if then == "hang up":
            return {"type": "http.disconnect"}
        await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets")

    async def send(message: Any) -> None:
        sent.append(message)

    await stage.wire.apps["sso.example.org"](scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body


def test_a_body_that_does_not_arrive_is_not_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_BODY_WITHIN_S", 0.05)
    status, body = asyncio.run(send_slowly(stage, [b"SAMLRes"]))
    assert status == 400
    assert b"<code>malformed_message</code>" in body


def test_a_client_that_hangs_up_leaves_no_error(stage: Stage) -> None:
    status, _ = asyncio.run(send_slowly(stage, [b"SAMLRes"], then="hang up"))
    assert status == 400


def test_an_endless_query_is_refused(stage: Stage) -> None:
    query = b"SAMLRequest=" + b"A" * 2_000_000
    status, body = asyncio.run(send_slowly(stage, [], query=query))
    assert status == 413
    assert b"<code>too_large</code>" in body


def test_an_endless_body_is_cut_off(stage: Stage) -> None:
    chunks = [b"A" * 100_000] * 100
    status, body = asyncio.run(send_slowly(stage, chunks))
    assert status == 413
    assert b"<code>too_large</code>" in body


# --- anything at all -----------------------------------------------------------------------------

_PATHS = st.sampled_from([*METHODS, "/upstream/standby/acs", "/nowhere"])
_NAMES = st.sampled_from(
    ["SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding", "format"]
)
_VALUES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=40).map(str.encode),
    st.binary(max_size=60).map(base64.b64encode),
    st.binary(max_size=60).map(lambda octets: saml_wire.deflate(octets).encode()),
    st.sampled_from([b"json", b"A" * 22, RELAY_STATE.encode()]),
)
_PAIRS = st.lists(st.tuples(_NAMES, _VALUES), max_size=5)
_HEADERS = st.dictionaries(
    st.sampled_from(["cookie", "accept-language", "user-agent", "host", "content-type", "origin"]),
    st.binary(max_size=60).filter(lambda value: not {0, 10, 13} & set(value)),
    max_size=3,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD"]),
    path=_PATHS,
    query=_PAIRS,
    form=_PAIRS,
    headers=_HEADERS,
)
def test_nothing_that_a_client_sends_is_our_error(
    stage: Stage,
    method: str,
    path: str,
    query: list[tuple[str, bytes]],
    form: list[tuple[str, bytes]],
    headers: dict[str, bytes],
) -> None:
    page = sent(stage, method, path, query, form, headers)
    assert page.status_code < 500
    assert "SAMLResponse" not in page.text


def sent(
    stage: Stage,
    method: str,
    path: str,
    query: list[tuple[str, bytes]],
    form: list[tuple[str, bytes]],
    headers: dict[str, bytes],
) -> httpx.Response:
    raw = FORM_OCTETS | {name.encode(): value for name, value in headers.items()}
    return stage.client().request(
        method, f"{path}?{encoded(query)}", content=encoded(form).encode(), headers=raw
    )


def encoded(pairs: list[tuple[str, bytes]]) -> str:
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)
