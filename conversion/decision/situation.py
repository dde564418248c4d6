"""The ten lines of `now`: what is true, and the one command that helps most."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision.deadline import Due, Waiting
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
    """The campaign that is open, how many rows are in each state, when its envelope ends, and how
    long people have been away.
    """

    id: str
    opened_at: datetime
    until: datetime | None
    counts: Mapping[RowState, int]
    waiting: Waiting = field(default=Waiting())

    @property
    def left(self) -> int:
        """People who were moved, or may have been, and are not proven to be back."""
        return sum(
            people
            for state, people in self.counts.items()
            if state in OPEN and state not in UNTOUCHED
        )

    @property
    def moved(self) -> int:
        """Everybody who was moved, or may have been."""
        return sum(people for state, people in self.counts.items() if state not in UNTOUCHED)


@dataclass(frozen=True, slots=True)
class Door:
    """Whether a password login is possible by Mattermost's settings: by email, by user name.

    None where the settings are not known.
    """

    by_email: bool | None = None
    by_name: bool | None = None

    def __str__(self) -> str:
        ways = [way for way, is_open in (("email", self.by_email), ("user name", self.by_name))
                if is_open]  # fmt: skip
        if ways:
            return f"open: people can log in with {' or '.join(ways)} and a password"
        if self.shut:
            return "SHUT: sign-in with email and with user name are off; preflight tells the cure"
        return "not known"

    @property
    def shut(self) -> bool:
        """Whether nobody can use a password, whatever is set for them."""
        return self.by_email is False and self.by_name is False


@dataclass(frozen=True, slots=True)
class Situation:
    """What was learnt at `now`. `sso_works` None: no proxy says so; `sso` says it in words.

    `server` and `token` say what is wrong, empty where all is well. `loads` is empty where the
    sessions were not looked at; `out_now` are the user names of who is locked out now, in order;
    `last_saml_login` is the youngest login by SSO that was seen.
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
    door: Door = field(default=Door())
    loads: tuple[Load, ...] = field(default=())
    out_now: tuple[str, ...] = field(default=())
    last_saml_login: datetime | None = None
    campaign: OpenCampaign | None = None

    @property
    def seems_to_work(self) -> bool:
        """Whether SSO works: by the proxy's word, else because somebody came in by it just now."""
        if self.sso_works is not None or self.last_saml_login is None:
            return self.sso_works is True
        return self.now - self.last_saml_login <= _JUST_NOW


#: A login by SSO that is not older shows that SSO works: as fresh as the proof of a return.
_JUST_NOW: Final = timedelta(minutes=10)


def lines(found: Situation) -> tuple[tuple[str, str], ...]:
    """Nine lines, each a subject and what is so; the tenth is `next_words`."""
    return (
        ("time", f"{found.now:%Y-%m-%d %H:%M} UTC"),
        ("SSO", _sso(found)),
        ("server", found.server or f"answers; Mattermost {found.release}"),
        ("token", found.token or "good"),
        ("inventory", _inventory(found)),
        ("door", str(found.door)),
        ("locked out", _locked_out(found)),
        ("phone", phone(found.loads)),
        ("campaign", _campaign(found)),
    )


def next_words(found: Situation) -> tuple[str, ...]:
    """The command that helps most now, without the program's name."""
    works = found.seems_to_work
    out = found.loads[0].people if found.loads and not works else 0
    if found.server or found.token or (out and found.door.shut):
        return ("preflight",)
    if found.inventory_age is None:
        return ("prepare",)
    campaign = found.campaign
    if campaign is not None and works:
        return ("return",) if campaign.left else ("verify",)
    if out:
        return ("plan", "--locked-out", "--at-most", str(_at_most(found)))
    if campaign is not None and campaign.left:
        return ("status",)
    stale = found.inventory_age > found.inventory_max_age
    return ("prepare",) if stale else ("preflight",)


def _at_most(found: Situation) -> int:
    """What a campaign may need as far as was looked ahead, who was moved in it before included."""
    moved = 0 if found.campaign is None else found.campaign.moved
    return moved + max(load.people for load in found.loads)


def _sso(found: Situation) -> str:
    last = found.last_saml_login
    if found.sso_works is not None or not found.loads:
        return found.sso
    if last is None:
        return f"{found.sso}; no login by SSO was seen: try one yourself, in a private window"
    minutes = (found.now - last) / timedelta(minutes=1)
    if found.seems_to_work:
        return f"seems to work: somebody logged in by it {max(0, minutes):.0f} min ago"
    ago = f"{minutes:.0f} min" if minutes < _HOURS_FROM else f"{minutes / 60:.0f} h"
    return (
        f"{found.sso}; the last login by SSO was {ago} ago: try one yourself, in a private window"
    )


#: From so many minutes on they are told as hours.
_HOURS_FROM: Final = 120


def _inventory(found: Situation) -> str:
    if found.inventory_age is None:
        return "NONE: no way back is known"
    hours = found.inventory_age / timedelta(hours=1)
    old = ": TOO OLD" if found.inventory_age > found.inventory_max_age else ""
    if found.server or found.token:
        return f"{hours:.0f} h old{old}; whose way back is known was not looked at"
    return f"{hours:.0f} h old{old}; the way back of {found.known} of {found.people} is known"


_SHOWN: Final = 3


def _locked_out(found: Situation) -> str:
    """Who, as far as it fits a line: the first few names of those who are out now."""
    said = locked_out(found.loads)
    if not found.out_now:
        return said
    more = len(found.out_now) - _SHOWN
    names = ", ".join((*found.out_now[:_SHOWN], *([f"{more} more"] if more > 0 else [])))
    now, comma, later = said.partition(",")
    return f"{now} ({names}){comma}{later}"


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


def _campaign(found: Situation) -> str:
    campaign = found.campaign
    if campaign is None:
        return "none is open"
    counts = campaign.counts
    unsure = sum(people for state, people in counts.items() if state in INTENTS)
    said = ", ".join(f"{counts[state]} {state.value}" for state in RowState if counts.get(state))
    settle = f"; {unsure} to be settled by asking the server" if unsure else ""
    alarm = alarm_of(campaign, found.now)
    return f"{campaign.id} is open: {said or 'nobody yet'}{settle}{f'; {alarm}' if alarm else ''}"


def is_overdue(campaign: OpenCampaign, now: datetime) -> bool:
    """Whether somebody is away past the deadline, or past the end of the envelope."""
    ended = campaign.until is not None and campaign.until <= now
    return campaign.waiting.due is Due.ALARM or (ended and campaign.waiting.people > 0)


def alarm_of(campaign: OpenCampaign, now: datetime) -> str:
    """What is due for who is away, in words; empty where nothing is. It returns nobody."""
    waiting = campaign.waiting
    since = f", the first since {waiting.since:%Y-%m-%d %H:%M} UTC" if waiting.since else ""
    if waiting.overdue:
        return f"OVERDUE: {waiting.overdue} people are past the deadline{since}"
    if campaign.until is not None and is_overdue(campaign, now):
        ended = f"{campaign.until:%Y-%m-%d %H:%M} UTC"
        return f"OVERDUE: it was to end at {ended}, and {waiting.people} people are away"
    if waiting.due is Due.REMINDER:
        return f"reminder: {waiting.reminded} people are away for long{since}"
    return f"to end by {campaign.until:%Y-%m-%d %H:%M} UTC" if campaign.until else ""
