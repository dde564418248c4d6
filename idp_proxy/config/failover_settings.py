"""What `[failover]` and `[health]` say, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    from idp_proxy.config.canaries import CanaryTimes
    from idp_proxy.decision.eligibility import FailoverLimits
    from idp_proxy.decision.health import Cadence, Thresholds
    from idp_proxy.decision.traffic import TrafficLimits


@dataclass(frozen=True, slots=True)
class FailoverSettings:
    """`[failover]`. `tick` is how often the watch publishes and decides; `cadence` and `thresholds`
    are those of the probes, `canary_thresholds` those of the canary logins; `late_answers` is for
    how long an upstream that was left because it was down may still answer, `standby_session` how
    long a session may last that a standby made, `standby_logins_kept` how long it is known who came
    through one where nobody looks after these sessions.
    """

    profile: str
    tick: timedelta
    cadence: Cadence
    thresholds: Thresholds
    canary_times: CanaryTimes
    canary_thresholds: Thresholds
    limits: FailoverLimits
    late_answers: timedelta
    standby_session: timedelta
    standby_logins_kept: timedelta


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """`[health]`. `references` are neutral addresses, asked on the path of each upstream; a host
    counts for as long as `fresh` after its last report; `unanswered` is by what unanswered logins
    warn (L3).
    """

    references: tuple[str, ...]
    fresh: timedelta
    unanswered: TrafficLimits
