"""Gathers what `now` tells; changes nothing, and fails only without a ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from conversion.decision.account import SAML
from conversion.decision.plan import parse_envelope
from conversion.decision.situation import OpenCampaign, Situation
from conversion.decision.triage import HORIZONS
from conversion.errors import MattermostError, Unauthorized
from conversion.inventory import age_of
from conversion.sessions import Question, idle_of, look_at_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from conversion.config import Settings
    from conversion.decision.account import Account
    from conversion.decision.triage import Load
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

    def all_accounts(self) -> Mapping[str, Account]:
        """All accounts by user id, read until two passes agree."""

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
    unasked: tuple[Mapping[str, Account], str] = ({}, "not known")
    accounts, token_trouble = unasked if server_trouble else _accounts(server)
    people = [one.id for one in accounts.values() if _counts(one)]
    known = {row.user_id for row in rows if row.binding is not None}
    known |= {one.id for one in accounts.values() if one.auth_data is not None}
    loads: tuple[Load, ...] = ()
    if horizons and people:
        minutes = settings.campaign.minutes_a_call
        threads = settings.access.connections
        question = Question(now, minutes, horizons=tuple(horizons), threads=threads)
        loads, trouble = _load_of(server, people, question, tell)
        token_trouble = token_trouble or trouble
    return Situation(
        now=now,
        sso_works=proxy.works,
        sso=_in_words(proxy),
        server=server_trouble,
        token=token_trouble,
        release=release,
        inventory_age=age_of(rows, now),
        inventory_max_age=settings.campaign.inventory_max_age,
        known=sum(one in known for one in people),
        people=len(people),
        loads=loads,
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


def _accounts(server: Server) -> tuple[Mapping[str, Account], str]:
    try:
        return server.all_accounts(), ""
    except Unauthorized as error:
        return {}, f"REFUSED: {error.detail}"
    except MattermostError as error:
        return {}, f"not known: {error.detail}"


def _load_of(
    server: Server,
    people: Sequence[str],
    question: Question,
    tell: Callable[[int, int], None],
) -> tuple[tuple[Load, ...], str]:
    try:
        asked = replace(question, idle=idle_of(server.config()))
        looks = look_at_sessions(server, people, asked, tell)
    except Unauthorized as error:
        return (), f"REFUSED: {error.detail}"
    except MattermostError as error:
        return (), f"good for the list, then: {error.detail}"
    return looks.loads, ""
