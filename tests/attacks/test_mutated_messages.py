"""Any one change to a signed answer is refused, or changes nothing of what is read from it.

Seeds are fixed, so that a failure names its message; ATTACK_SEEDS sets how many (1,000 by default).
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from idp_proxy.errors import SamlError
from idp_proxy.saml.assertion import VerifiedAssertion
from tests.attacks.attack import Policy, Registration
from tests.attacks.corpus.encryption import HONEST_SEALED
from tests.attacks.encryptor import sealed
from tests.attacks.messages import Signed, said
from tests.attacks.mutator import mutated
from tests.attacks.requests import enveloped, octets_of, posted
from tests.attacks.verifier import ASKING, LOGIN, judge_request, judge_response

SEEDS = int(os.environ.get("ATTACK_SEEDS", "1000"))
KINDS = {
    "assertion signed": (Policy.ASSERTION, said()),
    "Response signed": (Policy.RESPONSE, said(what=Signed.RESPONSE)),
    "both signed": (Policy.BOTH, said(what=Signed.BOTH)),
    "encrypted": (Policy.ASSERTION, HONEST_SEALED),
    "encrypted, both signed": (Policy.BOTH, sealed(what=Signed.BOTH)),
}


def read(accepted: object) -> tuple[object, ...]:
    """Everything that is read from an answer."""
    assert isinstance(accepted, VerifiedAssertion)
    return tuple(
        dict(value) if name == "attributes" else value
        for name in VerifiedAssertion.__slots__
        for value in [getattr(accepted, name)]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_change_to_a_signed_answer_is_refused_or_means_the_same(kind: str) -> None:
    policy, make = KINDS[kind]
    message = make(LOGIN)
    honest = read(judge_response(message, policy).accepted)
    found: Counter[str] = Counter()

    for seed in range(SEEDS // len(KINDS)):
        changed = mutated(message, Random(f"{kind} {seed}"))
        verdict = judge_response(changed, policy)
        if verdict.accepted is None:
            assert isinstance(verdict.error, SamlError)
            assert 400 <= verdict.error.http_status < 500
            found[verdict.rule] += 1
        else:
            assert read(verdict.accepted) == honest, f"seed {kind} {seed}: {changed!r}"
            found["the same"] += 1

    print(kind, dict(found))
    refused = found.total() - found["the same"]
    assert refused > found.total() / 2, "a mutator that changes nothing shows nothing"
    assert len(found) > 3


def test_one_change_to_a_signed_request_is_refused_or_means_the_same() -> None:
    message = octets_of(enveloped(ASKING))
    found: Counter[str] = Counter()

    for seed in range(SEEDS // 2):
        changed = mutated(message, Random(f"request {seed}"))
        verdict = judge_request(posted(changed), Registration.MUST_SIGN)
        if verdict.accepted is None:
            found[verdict.rule] += 1
            continue
        accepted = verdict.accepted
        assert not isinstance(accepted, VerifiedAssertion)
        assert (accepted.id, accepted.force_authn, accepted.is_passive, accepted.signed) == (
            ASKING.request_id,
            False,
            False,
            True,
        ), f"seed {seed}: {changed!r}"
        found["the same"] += 1

    print("request", dict(found))
    assert found.total() - found["the same"] > found.total() / 2
