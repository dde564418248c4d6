"""Ways past the floor: a drill's pass, a chain of providers, an attribute said twice, a config."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors
from idp_proxy.decision.assurance import (
    AssurancePolicy,
    AttributeEvidence,
    Question,
    Refused,
    UpstreamAssurance,
    judge,
)
from idp_proxy.decision.subject import Evidence
from tests.flows.configuration import Wanted
from tests.flows.stage import demand_refusal
from tests.flows.test_assurance import CONTEXTS, FLOOR, MFA, posted, set_floor
from tests.flows.test_drill import Exercise
from tests.support.people import ALICE
from tests.support.saml_wire import PASSWORD_TRANSPORT

if TYPE_CHECKING:
    from tests.flows.conftest import Builder

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_drills_pass_leads_past_the_serving_upstream_and_not_past_the_floor(
    set_up: Builder,
) -> None:
    stage = set_up(Wanted(upstreams={"active": CONTEXTS, "standby": CONTEXTS}, more=FLOOR))
    exercise = Exercise(stage)
    begun = stage.begin(exercise.joined())
    assert begun.upstream == "standby"
    demand_refusal(posted(stage, begun, PASSWORD_TRANSPORT), errors.AssuranceTooLow)
    begun = stage.begin(exercise.joined(link=exercise.link(number=2)))
    stage.accepted(posted(stage, begun, MFA), begun)


def test_the_actives_word_for_a_class_is_no_standbys(set_up: Builder) -> None:
    """Both say MFA, and only for the active somebody wrote down what that is worth."""
    stage = set_floor(set_up, standby="", active=CONTEXTS)
    demand_refusal(posted(stage, stage.begin(), MFA), errors.AssuranceTooLow)


@pytest.mark.parametrize(
    "values",
    [
        ("mfa", "pwd"),
        ("pwd", "mfa"),
        ("mfa", "mfa"),
        ("mfa ",),
        ("MFA",),
        ("\uff4d\uff46\uff41",),
        ("mf\u0430",),
        ("",),
        (),
    ],
)
def test_an_attribute_that_is_said_otherwise_or_twice_proves_nothing(
    values: tuple[str, ...],
) -> None:
    assert isinstance(judge(asked(values)), Refused)
    assert not isinstance(judge(asked(("mfa",))), Refused)


def asked(values: tuple[str, ...]) -> Question:
    """Somebody with a password, and with these values of the attribute that means more."""
    mapped = UpstreamAssurance(evidence=(AttributeEvidence("amr", "mfa", "mfa"),))
    policy = AssurancePolicy(
        "active", ("password", "mfa"), "mfa", upstreams={"standby": mapped, "active": mapped}
    )
    said = Evidence(NOW, PASSWORD_TRANSPORT, (), attributes={"amr": values})
    return Question(policy, "standby", said, NOW)


def test_a_standby_that_is_written_first_is_bound_by_nothing_but_enforce_all(
    set_up: Builder,
) -> None:
    """Whoever edits the order of the file makes a standby the active: `all` holds then too."""
    everybody = FLOOR.replace("max_age", 'enforce = "all"\nmax_age')
    stage = set_up(Wanted(upstreams={"standby": CONTEXTS, "active": CONTEXTS}, more=everybody))
    begun = stage.begin()
    assert begun.upstream == "standby"
    demand_refusal(posted(stage, begun, PASSWORD_TRANSPORT), errors.AssuranceTooLow)
    assert stage.store.person(ALICE.employee_number) is None
