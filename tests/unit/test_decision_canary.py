"""What a canary does about a page, as a table; and whose subject is a canary's."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from idp_proxy.decision.canary import (
    RULES,
    CanaryAccounts,
    Ended,
    Given,
    PageSeen,
    Step,
    after,
    next_step,
)
from idp_proxy.decision.health import Outcome
from idp_proxy.decision.roster import lookup_key

LOGIN = PageSeen(username=True, passwords=1)
NAME = PageSeen(username=True)
PASSWORD = PageSeen(passwords=1)
NEW_PASSWORD = PageSeen(passwords=2)
CODE = PageSeen(code=True)
MORE = PageSeen(asks=("phone", "a choice"))
REPORT = PageSeen(username=True, asks=("text",))
NOTHING = PageSeen()
BROKEN, REFUSED = Outcome.BROKEN, Outcome.REFUSED


@pytest.mark.parametrize(
    ("page", "given", "expected"),
    [
        (LOGIN, Given.NOTHING, Step.GIVE_PASSWORD),
        (NAME, Given.NOTHING, Step.GIVE_USERNAME),
        (PASSWORD, Given.USERNAME, Step.GIVE_PASSWORD),
        (CODE, Given.PASSWORD, Step.GIVE_CODE),
        (PageSeen(goes_on=True), Given.NOTHING, Step.GO_ON),
        (PageSeen(goes_on=True), Given.PASSWORD, Step.GO_ON),
        (PageSeen(answers=True, goes_on=True), Given.PASSWORD, Step.TAKE_ANSWER),
        (PageSeen(answers=True), Given.NOTHING, Step.TAKE_ANSWER),
        (PageSeen(status=401, username=True, passwords=1), Given.NOTHING, Step.GIVE_PASSWORD),
        (NOTHING, Given.NOTHING, (BROKEN, "no login form")),
        (NOTHING, Given.USERNAME, (BROKEN, "a wrong page after the user name")),
        (NOTHING, Given.PASSWORD, (BROKEN, "a wrong page after the password")),
        (NOTHING, Given.CODE, (BROKEN, "a wrong page after the one-time code")),
        (NEW_PASSWORD, Given.NOTHING, (BROKEN, "no login form")),
        (CODE, Given.NOTHING, (BROKEN, "no login form")),
        (MORE, Given.NOTHING, (BROKEN, "no login form")),
        (REPORT, Given.NOTHING, (BROKEN, "no login form")),
        (PageSeen(status=404), Given.NOTHING, (BROKEN, "answers 404")),
        (PageSeen(status=400), Given.PASSWORD, (BROKEN, "answers 400 after the password")),
        (PageSeen(status=503), Given.NOTHING, (BROKEN, "answers 503")),
        (PageSeen(status=500, passwords=1), Given.PASSWORD, (BROKEN, "500 after the password")),
        (PageSeen(status=502, answers=True), Given.CODE, (BROKEN, "502 after the one-time code")),
        (LOGIN, Given.PASSWORD, (REFUSED, "the password again")),
        (PASSWORD, Given.CODE, (REFUSED, "again after the one-time code")),
        (PageSeen(status=401, passwords=1), Given.PASSWORD, (REFUSED, "the password again")),
        (PASSWORD, Given.NOTHING, (REFUSED, "set username_field")),
        (NEW_PASSWORD, Given.PASSWORD, (REFUSED, "has expired")),
        (CODE, Given.USERNAME, (REFUSED, "second factor after the user name")),
        (CODE, Given.CODE, (REFUSED, "one-time code again")),
        (NAME, Given.USERNAME, (REFUSED, "user name again")),
        (NAME, Given.PASSWORD, (REFUSED, "user name again")),
        (MORE, Given.PASSWORD, (REFUSED, "asks for more after the password: phone, a choice")),
        (REPORT, Given.PASSWORD, (REFUSED, "asks for more")),
        (PageSeen(status=403), Given.NOTHING, (REFUSED, "answers 403: it turns the canary away")),
        (PageSeen(status=401), Given.PASSWORD, (REFUSED, "answers 401 after the password")),
        (PageSeen(status=429), Given.NOTHING, (REFUSED, "for a robot")),
        (PageSeen(status=503, robot_wall=True), Given.NOTHING, (REFUSED, "for a robot")),
        (PageSeen(robot_wall=True, passwords=1), Given.NOTHING, (REFUSED, "for a robot")),
    ],
)
def test_what_follows_from_a_page(
    page: PageSeen, given: Given, expected: Step | tuple[Outcome, str]
) -> None:
    found = next_step(page, given, has_totp=True)
    if isinstance(expected, Step):
        assert found is expected
    else:
        assert isinstance(found, Ended)
        assert (found.outcome, expected[1] in found.reason) == (expected[0], True), found.reason


def test_a_second_factor_without_its_secret_is_refused() -> None:
    found = next_step(CODE, Given.PASSWORD, has_totp=False)
    assert isinstance(found, Ended)
    assert (found.outcome, "second factor" in found.reason) == (REFUSED, True)


PAGES = st.builds(
    PageSeen,
    status=st.sampled_from([200, 400, 401, 403, 404, 429, 500, 503]),
    answers=st.booleans(),
    username=st.booleans(),
    passwords=st.integers(0, 3),
    code=st.booleans(),
    asks=st.sampled_from([(), ("x",)]),
    goes_on=st.booleans(),
    robot_wall=st.booleans(),
)


@drawn(PAGES, st.sampled_from(Given), st.booleans())
def test_no_secret_is_given_twice_and_an_end_never_says_passed(
    page: PageSeen, given: Given, has_totp: bool
) -> None:
    found = next_step(page, given, has_totp=has_totp)
    if isinstance(found, Ended):
        assert found.outcome is not Outcome.PASSED
        return
    assert found is not Step.GIVE_PASSWORD or given < Given.PASSWORD
    assert found is not Step.GIVE_CODE or (has_totp and given is Given.PASSWORD)
    assert found is not Step.GIVE_USERNAME or given is Given.NOTHING
    assert not page.robot_wall


@drawn(PAGES.filter(lambda page: page.passwords or page.code), st.booleans())
def test_a_page_that_asks_who_one_is_after_the_password_is_never_broken_below_500(
    page: PageSeen, has_totp: bool
) -> None:
    """FO-02: what could be the account's own fault proves nothing about the upstream."""
    found = next_step(page, Given.PASSWORD, has_totp=has_totp)
    if isinstance(found, Ended) and page.status < 500:
        assert found.outcome is REFUSED


def test_each_rule_stands_once() -> None:
    assert len(set(RULES)) == len(RULES)
    assert after(Given.NOTHING) == ""


@pytest.mark.parametrize(
    "spelling",
    ["Canary-1", "CANARY-1", " canary-1\t", "canary-1\u00a0", "ｃａｎａｒｙ-1", "canary-①"],  # noqa: RUF001
)
def test_no_spelling_gets_past(spelling: str) -> None:
    accounts = CanaryAccounts.of(["canary-1", "straße"])
    assert accounts.names_one("e-1", spelling)
    assert accounts.names_one("STRASSE")
    assert not accounts.names_one("canary-10", "e-1")
    assert not CanaryAccounts().names_one(spelling)


@drawn(st.text(min_size=1))
def test_what_the_roster_would_find_as_a_canary_is_one(subject: str) -> None:
    accounts = CanaryAccounts.of([subject])
    for spelling in (
        subject,
        subject.upper(),
        subject.casefold(),
        unicodedata.normalize("NFD", subject),
    ):
        if lookup_key(spelling) == lookup_key(subject):
            assert accounts.names_one(spelling)
