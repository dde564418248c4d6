"""What can go wrong between the tool and the server, and inside the server."""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


class Kind(enum.Enum):
    """A fault. AFTER means that the server did what was asked, and the caller never learns it."""

    UNAVAILABLE = "503 of a proxy, HTML"
    SERVER_ERROR = "500 of Mattermost, nothing done"
    ERROR_AFTER = "500 of Mattermost, done"
    HANG = "no answer, nothing done"
    HANG_AFTER = "no answer, done"
    CUT_AFTER = "connection closed in the middle of the answer, done"
    JUNK = "200 of a login portal, HTML, nothing done"
    HALF_JSON = "200 with half a JSON text, done"
    REVOKED = "the token is revoked at this call"

    @property
    def after(self) -> bool:
        """Whether the call is done before it fails."""
        return self in {Kind.ERROR_AFTER, Kind.HANG_AFTER, Kind.CUT_AFTER, Kind.HALF_JSON}


@dataclass(slots=True)
class Fault:
    """`times` calls that match fail, after `spare` of them went well, each with `probability`."""

    kind: Kind
    method: str = ""
    path: str = ""
    times: int = 1
    spare: int = 0
    probability: float = 1.0

    def strikes(self, method: str, path: str, chance: random.Random) -> bool:
        """Whether this call fails; counts."""
        if self.times <= 0 or (self.method and self.method != method):
            return False
        if self.path and not re.search(self.path, path):
            return False
        if self.spare > 0:
            self.spare -= 1
            return False
        if self.probability < 1 and chance.random() >= self.probability:
            return False
        self.times -= 1
        return True


class Shift(enum.Enum):
    """What happens to the list of users while somebody walks through it."""

    NONE = "none"
    INSERT = "a new user comes first: one row is listed twice"
    RENAME = "the first user becomes the last: one row is not listed at all"


@dataclass(slots=True)
class RateLimit:
    """RateLimitSettings as the real server keeps them: generic cell rate, for each address."""

    per_second: int = 10
    burst: int = 100
    _arrival: dict[str, float] = field(default_factory=dict)

    def take(self, address: str, now: float) -> tuple[bool, dict[str, str]]:
        """Whether the call may pass, and the headers of its answer."""
        interval = 1 / self.per_second
        capacity = interval * (self.burst + 1)
        due = max(self._arrival.get(address, now), now)
        passes = due + interval - now <= capacity + 1e-9
        if passes:
            due += interval
            self._arrival[address] = due
        headers = {
            "X-Ratelimit-Limit": str(self.burst + 1),
            "X-Ratelimit-Remaining": str(max(0, int((capacity - (due - now)) / interval + 1e-6))),
            "X-Ratelimit-Reset": str(math.ceil(due - now)),
        }
        if not passes:
            wait = due + interval - now - capacity
            headers["Retry-After"] = str(max(1, math.ceil(wait)))
        return passes, headers


@dataclass(slots=True)
class Trouble:
    """All of it. `lost_updates` is the share of PUT auth and PUT password that a profile update of
    somebody else undoes, `lost_after_s` later; `login_lag_s` is how long a login's new hash takes.
    """

    faults: list[Fault] = field(default_factory=list)
    rate_limit: RateLimit | None = None
    lost_updates: float = 0.0
    lost_after_s: float = 0.0
    login_lag_s: float = 0.0
    shift: Shift = Shift.NONE
    shift_every: int = 3
    shifts_left: int = 1_000_000
    hang_s: float = 5.0
    down_until: float = 0.0
