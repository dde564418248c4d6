"""What hosts must have in common to be one proxy, and what does not fit together.

Each host publishes what it is made of with its report. Nothing here is secret: keys are known by
fingerprints under a derivation of their own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from idp_proxy.decision.fleet import HostReport

#: A host that was not heard for so long is gone, or nobody looks after it.
SILENT_AFTER: Final = timedelta(minutes=5)
#: One that was heard within this still runs, and would be back on the register at once.
_RUNS: Final = timedelta(minutes=1)


#: A host reports every few seconds: one that was heard within this has its name.
_HAS_ITS_NAME: Final = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Membership:
    """What a host is made of. `preference` has its upstreams in order; `keys` the fingerprints of
    its state keys, the first of which seals. `installation` is the machine's own folder, `run` the
    process that reports. Empty where a host did not say.
    """

    preference: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    installation: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Discord:
    """Something that does not fit together. `rule` names it, `host` is whose it is; `what` says it
    to people.
    """

    rule: str
    host: str
    what: str


def discords(reports: Sequence[HostReport], fresh: timedelta, now: datetime) -> tuple[Discord, ...]:
    """Everything that does not fit together, `now` by the store's clock."""
    heard = [one for one in reports if now - one.at <= fresh]
    return (*_of_keys(heard), *_of_preference(heard), *_silent(reports, now))


def why_outvoted(host: str, reports: Iterable[HostReport]) -> str | None:
    """Why `host` may switch nothing by itself: it prefers other upstreams than the majority of the
    hosts that were heard, so that its switch would not be theirs. None if it may.
    """
    known = {one.host: one.member.preference for one in reports if one.member.preference}
    own = known.get(host)
    if own is None:
        return None
    agreeing = sum(preference == own for preference in known.values())
    if 2 * agreeing > len(known):
        return None
    return f"only {agreeing} of {len(known)} hosts prefer the upstreams as {host} does"


def why_name_is_taken(
    known: HostReport, own: HostReport, now: datetime, *, begins: bool
) -> str | None:
    """Why `own` may not report in place of `known`, which has the same name: somebody else reports
    under it. None where it is this process, or one that `begins` where another one ended.
    """
    mine, theirs = own.member, known.member
    same = not mine.run or not theirs.run or mine.run == theirs.run
    follows = begins and mine.installation == theirs.installation
    if same or follows or now - known.at > _HAS_ITS_NAME:
        return None
    return (
        f"somebody else runs as host {own.host}, and was heard at {known.at:%H:%M:%S} UTC: every "
        "machine needs a [proxy] host and a data_dir of its own; was this one only set up anew, "
        f"start it again in {_HAS_ITS_NAME.total_seconds():.0f} seconds"
    )


def may_be_forgotten(report: HostReport, now: datetime) -> bool:
    """Whether this host is not running any more, as far as the store can tell."""
    return now - report.at > _RUNS


def _of_keys(heard: Sequence[HostReport]) -> Iterator[Discord]:
    """Whoever lacks the key by which another one seals cannot finish what that one began."""
    for one in heard:
        lacks = [
            other.host
            for other in heard
            if one.member.keys and other.member.keys and other.member.keys[0] not in one.member.keys
        ]
        if lacks:
            what = (
                f"{one.host} cannot finish logins that began at {', '.join(lacks)}: their"
                " proxy.state_keys differ; every host needs the same key files, in the same order"
            )
            yield Discord("state_keys", one.host, what)


def _of_preference(heard: Sequence[HostReport]) -> Iterator[Discord]:
    orders = Counter(one.member.preference for one in heard if one.member.preference)
    usual = max(orders, key=lambda order: (orders[order], order), default=())
    for one in heard:
        if one.member.preference not in {usual, ()}:
            what = (
                f"{one.host} has the upstreams {', '.join(one.member.preference)}, others have"
                f" {', '.join(usual)}: every host needs the same [[upstream]] in the same order"
            )
            yield Discord("preference", one.host, what)


def _silent(reports: Sequence[HostReport], now: datetime) -> Iterator[Discord]:
    for one in reports:
        if now - one.at > SILENT_AFTER:
            what = f"{one.host} was last heard at {one.at:%Y-%m-%d %H:%M} UTC"
            yield Discord("silent", one.host, what)
