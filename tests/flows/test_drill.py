"""A drill with real people: their browsers go through the standby, and nobody else's do."""

from __future__ import annotations

import html
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy import errors, links
from idp_proxy.decision.drill import Drill, person_digest
from idp_proxy.decision.roster import BY_OPERATOR, lookup_key
from idp_proxy.decision.switching import Departure
from idp_proxy.drill import Invitation, begin, link_of, stop
from idp_proxy.drill_pass import PURPOSE, write_pass
from idp_proxy.seal import KeyRing
from idp_proxy.transaction import DrillLogin
from tests.flows.stage import MATTERMOST_PATH, Stage, code_of, demand_refusal, form_of
from tests.flows.stores import Outage
from tests.support.people import ALICE, BOB, CAROL

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.flows.conftest import Builder
    from tests.support.people import Person

COOKIE = "__Host-drill-pass"
#: What the button of the page sends.
FORM = {"begin": "yes"}


@dataclass(slots=True)
class Exercise:
    """A drill by the standby with Alice, on a stage where she and Bob are known."""

    stage: Stage
    drill: Drill = field(init=False)

    def __post_init__(self) -> None:
        for person in (ALICE, BOB):
            self.stage.log_in(person)
        self.start()

    @property
    def ring(self) -> KeyRing:
        return KeyRing(self.stage.settings.proxy.state_keys, PURPOSE)

    def start(self, *people: Person, **other: Any) -> Drill:
        before, state = self.stage.store.drill(), self.stage.switchboard.current()
        now = self.stage.clock.now().replace(microsecond=0)
        usual: dict[str, Any] = {
            "id": f"drill-{0 if before is None else before.version}",
            "version": 1 if before is None else before.version + 1,
            "upstream": "standby",
            "serving": state.serving,
            "since": state.since,
            "started_at": now,
            "until": now + timedelta(minutes=30),
            "people": frozenset(self.digest(one) for one in people or (ALICE,)),
            "actor": "operator:olga",
            "reason": "a test",
        }
        self.drill = Drill(**usual | other)
        with self.stage.store.transaction() as transaction:
            begin(transaction, before, self.drill)
        return self.drill

    def digest(self, person: Person) -> str:
        row = self.stage.store.person(person.employee_number)
        assert row is not None
        return person_digest(lookup_key(row.link_key))

    def link(self, person: Person = ALICE, *, number: int = 1, ring: KeyRing | None = None) -> str:
        login = DrillLogin(self.drill.id, self.digest(person))
        invitation = Invitation(f"i{number}", login, person.employee_number)
        return f"/drill/join/{link_of(invitation, ring or self.ring)}"

    def joined(self, person: Person = ALICE, link: str | None = None) -> httpx.Client:
        """A browser that takes part."""
        client = self.stage.client()
        page = client.post(link or self.link(person), data=FORM)
        assert page.status_code == 200
        return client

    def goes_to(self, client: httpx.Client) -> str:
        """Where a login of this browser is led."""
        return self.stage.begin(client).upstream

    def stop(self, how: Departure = Departure.PLANNED) -> None:
        now = self.stage.clock.now()
        self.drill = stop(self.stage.store, self.drill, how, "enough", "operator:olga", now)


@pytest.fixture
def exercise(stage: Stage) -> Exercise:
    return Exercise(stage)


def carrying(stage: Stage, value: str) -> httpx.Client:
    client = stage.client()
    client.cookies.set(COOKIE, value, domain="sso.example.org")
    return client


# --- taking part ---------------------------------------------------------------------------------


def test_who_takes_part_logs_in_by_the_standby_as_who_they_are(exercise: Exercise) -> None:
    stage, client = exercise.stage, exercise.joined()
    begun = stage.begin(client)
    assert begun.upstream == "standby"
    accepted = stage.accepted(stage.post(begun, stage.answer(begun, ALICE)), begun)
    assert accepted.profile.id == ALICE.employee_number
    assert "standby" in stage.store.proofs()
    login = stage.audit_rows("login")[-1]
    assert (login.facts["upstream"], login.facts["drill"]) == ("standby", exercise.drill.id)


def test_everybody_else_logs_in_as_always(exercise: Exercise) -> None:
    stage, client = exercise.stage, exercise.joined()
    before = stage.switchboard.current()
    for other in (stage.client(), carrying(stage, ""), carrying(stage, "x" * 40)):
        begun = stage.begin(other)
        assert begun.upstream == "active"
        assert stage.accepted(stage.post(begun, stage.answer(begun, BOB)), begun)
    assert exercise.goes_to(client) == "standby"
    assert stage.switchboard.current() == before
    assert "drill" not in stage.audit_rows("login")[-1].facts


def test_the_cookie_lives_as_long_as_the_drill_and_shows_nothing(exercise: Exercise) -> None:
    exercise.stage.clock.pass_by(minutes=10)
    page = exercise.stage.client().post(exercise.link(), data=FORM)
    (header,) = page.headers.get_list("set-cookie")
    pair, *attributes = header.split("; ")
    name, _, value = pair.partition("=")
    assert name == COOKIE
    (lives,) = [one for one in attributes if one.startswith("Max-Age=")]
    assert 1198 <= int(lives.partition("=")[2]) <= 1200
    assert {"HttpOnly", "Secure", "SameSite=None", "Path=/"} < set(attributes)
    for inside in ("standby", exercise.drill.id, ALICE.mail, exercise.digest(ALICE)):
        assert inside not in value


def test_the_pages_say_what_will_happen_in_both_languages(exercise: Exercise) -> None:
    until = f"{exercise.drill.until:%H:%M} UTC"
    for language, words in (("en", "Take part"), ("de", "teilnehmen")):
        client = exercise.stage.client(accept_language=language)
        asked = html.unescape(client.get(exercise.link()).text)
        assert words in asked
        assert until in asked
        joined = client.post(exercise.link(number=len(language + words)), data=FORM)
        assert until in html.unescape(joined.text)
        assert "form-action 'none'" in joined.headers["content-security-policy"]


def test_joining_is_on_record_without_a_name(exercise: Exercise) -> None:
    exercise.joined()
    (row,) = exercise.stage.audit_rows("drill_joined")
    assert len(str(row.content["person"])) == 64
    (started,) = exercise.stage.audit_rows("drill_started")
    for one in (row, started):
        for name in (ALICE.uid, ALICE.mail, ALICE.employee_number, exercise.digest(ALICE)):
            assert name not in one.body


# --- the link ------------------------------------------------------------------------------------


def test_looking_at_a_link_does_not_use_it_and_it_counts_once(exercise: Exercise) -> None:
    link = exercise.link()
    for _ in range(2):
        page = exercise.stage.client().get(link)
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
        assert "form-action 'self';" in f"{page.headers['content-security-policy']};"
    client = exercise.joined(link=link)
    for page in (exercise.stage.client().post(link, data=FORM), client.get(link)):
        demand_refusal(page, links.LinkUsed)
    assert len(exercise.stage.audit_rows("drill_joined")) == 1


@pytest.mark.parametrize("how", ["stopped", "time", "switched", "another drill"])
def test_a_link_of_a_drill_that_is_over_leads_nowhere(exercise: Exercise, how: str) -> None:
    link = exercise.link()
    end(exercise, how)
    for page in (
        exercise.stage.client().get(link),
        exercise.stage.client().post(link, data=FORM),
    ):
        demand_refusal(page, links.LinkExpired)


def end(exercise: Exercise, how: str) -> None:
    """One of the ways in which a drill ends."""
    if how == "time":
        exercise.stage.clock.pass_by(minutes=30)
    elif how == "switched":
        exercise.stage.switch("standby")
    elif how == "there and back":
        exercise.stage.switch("standby")
        exercise.stage.switch("active")
    else:
        exercise.stop(Departure.FAILOVER if how == "outage" else Departure.PLANNED)
    if how == "another drill":
        exercise.start(BOB)
    exercise.stage.clock.pass_by(seconds=1)


def test_a_link_of_other_keys_another_purpose_or_for_somebody_else_is_none(
    exercise: Exercise,
) -> None:
    same_keys = exercise.stage.settings.proxy.state_keys
    for ring in (KeyRing([b"x" * 32], PURPOSE), KeyRing(same_keys, "rehearse")):
        page = exercise.stage.client().post(exercise.link(ring=ring), data=FORM)
        demand_refusal(page, links.LinkUnknown)
    page = exercise.stage.client().post(exercise.link(BOB), data=FORM)
    demand_refusal(page, links.LinkExpired)


def test_another_site_cannot_make_a_browser_take_part(exercise: Exercise) -> None:
    client = exercise.stage.client(sec_fetch_site="cross-site")
    demand_refusal(client.post(exercise.link(), data=FORM), links.LinkFollowed)
    assert exercise.stage.audit_rows("drill_joined") == []


# --- who may log in with a pass ------------------------------------------------------------------


def test_nobody_but_the_one_on_the_list_gets_in_with_their_pass(exercise: Exercise) -> None:
    """Bob would get in by the standby, and is in the roster: but the pass is Alice's."""
    stage = exercise.stage
    begun = stage.begin(exercise.joined())
    page = stage.post(begun, stage.answer(begun, BOB))
    assert code_of(page) == errors.PersonNotInDrill.code
    assert "SAMLResponse" not in page.text
    assert stage.on_record()[-1] == "person_not_in_drill"
    assert stage.audit_rows("login_refused")[-1].facts["drill"] == exercise.drill.id
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.ReplayDetected)


def test_who_met_somebody_elses_pass_starts_again_as_everybody_does(exercise: Exercise) -> None:
    """A browser that two people share, or one that was made to take part for somebody else."""
    stage, client = exercise.stage, exercise.joined()
    begun = stage.begin(client)
    page = stage.post(begun, stage.answer(begun, BOB))
    (header,) = page.headers.get_list("set-cookie")
    assert header.startswith(f"{COOKIE}=; Path=/; Max-Age=0; ")
    assert exercise.goes_to(client) == "active"


def test_a_drill_lets_in_nobody_whom_the_standby_would_not(exercise: Exercise) -> None:
    stage, client = exercise.stage, exercise.joined()
    row = stage.store.person(ALICE.employee_number)
    assert row is not None
    with stage.store.transaction() as transaction:
        transaction.save_person(replace(row, blocks=frozenset({BY_OPERATOR})))
    begun = stage.begin(client)
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.PersonBlocked)
    begun = stage.begin(client)
    page = stage.post(begun, stage.answer(begun, CAROL))
    assert code_of(page) == errors.PersonNotInDrill.code


def test_an_answer_of_the_serving_upstream_does_not_do_in_a_drill(exercise: Exercise) -> None:
    stage = exercise.stage
    begun = stage.begin(exercise.joined())
    page = stage.post(begun, stage.answer(begun, ALICE), upstream="active")
    demand_refusal(page, errors.LoginNotAsked)


# --- passes that lead nowhere --------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", ["stopped", "outage", "time", "switched", "there and back", "another drill"]
)
def test_a_pass_of_a_drill_that_is_over_is_ignored(exercise: Exercise, how: str) -> None:
    client = exercise.joined()
    pass_value = client.cookies[COOKIE]
    assert exercise.goes_to(client) == "standby"
    end(exercise, how)
    kept = carrying(exercise.stage, pass_value)
    serving = exercise.stage.switchboard.current().serving
    assert serving == ("standby" if how == "switched" else "active")
    begun = exercise.stage.begin(kept)
    assert begun.upstream == serving
    page = exercise.stage.post(begun, exercise.stage.answer(begun, BOB))
    assert form_of(page).action == MATTERMOST_PATH


def test_a_forged_pass_is_ignored(exercise: Exercise) -> None:
    stage = exercise.stage
    login = DrillLogin(exercise.drill.id, exercise.digest(ALICE))
    good = write_pass(login, exercise.ring)
    assert exercise.goes_to(carrying(stage, good)) == "standby"
    same_keys = stage.settings.proxy.state_keys
    for forged in (
        write_pass(login, KeyRing([b"x" * 32], PURPOSE)),
        write_pass(login, KeyRing(same_keys, "login")),
        write_pass(DrillLogin("other", login.person), exercise.ring),
        write_pass(DrillLogin(login.drill, exercise.digest(BOB)), exercise.ring),
        exercise.link().removeprefix("/drill/join/"),
        good[:-6],
        good + "AAAA",
        "%00",
    ):
        assert exercise.goes_to(carrying(stage, forged)) == "active"


def test_while_the_standby_is_disabled_or_cannot_be_asked_a_pass_is_ignored(
    exercise: Exercise, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = exercise.joined()
    with monkeypatch.context() as patch:
        patch.setattr(
            type(exercise.stage.upstreams["standby"]), "why_unusable", lambda *_: "expired"
        )
        assert exercise.goes_to(client) == "active"
    assert exercise.goes_to(client) == "standby"
    begun = exercise.stage.begin(client)
    exercise.stage.switchboard.disable("standby", "a test", "host:test")
    exercise.stage.clock.pass_by(seconds=1)
    assert exercise.goes_to(client) == "active"
    page = exercise.stage.post(begun, exercise.stage.answer(begun, ALICE))
    demand_refusal(page, errors.LoginNotAsked)


def test_while_the_serving_upstream_is_disabled_a_pass_opens_no_door(exercise: Exercise) -> None:
    client = exercise.joined()
    exercise.stage.switchboard.disable("active", "a test", "host:test")
    exercise.stage.clock.pass_by(seconds=1)
    query = exercise.stage.sso_query(exercise.stage.request())
    demand_refusal(client.get(f"/saml/sso?{query}"), errors.UpstreamUnavailable)


# --- what is under way when it ends --------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "seconds"), [("stopped", 270), ("time", 270), ("outage", 110), ("switched", 270)]
)
def test_an_answer_under_way_is_taken_within_the_grace(
    exercise: Exercise, how: str, seconds: int
) -> None:
    stage, client = exercise.stage, exercise.joined()
    if how == "time":
        stage.clock.pass_by(minutes=29, seconds=58)
    begun = stage.begin(client)
    if how == "time":
        stage.clock.pass_by(seconds=2)
    else:
        end(exercise, how)
    stage.clock.pass_by(seconds=seconds)
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert form_of(page).action == MATTERMOST_PATH


def test_after_an_outage_began_a_late_answer_is_not_taken(exercise: Exercise) -> None:
    begun = exercise.stage.begin(exercise.joined())
    end(exercise, "outage")
    exercise.stage.clock.pass_by(seconds=121)
    page = exercise.stage.post(begun, exercise.stage.answer(begun, ALICE))
    demand_refusal(page, errors.LoginNotAsked)


def test_an_answer_to_a_drill_that_another_one_replaced_is_not_taken(exercise: Exercise) -> None:
    begun = exercise.stage.begin(exercise.joined())
    end(exercise, "another drill")
    page = exercise.stage.post(begun, exercise.stage.answer(begun, ALICE))
    demand_refusal(page, errors.LoginNotAsked)


# --- the store -----------------------------------------------------------------------------------


def test_one_drill_at_a_time_whoever_begins_it(exercise: Exercise) -> None:
    """Two operators who both found none going on: the second one's swap fails."""
    ended = exercise.drill
    exercise.stop()
    before = exercise.drill
    exercise.start(BOB)
    with (
        pytest.raises(errors.StoreConflict),
        exercise.stage.store.transaction() as transaction,
    ):
        begin(transaction, before, replace(ended, id="second", version=before.version + 1))
    with pytest.raises(errors.StoreConflict):
        stop(exercise.stage.store, before, Departure.PLANNED, "x", "x", exercise.stage.clock.now())


def test_without_a_pass_no_login_asks_for_a_drill(
    exercise: Exercise, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(exercise.stage.store), "drill", never)
    assert exercise.stage.log_in(BOB)
    assert exercise.goes_to(carrying(exercise.stage, "A" * 60)) == "active"


def test_while_the_store_is_away_a_pass_is_ignored(set_up: Builder, tmp_path: Path) -> None:
    outage = Outage(tmp_path)
    exercise = Exercise(set_up(spool=outage))
    link, client = exercise.link(number=2), exercise.joined()
    under_way = exercise.stage.begin(client)
    outage.way.away = True
    assert exercise.goes_to(client) == "active"
    demand_refusal(exercise.stage.client().get(link), errors.StoreError)
    page = exercise.stage.post(under_way, exercise.stage.answer(under_way, ALICE))
    demand_refusal(page, errors.StoreError)
    outage.local.close()
