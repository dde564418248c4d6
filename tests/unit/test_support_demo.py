"""The demo says held only of what held, and ends with another exit code than 0 otherwise."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import httpx
import pytest
import typer
from rich.console import Console

from tests.support.demo import __main__ as demo
from tests.support.demo.story import Step, StepFailed, Story
from tests.support.launch import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _held() -> Iterator[str]:
    yield "seen"


def _failing(error: Exception) -> Iterator[str]:
    yield "seen before"
    raise error


class _Told(Story):
    """A story with given steps and no stage."""

    def __init__(self, *steps: Step) -> None:
        self._steps = steps

    def steps(self) -> tuple[Step, ...]:
        return self._steps


def _told(*steps: Step) -> tuple[bool, str]:
    console = Console(file=io.StringIO(), width=100)
    held = demo._tell(console, _Told(*steps))
    assert isinstance(console.file, io.StringIO)
    return held, console.file.getvalue()


def test_a_story_that_holds_is_told_to_its_end() -> None:
    held, told = _told(Step("first", _held), Step("second", _held))
    assert held
    assert told.count("held") == 2


@pytest.mark.parametrize(
    "error",
    [
        StepFailed("her account is another"),
        CommandFailed("switch: exit code 1"),
        httpx.ConnectError("refused"),
    ],
)
def test_the_first_step_that_does_not_hold_ends_the_story(error: Exception) -> None:
    held, told = _told(Step("first", lambda: _failing(error)), Step("second", _held))
    assert not held
    assert f"FAILED: {error}" in told
    assert "second" not in told
    assert "held" not in told


def test_a_fault_of_the_demo_itself_is_not_told_as_an_outage() -> None:
    with pytest.raises(ZeroDivisionError):
        _told(Step("first", lambda: _failing(ZeroDivisionError())))


def test_without_the_program_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "PROGRAM", tmp_path / "idp-proxy")
    with pytest.raises(typer.Exit) as ended:
        demo.main(oneshot=True)
    assert ended.value.exit_code == 2
    assert "make demo" in capsys.readouterr().out
