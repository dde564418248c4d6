"""Looks at people's sessions: who is locked out now and when, a call a person, by many threads.

People are asked in groups, and of each only where they stand is kept: a hundred thousand answers
would not fit into the memory that a command may take.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from conversion.decision.triage import HORIZONS, Session, Tally, triage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from conversion.decision.triage import Load, Standing, Triage
    from conversion.mattermost import Session as ServerSession

_AT_ONCE: Final = 512


class Server(Protocol):
    """What is asked. Raises the errors of `MattermostError`."""

    def sessions(self, user_id: str) -> Sequence[ServerSession]:
        """All sessions of a person, expired ones too."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a look is for: `now`, "soon" is `within`; `idle` see `triage`; who is out at each of
    `horizons`, and the minutes the help desk needs for one of them.
    """

    now: datetime
    minutes_a_call: float
    within: timedelta = timedelta(0)
    idle: timedelta | None = None
    horizons: tuple[timedelta, ...] = HORIZONS
    threads: int = 8


@dataclass(frozen=True, slots=True)
class Looks:
    """Where people stand, by user id, how many are locked out when, and when one of them last
    logged in by SAML, as far as that session is still listed.
    """

    standings: Mapping[str, Standing] = field(default_factory=dict)
    loads: tuple[Load, ...] = ()
    last_saml_login: datetime | None = None


def look_at_sessions(
    server: Server,
    ids: Sequence[str],
    question: Question,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Looks:
    """Where each of `ids` stands; `tell` hears how many of how many were looked at.

    Raises what the server says: who is locked out must not be guessed from half the people.
    """
    tally = Tally(question.now, question.minutes_a_call, question.horizons)
    standings: dict[str, Standing] = {}

    last: datetime | None = None

    def one(user_id: str) -> tuple[Triage, datetime | None]:
        listed = server.sessions(user_id)
        sessions = [
            Session(found.expires_at, found.last_activity_at, found.is_token) for found in listed
        ]
        came = max((found.created_at for found in listed if found.is_saml), default=None)
        return triage(user_id, sessions, question.now, question.within, question.idle), came

    with ThreadPoolExecutor(max_workers=question.threads) as pool:
        for first in range(0, len(ids), _AT_ONCE):
            for found, came in pool.map(one, ids[first : first + _AT_ONCE]):
                tally.count(found)
                standings[found.user_id] = found.standing
                last = came if last is None or (came is not None and came > last) else last
                tell(len(standings), len(ids))
    return Looks(standings, tally.loads(), last)


def idle_of(config: Mapping[str, Mapping[str, Any]]) -> timedelta | None:
    """After how long the server ends an unused session; None where it does not."""
    service = config.get("ServiceSettings", {})
    minutes = service.get("SessionIdleTimeoutInMinutes")
    if service.get("ExtendSessionLengthWithActivity") is not False or not minutes:
        return None
    return timedelta(minutes=float(minutes))
