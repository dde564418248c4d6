"""The pass of a drill: what a browser carries that goes through the standby, and what it is worth.

The cookie alone leads nowhere: it is held against the drill in the store at each login. While the
store is away, or the pass is of another drill, an ended one or nobody's, the browser is like any
other. Without a pass nothing is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from idp_proxy.decision.drill import drill_route, refuses_drill_answer
from idp_proxy.errors import StoreError
from idp_proxy.seal import opened_text, sealed_text
from idp_proxy.transaction import DrillLogin

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.decision.switching import Grace, SwitchState
    from idp_proxy.seal import KeyRing
    from idp_proxy.store.base import Store

_log = structlog.get_logger("idp_proxy.drill")

#: For what passes, and the links that lead to them, are sealed.
PURPOSE: Final = "drill"
#: What stands behind the prefix in the name of the one cookie.
COOKIE: Final = "pass"
_CONTEXT: Final = "pass"


def write_pass(login: DrillLogin, ring: KeyRing) -> str:
    """The cookie's value."""
    content = json.dumps([login.drill, login.person], separators=(",", ":")).encode()
    return sealed_text(_CONTEXT, content, ring)


def read_pass(cookie: str, ring: KeyRing) -> DrillLogin | None:
    """Whose pass of which drill; None for what this ring did not seal as one."""
    content = opened_text(_CONTEXT, cookie, ring)
    return None if content is None else DrillLogin(*json.loads(content))


@dataclass(frozen=True, slots=True)
class DrillPasses:
    """What the passes of browsers are worth: `login.Drills`."""

    store: Store
    ring: KeyRing

    def way(self, cookie: str, state: SwitchState, now: datetime) -> tuple[str, DrillLogin] | None:
        """The upstream that this browser is led to, and for whom; None: as everybody."""
        login = read_pass(cookie, self.ring)
        if login is None:
            return None
        try:
            drill = self.store.drill()
        except StoreError as error:
            _log.warning("drill_ignored", detail=error.detail[:300])
            return None
        upstream = drill_route(drill, state, login.drill, login.person, now)
        return None if upstream is None else (upstream, login)

    def refuses_answer(
        self, login: DrillLogin, state: SwitchState, grace: Grace, now: datetime
    ) -> str | None:
        """Why its answer is no longer taken; None if it is. Raises `StoreError`."""
        return refuses_drill_answer(self.store.drill(), state, login.drill, grace, now)
