"""The second factor's rules as tables: what counts, how often wrong, and when it is set up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.health import Verdict
from idp_proxy.decision.second_factor import (
    COPIED,
    FAILURES,
    FORGOTTEN_AFTER,
    LOCKED_FOR,
    LONGEST,
    MOST_PASSKEYS,
    Factor,
    Method,
    Offer,
    Tries,
    fo_09_same_person,
    gone_with,
    has_any,
    in_time,
    offer,
    why_not_another,
    why_not_now,
    wrong,
)
from idp_proxy.decision.switching import disable, first_state, switch_by_hand

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def factor(name: str, method: Method, mark: int = 0) -> Factor:
    return Factor(name, "p-1", method, NOW, mark, b"")


TOTP = factor("t", Method.TOTP, 59_000_000)
KEY = factor("k", Method.PASSKEY)
OTHER_KEY = factor("k2", Method.PASSKEY, 7)
COPY = factor("c", Method.PASSKEY, COPIED)
CODE, USED = factor("r1", Method.RECOVERY), factor("r2", Method.RECOVERY, 1)


def after(times: int, tries: Tries, now: datetime = NOW) -> Tries:
    for _ in range(times):
        tries = wrong(tries, now)
    return tries


@pytest.mark.parametrize(
    ("factors", "methods"),
    [
        ((), set()),
        ((TOTP,), {"totp"}),
        ((TOTP, KEY, CODE), {"totp", "passkey", "recovery"}),
        ((USED,), set()),
        ((COPY,), set()),
        ((COPY, OTHER_KEY, USED), {"passkey"}),
    ],
)
def test_only_what_still_counts_is_offered(factors: tuple[Factor, ...], methods: set[str]) -> None:
    assert offer(factors, Tries("p-1"), NOW).methods == methods
    assert has_any(factors) is bool(methods)


def test_the_last_of_five_wrong_codes_locks_and_a_passkey_still_counts() -> None:
    assert not after(FAILURES - 1, Tries("p-1")).locked(NOW)
    locked = after(FAILURES, Tries("p-1"))
    assert locked == Tries("p-1", 0, 1, NOW, NOW + LOCKED_FOR)
    found = offer((TOTP, KEY, CODE), locked, NOW)
    assert found == Offer(frozenset({Method.PASSKEY}), NOW + LOCKED_FOR)
    assert offer((TOTP,), locked, NOW + LOCKED_FOR).methods == {Method.TOTP}


def test_a_wrong_code_while_locked_changes_nothing() -> None:
    locked = after(FAILURES, Tries("p-1"))
    assert after(50, locked, NOW + LOCKED_FOR - SECOND) == locked


def test_each_lock_takes_twice_as_long_and_at_most_a_day() -> None:
    tries, now, lengths = Tries("p-1"), NOW, []
    for _ in range(12):
        tries = after(FAILURES, tries, now)
        assert tries.locked_until is not None
        lengths.append(tries.locked_until - now)
        now = tries.locked_until
    assert lengths[:4] == [LOCKED_FOR, LOCKED_FOR * 2, LOCKED_FOR * 4, LOCKED_FOR * 8]
    assert lengths[-1] == LONGEST


def test_wrong_codes_are_forgotten_after_a_week_without_any() -> None:
    tries = after(FAILURES - 1, replace(Tries("p-1"), locks=3))
    later = wrong(tries, NOW + FORGOTTEN_AFTER)
    assert (later.failures, later.locks) == (1, 0)
    assert wrong(tries, NOW + FORGOTTEN_AFTER - SECOND).locked(NOW + FORGOTTEN_AFTER - SECOND)


@given(st.lists(st.integers(-5, 90_000), max_size=60))
def test_whoever_guesses_gets_few_guesses(pauses: list[int]) -> None:
    """At whatever pace: never more than five looked at before a lock, which only time ends."""
    tries, now, looked_at = Tries("p-1"), NOW, 0
    for pause in pauses:
        now += timedelta(seconds=pause)
        if tries.locked(now):
            assert wrong(tries, now) == tries
            continue
        tries = wrong(tries, now)
        looked_at = 0 if tries.locked(now) else looked_at + 1
        if tries.failures == 1:
            looked_at = 1
        assert looked_at < FAILURES


STATE = first_state(("active", "standby"), NOW)
SWITCHED = switch_by_hand(
    STATE, "standby", {"active": None, "standby": None}, cause="x", actor="x", now=NOW
)
DISABLED = disable(STATE, "active", ("active", "standby"))


@pytest.mark.parametrize(
    ("state", "verdict", "why"),
    [
        (STATE, Verdict.UP, None),
        (STATE, Verdict.DOWN, "active is down"),
        (STATE, Verdict.SUSPECT, "active is suspect"),
        (STATE, Verdict.UNKNOWN, "active is unknown"),
        (SWITCHED.state, Verdict.UP, "standby serves, and not the active active"),  # type: ignore[union-attr]
        (DISABLED.state, Verdict.UP, "active is disabled"),  # type: ignore[union-attr]
    ],
)
def test_nothing_is_set_up_in_an_outage(state: object, verdict: Verdict, why: str | None) -> None:
    assert why_not_now(state, "active", verdict) == why  # type: ignore[arg-type]


def test_a_person_has_a_few_passkeys_and_recovery_codes_beside_something_else() -> None:
    full = [replace(KEY, id=f"k{n}") for n in range(MOST_PASSKEYS)]
    assert why_not_another(Method.PASSKEY, full[1:]) is None
    assert why_not_another(Method.PASSKEY, full) is not None
    assert why_not_another(Method.TOTP, [*full, TOTP]) is None
    assert why_not_another(Method.RECOVERY, [TOTP]) is None
    assert why_not_another(Method.RECOVERY, [CODE, USED]) is not None


@pytest.mark.parametrize(
    ("removed", "factors", "gone"),
    [
        ("t", (TOTP, KEY, CODE), ("t",)),
        ("t", (TOTP, CODE, USED), ("t", "r1", "r2")),
        ("r2", (TOTP, CODE, USED), ("r1", "r2")),
        ("x", (TOTP, CODE), ()),
    ],
)
def test_with_the_last_one_the_recovery_codes_go_too(
    removed: str, factors: tuple[Factor, ...], gone: tuple[str, ...]
) -> None:
    assert gone_with(removed, factors) == gone


@pytest.mark.parametrize(
    ("age", "fits"), [(0, True), (300, True), (301, False), (-120, True), (-121, False)]
)
def test_what_is_too_old_or_of_the_future_does_not_count(age: int, fits: bool) -> None:
    at = NOW - timedelta(seconds=age)
    assert in_time(at, timedelta(minutes=5), timedelta(seconds=120), NOW) is fits


@pytest.mark.parametrize(
    ("factor_of", "let_in", "fits"),
    [(None, "e-1", True), ("e-1", "e-1", True), ("e-1", "e-2", False), ("e-1", "E-1", False)],
)
def test_fo_09_who_is_let_in_is_whose_factor_was_shown(
    factor_of: str | None, let_in: str, fits: bool
) -> None:
    assert (fo_09_same_person(factor_of, let_in) is None) is fits
