"""Gathers what `now` tells; changes nothing, and fails only without a ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from conversion.decision.account import SAML
from conversion.decision.plan import parse_envelope
from conversion.decision.situation import OpenCampaign, Situation
from conversion.decision.triage import HORIZONS, Session, Triage, load, triage
from conversion.errors import MattermostError, Unauthorized
from conversion.inventory import age_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from conversion.config import Settings
    from conversion.decision.account import Account
    from conversion.ledger.base import Campaign, Ledger
    from conversion.mattermost import Session as ServerSession
    from conversion.mattermost import Version
    from conversion.proxy_status import ProxyAnswer


class Server(Protocol):
    """What `now` asks. Every call raises the errors of `MattermostError`."""

    def version(self) -> Version:
        """The release."""

    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """The settings, by section."""

    def all_accounts(self) -> Sequence[Account]:
        """All accounts, read until two passes agree."""

    def sessions(self, user_id: str) -> Sequence[ServerSession]:
        """All sessions of a person, expired ones too."""


def look_around(
    server: Server,
    ledger: Ledger,
    settings: Settings,
    proxy: ProxyAnswer,
    now: datetime,
    horizons: Sequence[timedelta] = HORIZONS,
    tell: Callable[[int, int], None] = lambda _done, _total: None,
) -> Situation:
    """What is so at `now`. Sessions are a call for each person; none without `horizons`.

    `tell` hears how many of how many people were looked at. Raises `LedgerError`.
    """
    rows = list(ledger.inventory())
    release, server_trouble = _release(server)
    unasked: tuple[Sequence[Account], str] = ((), "not known")
    accounts, token_trouble = unasked if server_trouble else _accounts(server)
    people = [one for one in accounts if _counts(one)]
    known = {row.user_id for row in rows if row.binding is not None}
    triaged: tuple[Triage, ...] = ()
    if horizons and people:
        triaged, token_trouble = _triaged(server, people, now, settings, token_trouble, tell)
    return Situation(
        now=now,
        sso_works=proxy.works,
        sso=_in_words(proxy),
        server=server_trouble,
        token=token_trouble,
        release=release,
        inventory_age=age_of(rows, now),
        inventory_max_age=settings.campaign.inventory_max_age,
        known=sum(one.id in known or one.auth_data is not None for one in people),
        people=len(people),
        loads=load(triaged, now, settings.campaign.minutes_a_call, horizons) if triaged else (),
        campaign=campaign_of(ledger),
    )


def campaign_of(ledger: Ledger) -> OpenCampaign | None:
    """The campaign that is open, with its counts."""
    found = ledger.current_campaign()
    if found is None:
        return None
    return OpenCampaign(found.id, found.opened_at, _until(found), ledger.counts(found.id))


def _until(campaign: Campaign) -> datetime | None:
    try:
        return parse_envelope(campaign.envelope).until
    except ValueError:
        return None


def _counts(account: Account) -> bool:
    of_a_person = not account.is_bot and not account.is_remote
    return account.auth_service == SAML and account.active and of_a_person


def _in_words(proxy: ProxyAnswer) -> str:
    if proxy.works is None:
        return f"nobody knows: {proxy.why or 'the proxy has seen no login of late'}"
    return "works, says the proxy" if proxy.works else "IS DOWN, says the proxy"


def _release(server: Server) -> tuple[str, str]:
    try:
        return str(server.version()), ""
    except MattermostError as error:
        return "", f"DOES NOT ANSWER: {error.detail}"


def _accounts(server: Server) -> tuple[Sequence[Account], str]:
    try:
        return server.all_accounts(), ""
    except Unauthorized as error:
        return (), f"REFUSED: {error.detail}"
    except MattermostError as error:
        return (), f"not known: {error.detail}"


def _triaged(
    server: Server,
    people: Sequence[Account],
    now: datetime,
    settings: Settings,
    token_trouble: str,
    tell: Callable[[int, int], None],
) -> tuple[tuple[Triage, ...], str]:
    try:
        idle = idle_of(server.config())
        found = []
        with ThreadPoolExecutor(max_workers=settings.access.connections) as pool:
            for one in pool.map(lambda one: _triage(server, one.id, now, idle), people):
                found.append(one)
                tell(len(found), len(people))
    except Unauthorized as error:
        return (), f"REFUSED: {error.detail}"
    except MattermostError as error:
        return (), token_trouble or f"good for the list, then: {error.detail}"
    return tuple(found), token_trouble


def _triage(server: Server, user_id: str, now: datetime, idle: timedelta | None) -> Triage:
    sessions = [
        Session(one.expires_at, one.last_activity_at, one.is_token)
        for one in server.sessions(user_id)
    ]
    return triage(user_id, sessions, now, timedelta(0), idle)


def idle_of(config: Mapping[str, Mapping[str, Any]]) -> timedelta | None:
    """After how long the server ends an unused session; None where it does not."""
    service = config.get("ServiceSettings", {})
    minutes = service.get("SessionIdleTimeoutInMinutes")
    if service.get("ExtendSessionLengthWithActivity") is not False or not minutes:
        return None
    return timedelta(minutes=float(minutes))
