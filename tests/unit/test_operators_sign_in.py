"""Operators sign in: both factors, lockout, and what a failure tells."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from argon2.profiles import CHEAPEST
from pyotp import TOTP
from sqlalchemy import select

from idp_proxy.decision.approval import Role
from idp_proxy.operators import accounts
from idp_proxy.operators.accounts import PURPOSE, State
from idp_proxy.operators.attempts import FAILURES, LOCKED_FOR
from idp_proxy.operators.factor import step_of
from idp_proxy.operators.passwords import Passwords
from idp_proxy.operators.refusals import OperatorRefused, Why
from idp_proxy.operators.sign_in import Credential, SignIn
from idp_proxy.operators.tables import sign_in_attempt
from idp_proxy.seal import KeyRing
from tests.unit.operators_desk import (
    CHEAP,
    LOG,
    NOW,
    PASSWORD,
    RING,
    SECRET,
    STEP,
    Desk,
    desk,
    enrolment,
    url,
)

if TYPE_CHECKING:
    from argon2 import PasswordHasher


__all__ = ["desk", "url"]


def test_who_enrolled_signs_in_with_both_factors(desk: Desk) -> None:
    added = desk.add("alice", Role.APPROVER)
    assert (added.state, added.created_by, added.actor) == (
        State.ENABLED,
        "host:root",
        "operator:alice",
    )
    found = desk.enter()
    assert found == replace(added, last_login=NOW)
    assert found.person.roles == {Role.APPROVER}
    with desk.database.reading() as connection:
        assert accounts.find(connection, "alice") == found
        assert accounts.everyone(connection) == (found,)
    assert desk.kinds() == ["operator_added"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"password": PASSWORD + "!"}, Why.WRONG),
        ({"password": ""}, Why.WRONG),
        ({"code": "000000"}, Why.WRONG),
        ({"code": ""}, Why.WRONG),
        ({"name": "bob"}, Why.UNKNOWN),
        ({"name": ""}, Why.UNKNOWN),
        ({"name": "ALICE"}, Why.UNKNOWN),
        ({"name": "alice "}, Why.UNKNOWN),
        ({"name": "alice\0"}, Why.UNKNOWN),
        ({"name": "\u0430lice"}, Why.UNKNOWN),  # a Cyrillic letter
        ({"name": "\uff41lice"}, Why.UNKNOWN),  # a full-width letter
        ({"name": "al\u0131ce"}, Why.UNKNOWN),  # a dotless i
        ({"name": "alice' OR '1'='1"}, Why.UNKNOWN),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same(
    desk: Desk, words: dict[str, Any], why: Why
) -> None:
    desk.add()
    with pytest.raises(OperatorRefused) as caught:
        desk.enter(**words)
    assert caught.value.why is why
    assert caught.value.public == OperatorRefused.public
    (failed,) = (row for row in desk.rows() if row.kind == "operator_login_failed")
    assert failed.facts["why"] == why.name.lower()
    assert desk.enter().name == "alice"


def test_a_name_nobody_has_is_written_nowhere(desk: Desk) -> None:
    desk.add()
    assert desk.why(name="mysecretpassword") is Why.UNKNOWN
    assert "mysecretpassword" not in str([row.body for row in desk.rows()])
    with desk.database.reading() as connection:
        assert connection.execute(select(sign_in_attempt.c.name)).scalars().all() == [""]


@pytest.mark.parametrize("drift", [-1, 0, 1])
def test_one_step_of_drift_is_taken(desk: Desk, drift: int) -> None:
    desk.add()
    assert desk.enter(code=TOTP(SECRET).at(NOW + drift * STEP)).name == "alice"


@pytest.mark.parametrize("drift", [-3, -2, 2, 3])
def test_more_drift_is_refused(desk: Desk, drift: int) -> None:
    desk.add()
    assert desk.why(code=TOTP(SECRET).at(NOW + drift * STEP)) is Why.WRONG


def test_a_code_never_counts_twice_nor_an_older_one_after_it(desk: Desk) -> None:
    desk.add()
    code = TOTP(SECRET).at(NOW)
    desk.enter(code=code)
    assert desk.why(code=code) is Why.REPEATED
    assert desk.why(code=code, at=NOW + STEP) is Why.REPEATED
    assert desk.why(code=TOTP(SECRET).at(NOW - STEP)) is Why.REPEATED
    assert desk.enter(at=NOW + STEP).name == "alice"


def test_the_code_that_was_shown_at_the_enrolment_is_used_up(desk: Desk) -> None:
    desk.add(now=NOW)
    assert desk.why() is Why.REPEATED


def test_a_wrong_password_does_not_use_the_code_up(desk: Desk) -> None:
    desk.add()
    assert desk.why(password="a wrong password") is Why.WRONG
    assert desk.enter().name == "alice"


@pytest.mark.parametrize(
    "code",
    ["12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "123456\n7", "+12345"],
)
def test_only_six_ascii_digits_are_a_code(code: str) -> None:
    assert step_of(SECRET, code, NOW) is None


def test_blanks_within_a_code_do_not_count() -> None:
    code = TOTP(SECRET).at(NOW)
    assert step_of(SECRET, f" {code[:3]} {code[3:]} ", NOW) == int(NOW.timestamp()) // 30


def test_five_failures_lock_for_a_quarter_of_an_hour(desk: Desk) -> None:
    desk.add()
    for _ in range(FAILURES):
        assert desk.why(password="a wrong password") is Why.WRONG
    assert desk.kinds().count("operator_locked") == 1
    assert desk.why() is Why.LOCKED
    late = NOW + LOCKED_FOR
    assert desk.why(at=late - timedelta(seconds=1)) is Why.LOCKED
    assert desk.enter(at=late).name == "alice"
    assert desk.kinds().count("operator_locked") == 1


def test_failures_that_are_forgotten_do_not_lock(desk: Desk) -> None:
    desk.add()
    for number in range(3 * FAILURES):
        at = NOW + number * LOCKED_FOR
        assert desk.why(password="a wrong password", at=at) is Why.WRONG
    assert "operator_locked" not in desk.kinds()


def test_a_success_forgives_what_failed_before(desk: Desk) -> None:
    desk.add()
    for turn in range(3):
        at = NOW + turn * STEP
        for _ in range(FAILURES - 1):
            assert desk.why(password="a wrong password", at=at) is Why.WRONG
        assert desk.enter(at=at).name == "alice"


def test_the_last_try_before_the_lock_may_still_be_right(desk: Desk) -> None:
    desk.add()
    for _ in range(FAILURES - 1):
        desk.why(password="a wrong password")
    assert desk.enter().name == "alice"
    assert desk.why(password="a wrong password") is Why.WRONG


def test_knocking_at_a_locked_name_does_not_prolong_the_lock(desk: Desk) -> None:
    desk.add()
    for second in range(20):
        desk.why(password="a wrong password", at=NOW + timedelta(seconds=second))
    locked = NOW + timedelta(seconds=FAILURES - 1)
    assert desk.enter(at=locked + LOCKED_FOR).name == "alice"


def test_trying_many_names_locks_nobody_who_exists(desk: Desk) -> None:
    desk.add()
    for number in range(3 * FAILURES):
        assert desk.why(name=f"nobody{number}") is Why.UNKNOWN
    assert "operator_locked" not in desk.kinds()
    assert desk.enter().name == "alice"


def test_many_guesses_at_once_are_no_more_than_five(url: str) -> None:
    desk = Desk(url)
    desk.add()

    def guess(number: int) -> Why:
        return desk.why(password=f"a wrong password {number}")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(24)))
    assert answers.count(Why.WRONG) == FAILURES
    assert answers.count(Why.LOCKED) == 24 - FAILURES
    assert desk.kinds().count("operator_locked") == 1
    assert desk.why() is Why.LOCKED
    desk.database.close()


WORKER = """
import sys
from datetime import datetime
from idp_proxy.operators.refusals import OperatorRefused
from tests.unit.operators_desk import Desk
try:
    Desk(sys.argv[1]).enter(at=datetime.fromisoformat(sys.argv[2]))
except OperatorRefused as error:
    print(error.why.name)
else:
    print("IN")
"""


def test_one_code_in_several_processes_at_once_counts_in_one(url: str, desk: Desk) -> None:
    desk.add()
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url, NOW.isoformat()],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = sorted(worker.communicate(timeout=60)[0].strip() for worker in workers)
    assert answers == ["IN", "REPEATED", "REPEATED"]


def test_a_password_or_factor_changed_while_it_is_judged_lets_nobody_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add()
    judge = Passwords.verify

    def slow(hasher: Passwords, kept: str | None, password: str) -> bool:
        fits = judge(hasher, kept, password)
        desk.change(password_hash=CHEAP.hash("another password"))
        return fits

    monkeypatch.setattr(Passwords, "verify", slow)
    assert desk.why() is Why.REPEATED


def test_somebody_disabled_while_they_are_judged_is_not_let_in(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add()
    judge = Passwords.verify

    def slow(hasher: Passwords, kept: str | None, password: str) -> bool:
        desk.disable()
        return judge(hasher, kept, password)

    monkeypatch.setattr(Passwords, "verify", slow)
    assert desk.why() is Why.REPEATED


def test_a_guess_that_is_killed_before_it_is_answered_counts(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.add()

    def dies(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(Passwords, "verify", dies)
        for _ in range(FAILURES):
            with pytest.raises(KeyboardInterrupt):
                desk.enter()
    assert desk.why() is Why.LOCKED


class CountingHasher:
    """argon2, and how often it really verified."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.hasher, self.verified = hasher, 0
        self.check_needs_rehash = hasher.check_needs_rehash

    def verify(self, kept: str, password: bytes) -> bool:
        self.verified += 1
        return self.hasher.verify(kept, password)


def test_every_answer_costs_one_verification_and_two_transactions(url: str) -> None:
    passwords_counted = Passwords(CHEAPEST)
    counting = CountingHasher(passwords_counted._hasher)
    passwords_counted._hasher = counting  # type: ignore[assignment]  # what `Passwords` needs of it
    desk = Desk(url, hasher=passwords_counted)
    desk.add()
    begun: list[int] = []
    writing = desk.database.writing

    def counted() -> Any:
        begun.append(1)
        return writing()

    desk.sign_in = SignIn(counted, RING, passwords_counted, LOG.append)
    cases: list[dict[str, Any]] = [
        {"name": "bob"},
        {"name": "Ä" * 500},
        {"password": "a wrong password"},
        {"code": "000000"},
        {"code": "nonsense"},
        {"password": "a wrong password", "code": "000000"},
        {"password": ""},
        {},
        {},
    ]
    answers = [desk.why(**case) for case in cases]
    assert answers[-1] is Why.LOCKED
    desk.disable()
    desk.why(at=NOW + LOCKED_FOR)
    assert counting.verified == len(cases) + 1
    assert len(begun) == 2 * (len(cases) + 1)


def test_the_decoy_costs_what_a_real_hash_costs() -> None:
    real = Passwords()
    kept = real.hash(PASSWORD)
    cost = re.compile(r"\$argon2id\$v=19\$m=65536,t=3,p=4\$([^$]+)\$([^$]+)")
    shapes = [cost.fullmatch(one) for one in (kept, real._decoy)]
    assert all(shapes)
    sizes = {(len(one[1]), len(one[2])) for one in shapes if one}
    assert len(sizes) == 1
    assert real.verify(kept, PASSWORD)
    assert not real.verify(None, PASSWORD)
    assert not real.verify("no hash at all", PASSWORD)


def test_a_hash_of_older_parameters_is_renewed_at_the_next_sign_in(url: str) -> None:
    Desk(url).add()
    before = Desk(url).kept()
    dearer = Passwords(replace_cost(2))
    desk = Desk(url, hasher=dearer)
    assert desk.enter().name == "alice"
    after = desk.kept()
    assert "t=1" in before.password_hash
    assert "t=2" in after.password_hash
    assert desk.enter(at=NOW + STEP).name == "alice"
    assert desk.kept().password_hash == after.password_hash
    desk.database.close()


def replace_cost(time_cost: int) -> Any:
    return replace(CHEAPEST, time_cost=time_cost)


def test_a_factor_outlives_the_state_key_that_sealed_it(url: str) -> None:
    Desk(url).add()
    both = KeyRing([b"n" * 32, b"k" * 32], PURPOSE)
    assert Desk(url, both).enter().name == "alice"
    only_new = KeyRing([b"n" * 32], PURPOSE)
    assert Desk(url, only_new).enter(at=NOW + STEP).name == "alice"


def test_a_factor_under_a_lost_state_key_is_refused_and_shown(url: str) -> None:
    Desk(url).add()
    lost = KeyRing([b"n" * 32], PURPOSE)
    assert Desk(url, lost).why() is Why.UNREADABLE
    with Desk(url).database.reading() as connection:
        assert accounts.unreadable(connection, lost) == {"alice"}
        assert accounts.unreadable(connection, RING) == frozenset()


def test_a_factor_moved_to_another_operator_does_not_open(desk: Desk) -> None:
    desk.add("alice")
    desk.add("bob")
    desk.change(factor=desk.kept("alice").factor)
    assert desk.why(name="bob") is Why.UNREADABLE


def test_neither_password_nor_secret_shows_in_a_row_a_repr_or_the_audit(desk: Desk) -> None:
    desk.add()
    desk.why(password="a wrong password")
    kept = desk.kept()
    shown = "".join(
        map(
            str,
            (
                kept,
                [row.body for row in desk.rows()],
                enrolment("bob", Role.VIEWER),
                Credential("alice", PASSWORD, "123456"),
                desk.hasher,
                desk.sign_in,
            ),
        )
    )
    for secret in (PASSWORD, SECRET, "123456", "a wrong password"):
        assert secret not in shown
    assert SECRET.encode() not in kept.factor
