"""What an upstream's word for an authentication is worth, and who must reach the floor."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.assurance import (
    UNSPECIFIED,
    AssurancePolicy,
    Assured,
    AttributeEvidence,
    Comparison,
    Enforce,
    Question,
    Refused,
    Shortfall,
    UpstreamAssurance,
    can_reach_floor,
    judge,
    suffices,
)
from idp_proxy.decision.subject import Evidence

NOW = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
MFA = "https://refeds.org/profile/mfa"
X509 = "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"
AMR = "http://schemas.microsoft.com/claims/authnmethodsreferences"
MULTI = "http://schemas.microsoft.com/claims/multipleauthn"
BOTH = {PASSWORD: "password", MFA: "mfa"}
POLICY = AssurancePolicy(
    active="main",
    levels=("none", "password", "mfa"),
    floor="mfa",
    max_age=timedelta(hours=8),
    upstreams={
        "main": UpstreamAssurance(BOTH),
        "spare": UpstreamAssurance(
            BOTH,
            (
                AttributeEvidence("factor", "passkey", "mfa"),
                AttributeEvidence(AMR, MULTI, "mfa", among_others=True),
            ),
        ),
        "wary": UpstreamAssurance({MFA: "password"}),
        "blank": UpstreamAssurance(),
    },
)


def evidence(context: str = MFA, age_s: float = 60, **attributes: tuple[str, ...]) -> Evidence:
    return Evidence(NOW - timedelta(seconds=age_s), context, ("urn:idp",), attributes=attributes)


def methods(*values: str) -> Evidence:
    return replace(evidence(PASSWORD), attributes={AMR: values})


def judged(
    upstream: str, shown: Evidence, policy: AssurancePolicy = POLICY, fresh_s: float | None = None
) -> Assured | Refused:
    since = None if fresh_s is None else NOW - timedelta(seconds=fresh_s)
    return judge(Question(policy, upstream, shown, NOW, since))


@pytest.mark.parametrize(
    ("upstream", "shown", "level", "told"),
    [
        pytest.param("spare", evidence(MFA), "mfa", MFA, id="a mapped class"),
        pytest.param("spare", evidence(PASSWORD, factor=("passkey",)), "mfa", PASSWORD,
                     id="raised by an attribute, told as the upstream said it"),
        pytest.param("spare", evidence("urn:odd", factor=("passkey",)), "mfa", UNSPECIFIED,
                     id="an unknown class claims nothing, whatever else is shown"),
        pytest.param("spare", methods(PASSWORD, MULTI), "mfa", PASSWORD,
                     id="one of several values, where that is allowed"),
        pytest.param("main", evidence(PASSWORD), "password", PASSWORD, id="an active is not bound"),
        pytest.param("main", evidence("urn:odd"), "none", UNSPECIFIED, id="nor believed"),
        pytest.param("main", evidence(MFA, age_s=10**6), "mfa", MFA, id="nor too old"),
    ],
)  # fmt: skip
def test_what_does(upstream: str, shown: Evidence, level: str, told: str) -> None:
    assert judged(upstream, shown) == Assured(level, told, below_floor=level != "mfa")


@pytest.mark.parametrize(
    ("upstream", "shown", "rule"),
    [
        pytest.param("spare", evidence(PASSWORD), "FO-04", id="a password below an MFA floor"),
        pytest.param("spare", evidence("urn:odd"), "FO-04", id="an unknown class"),
        pytest.param("spare", evidence(MFA.upper()), "FO-04", id="a class in other letters"),
        pytest.param("spare", evidence(f"{MFA} "), "FO-04", id="a class with a space"),
        pytest.param("spare", evidence(f"{MFA}/"), "FO-04", id="a class that only begins alike"),
        pytest.param("spare", evidence(PASSWORD, factor=("passkey", "passkey")), "FO-04",
                     id="an attribute with two values"),
        pytest.param("spare", evidence(PASSWORD, factor=("none", "passkey")), "FO-04",
                     id="an attribute that says both"),
        pytest.param("spare", evidence(PASSWORD, factor=("Passkey",)), "FO-04", id="other case"),
        pytest.param("spare", evidence(PASSWORD, factor=("p\u0430sskey",)), "FO-04",
                     id="a Cyrillic a"),
        pytest.param("spare", evidence(PASSWORD, factor=("passkey ",)), "FO-04", id="a space"),
        pytest.param("spare", evidence(PASSWORD, factor=()), "FO-04", id="no value"),
        pytest.param("spare", evidence(PASSWORD, Factor=("passkey",)), "FO-04",
                     id="an attribute in other letters"),
        pytest.param("spare", methods(f"{MULTI}x", PASSWORD), "FO-04",
                     id="a value that only begins alike"),
        pytest.param("wary", evidence(MFA), "FO-04", id="a class that counts for less there"),
        pytest.param("blank", evidence(MFA), "FO-04", id="an upstream without a map"),
        pytest.param("stranger", evidence(MFA), "FO-04", id="an upstream that nobody knows"),
        pytest.param("spare", evidence(MFA, age_s=8 * 3600 + 1), "IDP-04", id="too old"),
        pytest.param("spare", evidence(MFA, age_s=-181), "IDP-04", id="from the future"),
    ],
)  # fmt: skip
def test_what_does_not(upstream: str, shown: Evidence, rule: str) -> None:
    found = judged(upstream, shown)
    assert isinstance(found, Refused)
    assert found.rule == rule
    assert found.reason.startswith(f"{rule}: ")
    assert found.shortfall is (Shortfall.TOO_WEAK if rule == "FO-04" else Shortfall.TOO_OLD)


@pytest.mark.parametrize(
    ("age_s", "fresh_s", "does"),
    [(100, 100, True), (220, 100, True), (221, 100, False), (0, 0, True), (7 * 3600, 60, False)],
)
def test_a_fresh_authentication_that_was_asked_for_is_fresh(
    age_s: float, fresh_s: float, does: bool
) -> None:
    for upstream in ("main", "spare"):
        found = judged(upstream, evidence(age_s=age_s), fresh_s=fresh_s)
        assert isinstance(found, Assured) is does
    bare = judged("spare", evidence(age_s=age_s), AssurancePolicy("main"), fresh_s)
    assert isinstance(bare, Assured) is does


def test_with_all_the_active_is_bound_too() -> None:
    everybody = replace(POLICY, enforce=Enforce.ALL)
    assert isinstance(judged("main", evidence(PASSWORD), everybody), Refused)
    assert isinstance(judged("main", evidence(MFA, age_s=10**6), everybody), Refused)
    assert isinstance(judged("main", evidence(MFA), everybody), Assured)


def test_without_a_declaration_nothing_is_demanded_and_a_standby_claims_nothing() -> None:
    bare = AssurancePolicy("main")
    assert judged("main", evidence(MFA, age_s=10**6), bare) == Assured("", MFA)
    assert judged("spare", evidence(MFA, age_s=10**6), bare) == Assured("", UNSPECIFIED)
    assert suffices(bare, "spare", PASSWORD)
    assert can_reach_floor(bare, "spare")


def test_a_class_that_stands_for_more_elsewhere_is_not_told() -> None:
    lower = replace(POLICY, floor="password")
    assert judged("wary", evidence(MFA), lower) == Assured("password", UNSPECIFIED)


@pytest.mark.parametrize(
    ("comparison", "requested", "given", "does"),
    [
        (Comparison.EXACT, (MFA,), MFA, True),
        (Comparison.EXACT, (PASSWORD, MFA), MFA, True),
        (Comparison.EXACT, (PASSWORD,), MFA, False),
        (Comparison.EXACT, (MFA,), MFA.upper(), False),
        (Comparison.MINIMUM, (PASSWORD,), MFA, True),
        (Comparison.MINIMUM, (PASSWORD, MFA), PASSWORD, True),
        (Comparison.MINIMUM, (MFA,), PASSWORD, False),
        (Comparison.MINIMUM, (PASSWORD,), "urn:odd", False),
        (Comparison.MINIMUM, (PASSWORD,), X509, False),
    ],
)
def test_what_comes_back_is_what_was_asked_for(
    comparison: Comparison, requested: tuple[str, ...], given: str, does: bool
) -> None:
    mapped = UpstreamAssurance({**BOTH, X509: "none"}, (), requested, comparison)
    policy = replace(POLICY, floor="none", upstreams={"main": mapped, "spare": mapped})
    for upstream in policy.upstreams:
        found = judged(upstream, evidence(given), policy)
        assert isinstance(found, Assured) is does
        if not does:
            assert isinstance(found, Refused)
            assert found.rule == "FO-04"


def test_minimum_is_exact_where_nobody_declared_any_levels() -> None:
    asked = UpstreamAssurance({}, (), (PASSWORD,), Comparison.MINIMUM)
    bare = AssurancePolicy("main", upstreams={"main": asked})
    assert isinstance(judged("main", evidence(PASSWORD), bare), Assured)
    assert isinstance(judged("main", evidence(MFA), bare), Refused)


def test_whether_a_password_would_do_or_a_second_factor_would() -> None:
    assert not suffices(POLICY, "spare", PASSWORD)
    assert suffices(POLICY, "spare", MFA)
    assert suffices(POLICY, "spare", PASSWORD, {"factor": ("passkey",)})
    assert suffices(POLICY, "main", PASSWORD), "the active is not bound"
    assert not suffices(POLICY, "blank", MFA)


def test_who_can_reach_the_floor_at_all() -> None:
    reach = {name for name in POLICY.upstreams if can_reach_floor(POLICY, name)}
    assert reach == {"main", "spare"}
    only = UpstreamAssurance({}, (AttributeEvidence("factor", "passkey", "mfa"),))
    assert can_reach_floor(replace(POLICY, upstreams={"spare": only}), "spare")
    assert can_reach_floor(replace(POLICY, floor="none"), "blank"), "the lowest needs no map"


WORDS = st.sampled_from([PASSWORD, MFA, X509, "urn:odd", "", MFA.upper()])
LEVELS = st.sampled_from(POLICY.levels)
MAPS = st.builds(
    UpstreamAssurance,
    st.dictionaries(WORDS, LEVELS),
    st.lists(st.builds(AttributeEvidence, st.just("f"), st.sampled_from("ab"), LEVELS)).map(tuple),
)


@given(MAPS, MAPS, WORDS, st.lists(st.sampled_from("ab"), max_size=2), LEVELS)
def test_nobody_is_let_in_by_or_told_more_than_the_map_says(
    main: UpstreamAssurance, spare: UpstreamAssurance, said: str, values: list[str], floor: str
) -> None:
    policy = replace(POLICY, floor=floor, upstreams={"main": main, "spare": spare})
    found = judged("spare", evidence(said, f=tuple(values)), policy)
    known = {policy.levels[0], *spare.contexts.values(), *(one.level for one in spare.evidence)}
    assert found.level in known
    if isinstance(found, Refused):
        assert not policy.reaches(found.level)
        return
    assert policy.reaches(found.level)
    assert found.context in {said, UNSPECIFIED}
    if found.context != UNSPECIFIED:
        rank = policy.levels.index
        assert rank(main.contexts.get(said, policy.levels[0])) <= rank(found.level)
        assert said in spare.contexts
