"""Journeys run in threads that end now and then, and none of them is lost by that (XML-02)."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from idp_proxy.web import threads
from idp_proxy.web.threads import JourneyThreads

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest


def run(
    journeys: int, journey: Callable[[int], object], kept_threads: int = threads.THREADS
) -> list[object]:
    async def together() -> list[object]:
        kept = JourneyThreads(kept_threads)
        return await asyncio.gather(
            *(kept.run(journey, number) for number in range(journeys)), return_exceptions=True
        )

    return asyncio.run(together())


def test_each_journey_gives_what_it_returns_or_raises() -> None:
    def journey(number: int) -> int:
        if number == 1:
            raise ValueError("this one")
        return number * 2

    first, second, third = run(3, journey)
    assert (first, third) == (0, 4)
    assert isinstance(second, ValueError)


def test_no_journey_runs_in_the_event_loop() -> None:
    assert threading.get_ident() not in run(5, lambda _: threading.get_ident())


def test_threads_are_replaced_and_the_old_ones_finish_what_they_were_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "REPLACED_AFTER", 3)
    ran_in = run(10, lambda _: threading.current_thread(), kept_threads=1)
    assert len(ran_in) == 10
    assert len(set(ran_in)) == 3
