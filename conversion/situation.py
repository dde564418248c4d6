"""Gathers what `now` tells; changes nothing, and fails only without a ledger."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from conversion.decision.account import SAML
from conversion.decision.deadline import Deadlines, waiting
from conversion.decision.lifecycle import OPEN
from conversion.decision.people import People
from conversion.decision.plan import parse_envelope
from conversion.decision.situation import UNTOUCHED, Door, OpenCampaign, Situation
from conversion.decision.triage import HORIZONS, Standing
from conversion.errors import MattermostError, Unauthorized
from conversion.ledger.base import MOVED
from conversion.sessions import Looks, Question, idle_of, look_at_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import timedelta

    from conversion.config import Settings
    from conversion.decision.account import Account
    from conversion.ledger.base import Campaign, Ledger, Row
    from conversion.mattermost import Session as ServerSession
    from conversion.mattermost import Version
    from conversion.proxy_status import ProxyAnswer

_USUAL: Final = Deadlines()


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
    age, known = inventory_of(ledger, now)
    release, server_trouble = _release(server)
    unasked: tuple[Mapping[str, Account], str] = ({}, "not known")
    accounts, token_trouble = unasked if server_trouble else _accounts(server)
    config: Mapping[str, Mapping[str, Any]] = {}
    if not server_trouble and not token_trouble:
        config, token_trouble = _config(server)
    people = [one.id for one in accounts.values() if _counts(one)]
    looks = Looks()
    # Local mode shows no sessions.
    if horizons and people and settings.access.local_socket is None:
        question = Question(
            now,
            settings.campaign.minutes_a_call,
            idle=idle_of(config),
            horizons=tuple(horizons),
            threads=settings.access.connections,
        )
        looks, trouble = _looks(server, people, question, tell)
        token_trouble = token_trouble or trouble
    out = (accounts[one].username for one, at in looks.standings.items()
           if at is Standing.LOCKED_OUT)  # fmt: skip
    return Situation(
        now=now,
        sso_works=proxy.works,
        sso=_in_words(proxy),
        server=server_trouble,
        token=token_trouble,
        release=release,
        inventory_age=age,
        inventory_max_age=settings.campaign.inventory_max_age,
        known=sum(accounts[one].auth_data is not None or one in known for one in people),
        people=len(people),
        door=door_of(config),
        loads=looks.loads,
        out_now=tuple(sorted(out)),
        last_saml_login=looks.last_saml_login,
        campaign=campaign_of(ledger, now, settings.campaign.deadlines),
    )


def campaign_of(
    ledger: Ledger, now: datetime, deadlines: Deadlines = _USUAL
) -> OpenCampaign | None:
    """The campaign that is open, with its counts, and who is away for how long."""
    found = ledger.current_campaign()
    if found is None:
        return None
    rows = ledger.rows(found.id, *(OPEN - UNTOUCHED))
    away = waiting(map(_left_at, rows), now, deadlines)
    return OpenCampaign(found.id, found.opened_at, _until(found), ledger.counts(found.id), away)


def _left_at(row: Row) -> datetime:
    """Since when this account may have been at a password."""
    return datetime.fromisoformat(row.facts[MOVED]) if MOVED in row.facts else row.updated_at


def door_of(config: Mapping[str, Mapping[str, Any]]) -> Door:
    """Whether the server's settings let anybody in with a password."""
    email = config.get("EmailSettings", {})
    return Door(email.get("EnableSignInWithEmail"), email.get("EnableSignInWithUsername"))


def inventory_of(ledger: Ledger, now: datetime) -> tuple[timedelta | None, People]:
    """How long ago `prepare` last ran, and whose way back it knows; read once."""
    last: datetime | None = None

    def known() -> Iterator[str]:
        nonlocal last
        for row in ledger.inventory():
            last = row.seen_at if last is None else max(last, row.seen_at)
            if row.binding is not None:
                yield row.user_id

    ids = People(known())
    return (None if last is None else now - last), ids


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


def _config(server: Server) -> tuple[Mapping[str, Mapping[str, Any]], str]:
    try:
        return server.config(), ""
    except MattermostError as error:
        return {}, f"good for the list, not for the settings: {error.detail}"


def _looks(
    server: Server,
    people: Sequence[str],
    question: Question,
    tell: Callable[[int, int], None],
) -> tuple[Looks, str]:
    try:
        return look_at_sessions(server, people, question, tell), ""
    except Unauthorized as error:
        return Looks(), f"REFUSED: {error.detail}"
    except MattermostError as error:
        return Looks(), f"good for the list, then: {error.detail}"
