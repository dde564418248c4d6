"""Attacks on the state around a message: cookies, transactions, used ids, switches, the clock.

The messages are honest here; what is wrong is who brings them, when, where, or how often.
"""

from __future__ import annotations

import base64
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.attacks.attack import Policy, Registration
from tests.attacks.messages import ASSERTION, put, said
from tests.attacks.stage import Stage, assert_refused, issued

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.attacks.stage import Begun, Journal

HONEST = said()


def flipped(cookie: str) -> str:
    """The cookie with one bit of its sealed content turned."""
    name, _, value = cookie.partition("=")
    at, _, sealed = value.partition(".")
    octets = bytearray(base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)))
    octets[len(octets) // 2] ^= 1
    return f"{name}={at}.{base64.urlsafe_b64encode(octets).decode().rstrip('=')}"


def renamed(cookie: str, tid: str) -> str:
    """The cookie's content under the name that belongs to another transaction."""
    return f"__Host-login-{tid[:8]}={cookie.partition('=')[2]}"


COOKIES: dict[str, Callable[[Begun, Begun], str]] = {
    "none": lambda _mine, _other: "",
    "an empty one": lambda mine, _: f"{mine.cookie.partition('=')[0]}=",
    "of another login": lambda _, other: other.cookie,
    "of another login, renamed": lambda mine, other: renamed(other.cookie, mine.tid),
    "cut": lambda mine, _: mine.cookie[:-20],
    "cut to its time": lambda mine, _: mine.cookie.partition(".")[0] + ".",
    "a bit turned": lambda mine, _: flipped(mine.cookie),
    "of no base64": lambda mine, _: mine.cookie + "!",
    "under another name": lambda mine, _: renamed(mine.cookie, "x" * 22),
    "without its prefix": lambda mine, _: mine.cookie.removeprefix("__Host-"),
}


@pytest.mark.parametrize("name", COOKIES)
def test_an_answer_counts_only_with_the_cookie_of_its_own_login(name: str, stage: Stage) -> None:
    mine, other = stage.begin(), stage.begin()

    response = stage.answer(mine, HONEST(mine.login), cookie=COOKIES[name](mine, other) or " ")

    assert_refused(stage, response, "login_unknown")


def test_a_cookie_that_another_proxy_sealed_is_worth_nothing(
    stage: Stage, journal: Journal, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere = Stage(folder, journal, Policy.ASSERTION, Registration.WITHOUT_KEYS)
    begun = elsewhere.begin()

    response = stage.answer(begun, HONEST(begun.login))

    assert_refused(stage, response, "login_unknown")
    elsewhere.close()


@pytest.mark.parametrize("tid", ["", "x", "x" * 22 + "\n", "x" * 23, "ж" * 22, "../../etc/passwd"])
def test_a_relay_state_that_is_none_of_ours_is_an_unsolicited_answer(
    tid: str, stage: Stage
) -> None:
    begun = stage.begin()

    response = stage.answer(begun, HONEST(begun.login), relay_state=tid)

    assert_refused(stage, response, "login_unsolicited")


def test_an_answer_in_another_login_of_the_same_browser_is_refused(stage: Stage) -> None:
    """Login CSRF with both cookies at hand: the attacker's answer in the victim's transaction."""
    mine, other = stage.begin(), stage.begin()

    response = stage.answer(
        mine,
        HONEST(other.login),
        cookie=f"{mine.cookie}; {other.cookie}",
    )

    assert_refused(stage, response, "answer_refused")
    assert stage.journal.last["rule"] == "SP-03"


def test_an_answer_is_taken_only_at_the_acs_of_the_upstream_that_was_asked(stage: Stage) -> None:
    begun = stage.begin()

    response = stage.answer(begun, HONEST(begun.login), acs_url=begun.login.standby_acs_url)

    assert_refused(stage, response, "login_not_asked")


def test_the_standby_cannot_answer_what_the_active_was_asked(stage: Stage) -> None:
    begun = stage.begin()
    swapped = said(
        put(".", "Destination", begun.login.standby_acs_url),
    )

    response = stage.answer(begun, swapped(begun.login), acs_url=begun.login.standby_acs_url)

    assert_refused(stage, response, "login_not_asked")


def test_an_answer_of_an_upstream_that_was_disabled_meanwhile_is_refused(stage: Stage) -> None:
    begun = stage.begin()
    stage.switchboard.disable("active", "broken into", "host:test")

    response = stage.answer(begun, HONEST(begun.login), worker=stage.worker())

    assert_refused(stage, response, "login_not_asked")


def test_after_a_planned_switch_a_login_under_way_ends_within_its_life_and_not_later(
    stage: Stage,
) -> None:
    early, late = stage.begin(), stage.begin()
    stage.switchboard.to("standby", "maintenance", "host:test")
    worker = stage.worker()

    stage.clock.advance(200)
    accepted = stage.answer(early, HONEST(early.login), worker=worker)
    stage.clock.advance(81)
    refused = stage.answer(late, HONEST(late.login), worker=worker)

    assert issued(accepted) is not None
    assert issued(refused) is None
    assert stage.journal.last["code"] == "login_expired"


def test_a_stranger_to_the_active_cannot_come_in_by_the_standby(stage: Stage) -> None:
    stage.switchboard.to("standby", "outage", "host:test")
    worker = stage.worker()
    begun = stage.begin(worker)
    assert "/upstream/standby/" in begun.login.acs_url

    response = stage.answer(begun, HONEST(begun.login), worker=worker)

    assert_refused(stage, response, "person_unknown")


@pytest.mark.parametrize("seconds", [281, 3600, -121])
def test_an_answer_out_of_its_time_is_refused(seconds: int, stage: Stage) -> None:
    begun = stage.begin()
    stage.clock.advance(seconds)

    response = stage.answer(begun, HONEST(begun.login))

    assert_refused(stage, response, "login_expired")


def test_an_answer_counts_once(stage: Stage) -> None:
    begun = stage.begin()
    message = HONEST(begun.login)

    first, second = stage.answer(begun, message), stage.answer(begun, message)

    assert issued(first) is not None
    assert (issued(second), second.status_code) == (None, 409)
    assert stage.journal.last["code"] == "login_repeated"
    assert stage.logins() == 1


def test_of_many_at_the_same_moment_exactly_one_counts(stage: Stage) -> None:
    begun = stage.begin()
    posting = stage.posting(begun, HONEST(begun.login))

    responses = stage.browser.send_at_once(*[posting] * 12)

    assert Counter(response.status_code for response in responses) == {200: 1, 409: 11}
    assert sum(issued(response) is not None for response in responses) == 1
    assert stage.logins() == 1


def test_two_workers_at_the_same_moment_accept_it_once(stage: Stage) -> None:
    from concurrent.futures import ThreadPoolExecutor

    begun = stage.begin()
    posting = stage.posting(begun, HONEST(begun.login))
    workers = [stage.worker() for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        responses = list(pool.map(lambda worker: worker.send(*posting), workers))

    assert Counter(response.status_code for response in responses) == {200: 1, 409: 3}
    assert stage.logins() == 1


def test_an_assertion_counts_once_whatever_it_answers(stage: Stage) -> None:
    """The same assertion ID in a second login: an upstream that repeats itself, or is replayed."""
    repeated = said(put(ASSERTION, "ID", "_the-same"))
    first, second = stage.begin(), stage.begin()

    stage.answer(first, repeated(first.login))
    response = stage.answer(second, repeated(second.login))

    assert response.status_code == 409
    assert stage.logins() == 1


def test_a_request_of_mattermost_is_answered_once(stage: Stage) -> None:
    asking = stage.asking
    first, second = stage.begin(asking=asking), stage.begin(asking=asking)

    stage.answer(first, HONEST(first.login))
    response = stage.answer(second, HONEST(second.login))

    assert response.status_code == 409
    assert stage.logins() == 1
