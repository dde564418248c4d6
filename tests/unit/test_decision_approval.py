from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from idp_proxy.decision.approval import (
    BOUND_TO_EPOCH,
    COUNTDOWN,
    RULES,
    Act,
    Granted,
    Need,
    Person,
    Refused,
    Role,
    Verdict,
    Waits,
    human_of,
    judge,
    named,
)
from idp_proxy.decision.proposal import (
    PROPOSAL_LASTS,
    Proposal,
    ProposalState,
    agreed_to,
    propose,
    why_not_confirmable,
    why_not_reviewer,
)

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
V, H, O, A, S = Role  # noqa: E741 - the table below is read by letters

#: Which act is of which kind, who begins it, and who may agree: DESIGN section 9, letter by letter.
WHO = {
    Act.HOLD: (Need.ONE, {O, A, S}, set()),
    Act.DISABLE: (Need.ONE, {O, A, S}, set()),
    Act.ENABLE: (Need.ONE, {O, A}, set()),
    Act.BLOCK_PERSON: (Need.ONE, {H, O, A, S}, set()),
    Act.UNBLOCK_PERSON: (Need.SIGNED_IN, {A}, set()),
    Act.ADMIT_PERSON: (Need.SIGNED_IN, {A}, set()),
    Act.RESOLVE_PERSON: (Need.SIGNED_IN, {A}, set()),
    Act.RESET_FACTOR: (Need.SIGNED_IN, {A}, set()),
    Act.STOP_CAMPAIGN: (Need.ONE, {O, A, S}, set()),
    Act.CONVERT: (Need.ONE, {O, A}, set()),
    Act.CUTOVER: (Need.ONE, {O, A}, set()),
    Act.CUTOVER_BACK: (Need.ONE, {O, A}, set()),
    Act.FORGET_HOST: (Need.ONE, {O, A}, set()),
    Act.STOP_OVERRIDE: (Need.ONE, {O, A, S}, set()),
    Act.REVOKE_SESSIONS: (Need.ONE, {O, A, S}, set()),
    Act.SWITCH: (Need.APPROVALS, {O, A}, {O, A}),
    Act.FAILBACK: (Need.APPROVALS, {O, A}, {O, A}),
    Act.RELEASE: (Need.APPROVALS, {O, A}, {O, A}),
    Act.SWITCH_INELIGIBLE: (Need.TWO, {O, A}, {O, A, S}),
    Act.METADATA_KEYS: (Need.TWO, {O, A}, {O, A, S}),
    Act.ROSTER_REPLACE: (Need.TWO, {O, A}, {O, A, S}),
    Act.FORGET_PERSON: (Need.TWO, {O, A}, {O, A, S}),
    Act.WAIVER: (Need.TWO, {O, A, S}, {O, A, S}),
    Act.OPERATOR_CHANGE: (Need.TWO, {O, A}, {O, A, S}),
    Act.WRITTEN_OFF: (Need.TWO, {O, A}, {O, A, S}),
    Act.CAMPAIGN_ENVELOPE: (Need.APPROVALS, {O, A}, {O, A}),
    Act.BELOW_FLOOR: (Need.NEVER, set(), set()),
    Act.BLOCKED_PERSON: (Need.NEVER, set(), set()),
    Act.BAD_SIGNATURE: (Need.NEVER, set(), set()),
}


def operator(name: str, *roles: Role, enabled: bool = True) -> Person:
    return Person(name, frozenset(roles), enabled=enabled)


def host(user: str = "root") -> Person:
    return Person(f"host:{user}", by_host=True)


OLGA, OMAR = operator("olga", O), operator("omar", O)
ANNA, ADAM = operator("anna", A), operator("adam", A)
VERA, HANS, SVEN = operator("vera", V), operator("hans", H), operator("sven", S)
GONE = operator("gone", O, A, enabled=False)
ROOT, OLGA_BY_HOST, OLGA_BY_SUDO = host(), host("olga"), host("root (sudo by olga)")

G, OV, W, R = "granted", "override", "waits", "refused"
#: For acts that operators and approvers begin. Columns: one person; approvals with fewer than two
#: approvers; approvals with two; two people. In each: without an override, then with one.
TABLE: list[tuple[str, list[Person], list[str]]] = [
    ("operator", [OLGA], [G, G, G, G, W, OV, W, OV]),
    ("approver", [ANNA], [G, G, G, G, W, OV, W, OV]),
    ("security", [SVEN], [R, R, R, R, R, R, R, R]),
    ("viewer", [VERA], [R, R, R, R, R, R, R, R]),
    ("helpdesk", [HANS], [R, R, R, R, R, R, R, R]),
    ("disabled", [GONE], [R, R, R, R, R, R, R, R]),
    ("host", [ROOT], [G, G, R, OV, R, OV, R, OV]),
    ("operator, approver", [OLGA, ANNA], [G, G, G, G, G, G, G, G]),
    ("approver, operator", [ANNA, OLGA], [G, G, G, G, G, G, G, G]),
    ("two approvers", [ANNA, ADAM], [G, G, G, G, G, G, G, G]),
    ("two operators", [OLGA, OMAR], [G, G, G, G, W, OV, W, OV]),
    ("two operators, approver", [OLGA, OMAR, ANNA], [G, G, G, G, G, G, G, G]),
    ("operator twice", [OLGA, OLGA], [G, G, G, G, W, OV, W, OV]),
    ("approver twice", [ANNA, ANNA], [G, G, G, G, W, OV, W, OV]),
    ("operator, security", [OLGA, SVEN], [G, G, G, G, W, OV, W, OV]),
    ("approver, security", [ANNA, SVEN], [G, G, G, G, W, OV, G, G]),
    ("approver, viewer", [ANNA, VERA], [G, G, G, G, W, OV, W, OV]),
    ("approver, helpdesk", [ANNA, HANS], [G, G, G, G, W, OV, W, OV]),
    ("viewer, approver", [VERA, ANNA], [R, R, R, R, R, R, R, R]),
    ("operator, disabled", [OLGA, GONE], [G, G, G, G, W, OV, W, OV]),
    ("disabled, approver", [GONE, ANNA], [R, R, R, R, R, R, R, R]),
    ("approver, host", [ANNA, ROOT], [G, G, G, G, W, OV, W, OV]),
    ("host, approver", [ROOT, ANNA], [G, G, G, G, W, OV, W, OV]),
    ("host, host", [ROOT, host("adm")], [G, G, R, OV, R, OV, R, OV]),
    ("host, operator, approver", [ROOT, OLGA, ANNA], [G, G, G, G, G, G, G, G]),
    ("operator, same by host", [OLGA, OLGA_BY_HOST], [G, G, G, G, W, OV, W, OV]),
    ("same by sudo, operator", [OLGA_BY_SUDO, OLGA], [G, G, R, OV, R, OV, R, OV]),
    ("nobody", [], [R, R, R, R, R, R, R, R]),
]
COLUMN = {(Need.ONE, 1): 0, (Need.ONE, 2): 0, (Need.APPROVALS, 1): 2, (Need.APPROVALS, 2): 4}
COLUMN |= {(Need.TWO, 1): 6, (Need.TWO, 2): 6}


def said(verdict: Verdict) -> str:
    if isinstance(verdict, Granted):
        return G if verdict.countdown is None else OV
    return W if isinstance(verdict, Waits) else R


def asked(act: Act, people: list[Person], **changes: Any) -> Verdict:
    facts = {"approvers_enabled": 2, "override": False, "operators_exist": True} | changes
    return judge(act, people, **facts)


def test_the_rules_are_those_of_the_design() -> None:
    assert {act: (one.need, set(one.begin), set(one.confirm)) for act, one in RULES.items()} == WHO
    assert set(RULES) == set(Act)


@pytest.mark.parametrize(
    ("people", "expected"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_every_act_by_these_people(people: list[Person], expected: list[str]) -> None:
    acts = [act for act in Act if WHO[act][1] in ({O, A}, set())]
    wrong = {}
    for act, override, approvers in product(acts, (False, True), (0, 1, 2, 3)):
        need = WHO[act][0]
        column = None if need is Need.NEVER else COLUMN[need, 2 if approvers > 1 else 1] + override
        found = said(asked(act, people, override=override, approvers_enabled=approvers))
        if found != (R if column is None else expected[column]):
            wrong[act, override, approvers] = found
    assert wrong == {}


@pytest.mark.parametrize("act", Act)
def test_only_these_roles_begin_an_act(act: Act) -> None:
    judged = {role: asked(act, [operator("one", role)], override=True) for role in Role}
    assert {role for role, found in judged.items() if isinstance(found, Granted)} == WHO[act][1]
    assert all(isinstance(found, Granted | Refused) for found in judged.values())


@pytest.mark.parametrize("act", [act for act in Act if WHO[act][0] in {Need.APPROVALS, Need.TWO}])
def test_only_these_roles_agree_to_an_act_of_two(act: Act) -> None:
    judged = {role: asked(act, [operator("one", O, A), operator("two", role)]) for role in Role}
    assert {role for role, found in judged.items() if isinstance(found, Granted)} == WHO[act][2]
    assert all(isinstance(found, Granted | Waits) for found in judged.values())


@pytest.mark.parametrize("act", Act)
def test_before_the_first_operator_the_host_acts_alone_but_never_below_the_floor(act: Act) -> None:
    verdict = asked(act, [ROOT], operators_exist=False)
    if WHO[act][0] is Need.NEVER:
        assert isinstance(verdict, Refused)
    else:
        assert verdict == Granted(
            "no operator exists yet: the host's user acts alone", ("host:root",)
        )


@pytest.mark.parametrize(
    ("people", "override", "expected"),
    [([ANNA], False, G), ([ROOT], False, R), ([ROOT], True, OV), ([ROOT, ANNA], False, R)],
    ids=["approver", "host", "host by override", "begun by the host"],
)
def test_who_lets_a_person_in_is_an_approver_who_signed_in(
    people: list[Person], override: bool, expected: str
) -> None:
    assert said(asked(Act.ADMIT_PERSON, people, override=override)) == expected


def test_a_name_without_an_operator_behind_it_is_nobody() -> None:
    assert isinstance(asked(Act.HOLD, [OLGA], operators_exist=False), Refused)


def test_an_override_names_who_used_it_and_how_long_it_waits() -> None:
    assert asked(Act.WAIVER, [OLGA], override=True) == Granted(
        "waiver: by override", ("olga",), COUNTDOWN
    )
    assert timedelta(seconds=60) == COUNTDOWN


def test_an_override_that_is_not_needed_is_none() -> None:
    assert asked(Act.HOLD, [OLGA], override=True) == asked(Act.HOLD, [OLGA])
    assert asked(Act.WAIVER, [OLGA, ANNA], override=True) == asked(Act.WAIVER, [OLGA, ANNA])


def test_who_waits_is_told_for_whom() -> None:
    assert asked(Act.SWITCH, [OLGA]) == Waits(
        "switch takes two people, one of them an approver: another one with role approver must "
        "agree",
        ("olga",),
        frozenset({A}),
    )
    verdict = asked(Act.METADATA_KEYS, [ANNA])
    assert isinstance(verdict, Waits)
    assert verdict.roles == {O, A, S}
    assert "role operator or approver or security must agree" in verdict.reason


@pytest.mark.parametrize(
    ("people", "reason"),
    [
        ([VERA], "vera may not begin switch: that takes role operator or approver"),
        ([GONE, ANNA], "gone began this and is disabled: begin again"),
        ([ROOT], "switch without an operator's credential takes an override (--over"),
        ([], "nobody asked for this"),
    ],
)
def test_a_refusal_says_what_would_help(people: list[Person], reason: str) -> None:
    verdict = asked(Act.SWITCH, people)
    assert isinstance(verdict, Refused)
    assert verdict.reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "human"),
    [
        ("alice", "alice"),
        ("host:alice", "alice"),
        ("host:Alice", "alice"),
        ("host:root", "root"),
        ("host:root (sudo by alice)", "alice"),
        ("host:root (sudo by alice) (sudo by bob)", "host:root (sudo by alice) (sudo by bob)"),
        ("host:uid-7", "uid-7"),
    ],
)
def test_the_human_behind_a_name(name: str, human: str) -> None:
    assert human_of(name) == human
    assert Person(name).human == human


def test_roles_are_named_in_their_own_order() -> None:
    assert named({A, V, S}) == "viewer or approver or security"


people_lists = st.lists(
    st.one_of(
        st.builds(
            Person,
            name=st.sampled_from(["ann", "bob", "cat"]),
            roles=st.frozensets(st.sampled_from(Role)),
            enabled=st.booleans(),
        ),
        st.builds(
            Person,
            name=st.sampled_from(["host:root", "host:ann", "host:root (sudo by bob)"]),
            by_host=st.just(True),  # noqa: FBT003 - hypothesis' own signature
        ),
    ),
    max_size=5,
)


@given(
    act=st.sampled_from(Act),
    people=people_lists,
    approvers=st.integers(0, 4),
    override=st.booleans(),
    exist=st.booleans(),
)
def test_what_no_mixture_of_people_may_bring_about(
    act: Act, people: list[Person], approvers: int, override: bool, exist: bool
) -> None:
    verdict = asked(
        act, people, approvers_enabled=approvers, override=override, operators_exist=exist
    )
    if isinstance(verdict, Refused):
        return
    assert RULES[act].need is not Need.NEVER
    known = {one.name: one for one in people}
    assert set(verdict.people) <= set(known)
    if not exist:
        assert all(one.by_host for one in people)
        return
    counted = [one for one in people if one.enabled and not one.by_host]
    assert {one.human for one in people if one.enabled} >= {human_of(n) for n in verdict.people}
    assert len({human_of(name) for name in verdict.people}) == len(verdict.people)
    if isinstance(verdict, Granted) and verdict.countdown is None:
        if RULES[act].need is Need.TWO or (RULES[act].need is Need.APPROVALS and approvers > 1):
            assert len({one.human for one in counted}) > 1
            assert any(Role.APPROVER in one.roles for one in counted)
        if RULES[act].need in {Need.APPROVALS, Need.SIGNED_IN}:
            assert counted
    if isinstance(verdict, Granted) and verdict.countdown is not None:
        assert override
    if isinstance(verdict, Waits):
        assert not override


def proposal(**changes: Any) -> Proposal:
    facts: dict[str, Any] = {"epoch": 7, "people": ("olga",), "now": NOW} | changes
    return propose("4f2a91c0", facts.pop("act", Act.SWITCH), "entra", "okta is down", **facts)


def test_a_proposal_lasts_ten_minutes_and_no_longer() -> None:
    made = proposal()
    assert made.expires_at - made.created_at == PROPOSAL_LASTS == timedelta(minutes=10)
    late = made.expires_at
    assert why_not_confirmable(made, ANNA, epoch=7, now=late - timedelta(microseconds=1)) is None
    why = why_not_confirmable(made, ANNA, epoch=7, now=late)
    assert why == "proposal 4f2a91c0 expired at 03:10:00 UTC: begin again"


def test_what_the_watch_proposes_is_begun_by_whoever_comes_first() -> None:
    assert why_not_confirmable(proposal(people=()), SVEN, epoch=7, now=NOW) is None


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (OLGA, "olga has agreed to proposal 4f2a91c0 already: it takes somebody else"),
        (OMAR, None),
        (SVEN, "to agree takes an operator's credential and role operator or approver"),
        (VERA, "to agree takes an operator's credential and role operator or approver"),
        (GONE, "to agree takes an operator's credential and role operator or approver"),
        (ROOT, "to agree takes an operator's credential and role operator or approver"),
    ],
)
def test_who_may_agree(by: Person, why: str | None) -> None:
    assert why_not_confirmable(proposal(), by, epoch=7, now=NOW) == why


def test_what_root_began_behind_sudo_is_not_for_the_same_human_to_agree_to() -> None:
    made = proposal(people=("host:root (sudo by anna)",))
    assert why_not_confirmable(made, ANNA, epoch=7, now=NOW) is not None
    assert why_not_confirmable(made, ADAM, epoch=7, now=NOW) is None


@pytest.mark.parametrize("act", [act for act in Act if RULES[act].confirm])
@pytest.mark.parametrize("epoch", [6, 7, 8, None])
def test_what_was_agreed_for_one_epoch_is_not_agreed_for_the_next(
    act: Act, epoch: int | None
) -> None:
    why = why_not_confirmable(proposal(act=act), ANNA, epoch=epoch, now=NOW)
    if act in BOUND_TO_EPOCH and epoch != 7:
        assert why is not None
        assert f"made for epoch 7, and the switch is at {epoch} by now" in why
    else:
        assert why is None


def test_a_confirmed_proposal_is_used_up() -> None:
    made = proposal()
    verdict = asked(Act.SWITCH, [OLGA, ANNA])
    assert isinstance(verdict, Granted)
    used = agreed_to(made, verdict)
    assert (used.state, used.people) == (ProposalState.CONFIRMED, ("olga", "anna"))
    assert why_not_confirmable(used, ADAM, epoch=7, now=NOW) == (
        "proposal 4f2a91c0 was confirmed already"
    )


def test_a_second_person_who_does_not_suffice_leaves_it_open() -> None:
    verdict = asked(Act.SWITCH, [OLGA, OMAR])
    assert isinstance(verdict, Waits)
    still = agreed_to(proposal(), verdict)
    assert (still.state, still.people) == (ProposalState.OPEN, ("olga", "omar"))
    assert why_not_confirmable(still, OMAR, epoch=7, now=NOW) is not None
    assert why_not_confirmable(still, ANNA, epoch=7, now=NOW) is None


@pytest.mark.parametrize(
    ("by", "may"),
    [
        (OLGA, False),
        (OMAR, True),
        (ANNA, True),
        (SVEN, True),
        (VERA, False),
        (HANS, False),
        (GONE, False),
        (ROOT, False),
        (OLGA_BY_HOST, False),
    ],
)
def test_an_override_is_reviewed_by_somebody_else(by: Person, may: bool) -> None:
    assert (why_not_reviewer(("olga",), by) is None) is may
    assert (why_not_reviewer(("host:root (sudo by olga)",), by) is None) is may


class FourEyes(RuleBasedStateMachine):
    """One proposal to do something that takes two, people who come and go, and time that passes."""

    @initialize(
        act=st.sampled_from([act for act in Act if RULES[act].need is Need.TWO]),
        by=st.sampled_from(["ann", "bob"]),
    )
    def begin(self, act: Act, by: str) -> None:
        self.roles = {
            "ann": frozenset({O}),
            "bob": frozenset({A}),
            "cat": frozenset({A, S}),
            "dan": frozenset({V, H}),
        }
        self.enabled = dict.fromkeys(self.roles, True)
        self.now, self.epoch, self.grants = NOW, 7, 0
        self.made = propose("1", act, "x", "y", epoch=7, people=(by,), now=NOW)

    def person(self, name: str) -> Person:
        return Person(name, self.roles[name], enabled=self.enabled[name])

    @rule(name=st.sampled_from(["ann", "bob", "cat", "dan"]))
    def agree(self, name: str) -> None:
        before, by = self.made, self.person(name)
        if why_not_confirmable(before, by, epoch=self.epoch, now=self.now) is not None:
            return
        people = [*(self.person(one) for one in before.people), by]
        verdict = asked(before.act, people)
        if isinstance(verdict, Refused):
            return
        self.made = agreed_to(before, verdict)
        if self.made.state is ProposalState.CONFIRMED:
            self.grants += 1
            assert self.now < before.expires_at
            assert before.act not in BOUND_TO_EPOCH or self.epoch == 7
            assert len(set(self.made.people)) > 1
            assert all(self.enabled[one] for one in self.made.people)
            assert any(A in self.roles[one] for one in self.made.people)

    @rule(name=st.sampled_from(["ann", "bob", "cat", "dan"]), enabled=st.booleans())
    def change(self, name: str, enabled: bool) -> None:
        self.enabled[name] = enabled

    @rule(minutes=st.integers(0, 4))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def somebody_switches(self) -> None:
        self.epoch += 1

    @invariant()
    def it_is_used_at_most_once(self) -> None:
        assert getattr(self, "grants", 0) <= 1


TestFourEyes = FourEyes.TestCase
