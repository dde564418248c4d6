"""Reads a scenario file into a `Story`; what cannot be read exactly is an error with its line."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from idp_proxy.decision.switching import Mode
from tests.support.scenario import acts
from tests.support.scenario.conditions import conditions
from tests.support.scenario.story import Event, Expectation, Story
from tests.support.scenario.words import Form, ScenarioError, seconds, split, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_LEAST_ABOUT = 2
_SETTING = re.compile(r"(failover|health) ([a-z_]+ = .+)")


def recorded(path: Path) -> frozenset[str]:
    """The answers that real probes and canaries gave."""
    found = tomllib.loads(path.read_text("utf-8"))
    return frozenset(one["says"] for one in found["answer"])


def read(path: Path) -> Story:
    """The story in this file. Raises `ScenarioError`."""
    story = Story(path)
    story.names.reasons = recorded(path.parent / "answers.toml")
    lines = path.read_text("utf-8").splitlines()
    said = about(lines)
    story.about = "\n".join(said)
    last = 0.0
    for number, line in enumerate(lines, 1):
        if not split(line):
            continue
        try:
            last = _take(story, line.strip(), f"{path.name}:{number}", last)
        except (ValueError, ValidationError) as error:
            raise ScenarioError(f"{path.name}:{number}: {error}") from error
    try:
        story.settings()
    except ValueError as error:
        raise ScenarioError(f"{path.name}: {error}") from error
    problem = _incomplete(story, said)
    if problem is not None:
        raise ScenarioError(f"{path.name}: {problem}")
    return story


def about(lines: Sequence[str]) -> list[str]:
    """What a file says about itself: the comment that it begins with."""
    end = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line[1:].strip() for line in lines[:end]]


def _incomplete(story: Story, said: Sequence[str]) -> str | None:
    if len(said) < _LEAST_ABOUT:
        return "begins with two or three lines that say what it shows and why"
    if not story.ends:
        return "says nowhere when it ends: ends at TIME"
    if not story.expectations:
        return "expects nothing"
    late = [one.line for one in story.events if one.at >= story.ends]
    late += [one.line for one in story.expectations if one.end > story.ends]
    return f"after the end: {late[0]}" if late else None


def _take(story: Story, line: str, where: str, last: float) -> float:
    """One line; gives the time of the last event. Raises `ValueError`."""
    words = split(line)
    match words[0]:
        case "at":
            at = seconds(words[1] if len(words) > 1 else "")
            if at < last:
                raise ValueError(f"{words[1]} is earlier than the line before")
            said = understood(words[2:], acts.FORMS, story.names)
            act = partial(_acted, said.means, said.values)
            story.events.append(Event(at, " ".join(words[2:]), act))
            return at
        case "expect":
            story.expectations.append(_expectation(story, words, line, where, last))
        case _ if story.events or story.expectations:
            raise ValueError("what is so from the beginning stands before what happens")
        case _:
            _set_up(story, line, words)
    return last


def _acted(means: Callable[..., None], values: tuple[Any, ...], stage: Any) -> None:
    means(stage, *values)


def _expectation(
    story: Story, words: Sequence[str], line: str, where: str, last: float
) -> Expectation:
    make = partial(Expectation, where, line)
    match words[1:]:
        case ["at", "the", "end", *rest]:
            return make(story.ends, story.ends, conditions(rest, story.names))
        case ["at", time, *rest]:
            return make(seconds(time), seconds(time), conditions(rest, story.names))
        case ["by", time, *rest]:
            return make(last, seconds(time), conditions(rest, story.names))
        case ["from", start, "to", end, *rest]:
            found = conditions(rest, story.names)
            return make(seconds(start), seconds(end), found, throughout=True)
        case ["never", *rest]:
            return make(0.0, story.ends, conditions(rest, story.names), never=True)
        case ["always", *rest]:
            return make(0.0, story.ends, conditions(rest, story.names), throughout=True)
        case _:
            raise ValueError(
                "expect what when? at TIME, at the end, by TIME, from TIME to TIME, never, always"
            )


# --- what is so from the beginning ----------------------------------------------------------------


def _set_up(story: Story, line: str, words: Sequence[str]) -> None:
    setting = _SETTING.fullmatch(line)
    if setting is not None:
        table = story.failover if setting[1] == "failover" else story.health
        table.update(tomllib.loads(setting[2]))
        return
    if words[0] in {"upstreams", "hosts"} and len(words) > 1:
        setattr(story.names, words[0], list(words[1:]))
        return
    said = understood(words, BEGINNINGS, story.names)
    said.means(story, *said.values)


def _canary(story: Story, name: str, upstream: str) -> None:
    story.names.canaries.append((upstream, name))


def _clock(story: Story, day: str, time: str) -> None:
    story.clock = datetime.fromisoformat(f"{day} {time}").replace(tzinfo=UTC)


def _never_rehearsed(story: Story, upstream: str) -> None:
    story.rehearsed[upstream] = None


def _rehearsed(story: Story, upstream: str, ago: float) -> None:
    story.rehearsed[upstream] = ago


def _begins(story: Story, mode: str, upstream: str) -> None:
    story.mode, story.serving = Mode(mode), upstream


def _seed(story: Story, number: int) -> None:
    story.seed = number


def _ends(story: Story, time: float) -> None:
    story.ends = time


BEGINNINGS = (
    Form("canary WORD at UPSTREAM", _canary),
    Form("the clock shows WORD WORD", _clock),
    Form("UPSTREAM was never rehearsed", _never_rehearsed),
    Form("UPSTREAM was rehearsed TIME before", _rehearsed),
    Form("begins WORD at UPSTREAM", _begins),
    Form("chance NUMBER", _seed),
    Form("ends at TIME", _ends),
)
