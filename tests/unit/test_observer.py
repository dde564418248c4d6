"""The eyes of a host: a loop for every upstream, bursts, references, and faults of its own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from idp_proxy.decision.health import Cadence, Outcome, Reference, Thresholds, Track, Verdict
from idp_proxy.observer import Observer, Sights
from idp_proxy.upstream.probing import Expiry, Probed

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
SHORT = timedelta(milliseconds=10)
CADENCE = Cadence(interval=SHORT, in_transition=SHORT, timeout=SHORT, connect=SHORT)
THRESHOLDS = Thresholds(suspect_after=1, fall=2, confirm=3, rise=2)
PASSED = Probed(Outcome.PASSED, "answers")
BROKEN = Probed(Outcome.BROKEN, "no answer")


@dataclass(slots=True)
class Scripted:
    """A probe that gives `answers` in turn, the last one for ever; an exception is raised, and a
    number is a hang of so many seconds.
    """

    upstream: str
    answers: list[Probed | Exception | float]
    begun: list[float] = field(default_factory=list)
    together: int = 0
    _open: int = 0

    async def look(self, _cadence: Cadence, _now: datetime) -> Probed:
        self.begun.append(asyncio.get_running_loop().time())
        self._open += 1
        self.together = max(self.together, self._open)
        try:
            await asyncio.sleep(0)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, float):
                await asyncio.sleep(answer)
                return PASSED
            if isinstance(answer, Exception):
                raise answer
            return answer
        finally:
            self._open -= 1


@dataclass(slots=True)
class Neutral:
    """A reference that answers, or does not."""

    answered: bool
    asked: int = 0

    async def ask(self, _cadence: Cadence, now: datetime) -> Reference:
        self.asked += 1
        return Reference(self.answered, "answers" if self.answered else "no answer", now)


def eyes(*probes: Scripted, references: dict[str, list[Neutral]] | None = None) -> Observer:
    sights = Sights(
        probes={probe.upstream: probe for probe in probes},
        references=references or {},
        cadence=CADENCE,
        thresholds=THRESHOLDS,
        fresh=timedelta(seconds=30),
        chance=lambda: 0.5,
    )
    return Observer(sights, lambda: NOW, asyncio.Event())


def watched(observer: Observer, until: Callable[[], bool], within_s: float = 10) -> None:
    """Let the eyes look until `until` holds."""

    async def run() -> None:
        tasks = [asyncio.create_task(observer.watch(name)) for name in observer.tracks]
        async with asyncio.timeout(within_s):
            while not until():  # noqa: ASYNC110 - any state of the eyes may be waited for
                await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(run())


def test_an_upstream_that_answers_rises_and_its_expiries_are_kept() -> None:
    ends = Expiry("TLS certificate", NOW + timedelta(days=3))
    observer = eyes(Scripted("okta", [Probed(Outcome.PASSED, "answers", expiries=(ends,))]))
    watched(observer, lambda: observer.tracks["okta"].verdict is Verdict.UP)
    assert observer.expiries["okta"] == (ends,)
    assert observer.changed.is_set()


def test_after_the_fall_the_failure_is_confirmed_by_looks_at_the_same_moment() -> None:
    probe = Scripted("okta", [PASSED, PASSED, BROKEN])
    observer = eyes(probe)
    watched(observer, lambda: observer.tracks["okta"].verdict is Verdict.DOWN)
    assert probe.together == THRESHOLDS.confirm


def test_one_answer_within_the_burst_is_enough_to_stay_up() -> None:
    probe = Scripted("okta", [PASSED, PASSED, BROKEN, BROKEN, BROKEN, PASSED, BROKEN, PASSED])
    observer = eyes(probe)
    verdicts: set[Verdict] = set()

    def settled() -> bool:
        verdicts.add(observer.tracks["okta"].verdict)
        return len(probe.begun) > 10

    watched(observer, settled)
    assert Verdict.DOWN not in verdicts


def test_an_upstream_that_hangs_delays_no_other() -> None:
    hanging, fine = Scripted("okta", [600.0]), Scripted("entra", [PASSED])
    observer = eyes(hanging, fine)
    watched(observer, lambda: len(fine.begun) > 20)
    assert len(hanging.begun) <= 2
    assert observer.tracks["entra"].verdict is Verdict.UP


def test_when_one_goes_down_the_others_are_looked_at_at_once() -> None:
    falling, other = Scripted("okta", [PASSED, PASSED, BROKEN]), Scripted("entra", [PASSED])
    observer = eyes(falling, other)
    rarely = timedelta(hours=1)
    observer.sights = replace(
        observer.sights, cadence=Cadence(rarely, SHORT, SHORT, SHORT), chance=lambda: 0.0
    )
    observer.tracks = {
        name: Track(Verdict.UP, passes=9, passed_at=NOW - rarely) for name in ("okta", "entra")
    }
    falling.answers = [BROKEN]

    def seen_again() -> bool:
        fallen, seen = observer.tracks["okta"], observer.tracks["entra"]
        return fallen.verdict is Verdict.DOWN and len(other.begun) == 2 and seen.passed_at == NOW

    watched(observer, seen_again)
    assert observer.changed.is_set()


def test_a_probe_that_breaks_its_deadline_is_given_up_and_counts_as_broken() -> None:
    observer = eyes(Scripted("okta", [600.0]))
    watched(observer, lambda: observer.tracks["okta"].failures > 0)
    assert "no answer" in observer.tracks["okta"].reason


def test_a_fault_of_our_own_proves_nothing_about_the_upstream() -> None:
    probe = Scripted("okta", [PASSED, PASSED, ValueError("ours")])
    observer = eyes(probe)
    # Few looks: a test's log draws each traceback, which takes a while.
    watched(observer, lambda: len(probe.begun) > 5, within_s=60)
    assert observer.tracks["okta"].verdict is Verdict.UP
    assert observer.tracks["okta"].failures == 0


def test_a_fault_outside_of_the_probe_ends_no_loop() -> None:
    probe = Scripted("okta", [PASSED])
    observer = eyes(probe)
    faults = iter([ValueError("ours")])

    def clock() -> datetime:
        for fault in faults:
            raise fault
        return NOW

    observer.now = clock
    watched(observer, lambda: observer.tracks["okta"].verdict is Verdict.UP, within_s=60)


def test_upstreams_that_nobody_asked_make_no_host_isolated() -> None:
    """A first start: metadata waits for approval everywhere, and the network is not to blame."""
    unasked = Probed(Outcome.BROKEN, "okta has no approved metadata", asked=False)
    okta, entra = Scripted("okta", [unasked, BROKEN]), Scripted("entra", [unasked, BROKEN])
    observer = eyes(okta, entra)
    watched(observer, lambda: bool(okta.begun and entra.begun))
    assert observer.report("proxy-1").isolated == {}
    watched(observer, lambda: all(one.failures > 1 for one in observer.tracks.values()))
    assert observer.report("proxy-1").isolated.keys() == {"okta", "entra"}


def test_with_the_references_failing_too_this_host_is_isolated() -> None:
    for answers, isolated in ((False, True), (True, False)):
        neutral = Neutral(answers)
        observer = eyes(Scripted("okta", [BROKEN]), references={"okta": [neutral]})
        watched(observer, lambda seen=observer: seen.tracks["okta"].verdict is Verdict.DOWN)  # type: ignore[misc] # bound now
        report = observer.report("proxy-1")
        assert ("okta" in report.isolated) is isolated
        assert report.reference_answers is answers
        assert neutral.asked


def test_what_the_outbound_proxy_says_itself_is_no_word_of_the_upstream() -> None:
    by_proxy = Probed(Outcome.BROKEN, "407", refused_by_proxy="407 from the outbound proxy")
    probe = Scripted("okta", [by_proxy])
    observer = eyes(probe, Scripted("entra", [PASSED]))
    watched(observer, lambda: observer.tracks["okta"].verdict is Verdict.DOWN)
    assert observer.report("proxy-1").isolated == {"okta": "407 from the outbound proxy"}
    probe.answers = [BROKEN]
    watched(observer, lambda: len(probe.begun) > 12)
    assert observer.report("proxy-1").isolated == {}


def test_after_a_jump_of_the_clock_how_long_anything_lasted_is_unknown() -> None:
    observer = eyes(Scripted("okta", [PASSED]))
    watched(observer, lambda: observer.tracks["okta"].verdict is Verdict.UP)
    later = NOW + timedelta(hours=1)
    observer.now = lambda: later
    observer.forget_times()
    track = observer.tracks["okta"]
    assert (track.verdict, track.since, track.passed_at) == (Verdict.UP, later, None)


def test_looks_are_spread_by_the_jitter() -> None:
    starts: dict[float, float] = defaultdict(float)
    for chance in (0.0, 0.999):
        probe = Scripted("okta", [PASSED])
        observer = eyes(probe)
        observer.sights = Sights(
            {"okta": probe},
            {},
            Cadence(timedelta(seconds=0.1), timedelta(seconds=0.1), SHORT, SHORT, jitter=0.5),
            THRESHOLDS,
            timedelta(seconds=30),
            lambda chosen=chance: chosen,  # type: ignore[misc] # bound now
        )
        watched(observer, lambda seen=probe: len(seen.begun) > 2)  # type: ignore[misc] # bound now
        starts[chance] = probe.begun[1] - probe.begun[0]
    assert 0.04 < starts[0.0] < 0.1 < starts[0.999]
