"""What the public may know, as a table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from idp_proxy.decision.standing import NOBODY_SERVES, LoginState, judge_standing
from idp_proxy.decision.switching import first_state

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACTIVE = first_state(["okta", "entra"], NOW)
STANDBY = replace(ACTIVE, serving="entra")
DISABLED = replace(ACTIVE, disabled=frozenset({"okta"}))
OTHER_DISABLED = replace(ACTIVE, disabled=frozenset({"entra"}))
LONG_AGO, JUST_NOW = NOW - timedelta(minutes=10, seconds=1), NOW - timedelta(minutes=10)


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
    state: object, why: str | None, proven: datetime | None, login: LoginState, *, affected: bool
) -> None:
    proofs = {} if proven is None else {"okta": proven}
    found = judge_standing(state, "okta", why, proofs, NOW)  # type: ignore[arg-type] # by table
    assert (found.login, found.affected) == (login, affected)
    assert found.ready is (login is not LoginState.FAILS)


def test_a_standby_that_was_proven_works_with_limits() -> None:
    found = judge_standing(STANDBY, "okta", None, {"entra": NOW, "okta": LONG_AGO}, NOW)
    assert (found.login, found.affected, found.proven_at) == (LoginState.WORKS, True, NOW)


def test_where_nobody_serves_nothing_is_promised() -> None:
    assert (NOBODY_SERVES.login, NOBODY_SERVES.affected) == (LoginState.FAILS, True)
    assert not NOBODY_SERVES.ready
