"""/enroll: a second factor is set up behind a fresh login at the active, and never in an outage."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pyotp import TOTP

from idp_proxy import errors, links
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Track, Verdict
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.decision.second_factor import COPIED, MOST_PASSKEYS, Method
from idp_proxy.enrolment_pass import PURPOSE as PASS
from idp_proxy.enrolment_pass import EnrolmentPass, sealed_pass
from idp_proxy.factors.sealing import key_ring, opened
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT
from idp_proxy.seal import KeyRing
from tests.flows.configuration import PUBLIC, Wanted
from tests.flows.stage import Stage, code_of, demand_refusal
from tests.flows.stores import Outage
from tests.support.authenticator import Authenticator
from tests.support.identity_provider import Login
from tests.support.keys import tls_pair
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.flows.conftest import Builder
    from tests.flows.stage import Begun
    from tests.support.people import Person

LEVELS = '[assurance]\nlevels = ["password", "mfa"]\nfloor = "mfa"\n'
_DIRECTORY = """\
[[upstream]]
name = "corp"
kind = "ldap"

[upstream.attributes]
link_key = "employeeNumber"

[upstream.directory]
urls = ["ldaps://localhost:1"]
tls_ca = "keys/directory-ca.crt"
bind_dn = "cn=reader,dc=corp"
bind_password = "file:keys/directory.password"
base = "dc=corp"
probe_user = "probe"

[upstream.assurance.contexts]
"https://refeds.org/profile/mfa" = "mfa"

"""
LIST = "/enroll/factors"
PASS_COOKIE = "__Host-enrolled-pass"


def see(stage: Stage, verdict: Verdict, upstream: str = "active") -> None:
    """The host reports what it sees of an upstream."""
    now = stage.store.clock()
    tracks = {upstream: Track(verdict, passes=9, since=now, at=now, passed_at=now)}
    stage.store.publish(HostReport("sso1", now, tracks))


def wanted(folder: Path, **other: Any) -> Wanted:
    tls_pair("localhost").write(folder / "keys", "directory-ca")
    return Wanted(directory=worth("mfa") + _DIRECTORY + LEVELS, **other)


def worth(level: str) -> str:
    """What a login at the active counts for; it stands behind the active's own lines."""
    return f'\n[upstream.assurance.contexts]\n"{PASSWORD_PROTECTED_TRANSPORT}" = "{level}"\n\n'


@pytest.fixture
def stage(set_up: Builder, tmp_path: Path) -> Stage:
    """An active that is seen to work, a directory behind it, and Alice in the roster."""
    stage = set_up(wanted(tmp_path))
    see(stage, Verdict.UP)
    stage.log_in(ALICE)
    return stage


@dataclass
class Visitor:
    """Somebody in a browser, at the pages behind /enroll."""

    stage: Stage
    client: httpx.Client

    def begin(self) -> Begun:
        page = self.client.post("/enroll", data={"begin": "yes"})
        assert page.status_code in {200, 302}, code_of(page)
        return self.stage.sent_on(self.client, page, "")

    def answer(self, person: Person = ALICE, **login: Any) -> httpx.Response:
        begun = self.begin()
        given = Login(**login) if login else None
        return self.stage.post(begun, self.stage.answer(begun, person, login=given))

    def listed(self) -> httpx.Response:
        return self.client.get(LIST)

    def do(self, act: str, page: httpx.Response | None = None, **fields: str) -> httpx.Response:
        """Press a button of `page`, by default of the list."""
        known = hidden(page or self.listed())
        sent = {"token": known["token"], "do": act}
        if "kept" in known:
            sent["kept"] = known["kept"]
        return self.client.post(LIST, data=sent | fields)

    def secret(self, page: httpx.Response) -> str:
        found = re.search(r"<code>([A-Z2-7 ]+)</code>", page.text)
        assert found is not None
        return found[1].replace(" ", "")

    def set_up_code(self) -> str:
        page = self.do("code")
        secret = self.secret(page)
        done = self.do("code-confirm", page, code=TOTP(secret).at(self.stage.clock.now()))
        assert done.headers["location"] == f"{LIST}?done=code"
        return secret

    def set_up_passkey(self, device: Authenticator, **lies: Any) -> httpx.Response:
        page = self.do("passkey")
        return self.do("passkey-confirm", page, answer=device.create(options(page), **lies))

    def methods(self) -> list[str]:
        return [one.method.value for one in self.stage.store.factors_of(ALICE.employee_number)]


def hidden(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of a page's forms; of several of one name the last."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text)
    return {name: html.unescape(value) for name, value in found}


def options(page: httpx.Response) -> dict[str, Any]:
    found = re.search(r'data-options="([^"]*)"', page.text)
    assert found is not None
    asked: dict[str, Any] = json.loads(html.unescape(found[1]))
    return asked


@pytest.fixture
def visitor(stage: Stage) -> Visitor:
    """Alice, who just logged in for this."""
    alice = Visitor(stage, stage.client())
    page = alice.answer()
    assert page.status_code == 303, code_of(page)
    return alice


# --- the way in -----------------------------------------------------------------------------------


def test_a_fresh_login_at_the_active_opens_the_list_and_is_on_record(visitor: Visitor) -> None:
    stage = visitor.stage
    page = visitor.listed()
    assert page.status_code == 200
    assert f"You are here as {ALICE.uid}" in html.unescape(page.text)
    assert page.headers["cache-control"] == "no-store"
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    (row,) = stage.audit_rows("enrolment_begun")
    assert row.facts["upstream"] == "active"
    assert len(str(row.content["person"])) == 64
    # Nothing of it is a login to Mattermost.
    assert stage.on_record() == ["login"]


def test_the_active_is_asked_for_a_fresh_login(stage: Stage) -> None:
    visitor = Visitor(stage, stage.client())
    begun = visitor.begin()
    assert begun.upstream == "active"
    assert begun.question.force_authn
    assert "__Host-enroll-" in str(begun.page.headers["set-cookie"])
    old = stage.clock.now() - timedelta(minutes=3)
    page = stage.post(begun, stage.answer(begun, ALICE, login=Login(old)))
    demand_refusal(page, errors.UpstreamRefused)
    assert PASS_COOKIE not in visitor.client.cookies


def test_the_page_before_the_login_says_what_is_needed(stage: Stage) -> None:
    page = stage.client().get("/enroll")
    assert page.status_code == 200
    assert "During an outage nothing can be set up" in html.unescape(page.text)
    german = stage.client(accept_language="de").get("/enroll")
    assert "Zweiten Schritt" in german.text


@pytest.mark.parametrize("verdict", [Verdict.DOWN, Verdict.SUSPECT, Verdict.UNKNOWN])
def test_while_the_active_is_not_seen_to_work_nothing_begins(
    stage: Stage, verdict: Verdict
) -> None:
    see(stage, verdict)
    client = stage.client()
    for page in (client.get("/enroll"), client.post("/enroll", data={"begin": "yes"})):
        demand_refusal(page, errors.EnrolmentClosed)
        assert 'href="/enroll"' in page.text


@pytest.mark.parametrize("change", ["down", "switched", "disabled"])
def test_an_outage_in_between_ends_it_at_the_answer_and_at_every_page(
    stage: Stage, visitor: Visitor, change: str
) -> None:
    other = Visitor(stage, stage.client())
    begun = other.begin()
    begun_code = visitor.do("code")
    if change == "down":
        see(stage, Verdict.DOWN)
    elif change == "switched":
        stage.switch("standby")
    else:
        stage.switchboard.disable("active", "a test", "host:test")
    answered = stage.post(begun, stage.answer(begun, ALICE))
    demand_refusal(answered, errors.EnrolmentClosed)
    assert PASS_COOKIE not in other.client.cookies
    code = TOTP(visitor.secret(begun_code)).at(stage.clock.now())
    for page in (visitor.listed(), visitor.do("code-confirm", begun_code, code=code)):
        demand_refusal(page, errors.EnrolmentClosed)
    assert visitor.methods() == []


def test_an_answer_counts_once(stage: Stage) -> None:
    visitor = Visitor(stage, stage.client())
    begun = visitor.begin()
    message = stage.answer(begun, ALICE)
    assert stage.post(begun, message).status_code == 303
    assert code_of(stage.post(begun, message)) == errors.ReplayDetected.code
    assert len(stage.audit_rows("enrolment_begun")) == 1


def test_a_login_and_an_enrolment_are_never_each_other(stage: Stage) -> None:
    """Whoever swaps the cookies' names swaps nothing: each is sealed for its own purpose."""
    visitor = Visitor(stage, stage.client())
    for begun, mine, other in (
        (visitor.begin(), "enroll", "login"),
        (stage.begin(), "login", "enroll"),
    ):
        value = begun.client.cookies[f"__Host-{mine}-{begun.tid[:8]}"]
        begun.client.cookies.clear()
        begun.client.cookies.set(f"__Host-{other}-{begun.tid[:8]}", value, domain="sso.example.org")
        page = stage.post(begun, stage.answer(begun, ALICE))
        demand_refusal(page, errors.LoginUnknown)


def test_a_standby_s_answer_opens_nothing(stage: Stage) -> None:
    visitor = Visitor(stage, stage.client())
    begun = visitor.begin()
    page = stage.post(begun, stage.answer(begun, ALICE), upstream="standby")
    demand_refusal(page, errors.LoginNotAsked)


def test_who_is_not_in_the_roster_or_blocked_sets_nothing_up(stage: Stage) -> None:
    demand_refusal(Visitor(stage, stage.client()).answer(BOB), errors.EnrolmentRefused)
    alice = stage.store.person(ALICE.employee_number)
    assert alice is not None
    with stage.store.transaction() as tx:
        tx.save_person(replace(alice, blocks=frozenset({BY_OPERATOR})))
    demand_refusal(Visitor(stage, stage.client()).answer(), errors.PersonBlocked)
    reasons = [row.facts["reason"] for row in stage.audit_rows("enrolment_refused")]
    assert reasons == ["enrolment_refused", "person_blocked"]


def test_who_is_blocked_meanwhile_is_out(stage: Stage, visitor: Visitor) -> None:
    alice = stage.store.person(ALICE.employee_number)
    assert alice is not None
    with stage.store.transaction() as tx:
        tx.save_person(replace(alice, blocks=frozenset({BY_OPERATOR})))
    demand_refusal(visitor.listed(), errors.EnrolmentRefused)


def test_a_canary_sets_nothing_up(set_up: Builder, tmp_path: Path) -> None:
    canary = (
        '\n[[upstream.canary]]\nname = "c"\nkind = "form"\nusername = "c"\n'
        f'password = "file:keys/directory.password"\nsubject = "{ALICE.employee_number}"\n'
    )
    chosen = wanted(tmp_path)
    stage = set_up(replace(chosen, directory=canary + chosen.directory))
    see(stage, Verdict.UP)
    visitor = Visitor(stage, stage.client())
    demand_refusal(visitor.answer(), errors.CanaryAccount)


def test_while_the_store_is_away_it_waits(set_up: Builder, tmp_path: Path) -> None:
    outage = Outage(tmp_path)
    stage = set_up(wanted(tmp_path), spool=outage)
    see(stage, Verdict.UP)
    stage.log_in(ALICE)
    visitor = Visitor(stage, stage.client())
    assert visitor.answer().status_code == 303
    page = visitor.do("code")
    outage.way.away = True
    code = TOTP(visitor.secret(page)).at(stage.clock.now())
    for refused in (
        stage.client().get("/enroll"),
        visitor.listed(),
        visitor.do("code-confirm", page, code=code),
    ):
        assert refused.status_code == 503
        assert code_of(refused) == errors.StoreError.code
    outage.way.away = False
    assert visitor.methods() == []


@pytest.mark.parametrize(("mapped", "refused"), [("password", True), ("mfa", False)])
def test_a_login_below_the_floor_sets_nothing_up(
    set_up: Builder, tmp_path: Path, mapped: str, refused: bool
) -> None:
    """Even where the active's logins are not held to it: a found password makes no factor."""
    stage = set_up(replace(wanted(tmp_path), directory=worth(mapped) + _DIRECTORY + LEVELS))
    see(stage, Verdict.UP)
    stage.log_in(ALICE)
    page = Visitor(stage, stage.client()).answer()
    if refused:
        demand_refusal(page, errors.EnrolmentTooWeak)
        (row,) = stage.audit_rows("enrolment_refused")
        assert row.facts["reason"] == "enrolment_too_weak"
    else:
        assert page.status_code == 303


def test_where_no_floor_is_declared_nobody_knows_what_a_login_is_worth(
    set_up: Builder, tmp_path: Path
) -> None:
    """What is set up by a password alone would count as strong once there is a floor."""
    stage = set_up(replace(wanted(tmp_path), directory=_DIRECTORY.partition("[upstream.assur")[0]))
    see(stage, Verdict.UP)
    stage.log_in(ALICE)
    demand_refusal(Visitor(stage, stage.client()).answer(), errors.EnrolmentTooWeak)


def test_without_a_directory_there_is_no_such_page(set_up: Builder) -> None:
    assert code_of(set_up().client().get("/enroll")) == errors.NotFound.code


# --- the pass -------------------------------------------------------------------------------------


def test_the_pass_lasts_ten_minutes_and_for_one_browser(visitor: Visitor) -> None:
    demand_refusal(visitor.stage.client().get(LIST), errors.EnrolmentOver)
    page = visitor.do("code")
    visitor.stage.clock.pass_by(minutes=10, seconds=1)
    see(visitor.stage, Verdict.UP)
    demand_refusal(visitor.listed(), errors.EnrolmentOver)
    code = TOTP(visitor.secret(page)).at(visitor.stage.clock.now())
    demand_refusal(visitor.do("code-confirm", page, code=code), errors.EnrolmentOver)
    assert visitor.methods() == []


@pytest.mark.parametrize("value", ["", "x", "A" * 5000, "\u00e9".encode().hex()])
def test_a_made_up_pass_opens_nothing(stage: Stage, value: str) -> None:
    client = stage.client(cookie=f"{PASS_COOKIE}={value}")
    demand_refusal(client.get(LIST), errors.EnrolmentOver)


def test_a_pass_of_the_future_or_of_other_keys_opens_nothing(stage: Stage) -> None:
    keys, now = stage.settings.proxy.state_keys, stage.clock.now()
    visit = EnrolmentPass("v", ALICE.employee_number, now)
    ahead = replace(visit, at=now.replace(year=now.year + 1))
    for shut in (
        sealed_pass(visit, KeyRing([bytes(32)], PASS)),
        sealed_pass(visit, KeyRing(keys, "enroll")),
        sealed_pass(ahead, KeyRing(keys, PASS)),
    ):
        client = stage.client(cookie=f"{PASS_COOKIE}={shut}")
        demand_refusal(client.get(LIST), errors.EnrolmentOver)


def test_leaving_takes_the_pass_away(visitor: Visitor) -> None:
    page = visitor.do("leave")
    assert "Done" in page.text
    assert f"{PASS_COOKIE}=; Path=/; Max-Age=0" in page.headers["set-cookie"]
    demand_refusal(visitor.listed(), errors.EnrolmentOver)


def test_another_site_s_form_does_nothing(visitor: Visitor) -> None:
    token = hidden(visitor.listed())["token"]
    form = {"token": token, "do": "recovery"}
    other = visitor.client.post(LIST, data=form, headers={"sec-fetch-site": "cross-site"})
    demand_refusal(other, links.LinkFollowed)
    for wrong in ("", "x", "A" * 5000):
        demand_refusal(
            visitor.client.post(LIST, data=form | {"token": wrong}), errors.EnrolmentOver
        )


def test_a_form_of_one_visit_is_not_of_another(stage: Stage, visitor: Visitor) -> None:
    """Nor is the secret that a page held: somebody else's app is not set up by it."""
    stage.log_in(BOB)
    bob = Visitor(stage, stage.client())
    bob.answer(BOB)
    page = bob.do("code")
    theirs, mine = hidden(page), hidden(visitor.listed())
    code = TOTP(bob.secret(page)).at(stage.clock.now())
    form = {"do": "code-confirm", "code": code, "kept": theirs["kept"]}
    for token in (theirs["token"], mine["token"]):
        refused = visitor.client.post(LIST, data=form | {"token": token})
        demand_refusal(refused, errors.EnrolmentOver)
    assert visitor.methods() == []


@pytest.mark.parametrize("form", [{}, {"do": "nothing"}, {"do": ""}])
def test_a_form_without_anything_to_do_is_refused(visitor: Visitor, form: dict[str, str]) -> None:
    page = visitor.client.post(LIST, data=form or {"x": "y"})
    assert code_of(page) == errors.MalformedMessage.code
    doubled = visitor.client.post(
        LIST,
        content="do=code&do=leave",
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert code_of(doubled) == errors.MalformedMessage.code


# --- what is set up -------------------------------------------------------------------------------


def test_an_app_counts_after_its_first_right_code(visitor: Visitor) -> None:
    stage = visitor.stage
    page = visitor.do("code")
    secret = visitor.secret(page)
    assert "<svg" in page.text
    assert visitor.methods() == []
    again = visitor.do("code-confirm", page, code="000000")
    assert "not of the app right now" in html.unescape(again.text)
    assert visitor.secret(again) == secret
    done = visitor.do("code-confirm", again, code=TOTP(secret).at(stage.clock.now()))
    assert done.status_code == 303
    assert visitor.methods() == ["totp"]
    listed = visitor.client.get(done.headers["location"]).text
    assert "is set up" in listed
    assert secret not in listed
    (row,) = stage.audit_rows("factor_added")
    assert (row.content["actor"], row.facts) == ("person", {"method": "totp"})


def test_the_first_code_is_used_up_and_the_same_form_twice_adds_one(visitor: Visitor) -> None:
    page = visitor.do("code")
    now = visitor.stage.clock.now()
    code = TOTP(visitor.secret(page)).at(now)
    for _ in range(2):
        visitor.do("code-confirm", page, code=code)
    (one,) = visitor.stage.store.factors_of(ALICE.employee_number)
    assert one.mark == int(now.timestamp()) // 30
    assert len(visitor.stage.audit_rows("factor_added")) == 1


def test_a_new_app_takes_the_place_of_the_old_one(visitor: Visitor) -> None:
    visitor.set_up_code()
    secret = visitor.set_up_code()
    (one,) = visitor.stage.store.factors_of(ALICE.employee_number)
    ring = key_ring(visitor.stage.settings.proxy.state_keys)
    assert opened(ring, one) == secret.encode()


def test_a_passkey_is_set_up_by_what_the_browser_made(visitor: Visitor) -> None:
    page = visitor.do("passkey")
    assert "script-src 'sha256-" in page.headers["content-security-policy"]
    assert "<noscript>" in page.text
    assert options(page)["rp"]["id"] == "sso.example.org"
    device = Authenticator(PUBLIC)
    form = {"answer": device.create(options(page))}
    assert visitor.do("passkey-confirm", page, **form).status_code == 303
    assert visitor.do("passkey-confirm", page, **form).status_code == 303
    assert visitor.methods() == ["passkey"]
    assert len(options(visitor.do("passkey"))["excludeCredentials"]) == 1


@pytest.mark.parametrize("lies", [{"origin": "https://evil.example"}, {"rp_id": "example.org"}])
def test_a_passkey_made_for_another_site_is_refused(visitor: Visitor, lies: dict[str, str]) -> None:
    page = visitor.set_up_passkey(Authenticator(PUBLIC), **lies)
    assert "was not accepted" in page.text
    weak = visitor.set_up_passkey(Authenticator(PUBLIC, verifies=False))
    assert "was not accepted" in weak.text
    assert visitor.methods() == []


def test_there_is_room_for_a_few_passkeys(visitor: Visitor) -> None:
    for _ in range(MOST_PASSKEYS):
        assert visitor.set_up_passkey(Authenticator(PUBLIC)).status_code == 303
    demand_refusal(visitor.do("passkey"), errors.EnrolmentRefused)


def test_recovery_codes_are_shown_once_and_the_old_ones_go(visitor: Visitor) -> None:
    assert 'value="recovery"' not in visitor.listed().text
    demand_refusal(visitor.do("recovery"), errors.EnrolmentRefused)
    visitor.set_up_code()
    shown = [re.findall(r"<code>([a-z2-7-]{19})</code>", visitor.do("recovery").text) for _ in "ab"]
    assert len(set(shown[0] + shown[1])) == 20
    assert visitor.methods().count("recovery") == 10
    assert not any(code in visitor.listed().text for code in shown[1])
    assert "Recovery codes, 10 left" in visitor.listed().text


def test_a_person_removes_what_is_theirs_alone(stage: Stage, visitor: Visitor) -> None:
    visitor.set_up_code()
    visitor.do("recovery")
    mine = stage.store.factors_of(ALICE.employee_number)
    stage.log_in(BOB)
    bob = Visitor(stage, stage.client())
    bob.answer(BOB)
    bob.do("remove", factor=mine[0].id)
    assert len(stage.store.factors_of(ALICE.employee_number)) == 11
    visitor.do("remove", factor=next(one.id for one in mine if one.method is Method.TOTP))
    assert visitor.methods() == []
    assert [row.facts["method"] for row in stage.audit_rows("factor_removed")] == ["recovery, totp"]


def test_a_passkey_that_looks_copied_is_shown_as_such(visitor: Visitor) -> None:
    visitor.set_up_passkey(Authenticator(PUBLIC))
    (one,) = visitor.stage.store.factors_of(ALICE.employee_number)
    with visitor.stage.store.transaction() as tx:
        tx.use_factor(one, COPIED, one.sealed, visitor.stage.clock.now())
    assert "looks copied" in visitor.listed().text


def test_an_ip_address_has_no_passkeys(set_up: Builder, tmp_path: Path) -> None:
    chosen = wanted(tmp_path, public="http://127.0.0.1:8443", proxy="insecure_loopback = true")
    stage = set_up(chosen)
    see(stage, Verdict.UP)
    stage.log_in(ALICE)
    visitor = Visitor(stage, stage.client())
    assert visitor.answer().status_code == 303
    assert 'value="passkey"' not in visitor.listed().text
    demand_refusal(visitor.do("passkey"), errors.EnrolmentRefused)
    assert "; SameSite=Lax" in visitor.answer().headers["set-cookie"]
