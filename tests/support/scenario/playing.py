"""Plays a story from its beginning to its end, and says what did not come as expected."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from tests.support.scenario.clockwork import LeapingLoop
from tests.support.scenario.stage import Stage
from tests.support.scenario.timeline import stamp

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from tests.support.scenario.story import Expectation, Story
    from tests.support.scenario.timeline import Moment, Timeline


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a story."""

    stage: Stage
    failures: tuple[str, ...]

    def drawn(self) -> str:
        """What failed, and what happened."""
        return "\n".join(
            (self.stage.story.about, "", *self.failures, "", self.stage.timeline.drawn())
        )


def play(story: Story) -> Played:
    """The whole story, in no time."""
    faults: list[str] = []
    structlog.configure(processors=[_listening(faults)])
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        stage = runner.run(_played(story))
    failures = [failure for one in story.expectations for failure in _failed(one, stage.timeline)]
    failures += [f"law: {broken}" for broken in stage.laws.broken]
    failures += [f"the product logged an error: {fault}" for fault in faults]
    failures += _audited(stage)
    return Played(stage, tuple(dict.fromkeys(failures)))


async def _played(story: Story) -> Stage:
    stage = Stage(story, asyncio.get_running_loop())
    stage.note("")
    for name in story.names.hosts:
        stage.start(name)
    for event in story.events:
        await asyncio.sleep(event.at - stage.loop.time())
        event.act(stage)
        stage.happen(event.line)
    await asyncio.sleep(story.ends - stage.loop.time())
    stage.note("")
    await stage.end()
    return stage


def _listening(faults: list[str]) -> Any:
    """A processor of the log: what the product calls an error is a fault in any story."""

    def listen(_logger: object, method: str, event: MutableMapping[str, Any]) -> None:
        if method in {"error", "exception", "critical"}:
            faults.append(f"{event.get('event')}: {event}")
        raise structlog.DropEvent

    return listen


def _failed(expected: Expectation, timeline: Timeline) -> list[str]:
    """Why `expected` did not come; empty if it did."""
    if expected.start == expected.end:
        moments = [_moved_on(timeline.at(expected.end), expected.end)]
    else:
        moments = timeline.between(expected.start, expected.end)
    held, missed = _parted(expected, moments)
    said = f"{expected.where}: {expected.line}"
    if expected.never:
        return [f"{said}: it came at {stamp(held[0].at)}"] if held else []
    if expected.throughout:
        since = [stamp(max(one.at, expected.start)) for one in missed]
        return [f"{said}: it did not hold at {since[0]}"] if missed else []
    if held:
        return []
    came, _ = _parted(expected, timeline.between(expected.end, timeline.moments[-1].at))
    when = f"it came at {stamp(came[0].at)} only" if came else "it never came"
    return [f"{said}: {when}"]


def _parted(expected: Expectation, moments: list[Moment]) -> tuple[list[Moment], list[Moment]]:
    """The moments at which it holds, and those at which it does not."""
    held: list[Moment] = []
    missed: list[Moment] = []
    for one in moments:
        holds = all(condition(one) for condition in expected.conditions)
        (held if holds else missed).append(one)
    return held, missed


def _moved_on(moment: Moment, second: float) -> Moment:
    """The same moment, looked at later."""
    return replace(moment, clock=moment.clock + timedelta(seconds=second - moment.at))


def _audited(stage: Stage) -> list[str]:
    """Each change of the switch by the watch stands in the audit, once, and the chain is whole."""
    rows = [row.content for row in stage.store.inner.audit_rows()]
    by_watch = [row["facts"] for row in rows if str(row["actor"]).startswith("watch:")]
    found = [facts["epoch"] for facts in by_watch if isinstance(facts, dict)]
    problems = []
    if found != stage.laws.by_watch:
        problems.append(f"audit: epochs {found}, changed by the watch: {stage.laws.by_watch}")
    if not stage.store.inner.verify_audit().ok:
        problems.append("audit: the chain is broken")
    return problems
