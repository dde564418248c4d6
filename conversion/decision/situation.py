"""The ten lines of `now`: what is true, and the one command that helps most."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision.lifecycle import INTENTS, OPEN, RowState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from conversion.decision.triage import Load

#: Never touched, or not any more: nothing to bring back.
UNTOUCHED: Final = frozenset(
    {RowState.PLANNED, RowState.OFFERED, RowState.SKIPPED, RowState.WITHDRAWN}
)


@dataclass(frozen=True, slots=True)
class OpenCampaign:
    """The campaign that is open, how many rows are in each state, and when its envelope ends."""

    id: str
    opened_at: datetime
    until: datetime | None
    counts: Mapping[RowState, int]

    @property
    def left(self) -> int:
        """People who were moved, or may have been, and are not proven to be back."""
        return sum(
            people
            for state, people in self.counts.items()
            if state in OPEN and state not in UNTOUCHED
        )


@dataclass(frozen=True, slots=True)
class Situation:
    """What was learnt at `now`. `sso_works` None: nobody knows; `sso` says it in words.

    `server` and `token` say what is wrong, empty where all is well. `loads` is empty where the
    sessions were not looked at.
    """

    now: datetime
    sso_works: bool | None
    sso: str
    server: str
    token: str
    inventory_age: timedelta | None
    inventory_max_age: timedelta
    known: int
    people: int
    release: str = ""
    loads: tuple[Load, ...] = field(default=())
    campaign: OpenCampaign | None = None


def lines(found: Situation) -> tuple[tuple[str, str], ...]:
    """Nine lines, each a subject and what is so; the tenth is `next_words`."""
    return (
        ("time", f"{found.now:%Y-%m-%d %H:%M} UTC"),
        ("SSO", found.sso),
        ("server", found.server or f"answers; Mattermost {found.release}"),
        ("token", found.token or "good"),
        ("inventory", _inventory(found)),
        ("on SSO", f"{found.people} people; the way back of {found.known} is known"),
        ("locked out", locked_out(found.loads)),
        ("phone", phone(found.loads)),
        ("campaign", _campaign(found.campaign)),
    )


def next_words(found: Situation) -> tuple[str, ...]:
    """The command that helps most now, without the program's name."""
    if found.server or found.token:
        return ("preflight",)
    if found.inventory_age is None:
        return ("prepare",)
    campaign = found.campaign
    if campaign is not None and campaign.left:
        return ("return",) if found.sso_works else ("status",)
    if campaign is not None and found.sso_works:
        return ("verify",)
    if found.sso_works is False and found.loads and found.loads[0].people:
        return ("plan", "--locked-out", "--at-most", str(found.loads[0].people))
    stale = found.inventory_age > found.inventory_max_age
    return ("prepare",) if stale else ("preflight",)


def _inventory(found: Situation) -> str:
    if found.inventory_age is None:
        return "NONE: no way back is known"
    hours = found.inventory_age / timedelta(hours=1)
    old = found.inventory_age > found.inventory_max_age
    return f"{hours:.0f} h old{': TOO OLD' if old else ''}"


def locked_out(loads: Sequence[Load]) -> str:
    """How many are locked out when, in words."""
    if not loads:
        return "not looked at"
    return ", ".join(f"{load.people} {load.when}" for load in loads)


def phone(loads: Sequence[Load]) -> str:
    """What answering each of them takes, in words."""
    if not loads:
        return "not looked at"
    spoken = ", ".join(f"{load.phone_hours:.0f} h {load.when}" for load in loads)
    return f"{spoken}, if each of them calls"


def _campaign(campaign: OpenCampaign | None) -> str:
    if campaign is None:
        return "none is open"
    counts = campaign.counts
    unsure = sum(people for state, people in counts.items() if state in INTENTS)
    said = ", ".join(f"{counts[state]} {state.value}" for state in RowState if counts.get(state))
    until = f", to end by {campaign.until:%Y-%m-%d %H:%M} UTC" if campaign.until else ""
    settle = f"; {unsure} to be settled by asking the server" if unsure else ""
    return f"{campaign.id} is open{until}: {said or 'nobody yet'}{settle}"
