"""A standby cannot weaken authentication: the floor, its age, and what Mattermost is told of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors
from idp_proxy.decision.assurance import UNSPECIFIED
from tests.flows.configuration import Wanted, provider
from tests.flows.stage import assertion_id, demand_refusal
from tests.support import identity_provider as idp
from tests.support.people import ALICE, SURNAME
from tests.support.saml_wire import PASSWORD_TRANSPORT

if TYPE_CHECKING:
    import httpx

    from idp_proxy.store.seen_base import SeenContext
    from tests.flows.conftest import Builder
    from tests.flows.stage import Begun, Stage

MFA = "https://refeds.org/profile/mfa"
FLOOR = '[assurance]\nlevels = ["password", "mfa"]\nfloor = "mfa"\nmax_age_s = 3600\n'
CONTEXTS = f"""
[upstream.assurance.contexts]
"{PASSWORD_TRANSPORT}" = "password"
"{MFA}" = "mfa"
"""
# Of an attribute that the answers of these tests have anyway.
EVIDENCE = f"""
[[upstream.assurance.evidence]]
attribute = "{SURNAME}"
value = "{ALICE.surname}"
level = "mfa"
"""


def set_floor(set_up: Builder, standby: str, floor: str = FLOOR, active: str = CONTEXTS) -> Stage:
    """Alice is in the roster; the standby serves."""
    stage = set_up(Wanted(upstreams={"active": active, "standby": standby}, more=floor))
    stage.log_in(ALICE)
    stage.switch("standby")
    return stage


def posted(stage: Stage, begun: Begun, context: str, age_s: float = 0) -> httpx.Response:
    """The upstream that was asked vouches for alice with this class."""
    by = replace(provider(begun.upstream), authn_context=context)
    login = idp.Login(stage.clock.now() - timedelta(seconds=age_s))
    return stage.post(begun, stage.answer(begun, ALICE, by=by, login=login))


def test_a_standby_at_the_floor_lets_in_and_mattermost_is_told_its_word(set_up: Builder) -> None:
    stage = set_floor(set_up, CONTEXTS)
    begun = stage.begin()
    assert begun.question.force_authn
    assert stage.accepted(posted(stage, begun, MFA), begun).authn_context == MFA
    assert stage.audit_rows("login")[-1].facts["level"] == "mfa"


@pytest.mark.parametrize(
    ("standby", "context"),
    [
        (CONTEXTS, PASSWORD_TRANSPORT),
        (CONTEXTS, MFA.upper()),
        (CONTEXTS, "urn:an:mfa:of:our:own"),
        (CONTEXTS, UNSPECIFIED),
        ("", MFA),
    ],
    ids=["a password", "other case", "unknown", "unspecified", "nothing mapped"],
)
def test_below_the_floor_nobody_gets_in_and_it_is_on_record(
    set_up: Builder, standby: str, context: str
) -> None:
    stage = set_floor(set_up, standby)
    begun = stage.begin()
    text = demand_refusal(posted(stage, begun, context), errors.AssuranceTooLow)
    assert context not in text
    row = stage.audit_rows("login_refused")[-1]
    assert row.facts["reason"] == "assurance_too_low"
    assert (row.facts["rule"], row.facts["level"]) == ("FO-04", "password")
    assert stage.store.proofs().keys() == {"active"}, "it does not count as a rehearsal either"
    seen = {(one.upstream, one.context, one.level) for one in counted(stage)}
    assert ("standby", context, "password") in seen


def test_a_refused_answer_is_used_up(set_up: Builder) -> None:
    stage = set_floor(set_up, CONTEXTS)
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    demand_refusal(stage.post(begun, message), errors.AssuranceTooLow)
    assert stage.used(begun, assertion_id(message)) == [True, True, True]
    demand_refusal(stage.post(begun, message), errors.ReplayDetected)


def test_evidence_raises_the_level_and_not_the_word(set_up: Builder) -> None:
    stage = set_floor(set_up, CONTEXTS + EVIDENCE)
    begun = stage.begin()
    told = stage.accepted(posted(stage, begun, PASSWORD_TRANSPORT), begun).authn_context
    assert told == PASSWORD_TRANSPORT


def test_somebody_elses_evidence_is_none(set_up: Builder) -> None:
    stage = set_floor(set_up, CONTEXTS + EVIDENCE)
    begun = stage.begin()
    for_other = replace(ALICE, surname=f"{ALICE.surname} ")
    page = stage.post(begun, stage.answer(begun, for_other))
    demand_refusal(page, errors.AssuranceTooLow)


def test_an_old_session_does_not_stand_in_for_a_login(set_up: Builder) -> None:
    stage = set_floor(set_up, CONTEXTS)
    page = posted(stage, stage.begin(), MFA, age_s=130)
    demand_refusal(page, errors.AuthenticationTooOld)
    row = stage.audit_rows("login_refused")[-1]
    assert (row.facts["reason"], row.facts["rule"]) == ("authentication_too_old", "IDP-04")


def test_without_force_authn_an_age_is_allowed_and_no_more(set_up: Builder) -> None:
    loose = "[upstream.assurance]\nforce_authn = false\n" + CONTEXTS
    stage = set_floor(set_up, loose)
    begun = stage.begin()
    assert not begun.question.force_authn
    stage.accepted(posted(stage, begun, MFA, age_s=3590), begun)
    page = posted(stage, stage.begin(), MFA, age_s=3610)
    demand_refusal(page, errors.AuthenticationTooOld)


def test_the_active_is_counted_and_with_all_refused(set_up: Builder) -> None:
    stage = set_up(Wanted(upstreams={"active": CONTEXTS, "standby": ""}, more=FLOOR))
    begun = stage.begin()
    assert not begun.question.force_authn
    stage.accepted(posted(stage, begun, PASSWORD_TRANSPORT), begun)
    assert [(one.level, one.count) for one in counted(stage)] == [("password", 1)]
    everybody = FLOOR.replace("max_age", 'enforce = "all"\nmax_age')
    strict = set_up(Wanted(upstreams={"active": CONTEXTS, "standby": ""}, more=everybody))
    page = posted(strict, strict.begin(), PASSWORD_TRANSPORT)
    demand_refusal(page, errors.AssuranceTooLow)
    assert strict.store.person("e-1001") is None, "nor does it make the roster"


def test_what_was_asked_for_is_what_counts_at_the_active_too(set_up: Builder) -> None:
    asked = f'requested_authn_context = ["{MFA}"]\n'
    stage = set_up(Wanted(upstreams={"active": asked, "standby": ""}))
    demand_refusal(posted(stage, stage.begin(), PASSWORD_TRANSPORT), errors.AssuranceTooLow)
    begun = stage.begin()
    stage.accepted(posted(stage, begun, MFA), begun)


def test_without_a_floor_a_standby_claims_nothing(stage: Stage) -> None:
    stage.log_in(ALICE)
    stage.switch("standby")
    begun = stage.begin()
    assert stage.accepted(posted(stage, begun, MFA), begun).authn_context == UNSPECIFIED


def counted(stage: Stage) -> list[SeenContext]:
    """What was seen since the stage was set up."""
    stage.contexts.tell(stage.store)
    return list(stage.store.contexts())
