"""`[failover]` and `[health]`: a profile's numbers, each of which may be set by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.config import addresses
from idp_proxy.config.canaries import CanaryTimes
from idp_proxy.config.failover_settings import FailoverSettings, HealthSettings
from idp_proxy.decision.eligibility import Failback, FailoverLimits
from idp_proxy.decision.health import Cadence, Thresholds
from idp_proxy.decision.traffic import TrafficLimits
from idp_proxy.decision.windows import parse_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_proxy.config.failover_shape import FailoverTable, HealthTable
    from idp_proxy.config.material import Reader
    from idp_proxy.decision.windows import Window


@dataclass(frozen=True, slots=True)
class _Profile:
    """The numbers of a profile; times in seconds."""

    tick_s: float
    interval_s: float
    interval_in_transition_s: float
    timeout_s: float
    connect_timeout_s: float
    suspect_after: int
    fall: int
    confirm: int
    rise: int
    canary_interval_s: float
    canary_interval_standby_s: float
    canary_retry_s: float
    canary_timeout_s: float
    canary_fall: int
    canary_confirm: int
    canary_rise: int
    hold_down_s: float
    dwell_s: float


_DEFAULT: Final = _Profile(
    tick_s=2,
    interval_s=10,
    interval_in_transition_s=5,
    timeout_s=5,
    connect_timeout_s=2,
    suspect_after=2,
    fall=3,
    confirm=3,
    rise=5,
    canary_interval_s=60,
    canary_interval_standby_s=300,
    canary_retry_s=10,
    canary_timeout_s=30,
    canary_fall=2,
    canary_confirm=3,
    canary_rise=2,
    hold_down_s=600,
    dwell_s=900,
)
_FAST: Final = _Profile(
    tick_s=0.5,
    interval_s=1,
    interval_in_transition_s=0.5,
    timeout_s=1,
    connect_timeout_s=1,
    suspect_after=1,
    fall=2,
    confirm=4,
    rise=3,
    canary_interval_s=60,
    canary_interval_standby_s=300,
    canary_retry_s=2,
    canary_timeout_s=30,
    canary_fall=2,
    canary_confirm=3,
    canary_rise=2,
    hold_down_s=600,
    dwell_s=900,
)
_RARELY_REHEARSED_S: Final = 86400
_REPORTS_WHILE_FRESH: Final = 3
PROFILES: Final = {"default": _DEFAULT, "fast": _FAST}


def read_failover(table: FailoverTable, reader: Reader) -> FailoverSettings:
    """`[failover]`: what is set there, and the profile's number for the rest."""
    profile = PROFILES[table.profile]

    def number(name: str) -> float:
        own = getattr(table, name)
        return float(getattr(profile, name) if own is None else own)

    def span(name: str) -> timedelta:
        return timedelta(seconds=number(name))

    def count(name: str) -> int:
        return int(number(name))

    _judge(number, table, reader)
    return FailoverSettings(
        profile=table.profile,
        tick=span("tick_s"),
        cadence=Cadence(
            interval=span("interval_s"),
            in_transition=span("interval_in_transition_s"),
            timeout=span("timeout_s"),
            connect=span("connect_timeout_s"),
            jitter=table.jitter,
        ),
        thresholds=Thresholds(
            count("suspect_after"), count("fall"), count("confirm"), count("rise")
        ),
        canary_times=CanaryTimes(
            span("canary_interval_s"),
            span("canary_interval_standby_s"),
            span("canary_retry_s"),
            span("canary_timeout_s"),
        ),
        canary_thresholds=Thresholds(
            1, count("canary_fall"), count("canary_confirm"), count("canary_rise")
        ),
        limits=FailoverLimits(
            hold_down=span("hold_down_s"),
            dwell=span("dwell_s"),
            automatic=table.automatic_per_hour,
            failback=Failback(table.failback),
            windows=_read_windows(table, reader),
            rehearsed_by_canary=timedelta(seconds=table.rehearsed_by_canary_s),
            rehearsal_max_age=timedelta(seconds=table.rehearsal_max_age_s),
            proven_for_failback=timedelta(seconds=table.failback_proof_s),
        ),
        late_answers=timedelta(seconds=table.late_answers_s),
        standby_session=timedelta(seconds=table.standby_session_s),
        standby_logins_kept=timedelta(days=table.standby_logins_kept_days),
    )


def _judge(number: Callable[[str], float], table: FailoverTable, reader: Reader) -> None:
    """What holds between the numbers; a profile's own always do."""
    problem = reader.findings.problem
    if number("connect_timeout_s") > number("timeout_s"):
        problem("failover.connect_timeout_s", "longer than timeout_s: it could never count")
    if number("suspect_after") > number("fall"):
        problem("failover.suspect_after", "more than fall: it would be down before it is suspect")
    if number("canary_interval_standby_s") >= table.rehearsed_by_canary_s:
        problem(
            "failover.rehearsed_by_canary_s",
            "must be longer than canary_interval_standby_s, or no standby is ever rehearsed "
            "(FO-15)",
        )
    if table.rehearsal_max_age_s > _RARELY_REHEARSED_S:
        reader.findings.warning(
            "failover.rehearsal_max_age_s",
            "more than a day: a standby may take over by logins long ago (FO-15)",
        )


def _read_windows(table: FailoverTable, reader: Reader) -> tuple[Window, ...]:
    windows = []
    for index, text in enumerate(table.windows):
        window = parse_window(text)
        if window is None:
            reader.findings.problem(
                f"failover.windows[{index}]",
                f'not a window: {text!r}; the form is "Sat,Sun 02:00-04:00 Europe/Berlin"',
            )
        else:
            windows.append(window)
    if table.failback == "scheduled" and not table.windows:
        reader.findings.problem(
            "failover.windows", 'missing: failback = "scheduled" needs at least one window'
        )
    return tuple(windows)


def read_health(
    table: HealthTable, tick: timedelta, reader: Reader, *, insecure_loopback: bool
) -> HealthSettings:
    """`[health]`; `tick` is how often a host reports."""
    for index, url in enumerate(table.references):
        problem = addresses.url_problem(url, loopback_http=insecure_loopback)
        if problem is not None:
            reader.findings.problem(f"health.references[{index}]", problem)
    if table.fresh_s < _REPORTS_WHILE_FRESH * tick.total_seconds():
        reader.findings.problem(
            "health.fresh_s",
            f"must be at least {_REPORTS_WHILE_FRESH} times failover.tick_s, or a host that is a "
            "little late counts as gone",
        )
    return HealthSettings(
        references=tuple(table.references),
        fresh=timedelta(seconds=table.fresh_s),
        unanswered=TrafficLimits(
            window=timedelta(seconds=table.unanswered_window_s),
            settled_after=timedelta(seconds=table.unanswered_after_s),
            enough=table.unanswered_at_least,
            share=table.unanswered_share,
            times=table.unanswered_times,
        ),
    )
