"""A review in SARIF 2.1.0 (OASIS), as code-scanning services read it."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from idp_proxy.decision.review import RULES, Severity

if TYPE_CHECKING:
    from idp_proxy.decision.review import Finding, Waiver
    from idp_proxy.reviewing.report import Report

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
#: The number by which services sort what concerns security.
_NUMBERS: Final = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.0",
    Severity.LOW: "2.0",
}


def as_sarif(report: Report, version: str) -> dict[str, Any]:
    """The whole log: one run, every rule that was judged, a result for each finding."""
    rules = _rules()
    numbers = {rule["id"]: number for number, rule in enumerate(rules)}
    results = [_result(one, report.file, numbers, None) for one in report.review.findings]
    results += [_result(one, report.file, numbers, by) for one, by in report.review.waived]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {"name": "idp-proxy review", "version": version, "rules": rules}
                },
                "columnKind": "unicodeCodePoints",
                "invocations": [
                    {
                        "executionSuccessful": True,
                        "endTimeUtc": report.seen.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    }
                ],
                "properties": {"policyDigest": report.policy.digest},
                "results": results,
            }
        ],
    }


def _rules() -> list[dict[str, Any]]:
    """One descriptor for each ID, with what each of its functions demands."""
    described: dict[str, dict[str, Any]] = {}
    for rule in RULES:
        text = " ".join((inspect.getdoc(rule.judge) or "").split())
        known = described.get(rule.id)
        if known is not None:
            known["fullDescription"]["text"] += f" {text}"
            continue
        described[rule.id] = {
            "id": rule.id,
            "name": rule.name,
            "shortDescription": {"text": text},
            "fullDescription": {"text": text},
            "defaultConfiguration": {"level": _LEVELS[rule.severity]},
            "properties": {
                "tags": ["security", rule.source],
                "security-severity": _NUMBERS[rule.severity],
            },
        }
    return list(described.values())


def _result(
    one: Finding, file: str, numbers: dict[str, int], waiver: Waiver | None
) -> dict[str, Any]:
    about = f"upstream {one.subject}: " if one.subject else ""
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": quote(file)}}}
    if one.subject:
        place["logicalLocations"] = [{"name": one.subject, "kind": "member"}]
    mark = hashlib.sha256(f"{one.rule} {one.subject} {one.evidence}".encode()).hexdigest()
    result: dict[str, Any] = {
        "ruleId": one.rule,
        "ruleIndex": numbers[one.rule],
        "level": _LEVELS[one.severity],
        "message": {"text": f"{about}{one.evidence}. To do: {one.fix}"},
        "locations": [place],
        "partialFingerprints": {"finding/v1": mark},
        "properties": {"blocking": one.blocking, "about": one.about.value},
    }
    if waiver is not None:
        people = ", ".join(waiver.people)
        result["suppressions"] = [
            {
                "kind": "external",
                "status": "accepted",
                "justification": f"{people}, until {waiver.ends_at:%Y-%m-%d}: {waiver.reason}",
            }
        ]
    return result
