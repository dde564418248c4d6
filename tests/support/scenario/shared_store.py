"""The one store of a story, and each host's way to it: it may be cut, slow, or lose an answer."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from idp_proxy.errors import StoreError
from tests.support.scenario.clockwork import LeapingLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.base import Transaction
    from idp_proxy.store.memory import MemoryStore

_GIVES_UP_S = 5.0


@dataclass(slots=True)
class SharedStore:
    """The store itself. `changed` hears of every change of the switch, as it is committed."""

    inner: MemoryStore
    changed: Callable[[SwitchState | None, SwitchState], None]

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        before = self.inner.switch_state()
        with self.inner.transaction() as transaction:
            yield transaction
        after = self.inner.switch_state()
        if after is not None and after != before:
            self.changed(before, after)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass(slots=True)
class WayToStore:
    """A host's `survey.WatchedStore`: every call takes the way, and may not come back.

    `meanwhile` is what happens between reading and writing, once: another host's turn.
    """

    shared: SharedStore
    cut: bool = False
    hangs: bool = False
    slow_s: float = 0.0
    loses_answer: bool = False
    afterwards: Callable[[], None] | None = None
    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        if self.cut or self.hangs or self.slow_s:
            self._travel()
        return getattr(self.shared.inner, name)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self._travel()
        while self.meanwhile:
            self.meanwhile.pop()()
        with self.shared.transaction() as transaction:
            yield transaction
        if self.afterwards is not None:
            self.afterwards()
        if self.loses_answer:
            self.loses_answer = False
            raise StoreError("the connection broke while the answer to COMMIT was awaited")

    def _travel(self) -> None:
        if self.hangs:
            _owe(_GIVES_UP_S)
            raise StoreError(f"the store gave no answer within {_GIVES_UP_S:.0f} s")
        if self.cut:
            raise StoreError("connection refused")
        if self.slow_s:
            _owe(self.slow_s)


def _owe(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    if isinstance(loop, LeapingLoop):
        loop.owe(seconds)
