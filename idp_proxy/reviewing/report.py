"""A review as it is told: one value, from which every form is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from idp_proxy.decision.review import HELD, difference

if TYPE_CHECKING:
    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.review import (
        Change,
        Evidence,
        Finding,
        Policy,
        Review,
        Signed,
        Waiver,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told. `file` is the configuration's name, `versions` what was running."""

    file: str
    seen: Evidence
    review: Review
    assurance: AssurancePolicy
    policy: Policy
    signed: Signed | None
    versions: tuple[tuple[str, str], ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """What is not as it was signed last."""
        return () if self.signed is None else difference(self.signed.policy, self.policy)


def as_json(report: Report) -> dict[str, Any]:
    """For programs; times in ISO 8601."""
    signed = report.signed
    return {
        "at": report.seen.now.isoformat(),
        "digest": report.policy.digest,
        "blocking": len(report.review.blocking),
        "findings": [_finding(one) for one in report.review.findings],
        "waived": [
            _finding(one) | {"waiver": _waiver(waiver)} for one, waiver in report.review.waived
        ],
        "held_by_code": {rule: list(tests) for rule, tests in HELD.items()},
        "contexts_seen": {
            one.name: {name: at.isoformat() for name, at in one.contexts_seen.items()}
            for one in report.seen.upstreams
        },
        "signed": None
        if signed is None
        else {
            "id": signed.id,
            "genuine": signed.genuine,
            "name": signed.name,
            "at": signed.at.isoformat(),
            "digest": signed.policy.digest,
        },
        "changed_since_signed": [
            {"field": one.path, "before": one.before, "after": one.after} for one in report.changes
        ],
        "policy": dict(report.policy.fields),
        "versions": dict(report.versions),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "severity": one.severity.value,
        "about": one.about.value,
        "upstream": one.subject or None,
        "evidence": one.evidence,
        "fix": one.fix,
        "source": one.source,
        "blocking": one.blocking,
    }


def _waiver(one: Waiver) -> dict[str, Any]:
    return {
        "id": one.id,
        "people": list(one.people),
        "reason": one.reason,
        "ends_at": one.ends_at.isoformat(),
    }
