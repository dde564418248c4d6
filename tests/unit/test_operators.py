"""Operators in a database: enrolling, signing in, and everything that tries to get around it."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from argon2.profiles import CHEAPEST
from hypothesis import given, settings
from hypothesis import strategies as st
from pyotp import TOTP
from sqlalchemy import select, update

from idp_proxy.audit.log import AuditLog, rows, verify_log
from idp_proxy.decision.approval import Role
from idp_proxy.operators import accounts, passwords
from idp_proxy.operators.accounts import PURPOSE, STEPS, Enrolment, Operator, State, enrol
from idp_proxy.operators.attempts import FAILURES, LOCKED_FOR
from idp_proxy.operators.factor import enrolment_uri, new_secret, step_of
from idp_proxy.operators.passwords import Passwords, check_password
from idp_proxy.operators.refusals import OperatorInvalid, OperatorRefused, Why
from idp_proxy.operators.sign_in import Credential, SignIn
from idp_proxy.operators.tables import operator, sign_in_attempt
from idp_proxy.seal import KeyRing
from idp_proxy.store.database import Database
from idp_proxy.store.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from argon2 import PasswordHasher

    from idp_proxy.audit.chain import Row

NOW = datetime(2026, 3, 1, 3, 0, 10, tzinfo=UTC)
STEP = timedelta(seconds=30)
SECRET = new_secret(lambda count: b"s" * count)
PASSWORD = "correct horse battery"
RING = KeyRing([b"k" * 32], PURPOSE)
LOG = AuditLog("host")
CHEAP = Passwords(CHEAPEST)


class Desk:
    """A database with operators, and what a test asks of it."""

    def __init__(self, url: str, ring: KeyRing = RING, hasher: Passwords = CHEAP) -> None:
        self.database = Database(url)
        self.ring, self.hasher = ring, hasher
        self.sign_in = SignIn(self.database.writing, ring, hasher, LOG.append)

    def add(self, name: str = "alice", *roles: Role, **changes: Any) -> Operator:
        facts: dict[str, Any] = {"by": "host:root", "now": NOW - timedelta(hours=1)} | changes
        new = enrolment(name, *(roles or (Role.OPERATOR, Role.APPROVER)), now=facts["now"])
        with self.database.writing() as connection:
            return accounts.add(connection, new, record=LOG.append, **facts)

    def enter(
        self,
        name: str = "alice",
        password: str = PASSWORD,
        code: str | None = None,
        at: datetime = NOW,
    ) -> Operator:
        return self.sign_in.authenticate(
            Credential(name, password, TOTP(SECRET).at(at) if code is None else code), at
        )

    def why(self, *words: Any, **facts: Any) -> Why:
        with pytest.raises(OperatorRefused) as caught:
            self.enter(*words, **facts)
        return caught.value.why

    def rows(self) -> list[Row]:
        with self.database.reading() as connection:
            assert verify_log(connection).ok
            return list(rows(connection))

    def kinds(self) -> list[str]:
        return [row.kind for row in self.rows()]

    def kept(self, name: str = "alice") -> Any:
        with self.database.reading() as connection:
            return connection.execute(select(operator).where(operator.c.name == name)).one()

    def change(self, **values: Any) -> None:
        with self.database.writing() as connection:
            connection.execute(update(operator).values(**values))

    def disable(self, name: str = "alice") -> None:
        with self.database.writing() as connection:
            accounts.disable(connection, name, "left", by="bob", now=NOW, record=LOG.append)


def enrolment(name: str, *roles: Role, now: datetime = NOW, **changes: Any) -> Enrolment:
    facts: dict[str, Any] = {
        "password": PASSWORD,
        "secret": SECRET,
        "code": TOTP(SECRET).at(now),
    } | changes
    return enrol(name, roles, passwords=CHEAP, ring=RING, now=now, **facts)


@pytest.fixture
def url(tmp_path: Path, empty_database: bytes) -> str:
    file = tmp_path / "store.db"
    file.touch(mode=0o600)
    file.write_bytes(empty_database)
    return f"sqlite:///{file}"


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    made = Desk(url)
    yield made
    made.database.close()


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
from tests.unit.test_operators import Desk, OperatorRefused
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


def test_a_disabled_operator_does_not_sign_in(desk: Desk) -> None:
    desk.add()
    desk.disable()
    assert desk.why() is Why.NOT_ENABLED
    assert desk.kinds()[:2] == ["operator_added", "operator_disabled"]
    with desk.database.reading() as connection:
        assert accounts.exist(connection)
        assert accounts.approvers_enabled(connection) == 0


def test_a_pending_operator_does_not_sign_in_until_their_own_proposal_is_confirmed(
    desk: Desk,
) -> None:
    desk.add("bob", proposal="p1")
    with desk.database.reading() as connection:
        assert not accounts.exist(connection)
    assert desk.why(name="bob") is Why.NOT_ENABLED
    desk.add("bob", Role.APPROVER, proposal="p2")
    facts: dict[str, Any] = {"by": "operator:alice", "now": NOW, "record": LOG.append}
    with pytest.raises(OperatorInvalid, match="p1"), desk.database.writing() as connection:
        accounts.confirm(connection, "bob", "p1", **facts)
    with desk.database.writing() as connection:
        accounts.confirm(connection, "bob", "p2", **facts)
    assert desk.enter("bob").roles == {Role.APPROVER}
    with pytest.raises(OperatorInvalid), desk.database.writing() as connection:
        accounts.confirm(connection, "bob", "p2", **facts)


def test_enrolling_again_takes_another_factor_and_lifts_the_lock(desk: Desk) -> None:
    desk.add()
    for _ in range(FAILURES):
        desk.why(password="a wrong password")
    with pytest.raises(OperatorInvalid, match="there is an operator alice already"):
        desk.add()
    desk.disable()
    desk.add("alice", Role.VIEWER)
    assert desk.enter().roles == {Role.VIEWER}


@pytest.mark.parametrize(("name", "why"), [("bob", "no operator 'bob'"), ("alice", "disabled alr")])
def test_disabling_nobody_or_twice_is_refused(desk: Desk, name: str, why: str) -> None:
    desk.add()
    desk.disable()
    with pytest.raises(OperatorInvalid, match=why):
        desk.disable(name)


def test_every_state_is_left_only_as_the_table_says() -> None:
    assert set(STEPS) == set(State)
    assert State.PENDING not in STEPS[State.ENABLED]
    assert all(STEPS[state] for state in State)


@pytest.mark.parametrize(
    "name",
    ["", "a", "Alice", "1alice", "a" * 33, "al ice", "alice\n", "ali*e", "\u0430lice", "host:x"],
)
def test_a_name_that_looks_like_another_is_no_name(name: str) -> None:
    with pytest.raises(OperatorInvalid, match="is no operator's name") as caught:
        enrolment(name, Role.VIEWER)
    assert caught.value.detail.isascii()


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "too short"),
        ("ﬃ" * 3, "too short|repeats"),
        ("x" * 257, "too long"),
        ("correct\thorse battery", "control character"),
        ("Alice in wonderland", "operator's name"),
        ("aaaabbbbaaaa", "repeats itself"),
    ],
)
def test_a_password_that_does_not_protect_is_refused(password: str, why: str) -> None:
    with pytest.raises(OperatorInvalid, match=why):
        check_password(password, "alice")


def test_a_password_is_the_same_however_its_letters_are_composed() -> None:
    composed, apart = "Zo\u00eb und Zo\u00eb 1", "Zoe\u0308 und Zoe\u0308 1"
    assert CHEAP.verify(CHEAP.hash(composed), apart)


@settings(deadline=None, max_examples=50)
@given(st.text(min_size=1, max_size=60))
def test_any_text_may_be_tried_as_a_password_and_none_raises(password: str) -> None:
    kept = CHEAP.hash(password)
    assert CHEAP.verify(kept, password)
    assert not CHEAP.verify(kept, password + "x")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"code": "000000"}, "not the code of this secret"),
        ({"password": "short"}, "too short"),
    ],
)
def test_an_enrolment_that_shows_nothing_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(OperatorInvalid, match=why):
        enrolment("alice", Role.OPERATOR, **changes)


def test_an_enrolment_without_roles_is_refused() -> None:
    with pytest.raises(OperatorInvalid, match="viewer or helpdesk or operator or approver"):
        enrolment("alice")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.HELPDESK, Role.SECURITY])
def test_the_first_operator_must_be_able_to_act(desk: Desk, role: Role) -> None:
    with pytest.raises(OperatorInvalid, match="the first operator needs role"):
        desk.add("alice", role)
    with desk.database.reading() as connection:
        assert not accounts.exist(connection)
    desk.add("bob", Role.OPERATOR)
    desk.add("alice", role)


def test_what_a_device_scans_names_us_and_the_operator() -> None:
    uri = enrolment_uri(SECRET, "alice", "sso.example.org")
    assert uri.startswith("otpauth://totp/sso.example.org:alice?secret=")
    assert len(new_secret(lambda count: b"x" * count)) == 32


def test_a_migrated_database_is_what_the_operators_need(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    migrate(url)
    desk = Desk(url)
    desk.add()
    assert desk.enter().name == "alice"
    assert passwords.SHORTEST == 12
    desk.database.close()
