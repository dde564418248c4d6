"""How logins stand now, for `/status` and `/readyz`: read from the store at most once a second.

Whoever likes may ask, and in an outage everybody does: a page that is reloaded a thousand times
costs what one costs.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from idp_proxy.decision.standing import NOBODY_SERVES, UNSEEN, judge_standing
from idp_proxy.decision.switching import route
from idp_proxy.errors import StoreError
from idp_proxy.survey import health_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.decision.standing import Standing
    from idp_proxy.store.switch_view import SwitchView
    from idp_proxy.survey import SeenStore, Standards

MAX_AGE_S: Final = 1.0


class Usable(Protocol):
    """What is asked of an upstream here (`upstream.base.Upstream`)."""

    def why_unusable(self, now: datetime) -> str | None:
        """None, or the reason why nobody could log in there."""


@dataclass(slots=True)
class StandingView:
    """Looks for all threads of a worker. `upstreams` are in order of preference; `active_serves_on`
    says whether the active serves while the store is away (DESIGN section 6).
    """

    store: SeenStore
    view: SwitchView
    upstreams: Mapping[str, Usable]
    standards: Standards
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    active_serves_on: bool
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _known: Standing = field(default=NOBODY_SERVES, init=False)
    _read_at: float = field(default=float("-inf"), init=False)

    def __call__(self) -> Standing:
        """How logins stand, at most a second ago."""
        with self._lock:
            if self.monotonic() - self._read_at >= MAX_AGE_S:
                self._known = self._look()
                self._read_at = self.monotonic()
            return self._known

    def _look(self) -> Standing:
        at, active = self.now(), next(iter(self.upstreams))
        try:
            state = self.view.state()
        except StoreError:
            return NOBODY_SERVES
        serving = self.upstreams.get(route(state) or "")
        why = "not configured" if serving is None else serving.why_unusable(at)
        try:
            proofs, now = self.store.proofs(), self.store.clock()
            health = health_of(self.store, state.serving, self.standards, now)
            if not self.store.has_room():
                return NOBODY_SERVES
        except StoreError:
            if not self.active_serves_on or state.serving != active:
                return NOBODY_SERVES
            found = judge_standing(state, active, why, {}, UNSEEN, at)
            return replace(found, affected=True)
        return judge_standing(state, active, why, proofs, health, at)
