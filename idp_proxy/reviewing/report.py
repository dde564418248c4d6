"""A review as it is told: one value, from which every form is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from idp_proxy.decision.review import HELD, difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.review import (
        CertificateSeen,
        Change,
        Evidence,
        Finding,
        Policy,
        Review,
        Signed,
        UpstreamSeen,
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
        "held_by_code": dict(HELD),
        "contexts_seen": {
            one.name: {name: at.isoformat() for name, at in one.contexts_seen.items()}
            for one in report.seen.upstreams
        },
        "signed": None
        if signed is None
        else {
            "id": signed.id,
            "name": signed.name,
            "at": signed.at.isoformat(),
            "digest": signed.policy.digest,
        },
        "changed_since_signed": [
            {"field": one.path, "before": one.before, "after": one.after} for one in report.changes
        ],
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


def side_by_side(report: Report) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What each upstream is, a row a fact and a column an upstream."""
    columns = [dict(_facts(one, report.assurance)) for one in report.seen.upstreams]
    names = dict.fromkeys(name for column in columns for name in column)
    return tuple(
        (name, tuple(column.get(name, "does not apply") for column in columns)) for name in names
    )


def _facts(one: UpstreamSeen, assurance: AssurancePolicy) -> Iterator[tuple[str, str]]:
    yield "kind", one.kind
    yield "usable now", "yes" if one.usable is None else f"no: {one.usable}"
    if one.saml is not None:
        saml = one.saml
        yield "entity ID", saml.entity_id or "none approved"
        yield "knows us as", saml.own_entity_id
        pinned = " with a pin" if saml.pinned else ""
        yield "metadata believed by", f"{saml.warrant}{pinned}"
        yield "metadata counts until", _time(saml.valid_until) if saml.valid_until else "no end"
        yield "must be signed", saml.require_signed
        encrypted = "AES-GCM" + (", AES-CBC" if saml.allow_aes_cbc else "")
        yield "encryption", encrypted if saml.decrypts else "none"
        yield "asked for context classes", _lines(saml.requested_contexts) or "none"
        yield "longest assertion", f"{saml.max_lifetime.total_seconds():.0f} s"
        yield "clock skew", f"{saml.clock_skew.total_seconds():.0f} s"
    if one.directory is not None:
        yield "hosts", _lines(one.directory.hosts)
        clear = one.directory.in_the_clear
        yield "encryption", f"NONE for {_lines(clear)}" if clear else "LDAPS or StartTLS"
    yield "certificates and keys", _lines(map(_certificate, one.certificates)) or "none"
    mapped = assurance.of(one.name)
    levels = [f"{context} = {level}" for context, level in mapped.contexts.items()]
    levels += [f"{found.attribute}: {found.value} = {found.level}" for found in mapped.evidence]
    yield "levels (second factor)", _lines(levels) or "none declared"
    floor = {True: "yes", False: "NO", None: "no floor is declared"}[one.reaches_floor]
    yield "can reach the floor", floor
    seen = (f"{name} ({_time(at)})" for name, at in one.contexts_seen.items())
    yield "context classes seen", _lines(seen) or "none"
    yield "attributes", _lines(f"{name} from {at}" for name, at in one.attributes.items())
    yield "email domains", _lines(sorted(one.email_domains)) or "any"
    yield "failure domains", _lines(sorted(one.failure_domains)) or "none declared"
    yield "canaries", str(one.canaries)
    times = [at for at in (one.proven_at, one.canary_passed_at) if at is not None]
    yield "last proven", _time(max(times)) if times else "never"


def _certificate(one: CertificateSeen) -> str:
    return (
        f"{one.what}: {one.algorithm} {one.bits}, {one.signature_hash}, until {one.ends:%Y-%m-%d}"
    )


def _lines(parts: Any) -> str:
    return "\n".join(parts)


def _time(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
