"""Who hears of what: the notifier of a story, which keeps every matter instead of sending it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from idp_proxy.decision.notices import EVENTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.decision.notices import Kind, Notice


@dataclass(slots=True)
class Listener:
    """An `alarms.Notifier` of all hosts: they share the record of what was told, as in the store.

    `told` has every key in order, each as often as people heard of it.
    """

    told: list[str] = field(default_factory=list)
    _standing: dict[str, Kind] = field(default_factory=dict)
    _events: set[str] = field(default_factory=set)
    _news: list[str] = field(default_factory=list)

    def raise_(self, notice: Notice) -> None:
        if notice.key in self._standing or notice.key in self._events:
            return
        if notice.kind in EVENTS:
            self._events.add(notice.key)
        else:
            self._standing[notice.key] = notice.kind
        self.told.append(notice.key)
        self._news.append(notice.kind.value)

    def resolve(self, key: str) -> None:
        self._standing.pop(key, None)

    def standing(self) -> Mapping[str, Kind]:
        return dict(self._standing)

    def kinds(self) -> frozenset[str]:
        """The kinds of what stands now."""
        return frozenset(kind.value for kind in self._standing.values())

    def news(self) -> tuple[str, ...]:
        """The kinds that people were told of since this was asked last."""
        news, self._news = tuple(self._news), []
        return news
