"""What the public may know: whether logins work, and since when that was last seen.

No upstream's name, no verdict and no reason leaves here (DESIGN section 9, OPS-03).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.fleet import Health
from idp_proxy.decision.health import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from idp_proxy.decision.switching import SwitchState

#: How long a verified login vouches for the next one.
PROOF_LASTS: Final = timedelta(minutes=10)


class LoginState(enum.StrEnum):
    """Whether a login works now; `UNKNOWN` when nobody tried of late."""

    WORKS = "works"
    FAILS = "fails"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Standing:
    """`proven_at` is the last verified login or canary at the serving upstream; `affected` says
    whether people may notice something: a standby serves, or nobody, or the serving one wavers.
    `ready`: the proxy has somebody to send a login to, who may be down all the same.
    """

    login: LoginState
    proven_at: datetime | None
    affected: bool
    ready: bool = True


#: What is known of an upstream while no host can be asked about it.
UNSEEN: Final = Health("", Verdict.UNKNOWN, ())
NOBODY_SERVES: Final = Standing(LoginState.FAILS, None, affected=True, ready=False)


def judge_standing(
    state: SwitchState,
    active: str,
    why_unusable: str | None,
    proofs: Mapping[str, datetime],
    health: Health,
    now: datetime,
) -> Standing:
    """How logins stand. `why_unusable` is the reason why the serving upstream cannot be asked,
    `health` what the fleet sees of it.
    """
    known = (proofs.get(state.serving), health.canary_passed_at)
    proven_at = max(filter(None, known), default=None)
    if state.serving in state.disabled or why_unusable is not None:
        return replace(NOBODY_SERVES, proven_at=proven_at)
    if health.verdict is Verdict.DOWN:
        # Logins still go there: the person's browser may reach what the hosts do not.
        return Standing(LoginState.FAILS, proven_at, affected=True)
    fresh = proven_at is not None and now - proven_at <= PROOF_LASTS
    login = LoginState.WORKS if fresh else LoginState.UNKNOWN
    wavers = health.verdict is Verdict.SUSPECT
    return Standing(login, proven_at, affected=wavers or state.serving != active)
