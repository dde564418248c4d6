"""Whatever proves a login counts once (SP-06, IDP-05): back button, reload, parallel posts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors
from tests.flows.configuration import SITE
from tests.flows.stage import RELAY_STATE, Stage, code_of, demand_refusal
from tests.support import saml_wire
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    import httpx

    from tests.flows.conftest import Builder


def test_the_back_button_after_a_login_leads_to_mattermost(stage: Stage) -> None:
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    assert stage.post(begun, message).status_code == 200
    stage.clock.pass_by(seconds=3)
    text = demand_refusal(stage.post(begun, message), errors.ReplayDetected)
    assert f'href="{SITE}/"' in text
    assert "You are probably logged in already" in text
    assert stage.on_record() == ["login"]


def test_a_second_answer_to_the_same_question_is_refused(stage: Stage) -> None:
    """The transaction counts once, whatever the upstream says next."""
    begun = stage.begin()
    stage.accepted(stage.post(begun, stage.answer(begun, ALICE)), begun)
    demand_refusal(stage.post(begun, stage.answer(begun, BOB)), errors.ReplayDetected)
    assert stage.store.person("e-1002") is None
    assert stage.on_record() == ["login"]


def test_one_request_of_mattermost_is_answered_once(stage: Stage) -> None:
    """Two tabs of one link are two logins of one request."""
    client, query = stage.client(), stage.sso_query(stage.request(ID="_the-same"))
    first = stage.sent_on(client, client.get(f"/saml/sso?{query}"), "_the-same")
    second = stage.sent_on(client, client.get(f"/saml/sso?{query}"), "_the-same")
    assert first.tid != second.tid
    stage.accepted(stage.post(first, stage.answer(first, ALICE)), first)
    demand_refusal(stage.post(second, stage.answer(second, ALICE)), errors.ReplayDetected)
    assert stage.on_record() == ["login"]


def test_a_request_is_forgotten_only_when_no_login_for_it_can_be_young_enough(
    stage: Stage,
) -> None:
    """Begun again at the last moment at which the request is taken, it is still known."""
    request = stage.request(ID="_the-same")
    query = stage.sso_query(request)
    client = stage.client()
    begun = stage.sent_on(client, client.get(f"/saml/sso?{query}"), "_the-same")
    stage.accepted(stage.post(begun, stage.answer(begun, ALICE)), begun)
    stage.clock.pass_by(seconds=419)
    again = stage.sent_on(client, client.get(f"/saml/sso?{query}"), "_the-same")
    stage.clock.pass_by(seconds=279)
    stage.store.prune(stage.clock.now())
    demand_refusal(stage.post(again, stage.answer(again, ALICE)), errors.ReplayDetected)
    stage.clock.pass_by(seconds=2)
    demand_refusal(client.get(f"/saml/sso?{query}"), errors.RequestExpired)


@pytest.mark.parametrize("sqlite", [False, True], ids=["memory", "sqlite"])
def test_of_many_posts_at_once_exactly_one_gets_a_response(
    set_up: Builder, *, sqlite: bool
) -> None:
    stage = set_up(sqlite=sqlite)
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    together = Barrier(8)
    cookies = dict(begun.client.cookies)

    def post() -> httpx.Response:
        client = stage.client(cookie="; ".join(f"{k}={v}" for k, v in cookies.items()))
        together.wait()
        return stage.post(begun, message, client=client)

    with ThreadPoolExecutor(8) as pool:
        pages = [future.result() for future in [pool.submit(post) for _ in range(8)]]
    codes = sorted(code_of(page) for page in pages)
    assert codes == ["200"] + ["login_repeated"] * 7
    assert sum("SAMLResponse" in page.text for page in pages) == 1
    assert stage.on_record() == ["login"]


def test_two_people_at_once_do_not_get_each_others_response(set_up: Builder) -> None:
    stage = set_up(sqlite=True)
    begun = {person.uid: stage.begin() for person in (ALICE, BOB)}
    answers = {one.uid: stage.answer(begun[one.uid], one) for one in (ALICE, BOB)}
    together = Barrier(2)

    def finish(uid: str) -> str:
        together.wait()
        page = stage.post(begun[uid], answers[uid])
        return stage.accepted(page, begun[uid]).profile.username

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(finish, ("alice", "bob"))) == ["alice", "bob"]


def test_an_old_answer_of_the_same_upstream_does_not_fit_a_new_login(stage: Stage) -> None:
    old = stage.begin()
    message = stage.answer(old, ALICE)
    fresh = stage.begin()
    demand_refusal(stage.post(fresh, message), errors.AssertionInvalid)
    assert stage.nothing_happened()


def test_a_bookmarked_login_page_is_too_old(stage: Stage) -> None:
    request = stage.request()
    issued = stage.clock.now() - timedelta(minutes=8)
    request.set("IssueInstant", saml_wire.instant(issued))
    page = stage.client().get(f"/saml/sso?{stage.sso_query(request)}")
    demand_refusal(page, errors.RequestExpired)


def test_no_two_logins_have_an_id_in_common(stage: Stage) -> None:
    begun = [stage.begin(relay_state=RELAY_STATE) for _ in range(20)]
    assert len({one.tid for one in begun}) == 20
    assert len({one.question.request_id for one in begun}) == 20
