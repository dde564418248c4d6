"""The second step against a store: codes, recovery codes, passkeys, used rightly and otherwise."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyotp import TOTP

from idp_proxy.decision.second_factor import COPIED, FAILURES, LOCKED_FOR, Factor, Method, Why
from idp_proxy.errors import StoreError
from idp_proxy.factors import recovery
from idp_proxy.factors.passkeys import NoPasskey, Passkey, RelyingParty
from idp_proxy.factors.proving import Proving
from idp_proxy.factors.renewal import renew
from idp_proxy.factors.sealing import key_ring, opened, sealed
from idp_proxy.store.memory import MemoryStore
from tests.support.authenticator import Authenticator

NOW = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
OLD_KEY, NEW_KEY = bytes(32), b"\1" * 32
SITE = "https://sso.example.org"
PARTY = RelyingParty(id="sso.example.org", origin=SITE, name="Mattermost")
CHALLENGE = b"c" * 32
CODE = "abcd-efgh-ijkl-mnop"


def code_at(now: datetime, secret: str = SECRET) -> str:
    return TOTP(secret).at(now)


@dataclass
class Desk:
    """A person with a TOTP, a passkey and one recovery code."""

    keys: tuple[bytes, ...] = (OLD_KEY,)
    party: RelyingParty | None = PARTY
    store: MemoryStore = field(default_factory=MemoryStore)
    device: Authenticator = field(default_factory=lambda: Authenticator(SITE))

    def __post_init__(self) -> None:
        ring = key_ring(self.keys)
        self.proving = Proving(store=self.store, ring=ring, party=self.party)
        passkey, counter = PARTY.made(
            self.device.create(PARTY.ask_new("p-1", "ann", CHALLENGE, ())), CHALLENGE
        )
        kept = recovery.digest("p-1", CODE.replace("-", ""))
        self.keep(Method.TOTP, SECRET.encode(), 0)
        self.keep(Method.PASSKEY, passkey.text(), counter)
        self.keep(Method.RECOVERY, kept, 0)

    def keep(self, method: Method, secret: bytes, mark: int, person: str = "p-1") -> None:
        shut = sealed(self.proving.ring, person, method, secret)
        one = Factor(f"{method}-{person}", person, method, NOW, mark, shut)
        with self.store.transaction() as tx:
            tx.add_factors([one])

    def factor(self, method: Method) -> Factor:
        return next(one for one in self.store.factors_of("p-1") if one.method is method)

    def code(self, typed: str, now: datetime = NOW, person: str = "p-1") -> Method | Why:
        return self.proving.code(person, typed, now)

    def ask(self, challenge: bytes) -> dict[str, Any]:
        return PARTY.ask(challenge, self.proving.usable("p-1", NOW).passkeys)

    def passkey(
        self, question: bytes = b"1" * 32, person: str = "p-1", **lies: Any
    ) -> Method | Why:
        answer = self.device.get(self.ask(question), **lies)
        return self.proving.passkey(person, answer, question, NOW)

    def facts(self, kind: str) -> list[dict[str, Any]]:
        return [dict(row.facts) for row in self.store.audit_rows() if row.kind == kind]


# --- codes of an app ------------------------------------------------------------------------------


def test_a_right_code_counts_once() -> None:
    desk = Desk()
    assert desk.code(code_at(NOW)) is Method.TOTP
    assert desk.code(code_at(NOW)) is Why.REPEATED
    assert desk.code(code_at(NOW), NOW + timedelta(seconds=29)) is Why.REPEATED
    # An older one within the drift does not count behind a newer one.
    assert desk.code(code_at(NOW - timedelta(seconds=30))) is Why.REPEATED
    assert desk.code(code_at(NOW + timedelta(seconds=30)), NOW + timedelta(seconds=30)) == "totp"


def test_many_answers_with_one_code_at_once_count_once() -> None:
    desk = Desk()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(desk.code, [code_at(NOW)] * 8))
    assert found.count(Method.TOTP) == 1


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "000000",
        "12345",
        "1234567",
        "١٢٣٤٥٦",
        "0" * 100_000,
        "\0",
        code_at(NOW - timedelta(minutes=2)),
    ],
)
def test_what_is_no_code_of_now_is_wrong(typed: str) -> None:
    assert Desk().code(typed) is Why.WRONG


def test_five_wrong_codes_lock_even_the_right_one_and_not_the_passkey() -> None:
    desk = Desk()
    for _ in range(FAILURES):
        assert desk.code("000000") is Why.WRONG
    assert desk.code(code_at(NOW)) is Why.LOCKED
    assert desk.code(CODE) is Why.LOCKED
    assert desk.proving.usable("p-1", NOW).offer.methods == {Method.PASSKEY}
    assert desk.passkey() is Method.PASSKEY
    assert desk.facts("factor_locked") == [{"minutes": 15}]
    later = NOW + LOCKED_FOR
    assert desk.code(code_at(later), later) is Method.TOTP
    assert desk.store.factor_tries_of("p-1").locks == 0


def test_guessing_at_one_person_locks_nobody_else() -> None:
    desk = Desk()
    desk.keep(Method.TOTP, SECRET.encode(), 0, person="p-2")
    for _ in range(FAILURES):
        desk.code("000000")
    assert desk.code(code_at(NOW), person="p-2") is Method.TOTP


def test_who_set_nothing_up_is_told_apart_and_nothing_is_counted() -> None:
    desk = Desk()
    assert desk.code(code_at(NOW), person="nobody") is Why.NONE
    assert desk.proving.usable("nobody", NOW).offer.methods == frozenset()
    assert desk.store.factor_tries_of("nobody").failures == 0


# --- recovery codes -------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [CODE, "ABCDEFGHIJKLMNOP", " abcd efgh ijk1 mn0p "])
def test_a_recovery_code_counts_once_however_it_is_typed(typed: str) -> None:
    desk = Desk()
    assert desk.code(typed) is Method.RECOVERY
    assert desk.code(typed) is Why.REPEATED
    assert desk.factor(Method.RECOVERY).mark == 1
    assert Method.RECOVERY not in desk.proving.usable("p-1", NOW).offer.methods


def test_new_recovery_codes_are_what_the_digest_knows_again() -> None:
    shown = recovery.new_code(lambda size: bytes(range(size)))
    code = recovery.normalised(shown)
    assert code is not None
    assert len(shown) == 19
    assert recovery.fits(recovery.digest("p-1", code), "p-1", code)
    assert not recovery.fits(recovery.digest("p-2", code), "p-1", code)


# --- what is kept ---------------------------------------------------------------------------------


def test_nothing_readable_is_kept_or_shown() -> None:
    desk = Desk()
    for one in desk.store.factors_of("p-1"):
        for secret in (SECRET, CODE, CODE.replace("-", "")):
            assert secret.encode() not in one.sealed
        assert "sealed" not in repr(one)


@pytest.mark.parametrize("change", [{"person": "p-2"}, {"method": Method.RECOVERY}])
def test_a_row_moved_to_another_person_or_kind_opens_no_more(change: dict[str, Any]) -> None:
    desk = Desk()
    assert opened(desk.proving.ring, replace(desk.factor(Method.TOTP), **change)) is None


def test_what_an_old_key_sealed_counts_and_is_sealed_anew_by_the_first() -> None:
    desk = Desk()
    desk.proving = replace(desk.proving, ring=key_ring((NEW_KEY, OLD_KEY)))
    assert desk.code(code_at(NOW)) is Method.TOTP
    assert desk.passkey() is Method.PASSKEY
    desk.proving = replace(desk.proving, ring=key_ring((NEW_KEY,)))
    later = NOW + timedelta(seconds=30)
    assert desk.code(code_at(later), later) is Method.TOTP
    assert desk.passkey(b"2" * 32) is Method.PASSKEY


def test_upkeep_seals_anew_what_an_old_key_sealed_and_says_what_is_lost() -> None:
    desk = Desk()
    before = desk.store.factors_of("p-1")
    assert renew(desk.store, (OLD_KEY,)) == (0, 0)
    assert desk.store.factors_of("p-1") == before
    assert renew(desk.store, (NEW_KEY, OLD_KEY)) == (3, 0)
    assert renew(desk.store, (NEW_KEY, OLD_KEY)) == (0, 0)
    desk.proving = replace(desk.proving, ring=key_ring((NEW_KEY,)))
    assert [one.used_at for one in desk.store.factors_of("p-1")] == [None] * 3
    assert desk.code(code_at(NOW)) is Method.TOTP
    assert desk.passkey() is Method.PASSKEY
    assert desk.code(CODE) is Method.RECOVERY
    assert renew(desk.store, (b"\2" * 32, OLD_KEY)) == (0, 3)


def test_what_no_key_opens_counts_for_nothing_and_is_nobody_s_mistake() -> None:
    desk = Desk()
    desk.proving = replace(desk.proving, ring=key_ring((NEW_KEY,)))
    assert desk.code(code_at(NOW)) is Why.UNREADABLE
    assert desk.store.factor_tries_of("p-1").failures == 0
    assert desk.code(CODE) is Why.UNREADABLE
    assert desk.proving.usable("p-1", NOW).passkeys == ()


def test_the_audit_names_method_and_reason_and_holds_no_code() -> None:
    desk = Desk()
    desk.code("123123")
    desk.code(CODE)
    assert desk.facts("factor_refused") == [{"method": "code", "why": "wrong"}]
    assert desk.facts("factor_used") == [{"method": "recovery"}]
    written = json.dumps([dict(row.content) for row in desk.store.audit_rows()], default=str)
    for secret in ("123123", CODE, CODE.replace("-", ""), SECRET):
        assert secret not in written


def test_a_store_that_is_away_lets_nobody_in() -> None:
    class Away(MemoryStore):
        def transaction(self) -> Any:
            raise StoreError("away")

    desk = Desk()
    desk.proving = replace(desk.proving, store=Away())
    with pytest.raises(StoreError):
        desk.code(code_at(NOW))


# --- passkeys -------------------------------------------------------------------------------------


def test_a_passkey_counts_and_its_counter_is_kept() -> None:
    desk = Desk()
    assert desk.passkey() is Method.PASSKEY
    assert desk.factor(Method.PASSKEY).mark == 2
    assert desk.passkey(b"2" * 32) is Method.PASSKEY


def test_an_answer_counts_once_even_of_a_passkey_without_a_counter() -> None:
    desk = Desk(device=Authenticator(SITE, counts=False))
    answer = desk.device.get(desk.ask(CHALLENGE))
    assert desk.proving.passkey("p-1", answer, CHALLENGE, NOW) is Method.PASSKEY
    assert desk.proving.passkey("p-1", answer, CHALLENGE, NOW) is Why.REPEATED
    assert desk.passkey(b"2" * 32) is Method.PASSKEY


def test_a_counter_that_stands_still_gives_a_copy_away_and_neither_counts() -> None:
    desk = Desk()
    assert desk.passkey() is Method.PASSKEY
    desk.device.counter -= 1
    assert desk.passkey(b"2" * 32) is Why.COPIED
    assert desk.factor(Method.PASSKEY).mark == COPIED
    desk.device.counter += 100
    assert desk.passkey(b"3" * 32) is Why.WRONG
    assert Method.PASSKEY not in desk.proving.usable("p-1", NOW).offer.methods


def test_a_forged_answer_marks_no_passkey_as_copied() -> None:
    desk = Desk()
    forger = Authenticator(SITE, id=desk.device.id)
    answer = forger.get(desk.ask(CHALLENGE))
    assert desk.proving.passkey("p-1", answer, CHALLENGE, NOW) is Why.WRONG
    assert desk.factor(Method.PASSKEY).mark == 1


@pytest.mark.parametrize(
    "lies",
    [
        {"origin": "https://sso.example.org.evil.net"},
        {"origin": "http://sso.example.org"},
        {"rp_id": "example.org"},
        {"type": "webauthn.create"},
        {"crossOrigin": True},
        {"challenge": base64.urlsafe_b64encode(b"x" * 32).decode().rstrip("=")},
    ],
)
def test_an_answer_for_another_site_question_or_purpose_is_refused(lies: dict[str, Any]) -> None:
    desk = Desk()
    assert desk.passkey(**lies) is Why.WRONG
    answer = Authenticator(SITE).create(
        PARTY.ask_new("p-1", "ann", CHALLENGE, ()),
        **(lies if lies.get("type") is None else {"type": "webauthn.get"}),
    )
    with pytest.raises(NoPasskey):
        PARTY.made(answer, CHALLENGE)


def test_a_passkey_without_pin_or_finger_does_not_count() -> None:
    desk = Desk()
    desk.device.verifies = False
    assert desk.passkey() is Why.WRONG
    answer = Authenticator(SITE, verifies=False).create(PARTY.ask_new("p-1", "ann", CHALLENGE, ()))
    with pytest.raises(NoPasskey, match="verif"):
        PARTY.made(answer, CHALLENGE)


def test_another_person_s_passkey_is_refused() -> None:
    desk = Desk()
    desk.keep(Method.TOTP, SECRET.encode(), 0, person="p-2")
    assert desk.passkey(person="p-2") is Why.WRONG


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"rawId": 5}',
        '{"rawId": "\u00e9"}',
        "[" * 100_000,
        json.dumps({"rawId": "x" * 20_000}),
        '{"rawId": "AAAA", "id": "AAAA", "response": []}',
    ],
)
def test_an_answer_that_is_none_is_refused(answer: str) -> None:
    desk = Desk()
    assert desk.proving.passkey("p-1", answer, CHALLENGE, NOW) is Why.WRONG
    named = json.dumps({"rawId": json.loads(desk.device.get(desk.ask(CHALLENGE)))["rawId"]})
    assert desk.proving.passkey("p-1", named, CHALLENGE, NOW) is Why.WRONG


def test_options_ask_for_verification_and_no_attestation() -> None:
    known = Passkey(b"id", b"key")
    new = PARTY.ask_new("p-1", "ann", CHALLENGE, [known])
    assert new["authenticatorSelection"]["userVerification"] == "required"
    assert new["authenticatorSelection"]["residentKey"] == "discouraged"
    assert new["attestation"] == "none"
    assert len(new["excludeCredentials"]) == 1
    assert "p-1" not in json.dumps(new)
    assert PARTY.ask(CHALLENGE, [known])["userVerification"] == "required"
    assert "public_key" not in repr(known)


@pytest.mark.parametrize(
    ("public_url", "wanted"),
    [
        ("https://sso.example.org", ("sso.example.org", "https://sso.example.org")),
        ("https://SSO.example.org:443", ("sso.example.org", "https://sso.example.org")),
        ("https://sso.example.org:8443", ("sso.example.org", "https://sso.example.org:8443")),
        ("http://localhost:8080", ("localhost", "http://localhost:8080")),
        ("http://127.0.0.1:8080", None),
        ("https://[::1]", None),
    ],
)
def test_passkeys_are_for_the_public_name_and_for_no_address(
    public_url: str, wanted: tuple[str, str] | None
) -> None:
    found = RelyingParty.of(public_url, "x")
    assert (found and (found.id, found.origin)) == wanted


def test_without_a_name_no_passkey_is_asked_for_or_taken() -> None:
    desk = Desk()
    answer = desk.device.get(desk.ask(CHALLENGE))
    desk.proving = replace(desk.proving, party=None)
    assert desk.proving.usable("p-1", NOW).offer.methods == {Method.TOTP, Method.RECOVERY}
    assert desk.proving.passkey("p-1", answer, CHALLENGE, NOW) is Why.WRONG
