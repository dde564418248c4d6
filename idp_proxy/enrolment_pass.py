"""Who may set up a second factor, and when: whoever just logged in at the active, while it is well.

The pass is a sealed cookie, made of one verified answer of the active; nothing else opens the pages
behind it, and for a few minutes only. In an outage none of them opens: whoever got hold of a
password then would set up the second factor to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from idp_proxy import errors
from idp_proxy.decision.second_factor import ENROLMENT_LASTS, in_time, why_not_now
from idp_proxy.seal import opened_text, sealed_text
from idp_proxy.survey import health_of
from idp_proxy.transaction import CLOCK_SKEW

if TYPE_CHECKING:
    from idp_proxy.seal import KeyRing
    from idp_proxy.survey import SeenStore, Standards

#: For what passes are sealed, and the tokens in the forms that they open.
PURPOSE: Final = "enroll-pass"
_VISIT: Final = "visit"
_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True)
class EnrolmentPass:
    """One person's visit, which began with a login at the active."""

    id: str
    person: str
    at: datetime


def sealed_pass(visit: EnrolmentPass, ring: KeyRing) -> str:
    """The cookie's value."""
    facts = [visit.id, visit.person, int(visit.at.timestamp())]
    return sealed_text(_VISIT, json.dumps(facts).encode(), ring)


def opened_pass(cookie: str | None, ring: KeyRing, now: datetime) -> EnrolmentPass:
    """The visit that this browser is on. Raises `EnrolmentOver` without one, or too late."""
    content = None
    if cookie is not None and len(cookie) <= _LONGEST:
        content = opened_text(_VISIT, cookie, ring)
    if content is None:
        raise errors.EnrolmentOver("no pass that these state keys sealed came along")
    identifier, person, at = json.loads(content)
    visit = EnrolmentPass(identifier, person, datetime.fromtimestamp(at, UTC))
    if not in_time(visit.at, ENROLMENT_LASTS, CLOCK_SKEW, now):
        raise errors.EnrolmentOver(f"the pass is {(now - visit.at).total_seconds():.0f} s old")
    return visit


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningHours:
    """Whether factors are set up now, as the store and the hosts know it at this moment."""

    store: SeenStore
    active: str
    standards: Standards

    def demand_open(self) -> None:
        """Raises `EnrolmentClosed`, and `StoreError` while the store is away."""
        state = self.store.switch_state()
        if state is None:
            raise errors.EnrolmentClosed("the store holds no switch state")
        health = health_of(self.store, self.active, self.standards, self.store.clock())
        if (why := why_not_now(state, self.active, health.verdict)) is not None:
            raise errors.EnrolmentClosed(why)
