"""`status --json`: the same facts as the lines, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idp_proxy.cli.after_outage import known_until
from idp_proxy.cli.drilling import drill_as_json
from idp_proxy.decision.eligibility import eligible, switches_left
from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import route

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.cli.status.found import Found
    from idp_proxy.decision.fleet import HostReport
    from idp_proxy.decision.health import Canary
    from idp_proxy.decision.proposal import Proposal


def as_json(found: Found) -> dict[str, Any]:
    """The same facts for programs; times in ISO 8601."""
    state, seen = found.state, found.seen
    decision, limits = seen.decision, seen.situation.limits
    return {
        "serving": state.serving,
        "logins_go_to": route(state),
        "since": state.since.isoformat(),
        "cause": state.cause,
        "actor": state.actor,
        "mode": state.mode.value,
        "epoch": state.epoch,
        "watched": found.watched,
        "decision": {
            "action": decision.action.value,
            "rule": decision.rule,
            "reason": decision.reason,
            "target": decision.target,
            "due_at": _iso(decision.due_at),
        },
        "automatic_switches_left": switches_left(state, limits, seen.at),
        "would_take_over": eligible(state, seen.situation),
        "upstreams": [_upstream_as_json(found, name) for name in found.usable],
        "hosts": [_host_as_json(found, report) for report in seen.reports],
        "host_findings": [
            {"rule": one.rule, "host": one.host, "what": one.what} for one in seen.discords
        ],
        "canaries": [_canary_as_json(one) for one in seen.canaries],
        "drill": None if found.drill is None else drill_as_json(found.drill),
        "proposals": [_proposal_as_json(one) for one in found.proposals],
        "overrides_counting": [one.id for one in found.counting],
        "overrides_to_review": found.unreviewed,
        "left_by_standbys": _left_as_json(found),
    }


def _left_as_json(found: Found) -> dict[str, Any] | None:
    left = found.left_behind
    if left is None:
        return None
    until = known_until(left, found.settings)
    return {
        "people": left.people,
        "since": left.since.isoformat(),
        "known_until": until.isoformat(),
    }


def _upstream_as_json(found: Found, name: str) -> dict[str, Any]:
    health, why = found.seen.situation.health(name), found.usable[name]
    return {
        "name": name,
        "enabled": name not in found.state.disabled,
        "usable": why is None,
        "reason": why,
        "verdict": (health.verdict if health else Verdict.UNKNOWN).value,
        "verdict_reasons": list(health.reasons) if health else [],
        "up_since": _iso(health.up_since if health else None),
        "ineligible": list(found.seen.why_ineligible(name)),
        "proven_at": _iso(found.seen.situation.candidates[name].proven_at),
    }


def _host_as_json(found: Found, report: HostReport) -> dict[str, Any]:
    return {
        "host": report.host,
        "at": report.at.isoformat(),
        "counts": report.host in found.seen.situation.fleet.seen,
        "isolated": dict(report.isolated),
        "verdicts": {name: track.verdict.value for name, track in report.tracks.items()},
    }


def _canary_as_json(one: Canary) -> dict[str, Any]:
    return {
        "upstream": one.upstream,
        "name": one.name,
        "verdict": one.track.verdict.value,
        "reason": one.track.reason,
        "refused": one.track.refused,
        "passed_at": _iso(one.track.passed_at),
        "host": one.host,
    }


def _proposal_as_json(one: Proposal) -> dict[str, Any]:
    return {
        "id": one.id,
        "act": one.act.value,
        "target": one.target,
        "reason": one.reason,
        "people": list(one.people),
        "expires_at": one.expires_at.isoformat(),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
