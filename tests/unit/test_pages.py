"""The pages: what they hold, their headers, and that nothing hostile comes alive in them."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.errors import (
    ConfigError,
    Internal,
    LoginExpired,
    LoginUnknown,
    MalformedMessage,
    NotFound,
    PersonBlocked,
    PersonConverted,
    ProxyError,
    RelayStateRefused,
    ReplayDetected,
    RosterUnavailable,
    StoreError,
    SwitchRefused,
    TooLarge,
    UnsupportedSignature,
    WrongMethod,
)
from idp_proxy.web.next_steps import NextStep, next_step
from idp_proxy.web.pages import FormAction, LoginState, Pages, origin
from idp_proxy.web.wording import Language

if TYPE_CHECKING:
    from starlette.responses import Response

ACS = "https://chat.example.org/login/sso/saml"
IDP = "https://idp.example.net/sso"
PAGES = Pages(
    support_url="https://help.example.org/sso",
    login_url=ACS,
    allowed_form_origins=("https://chat.example.org", "https://www.example.org"),
    hsts=True,
)
NOW = datetime(2026, 5, 4, 10, 22, 33, tzinfo=UTC)


class Document(HTMLParser):
    """A page as a browser reads it: start tags with attributes, and the text inside each tag."""

    def __init__(self, response: Response) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open = ""
        self.feed(bytes(response.body).decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.setdefault(tag, []).append("")
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def fields(self) -> dict[str | None, str | None]:
        return {one["name"]: one["value"] for one in self.all("input")}


def text(response: Response) -> str:
    return bytes(response.body).decode()


def policy(response: Response) -> dict[str, list[str]]:
    rules = response.headers["content-security-policy"].split(";")
    return {rule.split()[0]: rule.split()[1:] for rule in rules}


def status(
    login: LoginState = "works", *, affected: bool | None = False, refresh: bool = True
) -> Response:
    return PAGES.status(affected=affected, login=login, proven_at=NOW, now=NOW, refresh=refresh)


EVERY_PAGE = {
    "posting to Mattermost": PAGES.auto_post(ACS, {"SAMLResponse": "eA=="}, "sp"),
    "posting to an upstream": PAGES.auto_post(IDP, {"SAMLRequest": "eA=="}, "any-https"),
    "in German": PAGES.auto_post(ACS, {"SAMLResponse": "eA=="}, "sp", Language.DE),
    "error": PAGES.error(LoginExpired(), "id"),
    "error in the app": PAGES.error(LoginExpired(), "id", Language.DE, from_app=True),
    "error for support": PAGES.error(PersonBlocked(), "id"),
    "status works": status(),
    "status limited": status(affected=True),
    "status fails": status("fails"),
    "status disturbed": status("unknown", affected=True),
    "status unknown": status("unknown", affected=None),
}
every_page = pytest.mark.parametrize("page", EVERY_PAGE.values(), ids=EVERY_PAGE.keys())


@every_page
def test_each_page_carries_the_headers_that_keep_it_safe(page: Response) -> None:
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["strict-transport-security"] == "max-age=31536000"
    assert page.headers["vary"] == "Accept-Language"
    rules = policy(page)
    assert rules["default-src"] == ["'none'"]
    assert rules["base-uri"] == ["'none'"]
    assert rules["frame-ancestors"] == ["'none'"]
    assert "'unsafe-inline'" not in page.headers["content-security-policy"]


@every_page
def test_the_policy_allows_exactly_the_script_and_style_in_the_page(page: Response) -> None:
    document, rules = Document(page), policy(page)
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        assert len(document.all(tag)) == len(rules.get(rule, []))
        if rule in rules:
            digest = hashlib.sha256(document.inside[tag][0].encode()).digest()
            assert rules[rule] == [f"'sha256-{base64.b64encode(digest).decode()}'"]


@every_page
def test_no_page_has_inline_handlers_styles_or_anything_to_load(page: Response) -> None:
    for tag, attributes in Document(page).tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert tag not in {"iframe", "object", "embed", "base", "img"}
        assert "src" not in attributes
        assert not str(attributes.get("href")).lower().startswith(("javascript:", "http:"))


@every_page
def test_each_page_has_a_language_one_heading_one_landmark_and_fits_a_phone(
    page: Response,
) -> None:
    document = Document(page)
    assert document.all("html") == [{"lang": page.headers["content-language"]}]
    assert len(document.all("h1")) == len(document.all("main")) == len(document.all("title")) == 1
    viewports = [one for one in document.all("meta") if one.get("name") == "viewport"]
    assert viewports == [{"name": "viewport", "content": "width=device-width, initial-scale=1"}]


def test_without_https_no_page_demands_it() -> None:
    page = Pages(support_url="", login_url=ACS, allowed_form_origins=(), hsts=False)
    assert "strict-transport-security" not in page.error(NotFound(), "id").headers


# The page that posts itself


def test_a_form_for_mattermost_goes_to_its_origins_only() -> None:
    page = PAGES.auto_post(ACS, {"SAMLResponse": "eA==", "RelayState": "r"}, "sp")
    assert page.status_code == 200
    assert policy(page)["form-action"] == ["https://chat.example.org", "https://www.example.org"]
    (form,) = Document(page).all("form")
    assert form == {"method": "post", "action": ACS, "autocomplete": "off"}
    assert Document(page).fields() == {"SAMLResponse": "eA==", "RelayState": "r"}


@pytest.mark.parametrize(
    ("loopback", "sources"),
    [
        (False, ["https:"]),
        (True, ["https:", "http://127.0.0.1:*", "http://localhost:*"]),
    ],
)
def test_a_form_for_an_upstream_goes_to_any_https_address(
    loopback: bool, sources: list[str]
) -> None:
    pages = Pages(
        support_url="",
        login_url=ACS,
        allowed_form_origins=(),
        hsts=not loopback,
        insecure_loopback=loopback,
    )
    assert policy(pages.auto_post(IDP, {}, "any-https"))["form-action"] == sources


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080/sso", "http://localhost/sso"])
def test_a_form_goes_to_http_on_this_machine_with_insecure_loopback(address: str) -> None:
    pages = Pages(
        support_url="",
        login_url=ACS,
        allowed_form_origins=(),
        hsts=False,
        insecure_loopback=True,
    )
    assert Document(pages.auto_post(address, {}, "any-https")).all("form")[0]["action"] == address


@pytest.mark.parametrize(
    ("action", "form_action"),
    [
        ("https://evil.example/login/sso/saml", "sp"),
        ("https://chat.example.org.evil.example/", "sp"),
        ("https://chat.example.org@evil.example/", "sp"),
        ("http://chat.example.org/login/sso/saml", "sp"),
        ("https://chat.example.org:8443/login/sso/saml", "sp"),
        ("http://idp.example.net/sso", "any-https"),
        ("http://127.0.0.1:8080/sso", "any-https"),
        ("javascript:alert(1)", "any-https"),
        ("//evil.example/", "any-https"),
        ("https://", "any-https"),
        ("https://idp.example.net:http/", "any-https"),
        ("https://x;script-src *", "any-https"),
    ],
)
def test_a_form_to_an_address_that_the_policy_would_block_is_never_made(
    action: str, form_action: FormAction
) -> None:
    with pytest.raises(Internal):
        PAGES.auto_post(action, {"SAMLResponse": "eA=="}, form_action)


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1.evil.example/", "http://localhost@evil.example/"]
)
def test_only_this_machine_counts_as_loopback(address: str) -> None:
    pages = Pages(
        support_url="",
        login_url=ACS,
        allowed_form_origins=(),
        hsts=False,
        insecure_loopback=True,
    )
    with pytest.raises(Internal):
        pages.auto_post(address, {}, "any-https")


def test_without_javascript_a_visible_button_posts_the_form() -> None:
    (button,) = Document(PAGES.auto_post(ACS, {"SAMLResponse": "eA=="}, "sp")).all("button")
    assert button == {"class": "button", "type": "submit"}


@pytest.mark.parametrize(
    "relay_state",
    [
        '"><img src=x onerror=alert(1)>',
        "</script><script>alert(1)</script>",
        "'\"><form action=https://evil.example><input name=SAMLResponse value=forged>",
        "</style><style>*{display:none}</style>",
        "<!--",
        "{{ 7*7 }}{% include 'page.css' %}",
        "&quot;&#34;&amp;amp;",
        "eyJhIjoiYiJ9+/==",
        " leading and trailing \t",
        "\u202e\u2028\ufeff\U0001f512",
        "",
    ],
)
def test_a_hostile_relay_state_stays_a_value_and_comes_back_unchanged(relay_state: str) -> None:
    fields = {"SAMLResponse": "eA==", "RelayState": relay_state}
    page = PAGES.auto_post(ACS, fields, "sp")
    assert Document(page).fields() == fields
    usual = PAGES.auto_post(ACS, {"SAMLResponse": "eA==", "RelayState": "r"}, "sp")
    assert [tag for tag, _ in Document(page).tags] == [tag for tag, _ in Document(usual).tags]


@given(st.text(st.characters(exclude_characters="\x00\r\n", exclude_categories=["Cs"])))
def test_any_relay_state_that_a_form_can_carry_comes_back_unchanged(relay_state: str) -> None:
    document = Document(PAGES.auto_post(ACS, {"RelayState": relay_state}, "sp"))
    assert document.fields() == {"RelayState": relay_state}
    assert len(document.all("script")) == 1


@pytest.mark.parametrize("lost", ["\x00", "\r", "\n", "\r\n", "\ud800"])
def test_what_a_form_would_change_is_refused(lost: str) -> None:
    with pytest.raises(RelayStateRefused):
        PAGES.auto_post(ACS, {"SAMLResponse": "eA==", "RelayState": f"a{lost}b"}, "sp")
    with pytest.raises(Internal):
        PAGES.auto_post(ACS, {"SAMLResponse": f"a{lost}b", "RelayState": "r"}, "sp")


# The error page

SECRET = "\"><script>alert('detail')</script> cn=jane,pw=hunter2"


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize(
    "error",
    [
        MalformedMessage("XML-01", SECRET),
        LoginUnknown(SECRET),
        ConfigError([SECRET]),
        SwitchRefused(SECRET),
        Internal(SECRET),
        WrongMethod(["GET"], SECRET),
    ],
)
def test_the_detail_of_an_error_is_never_shown(error: ProxyError, language: Language) -> None:
    page = text(PAGES.error(error, "id", language))
    for piece in ("alert", "hunter2", "jane", "XML-01"):
        assert piece not in page


@pytest.mark.parametrize(
    "error",
    [
        LoginExpired(), StoreError(), NotFound(), TooLarge(), PersonBlocked(), ReplayDetected(),
        WrongMethod(["GET"]), Internal(), UnsupportedSignature("IDP-02"),
    ],
    ids=lambda error: error.code,
)  # fmt: skip
def test_an_error_page_has_the_status_text_code_and_error_id(error: ProxyError) -> None:
    page = PAGES.error(error, "7f3a9c1e-2b4d")
    assert page.status_code == error.http_status
    assert policy(page)["form-action"] == ["'none'"]
    assert Document(page).inside["h1"] == [error.public]
    assert Document(page).inside["code"] == ["7f3a9c1e-2b4d", error.code]
    assert 'href="https://help.example.org/sso"' in text(page)


def test_an_error_id_cannot_bring_markup_either() -> None:
    page = PAGES.error(NotFound(), "<b onclick=x>")
    assert "<b onclick" not in text(page)


def test_the_way_on_after_an_expired_login_is_mattermost_in_a_browser() -> None:
    page = Document(PAGES.error(LoginExpired(), "id"))
    assert {"class": "button", "href": ACS} in page.all("a")


def test_in_the_app_there_is_no_link_that_would_log_in_the_browser_instead() -> None:
    page = PAGES.error(LoginExpired(), "id", from_app=True)
    assert "Close this window and tap sign-in again" in text(page)
    assert [one["href"] for one in Document(page).all("a")] == ["https://help.example.org/sso"]


@pytest.mark.parametrize("error", [PersonConverted(), ReplayDetected()])
def test_who_needs_no_saml_login_is_not_sent_into_one(error: ProxyError) -> None:
    hrefs = [one["href"] for one in Document(PAGES.error(error, "id")).all("a")]
    assert hrefs[0] == "https://chat.example.org/"
    assert ACS not in hrefs


def test_who_is_blocked_is_sent_to_support_and_not_round_in_circles() -> None:
    hrefs = [one["href"] for one in Document(PAGES.error(PersonBlocked(), "id")).all("a")]
    assert hrefs == ["https://help.example.org/sso"]


def test_without_a_support_address_a_page_still_says_whom_to_ask() -> None:
    pages = Pages(support_url="", login_url=ACS, allowed_form_origins=(), hsts=True)
    for error in (PersonBlocked(), LoginExpired()):
        page = pages.error(error, "id")
        assert "support" in text(page).lower()
        assert 'href=""' not in text(page)


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        (LoginExpired, NextStep.START_AGAIN),
        (PersonBlocked, NextStep.ASK_SUPPORT),
        (RosterUnavailable, NextStep.START_AGAIN),
        (PersonConverted, NextStep.OPEN_MATTERMOST),
        (UnsupportedSignature, NextStep.ASK_SUPPORT),
    ],
)
def test_each_error_offers_what_helps(kind: type[ProxyError], step: NextStep) -> None:
    assert next_step(kind) is step


def test_a_wrong_method_names_the_right_ones() -> None:
    page = PAGES.error(WrongMethod(["GET", "POST"]), "id")
    assert (page.status_code, page.headers["allow"]) == (405, "GET, POST")


def test_an_interruption_asks_clients_to_wait() -> None:
    assert PAGES.error(StoreError(), "id").headers["retry-after"] == "30"
    assert "retry-after" not in PAGES.error(NotFound(), "id").headers


@pytest.mark.parametrize("language", Language)
def test_the_cure_for_mattermosts_old_signatures_is_named(language: Language) -> None:
    page = text(PAGES.error(UnsupportedSignature("IDP-02"), "id", language))
    assert "RSAwithSHA256" in page
    assert "Canonical1.0" in page


# /status


@pytest.mark.parametrize(
    ("affected", "login", "heading"),
    [
        (False, "works", "Logging in to Mattermost works"),
        (None, "works", "Logging in to Mattermost works"),
        (True, "works", "Logging in works, with limits"),
        (False, "fails", "Logging in to Mattermost does not work right now"),
        (True, "fails", "Logging in to Mattermost does not work right now"),
        (True, "unknown", "Logging in to Mattermost may be disturbed"),
        (False, "unknown", "No recent login to judge by"),
        (None, "unknown", "No recent login to judge by"),
    ],
)
def test_status_tells_what_is_known(affected: bool | None, login: LoginState, heading: str) -> None:
    page = status(login, affected=affected)
    assert page.status_code == 200
    assert Document(page).inside["h1"] == [heading]
    assert "What to do" in Document(page).inside["h2"]
    assert "never ask for your password" in text(page)


def test_status_asks_again_by_itself_until_told_to_stop() -> None:
    assert status().headers["refresh"] == "60"
    assert "?refresh=off" in text(status())
    assert "refresh" not in status(refresh=False).headers
    assert "?refresh=off" not in text(status(refresh=False))


def test_status_shows_times_in_utc_for_people_and_machines() -> None:
    summer = timezone(timedelta(hours=2))
    page = PAGES.status(
        affected=False,
        login="works",
        proven_at=datetime(2026, 5, 4, 12, 0, 5, tzinfo=summer),
        now=NOW,
        language=Language.DE,
    )
    times = [one["datetime"] for one in Document(page).all("time")]
    assert times == ["2026-05-04T10:00:05Z", "2026-05-04T10:22:33Z"]
    assert "04.05.2026, 10:00 UTC" in text(page)


def test_status_without_a_proven_login_claims_none() -> None:
    page = PAGES.status(affected=None, login="unknown", proven_at=None, now=NOW)
    assert len(Document(page).all("time")) == 1
    assert "last seen to work" not in text(page)


# Addresses


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://chat.example.org/login/sso/saml", "https://chat.example.org"),
        ("https://Chat.Example.ORG:443/", "https://chat.example.org"),
        ("https://chat.example.org:8065", "https://chat.example.org:8065"),
        ("http://127.0.0.1:80/x", "http://127.0.0.1"),
        ("https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443"),
    ],
)
def test_an_origin_is_scheme_host_and_unusual_port(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize(
    "url", ["", "chat.example.org", "ftp://x/", "https:///x", "https://a b/", "https://x:70000/"]
)
def test_what_has_no_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the port's message is the library's
        origin(url)


@pytest.mark.parametrize(
    ("login_url", "site"),
    [
        ("https://chat.example.org/login/sso/saml", "https://chat.example.org/"),
        ("https://example.org/chat/login/sso/saml", "https://example.org/chat/"),
        ("https://chat.example.org/login/sso/saml?action=x", "https://chat.example.org/"),
        ("https://chat.example.org", "https://chat.example.org/"),
    ],
)
def test_the_address_of_mattermost_follows_from_its_login_address(
    login_url: str, site: str
) -> None:
    pages = Pages(support_url="", login_url=login_url, allowed_form_origins=(), hsts=True)
    assert pages.mattermost_url == site


@pytest.mark.parametrize(
    ("support_url", "login_url", "origins", "field"),
    [
        ("javascript:alert(1)", ACS, (), "proxy.support_url"),
        ("data:text/html,x", ACS, (), "proxy.support_url"),
        ("https://help.example.org/\n", ACS, (), "proxy.support_url"),
        ("help desk", ACS, (), "proxy.support_url"),
        ("", "javascript:alert(1)", (), "service_provider.login_url"),
        ("", ACS, ("https://x; script-src *",), "service_provider.acs_url"),
    ],
)
def test_addresses_that_may_not_stand_in_a_page_are_named_at_the_start(
    support_url: str, login_url: str, origins: tuple[str, ...], field: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Pages(
            support_url=support_url,
            login_url=login_url,
            allowed_form_origins=origins,
            hsts=True,
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [field]


@pytest.mark.parametrize("support_url", ["mailto:help@example.org", "tel:+4930123456"])
def test_support_may_be_reached_by_mail_or_telephone(support_url: str) -> None:
    pages = Pages(support_url=support_url, login_url=ACS, allowed_form_origins=(), hsts=True)
    hrefs = [one["href"] for one in Document(pages.error(PersonBlocked(), "id")).all("a")]
    assert hrefs == [support_url]
