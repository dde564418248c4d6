"""What happened in a story: a moment for everything that changed, to be asked and to be printed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from idp_proxy.decision.switching import SwitchState


@dataclass(frozen=True, slots=True)
class View:
    """What the last turn of a host found; `verdicts` and `ineligible` are the fleet's."""

    rule: str = "none yet"
    reason: str = ""
    target: str | None = None
    proposal: str | None = None
    jumped: bool = False
    due_at: datetime | None = None
    verdicts: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    ineligible: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moment:
    """What is true from `at` seconds on until the next moment; `clock` is the store's then.

    `who` is the host whose turn it was; `standing` are the kinds of the matters that people know
    of, `told` those that they were told of just now.
    """

    at: float
    clock: datetime
    state: SwitchState
    who: str = ""
    views: Mapping[str, View] = field(default_factory=dict)
    standing: frozenset[str] = frozenset()
    told: tuple[str, ...] = ()
    switches: int = 0
    happened: str = ""


@dataclass(slots=True)
class Timeline:
    """The moments of a story, in order."""

    moments: list[Moment] = field(default_factory=list)

    def add(self, moment: Moment) -> None:
        """Keep `moment` unless nothing has changed."""
        news = moment.told or moment.happened or not self.moments
        if news or not _alike(self.moments[-1], moment):
            self.moments.append(moment)

    def at(self, second: float) -> Moment:
        """What was true at this second: everything that happened by then has happened."""
        return next(one for one in reversed(self.moments) if one.at <= second + 1e-6)

    def between(self, start: float, end: float) -> list[Moment]:
        """What was true at any time from `start` on, up to what happens at `end`."""
        first = self.at(start)
        later = [one for one in self.moments if start + 1e-6 < one.at < end - 1e-6]
        return [replace(first, told=(), happened=""), *later]

    def drawn(self) -> str:
        """For people: one line for everything that happened or changed."""
        lines: list[str] = []
        for moment in self.moments:
            lines.extend(line for line in _lines(moment) if line not in lines[-6:])
        return "\n".join(lines)


def _alike(one: Moment, other: Moment) -> bool:
    """Whether nothing has changed but the time, and whose turn it was."""
    return (
        (one.state is other.state or one.state == other.state)
        and one.views == other.views
        and one.standing == other.standing
        and one.switches == other.switches
    )


def _lines(moment: Moment) -> list[str]:
    begin = f"  {stamp(moment.at):>9}  "
    if moment.happened:
        return [f"{begin}-- {moment.happened}"]
    view, state = moment.views.get(moment.who, View()), moment.state
    verdicts = " ".join(f"{name}={verdict}" for name, verdict in view.verdicts.items())
    said = [
        (
            f"{begin}{moment.who or '-':<8} {state.serving} serves ({state.mode.value}, epoch "
            f"{state.epoch}) [{verdicts}] {view.rule}: {view.reason}"
        )
    ]
    said += [f"{begin}told: {kind}" for kind in moment.told]
    return said


def stamp(second: float) -> str:
    """`H:MM:SS.s` as short as it can be."""
    hours, rest = divmod(round(second, 1), 3600)
    minutes, seconds = divmod(rest, 60)
    whole = f"{int(minutes):02d}:{seconds:04.1f}"
    return f"{int(hours)}:{whole}" if hours else whole
