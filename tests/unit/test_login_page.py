"""What login pages ask for, in the shapes of several providers."""

from __future__ import annotations

import pytest

from idp_proxy.decision.canary import PageSeen
from idp_proxy.upstream.login_page import Asked, FieldNames, Form, read_page
from tests.support.login_pages import page

URL = "https://idp.example.org/path/sso?SAMLRequest=x"
PLAIN = FieldNames()


def read(body: bytes, names: FieldNames = PLAIN) -> tuple[PageSeen, Form | None]:
    found = read_page(URL, 200, body, names)
    return found.seen, found.form


def form_of(name: str, names: FieldNames = PLAIN) -> Form:
    form = read(page(name), names)[1]
    assert form is not None
    return form


@pytest.mark.parametrize(
    ("name", "asked", "path", "sent"),
    [
        (
            "keycloak-login",
            Asked("username", ("password",)),
            "/realms/example/login-actions/authenticate",
            {"username": "", "password": "", "credentialId": "", "login": "Sign In"},
        ),
        (
            "keycloak-code",
            Asked(code="otp"),
            "/realms/example/login-actions/authenticate",
            {"otp": "", "login": "Sign In"},
        ),
        (
            "keycloak-update-password",
            Asked(passwords=("password-new", "password-confirm")),
            "/realms/example/login-actions/required-action",
            {"password-new": "", "password-confirm": ""},
        ),
        (
            "adfs-login",
            Asked("UserName", ("Password",)),
            "/adfs/ls/",
            {"UserName": "", "Password": "", "AuthMethod": "FormsAuthentication"},
        ),
        (
            "adfs-code",
            Asked(code="ChallengeQuestionAnswer"),
            "/path/sso",
            {
                "AuthMethod": "TotpAuthenticationProvider",
                "Context": "ewcAAAEAAADQ",
                "ChallengeQuestionAnswer": "",
                "Submit": "Sign in",
            },
        ),
        (
            "simplesamlphp-login",
            Asked("username", ("password",)),
            "/path/sso",
            {
                "username": "",
                "password": "",
                "AuthState": "_4f1a:https://idp.example.org/saml2/idp/SSOService.php?spentityid=x",
            },
        ),
        (
            "shibboleth-login",
            Asked("j_username", ("j_password",)),
            "/idp/profile/SAML2/Redirect/SSO",
            {"csrf_token": "_c3c1", "j_username": "", "j_password": "", "_eventId_proceed": ""},
        ),
    ],
)
def test_the_form_that_matters_is_found(
    name: str, asked: Asked, path: str, sent: dict[str, str]
) -> None:
    form = form_of(name)
    assert form.asked == asked
    assert form.values == sent
    assert form.action.partition("?")[0] == f"https://idp.example.org{path}"


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("keycloak-again", PageSeen(username=True, passwords=1)),
        ("adfs-again", PageSeen(username=True, passwords=1)),
        ("adfs-update-password", PageSeen(username=True, passwords=3)),
        ("keycloak-error", PageSeen()),
        ("maintenance", PageSeen()),
        ("error-report", PageSeen(username=True, asks=("text",))),
        ("shibboleth-storage", PageSeen(goes_on=True)),
        ("shibboleth-consent", PageSeen(asks=("a choice",))),
        ("captcha-login", PageSeen(username=True, passwords=1, robot_wall=True)),
    ],
)
def test_what_a_page_asks_for(name: str, seen: PageSeen) -> None:
    assert read(page(name))[0] == seen


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (b"", PageSeen()),
        (b"\x00\xff\xfe<", PageSeen()),
        (b"<?xml version='1.0' encoding='UTF-16'?><html><body>x</body></html>", PageSeen()),
        (b"<form method=post><input name=a></form>" * 3000, PageSeen(asks=("a",))),
        (b"<div>" * 100_000, PageSeen()),
        (b"<form><input name=u type=text><input type=password name=p></form>", PageSeen()),
        (b"<form method=post><input type=hidden name=a></form>" * 2, PageSeen()),
        (
            b"<form method=post><button name=yes>1</button><button name=no>2</button></form>",
            PageSeen(asks=("a choice",)),
        ),
        (
            b"<form method=post><select name=realm><option>A</select><button>Go</form>",
            PageSeen(asks=("a choice",)),
        ),
        (
            b"<form method=POST><input name=login><input name=p type=password disabled></form>",
            PageSeen(username=True),
        ),
        (
            b"<form method=post><input name=user><button name=go type=odd>Go</button></form>",
            PageSeen(username=True),
        ),
        (b"<html><div id='cf-chl-widget'></div></html>", PageSeen(robot_wall=True)),
        (
            b"<form method=post><input type=hidden name=SAMLResponse value=PHg+></form>",
            PageSeen(answers=True, goes_on=True),
        ),
    ],
    ids=lambda value: "" if isinstance(value, PageSeen) else f"{value[:30]!r}",
)
def test_odd_pages(body: bytes, seen: PageSeen) -> None:
    assert read(body)[0] == seen


def test_what_is_named_counts_and_nothing_else() -> None:
    body = (
        b"<form method=post action=/go><input name=otp><input name=pin><input name=who>"
        b"<textarea name=note>hm</textarea><input type=checkbox name=stay checked></form>"
    )
    seen, form = read(body, FieldNames("who", "pin", "otp"))
    assert form is not None
    assert form.asked == Asked("who", ("pin",), "otp", ("note",))
    assert form.values == {"otp": "", "pin": "", "who": "", "note": "hm", "stay": "on"}
    assert (seen.username, seen.passwords, seen.code) == (True, 1, True)
    missing = read(page("keycloak-login"), FieldNames(username="benutzer"))[1]
    assert missing is not None
    assert missing.asked.username is None


def test_the_first_line_beside_a_password_is_the_user_name() -> None:
    form = read(b"<form method=post><input name=kennung><input name=x type=password></form>")[1]
    assert form is not None
    assert form.asked.username == "kennung"


def test_okta_calls_password_and_code_the_same() -> None:
    word = read(b"<form method=post><input type=password name=credentials.passcode></form>")[0]
    code = read(b"<form method=post><input type=text name=credentials.passcode></form>")[0]
    assert (word.passwords, word.code) == (1, False)
    assert (code.passwords, code.code) == (0, True)


def test_a_base_leads_the_forms() -> None:
    body = (
        b"<base href='https://evil.example/'><form method=post action=in><input name=user></form>"
    )
    form = read(body)[1]
    assert form is not None
    assert form.action == "https://evil.example/in"


@pytest.mark.parametrize("action", ["http://[", "//[::1", "https://[x]/"])
def test_an_action_that_is_no_address_is_kept_as_it_is(action: str) -> None:
    form = read(f"<form method=post action='{action}'><input name=user></form>".encode())[1]
    assert form is not None
    assert form.action == action
    based = read(f"<base href='{action}'><form method=post><input name=user></form>".encode())[1]
    assert based is not None
    assert based.action in {action, ""}


def test_a_wall_in_the_headers_is_one() -> None:
    assert read_page(URL, 403, b"", PLAIN, challenged=True).seen.robot_wall
    assert read_page(URL, 403, b"<p>x", PLAIN, challenged=True).seen.robot_wall
