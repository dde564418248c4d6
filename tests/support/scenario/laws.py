"""What must hold in every story, after every step, whatever happens (DESIGN sections 2 and 7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import Mode

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.decision.eligibility import FailoverLimits
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.survey import Survey
    from idp_proxy.watch import Turn


@dataclass(slots=True)
class Laws:
    """Notes every change and every turn, and what is broken by them."""

    limits: FailoverLimits
    broken: list[str] = field(default_factory=list)
    by_watch: list[int] = field(default_factory=list)
    switches: int = 0
    automatic: list[datetime] = field(default_factory=list)
    _epochs: list[int] = field(default_factory=list)
    _last: tuple[SwitchState, SwitchState] | None = None

    def changed(self, before: SwitchState | None, after: SwitchState) -> None:
        """The switch has changed in the store."""
        if before is None:
            self._epochs.append(after.epoch)
            return
        self._demand(after.epoch == before.epoch + 1, f"epoch {before.epoch} -> {after.epoch}")
        self._demand(after.epoch not in self._epochs, f"two changes in epoch {after.epoch}")
        self._epochs.append(after.epoch)
        self._last = before, after
        moved = before.serving != after.serving
        self.switches += moved
        latched = after.mode is Mode.LATCHED and before.mode is not Mode.LATCHED
        if not after.actor.startswith("watch:") or not (moved or latched):
            if before.mode is not Mode.AUTO and after.mode is Mode.AUTO:
                self.automatic.clear()
            return
        self.by_watch.append(after.epoch)
        self._demand(before.mode is Mode.AUTO, f"the watch changed a switch in {before.mode}")
        self._demand(moved != latched, "the watch switched and latched at once")
        if moved:
            self._budget(after)
            if before.serving in after.left:
                self._demand(after.left[before.serving].at == after.since, "left at another time")

    def _budget(self, after: SwitchState) -> None:
        self.automatic.append(after.since)
        within = [at for at in self.automatic if abs(after.since - at) < self.limits.budget_window]
        self._demand(
            len(within) <= self.limits.automatic,
            f"{len(within)} automatic switches within {self.limits.budget_window}",
        )

    def turned(self, host: str, turn: Turn) -> None:
        """A host has had its turn."""
        seen = turn.survey
        if seen is None or turn.jumped is not None:
            self._demand(turn.switched is None, f"{host} switched without knowing")
            return
        before, fleet = seen.state, seen.situation.fleet
        health = fleet.health.get(before.serving)
        down = health is not None and health.verdict is Verdict.DOWN and not health.coming_back
        cut = before.serving in fleet.isolated
        may = [
            name
            for name in seen.situation.candidates
            if name != before.serving and not seen.why_ineligible(name)
        ]
        if turn.switched is not None:
            self._switched(turn.switched, seen, may, down=down)
            self._demand(not cut, f"{host} acted though no host sees {before.serving}")
            return
        lone = fleet.few and not fleet.reference_answers
        free = before.mode is Mode.AUTO and before.serving not in before.disabled
        overtaken = self._last is not None and self._last[1].epoch > before.epoch
        if free and down and may and not (cut or lone or overtaken):
            self.broken.append(f"{host} left {before.serving} serving, though it is down")

    def _switched(self, after: SwitchState, seen: Survey, may: list[str], *, down: bool) -> None:
        before, names = seen.state, list(seen.situation.candidates)
        if after.mode is Mode.LATCHED:
            self._demand(after.serving == before.serving, "latched elsewhere")
            self._demand(down, "latched in a calm moment")
            return
        self._demand(after.serving in may, f"switched to {after.serving}, which is not eligible")
        if not down:
            preferred = names.index(after.serving) < names.index(before.serving)
            self._demand(preferred, "left an upstream that is not down for a less preferred one")
            dwelt = before.hold_until is None or seen.at >= before.hold_until
            self._demand(dwelt, "returned before the dwell was over")

    def _demand(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(otherwise)
