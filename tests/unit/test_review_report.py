"""The forms of a review: SARIF that keeps the rules of its schema, and the page to sign."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from lxml import html

from idp_proxy.decision.assurance import (
    AssurancePolicy,
    AttributeEvidence,
    UpstreamAssurance,
)
from idp_proxy.decision.review import RULES, Policy, Review, ServerSeen, Signed, Waiver, judge
from idp_proxy.reviewing.html import as_html
from idp_proxy.reviewing.report import Report, as_json
from idp_proxy.reviewing.sarif import as_sarif
from idp_proxy.reviewing.server import server_seen
from idp_proxy.reviewing.sheets import side_by_side
from tests.unit.sarif_shape import problems
from tests.unit.test_decision_review import ACTIVE, GOOD, NOW, STANDBY, directory, saml

HOSTILE = "<script>alert('x')</script>"
SEEN = replace(
    saml(allow_aes_cbc=True, warrant="tls", requested_contexts=(HOSTILE,)),
    operators_path=None,
)
WAIVER = Waiver(
    id="w1",
    rule="SP-08",
    subject="entra",
    checks=("sp_08_encryption",),
    people=("anna", "adam"),
    reason=HOSTILE,
    given_at=NOW - timedelta(days=1),
    ends_at=NOW + timedelta(days=1),
)
SIGNED = Signed("s1", HOSTILE, NOW, Policy({"a": HOSTILE, "c": "same"}), 0)
ASSURANCE = AssurancePolicy(
    "okta",
    ("password", "mfa"),
    "mfa",
    upstreams={
        "entra": UpstreamAssurance(
            {HOSTILE: "mfa"}, (AttributeEvidence("amr", "otp", "mfa"),), (HOSTILE,)
        )
    },
)


def report(**changes: Any) -> Report:
    made = Report(
        file="idp-proxy.toml",
        seen=SEEN,
        review=judge(SEEN, [WAIVER]),
        assurance=ASSURANCE,
        policy=Policy({"b": "new", "c": "same"}),
        signed=SIGNED,
        versions=(("mattermost-sso-failover", "0.1.0"),),
    )
    return replace(made, **changes)


def test_json_has_every_finding_waiver_and_change() -> None:
    document = json.loads(json.dumps(as_json(report())))
    assert document["blocking"] == 0
    assert [one["rule"] for one in document["findings"]] == ["MD-01", "FO-16"]
    assert document["waived"][0]["waiver"]["people"] == ["anna", "adam"]
    assert document["changed_since_signed"] == [
        {"field": "a", "before": HOSTILE, "after": None},
        {"field": "b", "before": None, "after": "new"},
    ]
    assert document["held_by_code"]["XML-03"]
    assert as_json(report(signed=None))["signed"] is None


def sarif(**changes: Any) -> Any:
    return json.loads(json.dumps(as_sarif(report(**changes), "0.1.0")))


@pytest.mark.parametrize("file", ["idp-proxy.toml", "unsere Prüfung 100%.toml"])
def test_sarif_keeps_to_its_schema(file: str) -> None:
    log = sarif(file=file, review=judge(SEEN, [WAIVER]))
    assert problems(log) == []
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert {rule["id"] for rule in rules} == {rule.id for rule in RULES}
    assert len(run["results"]) == 3
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert len(result["partialFingerprints"]["finding/v1"]) == 64
        assert 0 < float(rules[result["ruleIndex"]]["properties"]["security-severity"]) <= 10
    (waived,) = [one for one in run["results"] if "suppressions" in one]
    (suppression,) = waived["suppressions"]
    assert (suppression["kind"], suppression["status"]) == ("external", "accepted")
    assert "anna, adam" in suppression["justification"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((), {"version": "2.1.0"}),
        (("version",), "2.0.0"),
        (("runs", 0, "surprise"), 1),
        (("runs", 0, "tool", "driver", "rules", 0, "severity"), "high"),
        (("runs", 0, "results", 0, "message"), "text"),
        (("runs", 0, "results", 0, "level"), "critical"),
        (("runs", 0, "results", 0, "ruleIndex"), True),
        (("runs", 0, "results", 0, "locations"), {}),
        (("runs", 0, "invocations", 0, "endTimeUtc"), "yesterday"),
        (
            (
                "runs",
                0,
                "results",
                0,
                "locations",
                0,
                "physicalLocation",
                "artifactLocation",
                "uri",
            ),
            "a b",
        ),
    ],
)
def test_what_the_schema_does_not_take_is_seen(path: tuple[str | int, ...], value: Any) -> None:
    log = sarif()
    assert problems(log) == []
    *above, last = path or (None,)
    inner = log
    for step in above:
        inner = inner[step]
    if last is None:
        log = value
    else:
        inner[last] = value
    assert problems(log) != []


def test_nothing_on_the_page_runs_or_is_fetched_whatever_an_upstream_calls_itself() -> None:
    text = as_html(report())
    page: Any = html.fromstring(text)
    assert "<script" not in text
    assert not page.xpath("//script | //img | //link | //@onclick | //@src | //iframe")
    assert "default-src 'none'" in text
    shown = page.text_content()
    assert shown.count(HOSTILE) >= 4


def test_the_page_has_what_a_reviewer_signs_and_headings_for_those_who_listen() -> None:
    page: Any = html.fromstring(as_html(report()))
    assert page.get("lang") == "en"
    headings = [one.text_content() for one in page.xpath("//h2")]
    assert headings == [
        "Policy",
        "Active and standby side by side",
        "Moving people to a password",
        "Findings",
        "Waivers",
        "Since the last signature",
        "Held by the code, whatever is configured",
        "Versions",
    ]
    for cell in page.xpath("//th"):
        assert cell.get("scope") in {"row", "col"}
    assert [one.text for one in page.xpath("//div[@class='sign']/div")] == [
        "Name",
        "Date",
        "Signature",
    ]
    assert "No blocking finding" in page.text_content()


def test_a_page_with_a_blocking_finding_says_that_it_is_not_to_be_signed() -> None:
    text = as_html(report(review=judge(SEEN), signed=None))
    assert "Not to be signed: 1 blocking of 3 findings" in text
    assert "Nobody signed a policy yet." in text
    same = report(signed=replace(SIGNED, policy=report().policy), review=Review((), ()), seen=GOOD)
    text = as_html(same)
    assert "Nothing has changed." in text
    assert "modem; depends on mobile network" in text


def test_each_upstream_has_a_column_and_each_fact_a_row() -> None:
    rows = dict(side_by_side(report()))
    assert rows["encryption"] == ("AES-GCM, RSA-OAEP", "AES-GCM, AES-CBC, RSA-OAEP")
    assert rows["levels"][1] == f"{HOSTILE} = mfa\namr: otp = mfa"
    assert rows["second factor (what reaches the floor)"] == (
        "NOTHING",
        f"{HOSTILE}\namr: otp",
    )
    seen = directory(
        level_declared=False,
        reaches_floor=None,
        usable="away",
        proven_at=None,
        contexts_seen={"urn:x": NOW},
        email_domains=frozenset(),
        failure_domains=frozenset(),
    )
    seen = replace(seen, upstreams=(replace(ACTIVE, certificates=()), *seen.upstreams[1:]))
    rows = dict(side_by_side(report(seen=seen, assurance=AssurancePolicy("okta"))))
    assert rows["hosts"] == ("does not apply", "a\nb")
    assert rows["usable now"] == ("yes", "no: away")
    assert rows["last proven"][1] == "never"
    assert rows["context classes seen"][1].startswith("urn:x (2026-12-01")
    clear = replace(seen.upstreams[1].directory, in_the_clear=("a",))  # type: ignore[type-var]
    seen = replace(seen, upstreams=(STANDBY, replace(seen.upstreams[1], directory=clear)))
    assert dict(side_by_side(report(seen=seen)))["encryption"][1] == "NONE for a"


def test_of_mattermosts_settings_only_what_is_asked_is_kept_and_only_in_its_type() -> None:
    told: dict[str, dict[str, Any]] = {
        "SamlSettings": {"Verify": False, "Encrypt": "yes", "SignatureAlgorithm": "RSAwithSHA1"},
        "NativeAppSettings": {"MobileExternalBrowser": True},
        "ServiceSettings": {"SessionLengthSSOInHours": 720, "SessionLengthSSOInDays": 31},
    }
    seen = server_seen(told)
    assert (seen.verify, seen.encrypt, seen.mobile_external_browser) == (False, None, True)
    assert seen.signature_algorithm == "RSAwithSHA1"
    assert seen.session_length == timedelta(days=30)
    assert server_seen({}) == ServerSeen()


@pytest.mark.parametrize(
    ("told", "days"),
    [
        ({"SessionLengthSSOInDays": 180}, 180),
        ({"SessionLengthSSOInHours": True, "SessionLengthSSOInDays": 7}, 7),
        ({"SessionLengthSSOInHours": 0}, None),
        ({"SessionLengthSSOInHours": 10**40}, None),
        ({"SessionLengthSSOInHours": "720"}, None),
    ],
)
def test_a_session_s_length_is_a_number_of_hours_or_of_days(
    told: dict[str, Any], days: int | None
) -> None:
    length = server_seen({"ServiceSettings": told}).session_length
    assert length == (None if days is None else timedelta(days=days))
