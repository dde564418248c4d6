"""The composition of what second factors take: only where a directory may ask for one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from idp_proxy.adapters import new_id
from idp_proxy.config.settings import DirectorySettings
from idp_proxy.enrolment import PURPOSE, Enrolment
from idp_proxy.enrolment_pass import PURPOSE as PASS
from idp_proxy.enrolment_pass import OpeningHours
from idp_proxy.factor_desk import FactorDesk
from idp_proxy.factor_step import REHEARSED, FactorStep
from idp_proxy.factors.passkeys import RelyingParty
from idp_proxy.factors.proving import Proving
from idp_proxy.factors.sealing import key_ring
from idp_proxy.password_proven import PURPOSE as STEP
from idp_proxy.seal import KeyRing
from idp_proxy.web.enroll import Enrolments
from idp_proxy.web.factor_step import Step, StepCookies, Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from idp_proxy.config.settings import Settings
    from idp_proxy.factor_step import Logins
    from idp_proxy.login import Issued, Login
    from idp_proxy.rehearsal import Rehearsed
    from idp_proxy.survey import SeenStore, Standards
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.upstream.configured import ConfiguredUpstream
    from idp_proxy.web.acs import Rehearsals


@dataclass(frozen=True, slots=True)
class SecondFactors:
    """Where they are set up, and where they are shown."""

    enrolments: Enrolments
    desk: FactorDesk
    steps: Steps
    directories: frozenset[str]


def open_factors(
    settings: Settings,
    store: SeenStore,
    upstreams: Mapping[str, ConfiguredUpstream],
    standards: Standards,
    login: Login,
    rehearsals: Rehearsals,
    style: CookieStyle,
    now: Callable[[], datetime],
) -> SecondFactors | None:
    """None where no directory stands behind an active that is none: nothing asks for them."""
    first, *others = settings.upstreams
    standbys = [one for one in others if isinstance(one, DirectorySettings)]
    if not standbys or isinstance(first, DirectorySettings):
        return None
    keys, shown_as = settings.proxy.state_keys, urlsplit(settings.service_provider.login_url).netloc
    hours = OpeningHours(store=store, active=first.name, standards=standards)
    ring, passes = key_ring(keys), KeyRing(keys, PASS)
    party = RelyingParty.of(settings.proxy.public_url, shown_as)
    enrolment = Enrolment(
        active=first.name,
        upstream=upstreams[first.name],
        hours=hours,
        policy=settings.assurance,
        store=store,
        canaries=login.record.canaries,
        ring=KeyRing(keys, PURPOSE),
        passes=passes,
        now=now,
        new_id=new_id,
        answer_within=settings.proxy.answer_within,
    )
    desk = FactorDesk(
        store=store,
        hours=hours,
        ring=ring,
        passes=passes,
        party=party,
        issuer=shown_as,
        now=now,
        new_id=new_id,
    )
    steps = _steps(
        keys, Proving(store=store, ring=ring, party=party), login, rehearsals, style, now
    )
    return SecondFactors(
        Enrolments(enrolment, replace(style, purpose=PURPOSE)),
        desk,
        steps,
        frozenset(one.name for one in standbys),
    )


def _steps(
    keys: Sequence[bytes],
    proving: Proving,
    login: Login,
    rehearsals: Rehearsals,
    style: CookieStyle,
    now: Callable[[], datetime],
) -> Steps:
    """The second step of a login and that of a rehearsal, each by a ring and cookies of its own."""

    def step(journey: Logins[Issued | Rehearsed], purpose: str, cookies: StepCookies) -> Step:
        ring = KeyRing(keys, purpose)
        return Step(
            FactorStep(
                store=proving.store,
                proving=proving,
                party=proving.party,
                logins=journey,
                ring=ring,
                now=now,
            ),
            cookies,
        )

    return Steps(
        step(login, STEP, StepCookies(style)),
        step(rehearsals.journey, REHEARSED, StepCookies(rehearsals.style, "factor-rehearsed")),
    )
