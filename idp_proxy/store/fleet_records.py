"""How reports and canaries become JSON and come back; nothing here knows a database."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Canary, Track, Verdict
from idp_proxy.decision.membership import Membership

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMES = ("since", "at", "passed_at")


def track_record(track: Track) -> dict[str, Any]:
    """`track` as JSON; times are ISO 8601 with their zone."""
    times = {name: getattr(track, name) for name in _TIMES}
    return {
        "verdict": track.verdict.value,
        "passes": track.passes,
        "failures": track.failures,
        "reason": track.reason,
        "refused": track.refused,
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }


def track_from(record: Mapping[str, Any]) -> Track:
    """The track that `track_record` wrote; an empty record is one that saw nothing yet."""
    if not record:
        return Track()
    times = {name: record[name] for name in _TIMES}
    return Track(
        verdict=Verdict(record["verdict"]),
        passes=record["passes"],
        failures=record["failures"],
        reason=record["reason"],
        refused=record["refused"],
        **{name: None if at is None else datetime.fromisoformat(at) for name, at in times.items()},
    )


def report_record(report: HostReport) -> dict[str, Any]:
    """`report` as JSON, without its host and time."""
    return {
        "tracks": {name: track_record(track) for name, track in report.tracks.items()},
        "isolated": dict(report.isolated),
        "reference_answers": report.reference_answers,
        "preference": list(report.member.preference),
        "keys": list(report.member.keys),
        "installation": report.member.installation,
        "run": report.member.run,
        "barred": {name: list(reasons) for name, reasons in report.barred.items()},
    }


def report_from(host: str, at: datetime, record: Mapping[str, Any]) -> HostReport:
    """The report that `report_record` wrote."""
    return HostReport(
        host=host,
        at=at,
        tracks={name: track_from(one) for name, one in record["tracks"].items()},
        isolated=record["isolated"],
        reference_answers=record["reference_answers"],
        # A host of an older version does not say what it is made of.
        member=Membership(
            preference=tuple(record.get("preference", ())),
            keys=tuple(record.get("keys", ())),
            installation=record.get("installation", ""),
            run=record.get("run", ""),
        ),
        barred={name: tuple(reasons) for name, reasons in record.get("barred", {}).items()},
    )


def canary_from(record: Mapping[str, Any]) -> Canary:
    """The canary with these columns."""
    return Canary(**{**record, "track": track_from(record["track"])})
