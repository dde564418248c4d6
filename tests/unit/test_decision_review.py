"""idp_proxy.decision.review: each rule with evidence that fails and evidence that passes."""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.review import (
    HELD,
    RULES,
    About,
    CertificateSeen,
    ConversionSeen,
    DirectorySeen,
    Evidence,
    Finding,
    LiveSeen,
    NetworkSeen,
    OperatorsPath,
    Policy,
    PrivateFile,
    ProxySeen,
    RosterSeen,
    Rule,
    SamlSeen,
    ServerSeen,
    Severity,
    Signed,
    StoreSeen,
    SwitchSeen,
    UpstreamSeen,
    Waiver,
    bars,
    changed_since,
    difference,
    end_problem,
    judge,
    why_never,
    why_not_started,
)
from idp_proxy.decision.review.policy import ORDER, lasting

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 12, 1, 3, tzinfo=UTC)
DAY = timedelta(days=1)
GOOD_KEY = CertificateSeen("a certificate", NOW - DAY, NOW + 365 * DAY, "RSA", 3072, "sha256")
SAML = SamlSeen(
    entity_id="https://idp.example.org",
    warrant="file",
    pinned=False,
    valid_until=NOW + 7 * DAY,
    require_signed="both",
    decrypts=True,
    allow_aes_cbc=False,
    clock_skew=timedelta(seconds=60),
    max_lifetime=timedelta(minutes=10),
    requested_contexts=(),
    own_entity_id="https://sso.example.org/upstream/okta/metadata",
    own_acs_url="https://sso.example.org/upstream/okta/acs",
)
ACTIVE = UpstreamSeen(
    name="okta",
    kind="saml",
    attributes={"id": "employeeNumber"},
    email_domains=frozenset({"example.org"}),
    failure_domains=frozenset({"okta.com"}),
    certificates=(GOOD_KEY,),
    saml=SAML,
    level_declared=True,
    reaches_floor=True,
    proven_at=NOW,
)
STANDBY = replace(
    ACTIVE,
    name="entra",
    failure_domains=frozenset({"azure"}),
    saml=replace(SAML, entity_id="https://other.example.org"),
)
DIRECTORY = replace(
    STANDBY, name="ldap", kind="ldap", saml=None, directory=DirectorySeen(("a", "b"), ())
)
SERVER = ServerSeen(
    verify=True,
    encrypt=True,
    sign_request=True,
    signature_algorithm="RSAwithSHA256",
    canonical_algorithm="Canonical1.0",
    enable_admin_attribute=False,
    enable_sync_with_ldap=False,
    mobile_external_browser=True,
    session_length=30 * DAY,
    id_attribute="id",
)
GOOD = Evidence(
    now=NOW,
    proxy=ProxySeen(
        listens_on="127.0.0.1:8443",
        on_loopback=True,
        tls=False,
        insecure_loopback=False,
        trusted_proxies=("127.0.0.1",),
        certificates=(GOOD_KEY,),
        party_certificates=(GOOD_KEY,),
        private_files=(PrivateFile("keys/idp.key", 0o600, ours=True),),
        entity_id="https://sso.example.org/saml/metadata",
        demands_signed_requests=True,
        encrypts=True,
        sent={"id": "id"},
        withheld=frozenset({"roles"}),
        admin_attribute=False,
        checkpoints=True,
        channels=1,
        revokes_sessions=True,
        standby_logins_kept=90 * DAY,
    ),
    upstreams=(ACTIVE, STANDBY),
    switch=SwitchSeen(2, timedelta(minutes=10), timedelta(minutes=15), False, DAY),  # noqa: FBT003
    roster=RosterSeen(90 * DAY, 7 * DAY, "", 0),
    operators_path=OperatorsPath("modem", ("mobile network",), date(2026, 11, 1)),
    store=StoreSeen({"csv": NOW - DAY}, 3, 2),
    server=SERVER,
    live=LiveSeen(timedelta(0), {"okta": None, "entra": None}),
    networks=(NetworkSeen("office", 256, 500),),
    conversion=ConversionSeen(
        "sso-conversion.toml", proofs=("the proxy's status",), lists_converted="converted"
    ),
    conversion_token=PrivateFile("token", 0o600, ours=True),
    converted_file="converted",
)


def standby(**changes: Any) -> Evidence:
    return replace(GOOD, upstreams=(ACTIVE, replace(STANDBY, **changes)))


def saml(**changes: Any) -> Evidence:
    return standby(saml=replace(SAML, **{"entity_id": "https://other.example.org", **changes}))


def directory(**changes: Any) -> Evidence:
    return replace(GOOD, upstreams=(ACTIVE, replace(DIRECTORY, **changes)))


def proxy(**changes: Any) -> Evidence:
    return replace(GOOD, proxy=replace(GOOD.proxy, **changes))


def server(**changes: Any) -> Evidence:
    return replace(GOOD, server=replace(SERVER, **changes))


def conversion(**changes: Any) -> Evidence:
    assert GOOD.conversion is not None
    return replace(GOOD, conversion=replace(GOOD.conversion, **changes))


def active(**changes: Any) -> Evidence:
    return replace(GOOD, upstreams=(replace(ACTIVE, **changes), STANDBY))


def limits(**changes: Any) -> Evidence:
    return directory(directory=replace(DirectorySeen(("a", "b"), ()), **changes))


def certificate(**changes: Any) -> Evidence:
    return standby(certificates=(replace(GOOD_KEY, **changes),))


UNSEEN = replace(
    GOOD,
    store=None,
    server=None,
    live=None,
    conversion=None,
    conversion_token=None,
    converted_file="",
)
ALONE = replace(GOOD, upstreams=(ACTIVE,))
NO_CONVERSION = replace(GOOD, conversion=None, conversion_token=None, converted_file="")
UNREADABLE = conversion(problem="No such file or directory")
NOBODY = replace(GOOD, upstreams=())

#: (rule's function, evidence that fails, evidence that passes)
TABLE: list[tuple[str, Evidence, Evidence]] = [
    ("fo_04_floor", standby(reaches_floor=False), GOOD),
    ("fo_04_floor", standby(reaches_floor=False), standby(reaches_floor=None)),
    ("fo_04_declared", standby(level_declared=False, reaches_floor=None), GOOD),
    (
        "fo_04_declared",
        standby(level_declared=False, reaches_floor=None),
        directory(level_declared=False, reaches_floor=None),
    ),
    ("fo_04_password_alone", directory(reaches_floor=None), directory()),
    ("fo_04_password_alone", directory(reaches_floor=None), standby(reaches_floor=None)),
    ("fo_04_active", active(reaches_floor=False), active(reaches_floor=None)),
    ("fo_04_active", active(reaches_floor=False, floor_holds=False), GOOD),
    ("fo_04_active", active(floor_holds=False), NOBODY),
    ("fo_04_active", active(floor_holds=False, below_floor=3), active(below_floor=3)),
    ("fo_07_bounded", replace(GOOD, switch=replace(GOOD.switch, automatic=7)), GOOD),
    (
        "fo_07_bounded",
        replace(
            GOOD,
            switch=replace(GOOD.switch, automatic_failback=True, dwell=timedelta(seconds=10)),
        ),
        replace(GOOD, switch=replace(GOOD.switch, automatic_failback=True)),
    ),
    ("fo_08_sync_age", replace(GOOD, store=StoreSeen({}, 0, 0)), GOOD),
    ("fo_08_sync_age", replace(GOOD, store=StoreSeen({"csv": None}, 0, 0)), UNSEEN),
    (
        "fo_08_sync_age",
        replace(GOOD, store=StoreSeen({"csv": NOW - 8 * DAY}, 0, 0)),
        replace(ALONE, store=StoreSeen({}, 0, 0)),
    ),
    ("fo_09_link_key", replace(GOOD, roster=replace(GOOD.roster, second=None)), GOOD),
    ("fo_09_link_key", replace(GOOD, roster=replace(GOOD.roster, second="id")), GOOD),
    ("fo_10_email_domains", standby(email_domains=frozenset()), GOOD),
    ("fo_11_admin_attribute", server(enable_admin_attribute=True), GOOD),
    (
        "fo_11_admin_attribute",
        server(enable_admin_attribute=True),
        replace(proxy(admin_attribute=True), server=replace(SERVER, enable_admin_attribute=True)),
    ),
    (
        "fo_11_admin_attribute",
        server(enable_admin_attribute=True),
        server(enable_admin_attribute=None),
    ),
    ("fo_11_admin_attribute", server(enable_admin_attribute=True), UNSEEN),
    ("fo_12_apart", standby(saml=SAML), GOOD),
    ("fo_12_apart", standby(saml=SAML), saml(entity_id=None)),
    ("fo_12_apart", standby(saml=SAML), directory()),
    ("fo_13_sessions_end", proxy(revokes_sessions=False), GOOD),
    ("fo_14_checkpoints", proxy(checkpoints=False), GOOD),
    (
        "fo_14_as_it_was_kept",
        replace(GOOD, store=StoreSeen({"csv": NOW - DAY}, 3, 2, ("waiver 1a2b",))),
        GOOD,
    ),
    ("fo_14_as_it_was_kept", replace(GOOD, store=StoreSeen({}, 0, 0, ("waiver 1a2b",))), UNSEEN),
    ("fo_14_told", proxy(channels=0), GOOD),
    ("fo_15_rehearsed", standby(proven_at=None), GOOD),
    ("fo_15_rehearsed", standby(proven_at=NOW - 2 * DAY), UNSEEN),
    (
        "fo_15_rehearsed",
        standby(proven_at=NOW - 2 * DAY, canary_passed_at=NOW - 2 * DAY),
        standby(proven_at=NOW - 2 * DAY, canary_passed_at=NOW),
    ),
    (
        "fo_15_rehearsal_age",
        replace(GOOD, switch=replace(GOOD.switch, rehearsal_max_age=30 * DAY)),
        GOOD,
    ),
    (
        "fo_15_answers",
        replace(GOOD, live=LiveSeen(timedelta(0), {"okta": "refused"})),
        GOOD,
    ),
    ("fo_15_answers", replace(GOOD, live=LiveSeen(timedelta(0), {"okta": "refused"})), UNSEEN),
    ("fo_16_operators_path", replace(GOOD, operators_path=None), GOOD),
    (
        "fo_16_operators_path",
        replace(GOOD, operators_path=OperatorsPath("vpn", ("azure",), date(2026, 11, 1))),
        GOOD,
    ),
    (
        "fo_16_operators_path",
        replace(GOOD, operators_path=OperatorsPath("vpn", (), date(2025, 11, 1))),
        GOOD,
    ),
    ("fo_17_failure_domains", standby(failure_domains=frozenset()), GOOD),
    ("fo_17_failure_domains", standby(failure_domains=frozenset({"okta.com"})), ALONE),
    ("fo_17_failure_domains", standby(failure_domains=frozenset({"okta.com"})), NOBODY),
    ("fo_17_one_host", directory(directory=DirectorySeen(("a",), ())), directory()),
    ("fo_17_one_host", directory(directory=DirectorySeen(("a",), ())), GOOD),
    ("sp_01_keys", standby(certificates=()), GOOD),
    ("sp_01_keys", standby(certificates=()), directory(certificates=())),
    ("sp_07_times", saml(clock_skew=timedelta(seconds=180)), GOOD),
    ("sp_07_times", saml(max_lifetime=timedelta(hours=1)), directory()),
    ("sp_08_encryption", saml(allow_aes_cbc=True), GOOD),
    ("sp_08_certificates", certificate(signature_hash="sha1"), GOOD),
    ("idp_02_signed_requests", proxy(demands_signed_requests=False), GOOD),
    ("idp_02_algorithms", server(signature_algorithm="RSAwithSHA1"), GOOD),
    ("idp_02_algorithms", server(canonical_algorithm="Canonical1.1"), UNSEEN),
    (
        "idp_02_algorithms",
        server(signature_algorithm="RSAwithSHA1"),
        server(signature_algorithm="RSAwithSHA1", sign_request=False),
    ),
    ("idp_03_verified", server(verify=False), GOOD),
    ("idp_03_verified", server(verify=False), UNSEEN),
    ("idp_03_encrypted", proxy(encrypts=False), GOOD),
    ("idp_03_encrypted", server(encrypt=False), UNSEEN),
    ("idp_06_rights", proxy(sent={"x": "roles"}, withheld=frozenset()), proxy(sent={"x": "roles"})),
    ("idp_06_rights", proxy(sent={"IsAdmin": "flag"}), proxy(sent={"controls": "enrolment"})),
    ("fo_09_sync_with_ldap", server(enable_sync_with_ldap=True), GOOD),
    ("fo_09_sync_with_ldap", server(enable_sync_with_ldap=True), UNSEEN),
    ("fo_09_found_by_id", server(id_attribute=""), GOOD),
    ("fo_09_found_by_id", server(id_attribute="email"), server(id_attribute=None)),
    ("fo_09_found_by_id", proxy(sent={"uid": "id"}), UNSEEN),
    ("web_01_phones", server(mobile_external_browser=False), GOOD),
    ("web_01_phones", server(mobile_external_browser=False), UNSEEN),
    ("fo_13_kept_long_enough", server(session_length=91 * DAY), server(session_length=90 * DAY)),
    ("fo_13_kept_long_enough", proxy(standby_logins_kept=29 * DAY), GOOD),
    ("fo_13_kept_long_enough", server(session_length=91 * DAY), server(session_length=None)),
    ("fo_13_kept_long_enough", server(session_length=91 * DAY), UNSEEN),
    ("key_01_files", proxy(private_files=(PrivateFile("k", 0o640, ours=True),)), GOOD),
    ("key_01_files", proxy(private_files=(PrivateFile("k", 0o600, ours=False),)), GOOD),
    ("key_02_strength", certificate(bits=1024), certificate(bits=256, algorithm="EC")),
    ("key_02_own_strength", proxy(certificates=(replace(GOOD_KEY, bits=2048),)), GOOD),
    ("key_02_ends", certificate(ends=NOW), GOOD),
    ("key_02_ends", certificate(ends=NOW + 29 * DAY), GOOD),
    ("key_02_ends", proxy(party_certificates=(replace(GOOD_KEY, ends=NOW),)), GOOD),
    ("key_02_ends", proxy(certificates=(replace(GOOD_KEY, begins=NOW + DAY),)), GOOD),
    ("md_01_pinned", saml(warrant="tls"), GOOD),
    ("md_01_pinned", saml(warrant="signed"), saml(warrant="signed", pinned=True)),
    ("md_01_pinned", saml(warrant="signed"), directory()),
    ("md_01_ends", saml(valid_until=NOW + timedelta(hours=1)), GOOD),
    ("md_01_ends", saml(valid_until=NOW), saml(valid_until=None)),
    ("md_01_waiting", saml(waiting=True), GOOD),
    ("md_01_waiting", saml(refresh_problem="not signed"), directory()),
    ("web_01_listener", proxy(on_loopback=False, trusted_proxies=()), GOOD),
    ("web_01_trial", proxy(insecure_loopback=True), GOOD),
    ("web_04_reverse_proxies", proxy(trusted_proxies=("10.0.0.0/8",)), GOOD),
    ("ldap_02_encrypted", directory(directory=DirectorySeen(("a", "b"), ("a",))), directory()),
    ("ldap_02_encrypted", directory(directory=DirectorySeen(("a", "b"), ("a",))), GOOD),
    ("ldap_04_limits", limits(lockout_after=21), limits(lockout_after=20)),
    ("ldap_04_limits", limits(per_source=51), limits(per_source=50)),
    ("ldap_04_limits", limits(elsewhere=1001), GOOD),
    ("ldap_04_offices", replace(GOOD, networks=(NetworkSeen("all", 2**17, 500),)), GOOD),
    ("ldap_04_offices", replace(GOOD, networks=(NetworkSeen("all", 1, 2001),)), GOOD),
    ("cnv_01_known", replace(NO_CONVERSION, converted_file="converted"), NO_CONVERSION),
    ("cnv_01_known", UNREADABLE, GOOD),
    (
        "cnv_01_token",
        replace(GOOD, conversion_token=PrivateFile("token", 0o640, ours=True)),
        GOOD,
    ),
    (
        "cnv_01_token",
        replace(GOOD, conversion_token=PrivateFile("token", 0o600, ours=False)),
        NO_CONVERSION,
    ),
    ("cnv_01_ledger", conversion(mirror_apart=False), GOOD),
    ("cnv_01_ledger", conversion(backups_encrypted=False), NO_CONVERSION),
    ("cnv_01_ledger", conversion(checkpoints=False), UNREADABLE),
    ("cnv_01_way_back", conversion(proofs=()), GOOD),
    ("cnv_01_way_back", conversion(proofs=()), conversion(proofs=(), problem="is no TOML")),
    ("cnv_01_listed", conversion(lists_converted=""), GOOD),
    ("cnv_01_listed", replace(GOOD, converted_file="other"), NO_CONVERSION),
    ("cnv_01_deadline", conversion(deadline=8 * DAY), conversion(deadline=7 * DAY)),
    ("cnv_01_deadline", conversion(channels=0), NO_CONVERSION),
    ("cnv_02_guards", conversion(error_budget_percent=11.0), conversion(error_budget_percent=10)),
    ("cnv_02_guards", conversion(at_most_percent=51.0), NO_CONVERSION),
    ("cnv_02_operators", conversion(operators=False), GOOD),
    ("cnv_02_operators", conversion(operators=False), UNREADABLE),
    ("ops_02_clock", replace(GOOD, live=LiveSeen(timedelta(seconds=-31), {})), GOOD),
    ("ops_02_clock", replace(GOOD, live=LiveSeen(timedelta(seconds=31), {})), UNSEEN),
]
BY_NAME = {rule.name: rule for rule in RULES}


def found(rule: Rule, seen: Evidence) -> tuple[Finding, ...]:
    return rule.findings(seen)


@pytest.mark.parametrize(("name", "fails", "passes"), TABLE, ids=[row[0] for row in TABLE])
def test_a_rule_finds_what_is_wrong_and_nothing_else(
    name: str, fails: Evidence, passes: Evidence
) -> None:
    findings = found(BY_NAME[name], fails)
    assert findings
    assert all(one.evidence and one.fix and one.source for one in findings)
    assert found(BY_NAME[name], passes) == ()


#: Every rule of facts and design that this program is reviewed by.
DEMANDED = {
    *(f"FO-{number:02}" for number in range(1, 18)),
    *(f"SP-{number:02}" for number in range(1, 12)),
    *(f"IDP-{number:02}" for number in range(1, 7)),
    *(f"XML-{number:02}" for number in range(1, 4)),
    *(f"WEB-{number:02}" for number in range(1, 5)),
    *(f"LDAP-{number:02}" for number in range(1, 5)),
    *(f"OPS-{number:02}" for number in range(1, 4)),
    *("KEY-01", "KEY-02", "MD-01", "SO-01", "CNV-01", "CNV-02"),
}


def test_every_rule_there_is_is_judged_or_held_or_both_and_explained() -> None:
    explained = tomllib.loads((ROOT / "docs/security/rules.toml").read_text("utf-8"))
    judged = {rule.id for rule in RULES}
    assert judged | HELD.keys() == DEMANDED == explained.keys()


def test_every_function_has_a_name_of_its_own_and_evidence_that_fails_and_that_passes() -> None:
    """What the rows claim is held against the functions: no rule is without its two sides, and no
    function is outside of the list that is run.
    """
    assert len(BY_NAME) == len(RULES)
    named = {name: (fails, passes) for name, fails, passes in TABLE}
    assert set(BY_NAME) == set(named)
    modules = {sys.modules[rule.judge.__module__] for rule in RULES}
    written = {name for one in modules for name in vars(one) if re.match(r"[a-z]+_\d\d_", name)}
    assert written == set(BY_NAME)
    for rule in RULES:
        rows = [(fails, passes) for name, fails, passes in TABLE if name == rule.name]
        assert any(rule.findings(fails) for fails, _ in rows), rule.name
        assert any(not rule.findings(passes) for _, passes in rows), rule.name
        assert rule.source
        assert inspect.getdoc(rule.judge)


def test_each_fault_that_a_function_can_yield_is_yielded_by_a_row() -> None:
    """Two findings in one function are two demands: neither may lose its row."""
    for rule in RULES:
        wanted = inspect.getsource(rule.judge).count("yield Fault(")
        said = {
            re.sub(r"[\d.]+|'[^']*'", "", one.fix + one.evidence[:25])
            for name, fails, _ in TABLE
            if name == rule.name
            for one in rule.findings(fails)
        }
        assert len(said) >= wanted, (rule.name, said)


def test_the_good_policy_has_no_finding_and_no_rule_speaks_of_what_was_not_looked_at() -> None:
    assert judge(GOOD).findings == ()
    assert judge(replace(UNSEEN, upstreams=(ACTIVE, DIRECTORY))).findings == ()


def test_a_rule_that_code_holds_is_held_by_a_test_that_exists() -> None:
    tests = "\n".join(
        path.read_text("utf-8") for path in Path(__file__).parents[1].rglob("test_*.py")
    )
    for rule, names in HELD.items():
        for name in names:
            assert re.search(rf"def {name}\(", tests), (rule, name)


def test_what_blocks_comes_first_and_then_the_worst() -> None:
    seen = replace(
        saml(allow_aes_cbc=True, warrant="tls"),
        proxy=replace(GOOD.proxy, encrypts=False, channels=0),
        server=None,
    )
    order = [(one.rule, one.blocking) for one in judge(seen).findings]
    assert order == [("SP-08", True), ("MD-01", False), ("FO-14", False), ("IDP-03", False)]
    assert [one.rule for one in judge(seen).blocking] == ["SP-08"]


def test_only_our_own_keys_and_listeners_stop_a_start_and_time_never_does() -> None:
    open_key = proxy(private_files=(PrivateFile("k", 0o644, ours=True),))
    assert [one.rule for one in why_not_started(open_key)] == ["KEY-01"]
    for rule in RULES:
        if rule.about is About.TIME:
            assert not any(
                one.stops_start or one.bars for _, f, _ in TABLE for one in found(rule, f)
            )
    for name, fails, _ in TABLE:
        stops = {one.rule for one in why_not_started(fails)}
        assert stops <= {"KEY-01", "WEB-01"}, name


CBC = judge(saml(allow_aes_cbc=True)).findings[0]


def waiver(**changes: Any) -> Waiver:
    made = Waiver(
        id="w1",
        rule="SP-08",
        subject="entra",
        checks=("sp_08_encryption",),
        people=("anna", "adam"),
        reason="until June",
        given_at=NOW - DAY,
        ends_at=NOW + DAY,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("given", "waived"),
    [
        (waiver(), True),
        (waiver(subject="okta"), False),
        (waiver(rule="SP-07"), False),
        (waiver(ends_at=NOW), False),
        # Given for a certificate of that upstream, before anybody allowed the other thing.
        (waiver(checks=("sp_08_certificates",)), False),
        (waiver(checks=("sp_08_certificates", "sp_08_encryption")), True),
    ],
)
def test_a_waiver_is_for_what_was_found_by_one_rule_at_one_upstream_and_for_a_time(
    given: Waiver, waived: bool
) -> None:
    review = judge(saml(allow_aes_cbc=True), [given])
    assert (review.findings == ()) is waived
    assert [one for one, _ in review.waived] == ([CBC] if waived else [])


def test_of_two_waivers_the_longer_one_counts() -> None:
    longer = waiver(id="w2", ends_at=NOW + 3 * DAY)
    assert judge(saml(allow_aes_cbc=True), [waiver(), longer]).waived == ((CBC, longer),)


@pytest.mark.parametrize(
    "seen",
    [
        standby(reaches_floor=False),
        standby(saml=SAML),
        server(verify=False),
        directory(directory=DirectorySeen(("a", "b"), ("a",))),
        proxy(private_files=(PrivateFile("k", 0o644, ours=True),)),
    ],
)
def test_what_stands_under_never_is_waived_by_nobody(seen: Evidence) -> None:
    finding = judge(seen).findings[0]
    assert why_never(finding) is not None
    given = waiver(rule=finding.rule, subject=finding.subject, checks=(finding.check,))
    assert judge(seen, [given]).waived == ()


def test_a_waiver_ends_within_half_a_year() -> None:
    assert why_never(CBC) is None
    assert end_problem(NOW + DAY, NOW) is None
    assert "past" in str(end_problem(NOW, NOW))
    assert "180 days" in str(end_problem(NOW + 181 * DAY, NOW))


BEFORE = Policy({"proxy.entity_id": "a", "upstream.okta.kind": "saml", "upstream.old.kind": "x"})
AFTER = Policy({"proxy.entity_id": "b", "upstream.okta.kind": "saml", "upstream.new.kind": "y"})
SIGNED = Signed("s1", "Rita", NOW - 3 * DAY, BEFORE, 0)


def test_a_digest_is_over_every_field_and_their_order_is_nothing() -> None:
    assert Policy(dict(reversed([*BEFORE.fields.items()]))).digest == BEFORE.digest
    assert AFTER.digest != BEFORE.digest
    assert BEFORE.digest.startswith("sha256:")


def test_the_difference_is_field_by_field() -> None:
    assert [(one.path, one.before, one.after) for one in difference(BEFORE, AFTER)] == [
        ("proxy.entity_id", "a", "b"),
        ("upstream.new.kind", None, "y"),
        ("upstream.old.kind", "x", None),
    ]
    assert difference(BEFORE, BEFORE) == ()


def test_nothing_switches_by_itself_to_what_is_not_as_it_was_signed() -> None:
    good = judge(GOOD)
    assert bars(good, AFTER, None) == {}
    assert bars(good, BEFORE, SIGNED) == {}
    assert bars(judge(proxy(channels=0)), BEFORE, None) == {}
    assert set(bars(good, AFTER, SIGNED)) == {"new", "old"}
    two = Policy({**BEFORE.fields, "upstream.okta.kind": "ldap", "upstream.okta.name": "x"})
    ((why,),) = bars(good, two, SIGNED).values()
    assert "Rita" in why


def test_a_blocking_finding_bars_its_upstream_and_no_other() -> None:
    seen = saml(allow_aes_cbc=True)
    seen = replace(
        seen,
        upstreams=(
            ACTIVE,
            replace(seen.upstreams[1], certificates=(replace(GOOD_KEY, bits=1024),)),
        ),
    )
    barred = bars(judge(seen), BEFORE, None)
    assert set(barred) == {"entra"}
    assert [why.partition(":")[0] for why in barred["entra"]] == ["KEY-02", "SP-08"]
    assert bars(judge(seen, [waiver()]), BEFORE, None)["entra"][0].startswith("KEY-02")


def test_a_signature_that_was_altered_in_the_store_is_nobodys_and_bars_every_standby() -> None:
    altered, policy = replace(SIGNED, genuine=False), Policy({ORDER: "okta, entra, ldap"})
    barred = bars(judge(saml(allow_aes_cbc=True)), policy, altered)
    assert set(barred) == {"entra", "ldap"}
    assert barred["entra"][0].startswith("SP-08: ")
    assert all("was altered in the store" in why[-1] for why in barred.values())
    assert "what Rita signed as s1 was altered" in str(changed_since(altered, BEFORE, NOW))


def test_another_policy_than_the_signed_one_is_told_in_a_line() -> None:
    assert changed_since(None, AFTER, NOW) is None
    assert changed_since(SIGNED, BEFORE, NOW) is None
    said = str(changed_since(SIGNED, AFTER, NOW))
    assert "Rita signed 3 days ago" in said
    assert "proxy.entity_id" in said
    many = Policy({f"a{number}": "x" for number in range(9)})
    assert str(changed_since(SIGNED, many, NOW)).endswith("and more")


@given(
    signed=st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")),
    later=st.dictionaries(
        st.sampled_from(["new", "upstream.*.new", "upstream.*.sub.field"]), st.sampled_from("xy")
    ),
    value=st.sampled_from("xyz"),
)
def test_a_field_of_a_later_release_changes_the_digest_only_when_it_means_something_else(
    signed: dict[str, str], later: dict[str, str], value: str
) -> None:
    before = lasting(signed, {})
    added = {path.replace("*", "okta"): value for path in later}
    after = lasting({**signed, **added}, later)
    same = all(value == meant for meant in later.values())
    assert (after.digest == before.digest) is same
    assert (difference(before, after) == ()) is same
    # Nor does it hide what was there before.
    assert before.fields.items() <= after.fields.items()


def test_a_default_that_changes_is_a_change_of_the_policy() -> None:
    """The field came with 10 and is left out at 10; a later release makes 20 of it."""
    later = {"upstream.*.limits.tries": "10"}
    before = lasting({"a": "x", "upstream.okta.limits.tries": "10"}, later)
    after = lasting({"a": "x", "upstream.okta.limits.tries": "20"}, later)
    (change,) = difference(before, after)
    assert (change.path, change.before, change.after) == ("upstream.okta.limits.tries", None, "20")


def test_severities_are_ordered_from_the_worst() -> None:
    assert list(Severity) == ["critical", "high", "medium", "low"]
