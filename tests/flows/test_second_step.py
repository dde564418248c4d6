"""The second step behind a right password, from Mattermost to Mattermost, and who comes between.

The page of the directory, its password and the step are one journey of one browser: what belongs to
another login, browser, person, host or site ends nothing, and uses nothing up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest
from pyotp import TOTP

from idp_proxy import errors, links
from idp_proxy.adapters import open_store, open_upstreams
from idp_proxy.app import build
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.decision.second_factor import FAILURES, Factor, Method
from idp_proxy.factors.passkeys import RelyingParty
from idp_proxy.factors.sealing import key_ring, sealed
from idp_proxy.rehearsal import LINK_LASTS, Ticket, link_of
from idp_proxy.rehearsal import PURPOSE as REHEARSE
from idp_proxy.saml.names import REFEDS_MFA
from idp_proxy.seal import KeyRing
from idp_proxy.seen_contexts import ContextMeter
from idp_proxy.store.base import Evidence
from idp_proxy.traffic import TrafficMeter
from idp_proxy.web import pace
from tests.flows.stage import code_of, demand_refusal
from tests.flows.test_directory_login import Visitor, corp, serving
from tests.flows.test_drill import Exercise
from tests.flows.test_enrolment import hidden, options
from tests.flows.wire import Wire
from tests.support.authenticator import Authenticator
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage
    from tests.support.ldap_people import PeopleDirectory
    from tests.support.people import Person

__all__ = ["corp"]

LEVELS = '[assurance]\nlevels = ["password", "mfa"]\nfloor = "mfa"\n'
MAPPED = f'[upstream.assurance.contexts]\n"{REFEDS_MFA}" = "mfa"\n\n'
SECRETS = {
    ALICE.uid: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    BOB.uid: "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU",
}
SITE = "https://sso.example.org"


@pytest.fixture
def stage(set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The directory serves under a floor above a password; Alice and Bob have an app."""
    monkeypatch.setattr(pace, "PADDED_TO_S", 0.01)
    return with_apps(serving(set_up, corp, more=LEVELS, behind=MAPPED))


def with_apps(stage: Stage) -> Stage:
    for person in (ALICE, BOB):
        keep(stage, person, Method.TOTP, SECRETS[person.uid].encode())
    return stage


def keep(stage: Stage, person: Person, method: Method, secret: bytes, mark: int = 0) -> None:
    """As /enroll keeps it."""
    ring, now = key_ring(stage.settings.proxy.state_keys), stage.clock.now()
    shut = sealed(ring, person.employee_number, method, secret)
    name = f"{method}-{person.uid}"
    with stage.store.transaction() as tx:
        tx.add_factors([Factor(name, person.employee_number, method, now, mark, shut)])


def code(stage: Stage, person: Person = ALICE) -> str:
    return TOTP(SECRETS[person.uid]).at(stage.clock.now())


class Stepping(Visitor):
    """A browser that goes on to the second step."""

    step: str = ""

    def passed(self, person: Person = ALICE) -> Self:
        """The password was right."""
        sent = self.type(person.uid, person.password)
        assert sent.status_code == 303
        self.step = sent.headers["location"]
        assert self.step == f"/upstream/corp/factor?login={self.tid}"
        return self

    def ask(self) -> httpx.Response:
        return self.client.get(self.step)

    def give(self, code: str, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(self.step, data={"code": code}, headers=named)

    def answer(self, device: Authenticator, **lies: Any) -> httpx.Response:
        page = self.ask()
        given = device.get(options(page), **lies)
        return self.client.post(self.step, data={"kept": hidden(page)["kept"], "answer": given})


def nothing_used(stage: Stage) -> bool:
    """No factor was used, and nobody came in."""
    used = stage.audit_rows("factor_used")
    return not used and stage.on_record()[2:] == []


# --- a rehearsal ----------------------------------------------------------------------------------


class Rehearsing(Stepping):
    """An operator's browser behind the link of `rehearse`."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        until = (stage.clock.now() + LINK_LASTS).replace(microsecond=0)
        self.ticket = Ticket("link", Evidence.REHEARSAL, "corp", "operator:olga", until)
        ring = KeyRing(stage.settings.proxy.state_keys, REHEARSE)
        self.client = stage.client(sec_fetch_site="same-origin")
        sent = self.client.post(f"/rehearse/{link_of(self.ticket, ring)}", data={"begin": "yes"})
        assert sent.status_code == 302
        self.address = sent.headers["location"]
        self.tid = self.address.rpartition("=")[2]


def proven(stage: Stage) -> list[str]:
    return list(stage.store.evidence(Evidence.REHEARSAL))


def test_a_rehearsal_takes_the_second_step_and_proves_the_directory(stage: Stage) -> None:
    stage.switch("active")
    operator = Rehearsing(stage)
    shown = operator.look().text
    assert "Try the login by corp" in shown
    assert "start at Mattermost" not in shown
    page = operator.passed().ask()
    assert "This tries the login by corp" in page.text
    wrong = operator.give("000000")
    assert wrong.headers["location"].endswith("problem=wrong")
    assert proven(stage) == []
    done = operator.give(code(stage))
    assert "The login by corp works" in done.text
    assert "SAMLResponse" not in done.text
    assert proven(stage) == ["corp"]
    (row,) = stage.audit_rows("rehearsal")
    assert (row.facts["upstream"], row.facts["authn_context"]) == ("corp", REFEDS_MFA)
    assert row.content["actor"] == "operator:olga"
    assert stage.on_record() == ["login", "login"]
    # It counts once: the link, the step's cookie and the code.
    assert operator.give(code(stage)).status_code == 410


def test_a_rehearsal_by_a_password_alone_proves_nothing(stage: Stage) -> None:
    operator = Rehearsing(stage).passed()
    assert proven(stage) == []
    assert not stage.store.is_used(operator.ticket.use)


def test_the_step_of_a_rehearsal_and_that_of_a_login_cannot_be_exchanged(stage: Stage) -> None:
    """Under whatever names the cookies are sent: both journeys seal by rings of their own."""
    operator, person = Rehearsing(stage).passed(), Stepping(stage).passed()
    for one, other, names in (
        (operator, person, ("rehearse", "factor-rehearsed", "login", "factor")),
        (person, operator, ("login", "factor", "rehearse", "factor-rehearsed")),
    ):
        journey, step, other_journey, other_step = (f"__Host-{name}-" for name in names)
        held = one.client.cookies
        client = stage.client(sec_fetch_site="same-origin")
        for name, value in (
            (other_journey + one.tid[:8], held[journey + one.tid[:8]]),
            (other_step + one.tid[:8], held[step + one.tid[:8]]),
        ):
            client.cookies.set(name, value, domain="sso.example.org")
        demand_refusal(client.post(one.step, data={"code": code(stage)}), errors.LoginUnknown)
        # Nor does one's proof go with the other's transaction.
        mixed = stage.client(sec_fetch_site="same-origin")
        mixed.cookies.set(
            other_journey + other.tid[:8],
            other.client.cookies[other_journey + other.tid[:8]],
            domain="sso.example.org",
        )
        mixed.cookies.set(
            other_step + other.tid[:8], held[step + one.tid[:8]], domain="sso.example.org"
        )
        demand_refusal(mixed.post(other.step, data={"code": code(stage)}), errors.LoginUnknown)
    assert nothing_used(stage)
    assert proven(stage) == []


def test_who_has_no_second_step_cannot_rehearse_and_is_told_what_to_do(
    set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PADDED_TO_S", 0.01)
    stage = serving(set_up, corp, more=LEVELS, behind=MAPPED)
    operator = Rehearsing(stage)
    refused = operator.type(ALICE.uid, ALICE.password)
    assert 'href="/enroll"' in demand_refusal(refused, errors.SecondFactorMissing)
    assert proven(stage) == []
    # The link is as good as new.
    keep(stage, ALICE, Method.TOTP, SECRETS[ALICE.uid].encode())
    assert "works" in operator.passed().give(code(stage)).text


# --- a login --------------------------------------------------------------------------------------


def passkey_of(stage: Stage, person: Person, **habits: Any) -> Authenticator:
    """A device whose passkey is kept for this person."""
    device = Authenticator(SITE, **habits)
    party = RelyingParty.of(SITE, "chat")
    assert party is not None
    made, counter = party.made(
        device.create(party.ask_new(person.employee_number, "x", b"c" * 32, ())), b"c" * 32
    )
    keep(stage, person, Method.PASSKEY, made.text(), counter)
    return device


def test_a_password_and_a_code_are_a_login_as_the_same_person(stage: Stage) -> None:
    browser = Stepping(stage).passed()
    accepted = browser.accepted(browser.give(code(stage)))
    assert accepted.in_response_to == browser.request_id
    assert accepted.profile.id == ALICE.employee_number
    row = stage.audit_rows("login")[-1]
    assert (row.facts["upstream"], row.facts["authn_context"]) == ("corp", REFEDS_MFA)


def test_a_password_and_a_passkey_are_one_too(stage: Stage) -> None:
    device = passkey_of(stage, ALICE)
    browser = Stepping(stage).passed()
    assert browser.accepted(browser.answer(device)).profile.id == ALICE.employee_number


def test_each_page_of_the_step_is_kept_from_frames_caches_and_other_sites(stage: Stage) -> None:
    passkey_of(stage, ALICE)
    browser = Stepping(stage)
    sent = browser.type(ALICE.uid, ALICE.password)
    assert sent.headers["cache-control"] == "no-store"
    cookie = sent.headers["set-cookie"]
    assert cookie.startswith(f"__Host-factor-{browser.tid[:8]}=")
    assert cookie.endswith("; Path=/; Max-Age=300; HttpOnly; Secure; SameSite=Lax")
    browser.step = sent.headers["location"]
    for page in (browser.ask(), stage.client().get(browser.step)):
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] == "no-referrer"
        policy = page.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_in_a_drill_the_second_step_is_taken_by_whom_it_was_made_for(stage: Stage) -> None:
    stage.switch("active")
    exercise = Exercise(stage)
    exercise.stop()
    exercise.start(upstream="corp")
    alice = Stepping(stage, exercise.joined()).passed()
    assert alice.accepted(alice.give(code(stage))).profile.id == ALICE.employee_number
    assert "drill" in stage.audit_rows("login")[-1].facts
    bob = Stepping(stage, exercise.joined(link=exercise.link(number=2))).passed(BOB)
    page = bob.give(code(stage, BOB))
    assert code_of(page) == errors.PersonNotInDrill.code
    assert "SAMLResponse" not in page.text


# --- who comes between ----------------------------------------------------------------------------


def put(browser: Stepping, cookie: str, tid: str, value: str) -> None:
    """Plant a cookie in a browser, as nobody but its owner can (`__Host-`)."""
    name = f"__Host-{cookie}-{tid[:8]}"
    browser.client.cookies.set(name, value, domain="sso.example.org", path="/")


def held(browser: Stepping, cookie: str) -> str:
    return str(browser.client.cookies[f"__Host-{cookie}-{browser.tid[:8]}"])


def test_the_attacker_s_right_password_is_none_in_the_victim_s_login(stage: Stage) -> None:
    """Fixation, and the swap of ids: what a password proved is of one login and no other."""
    attacker, victim = Stepping(stage).passed(BOB), Stepping(stage)
    victim.step = f"/upstream/corp/factor?login={victim.tid}"
    put(victim, "factor", victim.tid, held(attacker, "factor"))
    demand_refusal(victim.ask(), errors.LoginUnknown)
    demand_refusal(victim.give(code(stage, BOB)), errors.LoginUnknown)
    # Nor by the attacker's address, for which the victim has no login.
    victim.step = attacker.step
    put(victim, "factor", attacker.tid, held(attacker, "factor"))
    demand_refusal(victim.give(code(stage, BOB)), errors.LoginUnknown)
    assert nothing_used(stage)


def test_two_logins_of_one_browser_are_not_mixed(stage: Stage) -> None:
    first = Stepping(stage).passed()
    second = Stepping(stage).passed(BOB)
    for cookie in ("login", "factor"):
        put(first, cookie, second.tid, held(second, cookie))
    swapped = f"/upstream/corp/factor?login={second.tid}"
    put(first, "factor", second.tid, held(first, "factor"))
    demand_refusal(first.client.post(swapped, data={"code": code(stage)}), errors.LoginUnknown)
    assert nothing_used(stage)
    assert first.accepted(first.give(code(stage))).profile.id == ALICE.employee_number


def test_the_step_without_a_password_before_it_asks_nothing_and_locks_nobody(stage: Stage) -> None:
    browser = Stepping(stage)
    browser.step = f"/upstream/corp/factor?login={browser.tid}"
    demand_refusal(browser.ask(), errors.LoginUnknown)
    for guess in range(8):
        demand_refusal(browser.give(f"{guess:06}"), errors.LoginUnknown)
    assert stage.store.factor_tries_of(ALICE.employee_number).failures == 0
    assert nothing_used(stage)


def test_a_step_that_ended_its_login_ends_none_again_in_any_browser(stage: Stage) -> None:
    browser = Stepping(stage).passed()
    thief = stage.client(sec_fetch_site="same-origin")
    thief.cookies.update(browser.client.cookies)
    browser.accepted(browser.give(code(stage)))
    stage.clock.pass_by(seconds=60)
    fresh = {"code": code(stage)}
    for client in (browser.client, thief):
        demand_refusal(client.post(browser.step, data=fresh), errors.ReplayDetected)
        demand_refusal(client.get(browser.step), errors.ReplayDetected)
    assert len(stage.audit_rows("factor_used")) == 1


def test_the_password_waits_no_longer_than_the_login(stage: Stage) -> None:
    browser = Stepping(stage).passed()
    stage.clock.pass_by(seconds=281)
    demand_refusal(browser.ask(), errors.LoginExpired)
    demand_refusal(browser.give(code(stage)), errors.LoginExpired)
    assert nothing_used(stage)


def test_who_is_blocked_between_the_password_and_the_code_is_out(stage: Stage) -> None:
    browser = Stepping(stage).passed()
    row = stage.store.person(ALICE.employee_number)
    assert row is not None
    with stage.store.transaction() as tx:
        tx.save_person(replace(row, blocks=frozenset({BY_OPERATOR})))
    demand_refusal(browser.give(code(stage)), errors.PersonBlocked)


def test_a_standby_that_was_left_between_the_two_ends_no_login(stage: Stage) -> None:
    browser = Stepping(stage).passed()
    stage.switchboard.disable("corp", "a test", "host:test")
    stage.clock.pass_by(seconds=1)
    demand_refusal(browser.give(code(stage)), errors.LoginNotAsked)
    assert nothing_used(stage)


def test_another_site_cannot_post_a_code(stage: Stage) -> None:
    browser = Stepping(stage).passed()
    for site in ("cross-site", "same-site", "none"):
        demand_refusal(browser.give(code(stage), sec_fetch_site=site), links.LinkFollowed)
    assert nothing_used(stage)


def test_what_is_no_form_of_ours_is_not_read(stage: Stage) -> None:
    browser = Stepping(stage).passed()
    form = "application/x-www-form-urlencoded"
    for content, kind, refusal in (
        (b'{"code": "1"}', "application/json", errors.MalformedMessage),
        (b"code=1&code=2", form, errors.MalformedMessage),
        (b"answer={}&answer={}", form, errors.MalformedMessage),
        (b"code=" + b"1" * 70_000, form, errors.TooLarge),
        (b"kept=&answer=" + b"%7B" * 20_000, form, errors.LoginUnknown),
    ):
        headers = {"content-type": kind}
        answer = browser.client.post(browser.step, content=content, headers=headers)
        demand_refusal(answer, refusal)
    for method in ("PUT", "DELETE", "HEAD", "OPTIONS"):
        answer = browser.client.request(method, browser.step)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert nothing_used(stage)


def test_wrong_codes_are_counted_for_the_person_in_whatever_browser(stage: Stage) -> None:
    for _ in range(FAILURES):
        assert Stepping(stage).passed().give("000000").headers["location"].endswith("wrong")
    refused = Stepping(stage).type(ALICE.uid, ALICE.password)
    demand_refusal(refused, errors.SecondFactorLocked)
    # Bob is not Alice.
    bob = Stepping(stage).passed(BOB)
    assert bob.accepted(bob.give(code(stage, BOB))).profile.id == BOB.employee_number


# --- codes ----------------------------------------------------------------------------------------


def test_a_code_counts_once_for_one_person_in_all_logins(stage: Stage) -> None:
    first, second = Stepping(stage).passed(), Stepping(stage).passed()
    used = code(stage)
    first.accepted(first.give(used))
    assert second.give(used).headers["location"].endswith("problem=repeated")
    other = Stepping(stage).passed(BOB)
    assert other.give(used).headers["location"].endswith("problem=wrong")


def test_two_people_with_one_secret_use_each_their_own_code(stage: Stage) -> None:
    """A code is bound to the person: what Alice used is not used for Bob, nor good as Alice's."""
    with stage.store.transaction() as tx:
        tx.remove_factors(BOB.employee_number, [f"totp-{BOB.uid}"])
    keep(stage, BOB, Method.TOTP, SECRETS[ALICE.uid].encode())
    alice, bob = Stepping(stage).passed(), Stepping(stage).passed(BOB)
    assert alice.accepted(alice.give(code(stage))).profile.id == ALICE.employee_number
    assert bob.accepted(bob.give(code(stage))).profile.id == BOB.employee_number


def test_a_code_counts_once_at_two_hosts(
    set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PADDED_TO_S", 0.01)
    stage = with_apps(serving(set_up, corp, more=LEVELS, behind=MAPPED, sqlite=True))
    store, meters = open_store(stage.settings), (TrafficMeter(), ContextMeter())
    upstreams, clock = open_upstreams(stage.settings), stage.clock
    app = build(stage.settings, store, None, upstreams, *meters, clock.now, clock.monotonic)
    wire = Wire({"sso.example.org": app})
    here, there = Stepping(stage).passed(), Stepping(stage).passed()
    with httpx.Client(
        transport=wire,
        base_url=SITE,
        headers={"sec-fetch-site": "same-origin"},
        cookies=there.client.cookies,
    ) as elsewhere:
        there.client = elsewhere
        here.accepted(here.give(code(stage)))
        assert there.give(code(stage)).headers["location"].endswith("problem=repeated")
        # The login itself goes on at the other host, by the next code.
        clock.pass_by(seconds=30)
        assert there.accepted(there.give(code(stage))).profile.id == ALICE.employee_number
        demand_refusal(here.give(code(stage)), errors.ReplayDetected)
    wire.hang_up()
    store.close()


# --- passkeys -------------------------------------------------------------------------------------


def test_a_passkey_s_answer_for_another_site_question_or_purpose_ends_nothing(
    stage: Stage,
) -> None:
    device = passkey_of(stage, ALICE)
    for lies in (
        {"origin": "https://sso.example.org.evil.net"},
        {"origin": "http://sso.example.org"},
        {"origin": "https://sso.example.org:8443"},
        {"rp_id": "example.org"},
        {"rp_id": "evil.net"},
        {"type": "webauthn.create"},
        {"challenge": "AAAA"},
        {"crossOrigin": True},
    ):
        answer = Stepping(stage).passed().answer(device, **lies)
        assert answer.status_code == 303, lies
        assert answer.headers["location"].endswith("problem=passkey")
    assert nothing_used(stage)
    last = Stepping(stage).passed()
    last.accepted(last.answer(device))


def test_a_passkey_s_answer_belongs_to_one_login_and_one_person(stage: Stage) -> None:
    device, foreign = passkey_of(stage, ALICE), passkey_of(stage, BOB)
    first, second = Stepping(stage).passed(), Stepping(stage).passed()
    asked_first, asked_second = first.ask(), second.ask()
    given = device.get(options(asked_first))
    # Another login's question cannot be brought along, nor answered by what was given elsewhere.
    sent = {"kept": hidden(asked_first)["kept"], "answer": given}
    demand_refusal(second.client.post(second.step, data=sent), errors.LoginUnknown)
    sent = {"kept": hidden(asked_second)["kept"], "answer": given}
    assert second.client.post(second.step, data=sent).headers["location"].endswith("passkey")
    assert second.answer(foreign).headers["location"].endswith("problem=passkey")
    assert nothing_used(stage)


def test_without_verification_or_with_a_counter_going_back_a_passkey_ends_nothing(
    stage: Stage,
) -> None:
    device = passkey_of(stage, ALICE)
    device.verifies = False
    assert Stepping(stage).passed().answer(device).headers["location"].endswith("passkey")
    device.verifies = True
    browser = Stepping(stage).passed()
    browser.accepted(browser.answer(device))
    device.counter -= 2
    assert Stepping(stage).passed().answer(device).headers["location"].endswith("copied")
    # The original is out as well: nobody can tell which of the two it is.
    assert "data-options" not in Stepping(stage).passed().ask().text
    assert len(stage.audit_rows("factor_used")) == 1


def test_a_passkey_s_answer_without_a_counter_counts_once(stage: Stage) -> None:
    device = passkey_of(stage, ALICE, counts=False)
    browser = Stepping(stage).passed()
    page = browser.ask()
    sent = {"kept": hidden(page)["kept"], "answer": device.get(options(page))}
    browser.accepted(browser.client.post(browser.step, data=sent))
    demand_refusal(browser.client.post(browser.step, data=sent), errors.ReplayDetected)
    assert len(stage.audit_rows("factor_used")) == 1
