"""The review, pure: evidence in, findings out, and what follows from them.

Each rule that can be judged is one function that bears its ID (`fo_04_floor`); a rule that cannot
be weakened by configuration is named with the test that holds it (`HELD`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.review import (
    of_conversion,
    of_directories,
    of_failover,
    of_mattermost,
    of_parties,
)
from idp_proxy.decision.review.evidence import (
    CertificateSeen,
    ConversionSeen,
    DirectorySeen,
    Evidence,
    LiveSeen,
    NetworkSeen,
    OperatorsPath,
    PrivateFile,
    ProxySeen,
    RosterSeen,
    SamlSeen,
    ServerSeen,
    StoreSeen,
    SwitchSeen,
    UpstreamSeen,
)
from idp_proxy.decision.review.findings import About, Finding, Rule, Severity
from idp_proxy.decision.review.held import HELD
from idp_proxy.decision.review.policy import ORDER, Change, Policy, Signed, difference
from idp_proxy.decision.review.waivers import Waiver, covering, end_problem, why_never

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

__all__ = [
    "HELD",
    "RULES",
    "About",
    "CertificateSeen",
    "Change",
    "ConversionSeen",
    "DirectorySeen",
    "Evidence",
    "Finding",
    "LiveSeen",
    "NetworkSeen",
    "OperatorsPath",
    "Policy",
    "PrivateFile",
    "ProxySeen",
    "Review",
    "RosterSeen",
    "Rule",
    "SamlSeen",
    "ServerSeen",
    "Severity",
    "Signed",
    "StoreSeen",
    "SwitchSeen",
    "UpstreamSeen",
    "Waiver",
    "bars",
    "changed_since",
    "covering",
    "difference",
    "end_problem",
    "judge",
    "why_never",
    "why_not_started",
]

RULES: Final[tuple[Rule, ...]] = (
    *of_failover.RULES,
    *of_mattermost.RULES,
    *of_parties.RULES,
    *of_directories.RULES,
    *of_conversion.RULES,
)
_ORDER: Final = {severity: number for number, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Review:
    """What was found: what is open, and what people took on themselves."""

    findings: tuple[Finding, ...]
    waived: tuple[tuple[Finding, Waiver], ...]

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """What must not stay."""
        return tuple(one for one in self.findings if one.blocking)


def judge(seen: Evidence, waivers: Sequence[Waiver] = ()) -> Review:
    """Every rule over the evidence; what blocks comes first, then the worst."""
    found = [finding for rule in RULES for finding in rule.findings(seen)]
    found.sort(key=lambda one: (not one.blocking, _ORDER[one.severity], one.rule, one.subject))
    covered = [(one, covering(waivers, one, seen.now)) for one in found]
    return Review(
        findings=tuple(one for one, waiver in covered if waiver is None),
        waived=tuple((one, waiver) for one, waiver in covered if waiver is not None),
    )


def why_not_started(seen: Evidence) -> tuple[Finding, ...]:
    """What stops a start: our own keys and listeners, and nothing that time alone has changed."""
    return tuple(one for one in judge(seen).findings if one.stops_start)


def bars(review: Review, policy: Policy, signed: Signed | None) -> Mapping[str, tuple[str, ...]]:
    """By upstream, why it may not take over by itself: its blocking findings, and that it is not
    as it was signed.
    """
    found: dict[str, tuple[str, ...]] = {}
    for one in review.findings:
        if one.bars:
            found[one.subject] = (*found.get(one.subject, ()), f"{one.rule}: {one.evidence}")
    if signed is None:
        return found
    _, *standbys = policy.fields.get(ORDER, "").split(", ")
    if not signed.genuine:
        why = f"what {signed.name} signed was altered in the store: read, and sign again"
        return {name: (*found.get(name, ()), why) for name in {*found, *standbys}}
    changes = difference(signed.policy, policy)
    why = (
        f"it is not as {signed.name} signed it on {signed.at:%Y-%m-%d}: review --since {signed.id}"
    )
    for name in dict.fromkeys(name for one in changes for name in one.concerns(standbys)):
        found[name] = (*found.get(name, ()), why)
    return found


def changed_since(signed: Signed | None, policy: Policy, now: datetime) -> str | None:
    """That the running policy is not the one that was signed, in one line; None if it is."""
    if signed is not None and not signed.genuine:
        return (
            f"what {signed.name} signed as {signed.id} was altered in the store, or the state key "
            "under it is gone: read the policy, and sign it again"
        )
    if signed is None or signed.policy.digest == policy.digest:
        return None
    paths = [change.path for change in difference(signed.policy, policy)]
    days = (now - signed.at).days
    return (
        f"the running policy is not what {signed.name} signed {days} days ago: "
        f"{', '.join(paths[:5])}{' and more' if paths[5:] else ''}"
    )
