"""What the public may know: whether logins work, and since when that was last seen.

No upstream's name, no verdict and no reason leaves here (DESIGN section 9, OPS-03).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

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
    """`proven_at` is the last verified login at the serving upstream; `affected` says whether
    people may notice something: a standby serves, or nobody.
    """

    login: LoginState
    proven_at: datetime | None
    affected: bool

    @property
    def ready(self) -> bool:
        """Whether a login that begins now can be served."""
        return self.login is not LoginState.FAILS


NOBODY_SERVES: Final = Standing(LoginState.FAILS, None, affected=True)


def judge_standing(
    state: SwitchState,
    active: str,
    why_unusable: str | None,
    proofs: Mapping[str, datetime],
    now: datetime,
) -> Standing:
    """How logins stand. `why_unusable` is the reason why the serving upstream cannot be asked."""
    proven_at = proofs.get(state.serving)
    if state.serving in state.disabled or why_unusable is not None:
        return Standing(LoginState.FAILS, proven_at, affected=True)
    fresh = proven_at is not None and now - proven_at <= PROOF_LASTS
    login = LoginState.WORKS if fresh else LoginState.UNKNOWN
    return Standing(login, proven_at, affected=state.serving != active)
