"""A rehearsal: an operator's own login by one upstream, which ends on our page and proves it.

It never becomes a login to Mattermost, nor a login a rehearsal, whoever swaps what.
"""

from __future__ import annotations

import html
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy import errors, links
from idp_proxy.decision.roster import BY_OPERATOR
from idp_proxy.rehearsal import LINK_LASTS, PURPOSE, Ticket, link_of
from idp_proxy.seal import KeyRing
from idp_proxy.store.base import Evidence, UsedId
from tests.flows.configuration import Wanted, provider
from tests.flows.stage import Stage, code_of, demand_refusal, is_used
from tests.flows.stores import Outage
from tests.support.identity_provider import Login
from tests.support.people import ALICE, BOB, CAROL
from tests.support.upstream_metadata import service, upstream_metadata

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.flows.conftest import Builder
    from tests.flows.stage import Begun

ACTOR = "operator:olga"
#: What the button of the page sends.
FORM = {"begin": "yes"}


@dataclass(slots=True)
class Desk:
    """Whoever makes links, and follows them in a browser."""

    stage: Stage
    made: list[Ticket] = field(default_factory=list)

    def link(self, upstream: str = "standby", **other: Any) -> str:
        """A link as `idp-proxy rehearse` makes it."""
        usual: dict[str, Any] = {
            "id": f"link-{len(self.made)}",
            "kind": Evidence.REHEARSAL,
            "upstream": upstream,
            "actor": ACTOR,
            "until": (self.stage.clock.now() + LINK_LASTS).replace(microsecond=0),
        }
        ring = other.pop("ring", KeyRing(self.stage.settings.proxy.state_keys, PURPOSE))
        self.made.append(Ticket(**usual | other))
        return f"/rehearse/{link_of(self.made[-1], ring)}"

    def begin(self, link: str, client: httpx.Client | None = None) -> Begun:
        client = client or self.stage.client()
        page = client.post(link, data=FORM)
        assert page.status_code in {200, 302}, code_of(page)
        return self.stage.sent_on(client, page, "")

    def rehearse(self, upstream: str = "standby", **other: Any) -> httpx.Response:
        begun = self.begin(self.link(upstream, **other))
        return self.stage.post(begun, self.stage.answer(begun, ALICE))

    def proven(self, kind: Evidence = Evidence.REHEARSAL) -> dict[str, object]:
        return dict(self.stage.store.evidence(kind))

    def counted(self) -> list[bool]:
        """Which of the links that were made count as used."""
        return [self.stage.store.is_used(one.use) for one in self.made]

    def nothing_came_of_it(self) -> bool:
        """No evidence, no audit row, no login, and the links are as good as new."""
        rows = self.stage.audit_rows("rehearsal")
        return not (self.proven() or rows or any(self.counted())) and self.stage.on_record() == []


@pytest.fixture
def desk(stage: Stage) -> Desk:
    return Desk(stage)


def cookie_name(begun: Begun, purpose: str) -> str:
    return f"__Host-{purpose}-{begun.tid[:8]}"


# --- what it proves ------------------------------------------------------------------------------


@pytest.mark.parametrize("upstream", ["standby", "active"])
def test_a_login_by_any_upstream_ends_on_our_page_and_is_evidence(
    desk: Desk, upstream: str
) -> None:
    page = desk.rehearse(upstream)
    text = html.unescape(page.text)
    assert page.status_code == 200
    assert f"The login by {upstream} works" in text
    assert "SAMLResponse" not in text
    assert "form-action 'none'" in page.headers["content-security-policy"]
    assert desk.proven() == {upstream: desk.stage.clock.now()}
    assert desk.proven(Evidence.FAILBACK_TEST) == {}
    assert desk.stage.on_record() == []
    assert desk.stage.store.proofs() == {}


def test_the_audit_says_who_asked_and_names_nobody(desk: Desk) -> None:
    desk.rehearse("active")
    (row,) = desk.stage.audit_rows("rehearsal")
    assert row.content["actor"] == ACTOR
    assert row.facts["upstream"] == "active"
    assert row.facts["link"] == "link-0"
    assert len(str(row.content["person"])) == 64
    for name in (ALICE.uid, ALICE.mail, ALICE.employee_number):
        assert name not in row.body
    assert desk.stage.store.person(ALICE.employee_number) is None


def test_a_test_before_the_return_is_evidence_of_its_own(desk: Desk) -> None:
    page = desk.rehearse("active", kind=Evidence.FAILBACK_TEST)
    assert "For ten minutes" in page.text
    assert list(desk.proven(Evidence.FAILBACK_TEST)) == ["active"]
    assert desk.proven() == {}
    assert [row.kind for row in desk.stage.audit_rows("failback_test")] == ["failback_test"]


def test_the_page_says_whether_the_person_would_get_in_by_the_standby(desk: Desk) -> None:
    assert "You yourself would not get in by it" in desk.rehearse().text
    assert desk.stage.audit_rows("rehearsal")[0].content["person"] is None
    desk.stage.log_in(ALICE)
    assert "You yourself would not get in by it" not in desk.rehearse().text
    assert desk.stage.audit_rows("rehearsal")[1].content["person"]


def test_the_upstream_is_asked_for_a_fresh_login_and_a_session_does_not_do(desk: Desk) -> None:
    begun = desk.begin(desk.link())
    assert begun.question.force_authn
    old = Login(desk.stage.clock.now() - timedelta(minutes=5))
    page = desk.stage.post(begun, desk.stage.answer(begun, ALICE, login=old))
    assert "SAMLResponse" not in demand_refusal(page, errors.AuthenticationTooOld)
    assert desk.nothing_came_of_it()


def test_german_and_posted(set_up: Builder) -> None:
    known = provider("standby")
    only_post = upstream_metadata(
        known.keys,
        entity_id=known.entity_id,
        services=[service("urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST", known.sso_url)],
    )
    desk = Desk(set_up(Wanted(metadata={"standby": only_post})))
    client = desk.stage.client(accept_language="de")
    link = desk.link()
    assert "Anmeldung über standby proben" in html.unescape(client.get(link).text)
    begun = desk.begin(link, client)
    page = desk.stage.post(begun, desk.stage.answer(begun, ALICE))
    assert "Die Anmeldung über standby funktioniert" in html.unescape(page.text)


# --- the link ------------------------------------------------------------------------------------


def test_looking_at_a_link_does_not_use_it(desk: Desk) -> None:
    """A chat's preview, a mail's scanner: they fetch it before the person does."""
    link = desk.link()
    for _ in range(3):
        page = desk.stage.client().get(link)
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
    assert "<button" in page.text
    assert "form-action 'self' https:" in page.headers["content-security-policy"]
    assert desk.nothing_came_of_it()
    assert desk.stage.client().head(link).status_code == errors.WrongMethod.http_status


def test_who_mistyped_the_password_opens_the_link_again(desk: Desk) -> None:
    link = desk.link()
    begun = desk.begin(link)
    status = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
    page = desk.stage.post(begun, desk.stage.refusal(begun, status))
    assert "Open the link again" in demand_refusal(page, errors.UpstreamRefused)
    assert desk.nothing_came_of_it()
    again = desk.begin(link)
    page = desk.stage.post(again, desk.stage.answer(again, ALICE))
    assert page.status_code == 200
    assert desk.counted() == [True]


def test_a_link_counts_once_and_so_does_an_answer(desk: Desk) -> None:
    link = desk.link()
    begun = desk.begin(link)
    message = desk.stage.answer(begun, ALICE)
    assert desk.stage.post(begun, message).status_code == 200
    first = desk.proven()
    desk.stage.clock.pass_by(seconds=5)
    text = demand_refusal(desk.stage.post(begun, message), links.LinkUsed)
    assert "Ask whoever gave you the link" in text
    demand_refusal(desk.stage.client().get(link), links.LinkUsed)
    demand_refusal(desk.stage.client().post(link, data=FORM), links.LinkUsed)
    assert desk.proven() == first
    assert len(desk.stage.audit_rows("rehearsal")) == 1


def test_of_two_browsers_with_one_link_one_completes(set_up: Builder) -> None:
    desk = Desk(set_up(sqlite=True))
    link = desk.link()
    both = [desk.begin(link), desk.begin(link)]
    answers = [desk.stage.answer(one, ALICE) for one in both]
    together = Barrier(2)

    def finish(number: int) -> str:
        together.wait()
        return code_of(desk.stage.post(both[number], answers[number]))

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(finish, (0, 1))) == ["200", "link_used"]
    assert len(desk.stage.audit_rows("rehearsal")) == 1
    # The loser's transaction was not used up by it, and its link is: no third try either.
    demand_refusal(desk.stage.post(both[0], answers[0]), links.LinkUsed)


def test_a_link_is_valid_for_ten_minutes_and_its_answer_must_be_there_by_then(desk: Desk) -> None:
    link = desk.link()
    desk.stage.clock.pass_by(minutes=9, seconds=30)
    begun = desk.begin(link)
    message = desk.stage.answer(begun, ALICE)
    desk.stage.clock.pass_by(seconds=30)
    demand_refusal(desk.stage.post(begun, message), links.LinkExpired)
    for page in (desk.stage.client().get(link), desk.stage.client().post(link, data=FORM)):
        demand_refusal(page, links.LinkExpired)
    assert desk.nothing_came_of_it()


def test_a_link_from_the_future_is_refused(desk: Desk) -> None:
    """Whoever once held a state key for a moment cannot keep a link for a later day."""
    far = (desk.stage.clock.now() + timedelta(days=1)).replace(microsecond=0)
    demand_refusal(desk.stage.client().get(desk.link(until=far)), links.LinkExpired)


def test_an_answer_must_come_in_time_too(desk: Desk) -> None:
    begun = desk.begin(desk.link())
    message = desk.stage.answer(begun, ALICE)
    desk.stage.clock.pass_by(seconds=281)
    demand_refusal(desk.stage.post(begun, message), errors.LoginExpired)
    assert desk.nothing_came_of_it()


@pytest.mark.parametrize("change", ["cut", "flipped", "longer", "junk", "huge", "é"])
def test_an_altered_link_is_none(desk: Desk, change: str) -> None:
    link = desk.link()
    token = link.removeprefix("/rehearse/")
    middle = len(token) // 2
    forged = {
        "cut": token[:-4],
        "flipped": token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :],
        "longer": f"{token}AAAA",
        "junk": "....",
        "huge": "A" * 6000,
        "é": "%C3%A9",
    }[change]
    demand_refusal(desk.stage.client().get(f"/rehearse/{forged}"), links.LinkUnknown)
    demand_refusal(desk.stage.client().post(f"/rehearse/{forged}", data=FORM), links.LinkUnknown)
    assert desk.nothing_came_of_it()


@pytest.mark.parametrize("purpose", ["login", "drill", "enroll", "canary"])
def test_a_link_of_other_keys_or_another_purpose_is_none(desk: Desk, purpose: str) -> None:
    same_keys = desk.stage.settings.proxy.state_keys
    for ring in (KeyRing(same_keys, purpose), KeyRing([b"x" * 32], PURPOSE)):
        link = desk.link(ring=ring)
        demand_refusal(desk.stage.client().post(link, data=FORM), links.LinkUnknown)


def test_another_site_cannot_follow_a_link(desk: Desk) -> None:
    link = desk.link()
    for site in ("cross-site", "same-site", "none"):
        page = desk.stage.client(sec_fetch_site=site).post(link, data=FORM)
        demand_refusal(page, links.LinkFollowed)
    desk.begin(link, desk.stage.client(sec_fetch_site="same-origin"))


def test_the_link_is_in_no_log(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    link = desk.link()
    for path in (link, f"{link}/", f"/x{link}", link.replace("rehearse", "REHEARSE"), f"{link}x"):
        desk.stage.client().put(path)
        desk.stage.client().get(path)
    assert link.removeprefix("/rehearse/")[:40] not in "".join(capsys.readouterr())


# --- the upstream --------------------------------------------------------------------------------


def test_a_disabled_upstream_is_not_asked_and_not_believed(desk: Desk) -> None:
    link = desk.link()
    begun = desk.begin(link)
    desk.stage.switchboard.disable("standby", "a test", "host:test")
    desk.stage.clock.pass_by(seconds=1)
    for page in (desk.stage.client().get(link), desk.stage.client().post(link, data=FORM)):
        demand_refusal(page, errors.UpstreamUnavailable)
    message = desk.stage.answer(begun, ALICE)
    demand_refusal(desk.stage.post(begun, message), errors.UpstreamUnavailable)
    assert desk.nothing_came_of_it()


def test_who_serves_does_not_matter(desk: Desk) -> None:
    desk.stage.switch("standby")
    assert desk.rehearse("active").status_code == 200
    assert desk.rehearse("standby").status_code == 200


def test_an_upstream_that_is_gone_from_the_configuration_cannot_be_rehearsed(desk: Desk) -> None:
    page = desk.stage.client().get(desk.link("former"))
    demand_refusal(page, errors.UpstreamUnavailable)


def test_the_answer_of_another_upstream_does_not_do(desk: Desk) -> None:
    begun = desk.begin(desk.link("standby"))
    by_other = desk.stage.answer(begun, ALICE, by=provider("active"))
    demand_refusal(desk.stage.post(begun, by_other, upstream="active"), errors.LoginNotAsked)
    demand_refusal(desk.stage.post(begun, by_other), errors.AssertionInvalid)
    assert desk.nothing_came_of_it()


def test_nobody_who_is_blocked_vouches_for_an_upstream(desk: Desk) -> None:
    desk.stage.log_in(ALICE)
    row = desk.stage.store.person(ALICE.employee_number)
    assert row is not None
    with desk.stage.store.transaction() as transaction:
        transaction.save_person(replace(row, blocks=frozenset({BY_OPERATOR})))
    demand_refusal(desk.rehearse(), errors.PersonBlocked)
    assert desk.proven() == {}
    assert desk.counted() == [False]


@pytest.mark.parametrize("by", ["active", "standby"])
def test_a_canary_vouches_for_nothing_by_the_browser(
    set_up: Builder, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Its password lies on a host: whoever reads it there could rehearse for ever."""
    monkeypatch.setenv("CANARY", CAROL.password)
    canary = (
        '[[upstream.canary]]\nname = "staff"\nusername = "carol"\npassword = "env:CANARY"\n'
        f'subject = "{CAROL.employee_number}"\n'
    )
    desk = Desk(set_up(Wanted(upstreams={"active": "", "standby": canary})))
    begun = desk.begin(desk.link(by))
    page = desk.stage.post(begun, desk.stage.answer(begun, CAROL))
    demand_refusal(page, errors.CanaryAccount)
    assert desk.nothing_came_of_it()


# --- never a login, and no login a rehearsal -----------------------------------------------------


def test_the_answer_of_a_rehearsal_cannot_be_completed_as_a_login(desk: Desk) -> None:
    """Under whatever name its cookie is sent: a login's seal is of another purpose."""
    begun = desk.begin(desk.link("active"))
    sealed = begun.client.cookies[cookie_name(begun, PURPOSE)]
    for also in (False, True):
        client = desk.stage.client()
        client.cookies.set(cookie_name(begun, "login"), sealed, domain="sso.example.org")
        if also:
            client.cookies.set(cookie_name(begun, PURPOSE), sealed, domain="sso.example.org")
        message = desk.stage.answer(begun, ALICE)
        page = desk.stage.post(begun, message, client=client)
        demand_refusal(page, errors.LoginUnknown)
    assert desk.nothing_came_of_it()


def test_the_answer_of_a_login_cannot_be_completed_as_a_rehearsal(desk: Desk) -> None:
    begun = desk.stage.begin()
    client = desk.stage.client()
    sealed = begun.client.cookies[cookie_name(begun, "login")]
    client.cookies.set(cookie_name(begun, PURPOSE), sealed, domain="sso.example.org")
    page = desk.stage.post(begun, desk.stage.answer(begun, ALICE), client=client)
    demand_refusal(page, errors.LoginUnknown)
    assert desk.nothing_came_of_it()


def test_the_link_is_no_transaction_and_a_transaction_no_link(desk: Desk) -> None:
    link = desk.link()
    begun = desk.begin(link)
    sealed = begun.client.cookies[cookie_name(begun, PURPOSE)].partition(".")[2]
    demand_refusal(desk.stage.client().get(f"/rehearse/{sealed}"), links.LinkUnknown)
    client = desk.stage.client()
    token = link.removeprefix("/rehearse/")
    client.cookies.set(cookie_name(begun, PURPOSE), f"1.{token}", domain="sso.example.org")
    message = desk.stage.answer(begun, ALICE)
    demand_refusal(desk.stage.post(begun, message, client=client), errors.LoginUnknown)
    assert desk.nothing_came_of_it()


def test_answers_of_a_login_and_a_rehearsal_in_one_browser_cannot_be_exchanged(desk: Desk) -> None:
    login = desk.stage.begin()
    rehearsal = desk.begin(desk.link("active"), login.client)
    for to, answer_of in ((login, rehearsal), (rehearsal, login)):
        message = desk.stage.answer(answer_of, ALICE)
        demand_refusal(desk.stage.post(to, message), errors.AssertionInvalid)
    assert desk.nothing_came_of_it()
    page = desk.stage.post(login, desk.stage.answer(login, BOB))
    assert desk.stage.accepted(page, login).profile.username == "bob"


def test_a_rehearsal_ends_only_in_the_browser_that_began_it(desk: Desk) -> None:
    begun = desk.begin(desk.link())
    message = desk.stage.answer(begun, ALICE)
    page = desk.stage.post(begun, message, client=desk.stage.client())
    demand_refusal(page, errors.LoginUnknown)
    assert desk.nothing_came_of_it()


def test_the_cookie_is_one_of_a_rehearsal(desk: Desk) -> None:
    begun = desk.begin(desk.link())
    (header,) = begun.page.headers.get_list("set-cookie")
    name, _, _ = header.partition("=")
    assert name == cookie_name(begun, PURPOSE)
    assert header.endswith("; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=None")
    for inside in (ACTOR, "standby", "link-0"):
        assert inside not in header


def test_rehearsals_do_not_drop_the_cookies_of_logins(desk: Desk) -> None:
    client = desk.stage.client()
    for _ in range(5):
        desk.stage.begin(client)
    for _ in range(6):
        desk.begin(desk.link(), client)
    names = [cookie.name for cookie in client.cookies.jar]
    assert sum(name.startswith("__Host-login-") for name in names) == 5
    assert sum(name.startswith("__Host-rehearse-") for name in names) == 5


def test_what_was_used_is_used_for_every_journey(desk: Desk) -> None:
    begun = desk.begin(desk.link())
    message = desk.stage.answer(begun, ALICE)
    assert desk.stage.post(begun, message).status_code == 200
    until = desk.stage.clock.now()
    assert is_used(desk.stage.store, UsedId("transaction", "", begun.tid, until))


# --- the store -----------------------------------------------------------------------------------


def test_while_the_store_is_away_nothing_is_rehearsed(set_up: Builder, tmp_path: Path) -> None:
    outage = Outage(tmp_path)
    desk = Desk(set_up(spool=outage))
    link = desk.link()
    begun = desk.begin(link)
    message = desk.stage.answer(begun, ALICE)
    outage.way.away = True
    demand_refusal(desk.stage.client().get(link), errors.StoreError)
    demand_refusal(desk.stage.post(begun, message), errors.StoreError)
    outage.way.away, outage.way.fails_at_commit = False, True
    demand_refusal(desk.stage.post(begun, message), errors.StoreError)
    assert desk.nothing_came_of_it()
    assert outage.local.pending() == 0
    outage.way.fails_at_commit = False
    assert desk.stage.post(begun, message).status_code == 200
    outage.local.close()
