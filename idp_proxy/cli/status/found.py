"""What `status` shows, of one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.config import Settings
    from idp_proxy.decision.drill import Drill
    from idp_proxy.decision.proposal import Proposal
    from idp_proxy.decision.standby_logins import Unsettled
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.operators.overrides import Override
    from idp_proxy.survey import Survey


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that is shown. `usable` has each upstream in order of preference, with None or the
    reason why nobody could log in there; `counting` are overrides whose countdown runs, and
    `unreviewed` counts those that were used; `left` are logins by standbys whose sessions nobody
    has looked after.
    """

    settings: Settings
    seen: Survey
    usable: Mapping[str, str | None]
    drill: Drill | None
    proposals: tuple[Proposal, ...]
    counting: tuple[Override, ...]
    unreviewed: int
    left: Unsettled | None = None

    @property
    def left_behind(self) -> Unsettled | None:
        """What a standby left behind in Mattermost; nothing is due while one serves."""
        return self.left if self.state.serving == next(iter(self.usable)) else None

    @property
    def state(self) -> SwitchState:
        """Who serves."""
        return self.seen.state

    @property
    def watched(self) -> bool:
        """Whether any host watches."""
        return bool(self.seen.situation.fleet.seen)

    @property
    def down(self) -> bool:
        """Whether logins fail at the serving upstream, as far as is known."""
        health = self.seen.situation.health(self.state.serving)
        bad = health is not None and health.verdict is Verdict.DOWN
        unusable = self.usable.get(self.state.serving, "not configured") is not None
        return bad or unusable or route(self.state) is None
