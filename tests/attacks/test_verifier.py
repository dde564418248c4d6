"""Every hostile message against the verifier itself: refused, by the named rule and function."""

from __future__ import annotations

from collections import Counter

import pytest

from idp_proxy.saml.assertion import VerifiedAssertion
from tests.attacks import signer
from tests.attacks.attack import Policy, Registration, RequestAttack, ResponseAttack, Sent
from tests.attacks.corpus import REQUESTS, RESPONSES, encryption
from tests.attacks.messages import Signed, said
from tests.attacks.requests import detached, enveloped, joined, octets_of, plain, posted, redirected
from tests.attacks.verifier import ASKING, LOGIN, judge_request, judge_response
from tests.support.people import ALICE, OID_ATTRIBUTES

HONEST_ANSWERS = {
    "assertion signed": (Policy.ASSERTION, said()),
    "both signed": (Policy.ASSERTION, said(what=Signed.BOTH)),
    "Response signed": (Policy.RESPONSE, said(what=Signed.RESPONSE)),
    "both signed, as demanded": (Policy.BOTH, said(what=Signed.BOTH)),
    "SHA-512": (Policy.ASSERTION, said(style=signer.Style(method=signer.RSA_SHA512))),
    "encrypted": (Policy.ASSERTION, encryption.HONEST_SEALED),
    "encrypted by CBC, allowed": (Policy.BOTH_WITH_CBC, encryption.HONEST_CBC),
}
XML = octets_of(plain(ASKING))
HONEST_REQUESTS = {
    "by redirect": (Registration.WITHOUT_KEYS, redirected(XML)),
    "by post": (Registration.WITHOUT_KEYS, posted(XML)),
    "unsigned, though it could": (Registration.WITH_KEYS, redirected(XML)),
    "signed query": (Registration.MUST_SIGN, Sent(query=joined(detached(ASKING, XML)))),
    "signed query without a relay state": (
        Registration.MUST_SIGN,
        Sent(query=joined(detached(ASKING, XML, None))),
    ),
    "signed inside": (Registration.MUST_SIGN, redirected(octets_of(enveloped(ASKING)))),
    "signed inside, by post": (Registration.MUST_SIGN, posted(octets_of(enveloped(ASKING)))),
}


@pytest.mark.parametrize("name", HONEST_ANSWERS)
def test_an_honest_answer_is_accepted_and_names_alice(name: str) -> None:
    policy, make = HONEST_ANSWERS[name]

    accepted = judge_response(make(LOGIN), policy).accepted

    assert isinstance(accepted, VerifiedAssertion)
    assert accepted.name_id == ALICE.employee_number
    assert accepted.attributes == {
        key: (value,) for key, value in ALICE.attributes(OID_ATTRIBUTES).items()
    }


@pytest.mark.parametrize("name", HONEST_REQUESTS)
def test_an_honest_request_is_accepted(name: str) -> None:
    registration, sent = HONEST_REQUESTS[name]

    accepted = judge_request(sent, registration).accepted

    assert accepted is not None
    assert accepted.id == ASKING.request_id


@pytest.mark.parametrize("attack", RESPONSES, ids=str)
def test_a_hostile_answer_is_refused_by_its_rule(attack: ResponseAttack) -> None:
    verdict = judge_response(attack.make(LOGIN), attack.policy)

    assert verdict.accepted is None
    assert (verdict.rule, verdict.where) == (attack.rule, verdict.where)
    assert verdict.refused_by(attack.check), f"{verdict.where}: {verdict.error}"


@pytest.mark.parametrize("attack", REQUESTS, ids=str)
def test_a_hostile_request_is_refused_by_its_rule(attack: RequestAttack) -> None:
    verdict = judge_request(attack.make(ASKING), attack.registration)

    assert verdict.accepted is None
    assert (verdict.rule, verdict.where) == (attack.rule, verdict.where)
    assert verdict.refused_by(attack.check), f"{verdict.where}: {verdict.error}"


@pytest.mark.parametrize(
    ("policy", "makes"),
    [
        (Policy.ASSERTION, encryption.ORACLE),
        (Policy.BOTH_WITH_CBC, encryption.ORACLE_CBC),
    ],
)
def test_whatever_fails_behind_the_private_key_fails_alike(
    policy: Policy, makes: dict[str, encryption.Make]
) -> None:
    verdicts = [judge_response(make(LOGIN), policy) for make in makes.values()]

    seen = {(type(v.error), v.rule, v.error and v.error.detail) for v in verdicts}
    assert len(seen) == 1, seen


def test_the_corpus_has_the_size_and_the_names_it_claims() -> None:
    assert len(RESPONSES) >= 150
    assert len(REQUESTS) >= 60
    for corpus in (RESPONSES, REQUESTS):
        repeated = [name for name, count in Counter(map(str, corpus)).items() if count > 1]
        assert repeated == []


def test_sha1_and_c14n_11_are_refused_with_the_settings_that_cure_it() -> None:
    style = signer.Style(method=signer.RSA_SHA1, canonicalization=signer.C14N_11)

    verdict = judge_request(
        redirected(octets_of(enveloped(ASKING, style=style))), Registration.WITH_KEYS
    )

    assert verdict.error is not None
    assert verdict.error.code == "unsupported_signature"
    assert "SignatureAlgorithm = RSAwithSHA256" in verdict.error.detail
    assert "CanonicalAlgorithm = Canonical1.0" in verdict.error.detail
