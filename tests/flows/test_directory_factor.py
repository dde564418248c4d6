"""Password and second factor are one person's, whatever the roster learns between the two."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pyotp import TOTP

from idp_proxy import errors
from idp_proxy.decision.roster import lookup_key
from idp_proxy.decision.second_factor import Factor, Method
from idp_proxy.factors.proving import Proving
from idp_proxy.factors.sealing import key_ring, sealed
from idp_proxy.web import pace
from tests.flows.stage import demand_refusal
from tests.flows.test_directory_login import Visitor, corp, serving
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage
    from tests.support.ldap_people import PeopleDirectory

__all__ = ["corp"]

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
LEVELS = '[assurance]\nlevels = ["password", "mfa"]\nfloor = "mfa"\n'
WORTH = '[upstream.assurance.contexts]\n"https://refeds.org/profile/mfa" = "mfa"\n\n'


@pytest.fixture
def stage(set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A directory whose password alone does not do; Alice has a code."""
    monkeypatch.setattr(pace, "PADDED_TO_S", 0.01)
    stage = serving(set_up, corp, more=LEVELS, behind=WORTH)
    person, ring = ALICE.employee_number, key_ring(stage.settings.proxy.state_keys)
    shut = sealed(ring, person, Method.TOTP, SECRET.encode())
    with stage.store.transaction() as tx:
        tx.add_factors([Factor("f1", person, Method.TOTP, stage.clock.now(), 0, shut)])
    return stage


def second_step(stage: Stage) -> tuple[Visitor, Callable[[], httpx.Response]]:
    """Alice's password was right; what is given shows her code."""
    visitor = Visitor(stage)
    sent = visitor.type(ALICE.uid, ALICE.password)
    assert sent.status_code == 303, sent.text
    where = sent.headers["location"]
    return visitor, lambda: visitor.client.post(
        where, data={"code": TOTP(SECRET).at(stage.clock.now())}
    )


def exchange_keys(stage: Stage) -> None:
    """The active says that Alice's key is Bob's now, and Bob's is Alice's."""
    alice, bob = (stage.store.person(one.employee_number) for one in (ALICE, BOB))
    assert alice is not None
    assert bob is not None
    key, other = lookup_key(alice.link_key), lookup_key(bob.link_key)
    with stage.store.transaction() as tx:
        tx.save_person(replace(alice, lookup_key=None))
        tx.save_person(replace(bob, lookup_key=key, link_key=alice.link_key))
        tx.save_person(replace(alice, lookup_key=other, link_key=bob.link_key))


def test_password_and_code_end_a_login(stage: Stage) -> None:
    visitor, show_code = second_step(stage)
    assert ALICE.employee_number in str(visitor.accepted(show_code()))


@pytest.mark.parametrize("when", ["before", "behind"])
def test_a_key_that_moves_when_the_code_was_shown_lets_nobody_in(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Without the comparison Alice's code would let somebody in as Bob, whose factor nobody saw."""
    original = Proving.code

    def moved(self: Proving, *asked: Any) -> Any:
        if when == "before":
            exchange_keys(stage)
        found = original(self, *asked)
        if when == "behind":
            exchange_keys(stage)
        assert found is Method.TOTP
        return found

    monkeypatch.setattr(Proving, "code", moved)
    _, show_code = second_step(stage)
    demand_refusal(show_code(), errors.PersonChanged)
    assert stage.on_record()[-1] == "person_changed"
    # The login is over: the same step ends no second one.
    demand_refusal(show_code(), errors.ReplayDetected)


def test_a_key_that_moved_earlier_asks_for_the_code_of_who_holds_it(stage: Stage) -> None:
    visitor, show_code = second_step(stage)
    exchange_keys(stage)
    demand_refusal(show_code(), errors.SecondFactorMissing)
    exchange_keys(stage)
    assert ALICE.employee_number in str(visitor.accepted(show_code()))
