"""The shape of `[failover]` and `[health]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from idp_proxy.config.table import Table

_Seconds = Annotated[float, Field(ge=0.1, le=86400)]
_Count = Annotated[int, Field(ge=1, le=100)]


class FailoverTable(Table):
    """`[failover]`. None: as the profile says."""

    profile: Literal["default", "fast"] = "default"
    tick_s: _Seconds | None = None
    interval_s: _Seconds | None = None
    interval_in_transition_s: _Seconds | None = None
    jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    timeout_s: _Seconds | None = None
    connect_timeout_s: _Seconds | None = None
    suspect_after: _Count | None = None
    fall: _Count | None = None
    confirm: Annotated[int, Field(ge=0, le=20)] | None = None
    rise: _Count | None = None
    canary_interval_s: _Seconds | None = None
    canary_interval_standby_s: _Seconds | None = None
    canary_retry_s: _Seconds | None = None
    canary_timeout_s: _Seconds | None = None
    canary_fall: _Count | None = None
    canary_confirm: Annotated[int, Field(ge=0, le=20)] | None = None
    canary_rise: _Count | None = None
    hold_down_s: Annotated[int, Field(ge=0, le=604800)] | None = None
    dwell_s: Annotated[int, Field(ge=0, le=604800)] | None = None
    automatic_per_hour: Annotated[int, Field(ge=0, le=60)] = 2
    failback: Literal["approve", "scheduled", "auto"] = "approve"
    windows: list[str] = Field(default_factory=list)
    rehearsed_by_canary_s: Annotated[int, Field(ge=60, le=86400)] = 900
    rehearsal_max_age_s: Annotated[int, Field(ge=60, le=2592000)] = 86400
    failback_proof_s: Annotated[int, Field(ge=60, le=86400)] = 600
    late_answers_s: Annotated[int, Field(ge=0, le=280)] = 120
    standby_session_s: Annotated[int, Field(ge=300, le=86400)] = 28800
    standby_logins_kept_days: Annotated[int, Field(ge=1, le=400)] = 90


class HealthTable(Table):
    """`[health]`."""

    references: list[str] = Field(default_factory=list)
    fresh_s: Annotated[int, Field(ge=1, le=600)] = 30
    unanswered_window_s: Annotated[int, Field(ge=60, le=3600)] = 300
    unanswered_after_s: Annotated[int, Field(ge=30, le=600)] = 120
    unanswered_at_least: Annotated[int, Field(ge=1, le=100000)] = 20
    unanswered_share: Annotated[float, Field(ge=0.1, le=0.9)] = 0.5
    unanswered_times: Annotated[float, Field(ge=1, le=100)] = 3
