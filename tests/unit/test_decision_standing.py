"""What the public may know, as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.health import Verdict
from idp_proxy.decision.standing import (
    NOBODY_SERVES,
    UNSEEN,
    LoginState,
    Standing,
    judge_standing,
)
from idp_proxy.decision.switching import first_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.decision.fleet import Health
    from idp_proxy.decision.switching import SwitchState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACTIVE = first_state(["okta", "entra"], NOW)
STANDBY = replace(ACTIVE, serving="entra")
DISABLED = replace(ACTIVE, disabled=frozenset({"okta"}))
OTHER_DISABLED = replace(ACTIVE, disabled=frozenset({"entra"}))
LONG_AGO, JUST_NOW = NOW - timedelta(minutes=10, seconds=1), NOW - timedelta(minutes=10)


UP = replace(UNSEEN, verdict=Verdict.UP)
DOWN = replace(UNSEEN, verdict=Verdict.DOWN)
SUSPECT = replace(UNSEEN, verdict=Verdict.SUSPECT)


def judge(
    state: SwitchState,
    why: str | None = None,
    proofs: Mapping[str, datetime] | None = None,
    health: Health = UP,
) -> Standing:
    return judge_standing(state, "okta", why, proofs or {}, health, NOW)


@pytest.mark.parametrize(
    ("state", "why", "proven", "login", "affected"),
    [
        (ACTIVE, None, None, LoginState.UNKNOWN, False),
        (ACTIVE, None, JUST_NOW, LoginState.WORKS, False),
        (ACTIVE, None, LONG_AGO, LoginState.UNKNOWN, False),
        (ACTIVE, "no metadata", JUST_NOW, LoginState.FAILS, True),
        (DISABLED, None, JUST_NOW, LoginState.FAILS, True),
        (OTHER_DISABLED, None, JUST_NOW, LoginState.WORKS, False),
        (STANDBY, None, JUST_NOW, LoginState.UNKNOWN, True),
    ],
)
def test_how_logins_stand(
    state: SwitchState,
    why: str | None,
    proven: datetime | None,
    login: LoginState,
    *,
    affected: bool,
) -> None:
    found = judge(state, why, {} if proven is None else {"okta": proven})
    assert (found.login, found.affected) == (login, affected)
    assert found.ready is (login is not LoginState.FAILS)


def test_a_standby_that_was_proven_works_with_limits() -> None:
    found = judge(STANDBY, None, {"entra": NOW, "okta": LONG_AGO})
    assert (found.login, found.affected, found.proven_at) == (LoginState.WORKS, True, NOW)


def test_a_canary_at_the_serving_one_proves_it_too() -> None:
    found = judge(ACTIVE, None, {"okta": LONG_AGO}, replace(UP, canary_passed_at=JUST_NOW))
    assert (found.login, found.proven_at) == (LoginState.WORKS, JUST_NOW)


def test_an_outage_is_shown_also_where_a_login_worked_a_minute_ago() -> None:
    found = judge(ACTIVE, None, {"okta": JUST_NOW}, DOWN)
    assert (found.login, found.affected) == (LoginState.FAILS, True)
    assert found.ready, "logins still go there: a load balancer must not take the host out"


def test_who_wavers_affects_people_and_fails_nobody() -> None:
    found = judge(ACTIVE, None, {"okta": JUST_NOW}, SUSPECT)
    assert (found.login, found.affected, found.ready) == (LoginState.WORKS, True, True)


def test_where_nobody_serves_nothing_is_promised() -> None:
    assert (NOBODY_SERVES.login, NOBODY_SERVES.affected) == (LoginState.FAILS, True)
    assert not NOBODY_SERVES.ready
