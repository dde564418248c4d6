"""Every hostile message against the real endpoints of the real application.

What must hold for each: the log names the rule, the page names no detail, the status is a client's
fault, nothing goes to Mattermost and no login is on record. It is the corpus of test_verifier.py,
and the messages of `person`, which only what stands behind the verifier refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attacks.attack import Policy, Registration, RequestAttack, ResponseAttack
from tests.attacks.corpus import PERSON, REQUESTS, RESPONSES, encryption
from tests.attacks.messages import Signed, said
from tests.attacks.requests import octets_of, plain, redirected
from tests.attacks.stage import MATTERMOST, SECRET_RELAY_STATE, issued

if TYPE_CHECKING:
    import httpx

    from tests.attacks.conftest import Stages
    from tests.attacks.stage import Stage

NAME_ID = ".//{urn:oasis:names:tc:SAML:2.0:assertion}NameID"


def assert_refused(stage: Stage, response: httpx.Response, rule: str, before: int) -> None:
    """A refusal by this rule, and nothing else."""
    line = stage.journal.last
    assert 400 <= response.status_code < 500, (response.status_code, line)
    assert line["rule"] == rule, line
    assert line["error_id"] in response.text
    assert line["detail"] not in response.text
    assert rule not in response.text
    assert issued(response) is None
    assert "SAMLResponse" not in response.text
    assert stage.logins() == before


@pytest.mark.parametrize(
    ("policy", "make"),
    [
        (Policy.ASSERTION, said()),
        (Policy.RESPONSE, said(what=Signed.RESPONSE)),
        (Policy.BOTH, said(what=Signed.BOTH)),
        (Policy.ASSERTION, encryption.HONEST_SEALED),
        (Policy.BOTH_WITH_CBC, encryption.HONEST_CBC),
    ],
)
def test_an_honest_answer_logs_alice_in(
    policy: Policy, make: encryption.Make, stages: Stages
) -> None:
    stage = stages(policy, Registration.WITHOUT_KEYS)
    begun, before = stage.begin(), stage.logins()

    response = stage.answer(begun, make(begun.login))

    assert response.status_code == 200, stage.journal.lines[-1:]
    root = issued(response)
    assert root is not None
    assert root.get("Destination") == MATTERMOST
    assert root.findtext(NAME_ID) == "e-1001"
    assert SECRET_RELAY_STATE in response.text
    assert stage.logins() == before + 1


@pytest.mark.parametrize("attack", [*RESPONSES, *PERSON], ids=str)
def test_a_hostile_answer_logs_nobody_in(attack: ResponseAttack, stages: Stages) -> None:
    stage = stages(attack.policy, Registration.WITHOUT_KEYS)
    begun, before = stage.begin(), stage.logins()

    response = stage.answer(begun, attack.make(begun.login))

    assert_refused(stage, response, attack.rule, before)
    assert begun.login.request_id not in response.text


@pytest.mark.parametrize("attack", REQUESTS, ids=str)
def test_a_hostile_request_asks_no_upstream(attack: RequestAttack, stages: Stages) -> None:
    stage = stages(Policy.ASSERTION, attack.registration)
    before = stage.logins()

    response = stage.send(attack.make(stage.asking))

    assert_refused(stage, response, attack.rule, before)
    assert "location" not in response.headers
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize("registration", [Registration.WITHOUT_KEYS, Registration.WITH_KEYS])
def test_an_honest_request_is_sent_on_to_the_active(
    registration: Registration, stages: Stages
) -> None:
    stage = stages(Policy.ASSERTION, registration)

    response = stage.send(redirected(octets_of(plain(stage.asking))))

    assert response.status_code == 302
    assert response.headers["location"].startswith("https://active.example.org/sso?")
