"""What a row becomes once the server was asked: every cell, and any interleaving of everybody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversion.decision.account import EMAIL, SAML, Account, Binding, Source
from conversion.decision.lifecycle import CLOSED, INTENTS, OPEN, Event, RowState, advance
from conversion.decision.settlement import SETTLEMENTS, Finding, read, settle

if TYPE_CHECKING:
    from collections.abc import Callable

S, E, F = RowState, Event, Finding
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OURS = Binding("NameID-1", Source.API, NOW)
MAKESHIFT = Binding("p@example.org", Source.EMAIL_FALLBACK, NOW)


def account(service: str = SAML, auth_data: str | None = "NameID-1") -> Account:
    return Account("u1", "p", "p@example.org", service, auth_data, frozenset({"system_user"}))


BY_FINDING: dict[Finding, Account | None] = {
    F.EMAIL: account(EMAIL, ""),
    F.BOUND: account(),
    F.HIDDEN: account(auth_data=None),
    F.OTHER: account(auth_data="nameid-1"),
    F.GONE: None,
}
READINGS: list[tuple[Binding, Account | None, Finding]] = [
    (OURS, account(), F.BOUND),
    (OURS, account(auth_data=None), F.HIDDEN),
    (OURS, account(auth_data=""), F.OTHER),
    (OURS, account(auth_data="nameid-1"), F.OTHER),
    (OURS, account(auth_data="NameID-1 "), F.OTHER),
    (OURS, account(EMAIL, None), F.EMAIL),
    (OURS, account(EMAIL, "NameID-1"), F.EMAIL),
    (OURS, account("SAML"), F.OTHER),
    (OURS, account("email"), F.OTHER),
    (OURS, account("ldap"), F.OTHER),
    (OURS, None, F.GONE),
    (OURS, replace(account(), deleted_at=NOW), F.BOUND),
    (OURS, replace(account(EMAIL), deleted_at=NOW), F.EMAIL),
    (MAKESHIFT, account(auth_data="p@example.org"), F.BOUND),
    (MAKESHIFT, account(auth_data="NameID-9"), F.REBOUND),
    (MAKESHIFT, account(auth_data=""), F.OTHER),
    (MAKESHIFT, account(auth_data=None), F.HIDDEN),
]
#: What each row becomes, by what the server says: e(mail), b(ound), o(ther), g(one).
TABLE: dict[RowState, dict[Finding, RowState | None]] = {
    S.PLANNED: {F.EMAIL: S.CONVERTED, F.BOUND: None, F.OTHER: S.SKIPPED, F.GONE: S.SKIPPED},
    S.OFFERED: {F.EMAIL: S.CONVERTED, F.BOUND: None, F.OTHER: S.WITHDRAWN, F.GONE: S.WITHDRAWN},
    S.CLAIMING: {
        F.EMAIL: S.CONVERTED, F.BOUND: S.OFFERED, F.OTHER: S.CONFLICT, F.GONE: S.FAILED
    },
    S.CLAIMED: {F.EMAIL: None, F.BOUND: S.RETURNED, F.OTHER: S.CONFLICT, F.GONE: S.FAILED},
    S.CONVERTING: {
        F.EMAIL: S.CONVERTED, F.BOUND: S.PLANNED, F.OTHER: S.CONFLICT, F.GONE: S.FAILED
    },
    S.CONVERTED: {F.EMAIL: None, F.BOUND: S.RETURNED, F.OTHER: S.CONFLICT, F.GONE: S.FAILED},
    S.RETURNING: {
        F.EMAIL: S.CONVERTED, F.BOUND: S.RETURNED, F.OTHER: S.CONFLICT, F.GONE: S.FAILED
    },
    S.RETURNED: {F.EMAIL: S.RETURNING, F.BOUND: None, F.OTHER: S.CONFLICT, F.GONE: S.FAILED},
    S.VERIFIED: {F.EMAIL: S.CONVERTED, F.BOUND: None, F.OTHER: S.CONFLICT, F.GONE: None},
    S.SKIPPED: {F.EMAIL: S.CONVERTED, F.BOUND: None, F.OTHER: None, F.GONE: None},
    S.WITHDRAWN: {F.EMAIL: S.CONVERTED, F.BOUND: None, F.OTHER: None, F.GONE: None},
    S.CONFLICT: {F.EMAIL: S.CONVERTED, F.BOUND: S.RETURNED, F.OTHER: None, F.GONE: S.FAILED},
    S.FAILED: {F.EMAIL: S.CONVERTED, F.BOUND: S.RETURNED, F.OTHER: S.CONFLICT, F.GONE: None},
    S.WRITTEN_OFF: {F.EMAIL: None, F.BOUND: None, F.OTHER: None, F.GONE: None},
}  # fmt: skip


@pytest.mark.parametrize(("binding", "seen", "finding"), READINGS)
def test_an_account_is_read_to_the_byte(
    binding: Binding, seen: Account | None, finding: Finding
) -> None:
    assert read(binding, seen) is finding


@pytest.mark.parametrize("state", RowState)
@pytest.mark.parametrize("finding", list(BY_FINDING))
def test_every_cell_leads_where_the_table_says(state: RowState, finding: Finding) -> None:
    settled = settle(state, OURS, BY_FINDING[finding])
    expected = TABLE[state][F.BOUND if finding is F.HIDDEN else finding]
    if expected is None:
        assert settled is None
        return
    assert settled is not None
    assert advance(state, settled.event) is expected
    assert settled.certain is (finding is not F.HIDDEN)
    assert finding.value in settled.reason


@pytest.mark.parametrize("state", RowState)
def test_where_the_binding_is_hidden_the_kind_of_login_decides_and_is_marked(
    state: RowState,
) -> None:
    settled, known = settle(state, OURS, BY_FINDING[F.HIDDEN]), settle(state, OURS, account())
    assert (settled is None) == (known is None)
    if settled is not None and known is not None:
        assert settled.event is known.event
        assert not settled.certain


@pytest.mark.parametrize("state", [S.CLAIMING, S.CONVERTING, S.RETURNING])
@pytest.mark.parametrize("seen", [*BY_FINDING.values()])
def test_an_intent_never_stays_an_intent(state: RowState, seen: Account | None) -> None:
    for moved in (False, True):
        settled = settle(state, OURS, seen, moved=moved)
        assert settled is not None
        to = advance(state, settled.event)
        assert to is not None
        assert to not in INTENTS


@pytest.mark.parametrize("state", [S.CONVERTING, S.CLAIMING])
def test_who_was_moved_is_not_back_at_the_start_by_being_on_sso_again(state: RowState) -> None:
    settled = settle(state, OURS, account(), moved=True)
    assert settled is not None
    assert advance(state, settled.event) is S.RETURNED


def test_a_return_by_email_that_a_login_has_rebound_counts_and_is_marked() -> None:
    settled = settle(S.RETURNING, MAKESHIFT, account(auth_data="NameID-9"))
    assert settled is not None
    assert (settled.event, settled.certain) == (E.RETURN_DONE, False)


@pytest.mark.parametrize(("state", "finding"), SETTLEMENTS)
def test_every_settlement_is_a_way_that_the_lifecycle_knows(
    state: RowState, finding: Finding
) -> None:
    event, reason = SETTLEMENTS[state, finding]
    assert advance(state, event) is not None
    assert reason


class World:
    """One account on a server, the row on disk, and everybody who acts on either of them."""

    def __init__(self) -> None:
        self.account: Account | None = account()
        self.state = S.PLANNED
        self.note = ""
        self.moved = False

    def step(self, event: Event, note: str = "") -> bool:
        to = advance(self.state, event)
        if to is None:
            return False
        self.state, self.note = to, note
        self.moved |= to in {S.CONVERTED, S.CLAIMED}
        return True

    def bind(self, service: str, auth_data: str | None) -> None:
        if self.account is not None:
            self.account = replace(self.account, auth_service=service, auth_data=auth_data)

    def ask(self) -> None:
        settled = settle(self.state, OURS, self.account, moved=self.moved)
        if settled is not None:
            assert self.step(settled.event, settled.reason)

    def call(self, intent: Event, done: Event, service: str, crash: str) -> None:
        """A step of the tool, which dies before or after the server did it, or not at all."""
        if not self.step(intent) or crash == "before the call":
            return
        self.bind(service, OURS.auth_data if service == SAML else None)
        if crash == "after the call":
            return
        self.step(done)
        if crash == "lost update":
            self.bind(SAML if service == EMAIL else EMAIL, OURS.auth_data)


ACTS: dict[str, Callable[[World, str], object]] = {
    "convert": lambda world, crash: world.call(E.CONVERT, E.CONVERT_DONE, EMAIL, crash),
    "offer": lambda world, _: world.step(E.OFFER),
    "claim": lambda world, crash: world.call(E.CLAIM, E.CLAIM_DONE, EMAIL, crash),
    "return": lambda world, crash: world.call(E.RETURN, E.RETURN_DONE, SAML, crash),
    "resume": lambda world, _: world.ask(),
    "withdraw": lambda world, _: world.step(E.WITHDRAW, "outage ended"),
    "replan": lambda world, _: world.step(E.REPLAN),
    "verify": lambda world, _: world.account == account() and world.step(E.VERIFY, "seen"),
    "admin sets a password": lambda world, _: world.bind(EMAIL, None),
    "admin restores": lambda world, _: world.bind(SAML, "NameID-1"),
    "admin binds otherwise": lambda world, _: world.bind(SAML, "NameID-2"),
    "admin deletes": lambda world, _: setattr(world, "account", None),
}
CRASHES = st.sampled_from(["", "before the call", "after the call", "lost update"])


def bring_home(world: World) -> None:
    """What `return` and `verify` do once nobody else acts any more; bounded."""
    for _ in range(4):
        world.ask()
        if world.state in {S.PLANNED, S.OFFERED}:
            world.step(E.WITHDRAW, "outage ended")
        elif world.state in {S.CONVERTED, S.CLAIMED, S.RETURNING}:
            world.call(E.RETURN, E.RETURN_DONE, SAML, "")
        elif world.state is S.RETURNED:
            world.step(E.VERIFY, "seen")


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), CRASHES), max_size=14))
def test_nobody_is_lost_in_any_interleaving_of_tool_admin_person_and_crash(
    acts: list[tuple[str, str]],
) -> None:
    world = World()
    for name, crash in acts:
        ACTS[name](world, crash)
    bring_home(world)
    finding = read(OURS, world.account)
    if world.state in CLOSED:
        assert finding is not F.EMAIL, "closed, and left behind with a password"
        assert world.state is not S.VERIFIED or finding in {F.BOUND, F.GONE}
    else:
        assert world.state in OPEN - INTENTS
        assert world.state in {S.CONFLICT, S.FAILED}
        assert finding in {F.OTHER, F.GONE}
        assert world.note
