"""Journey: everybody back to SSO, and proof that nobody was left behind.

`return_people` asks for proof that SSO works, brings a pilot back, waits until one of the pilot has
logged in by SAML, and then brings back the rest in waves. Nothing counts as done because the server
said yes: each wave is held against the list. `verify` does only that. Both close the campaign when
nobody is open, and can be killed at any point and run again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from conversion.bulk import FINISHED, groups
from conversion.decision.account import Source
from conversion.decision.lifecycle import OPEN, Event, RowState
from conversion.decision.people import People
from conversion.errors import CampaignIncomplete, ProofMissing
from conversion.ledger.base import MOVED
from conversion.proof import SKEW, login_since, prove
from conversion.restoring import Remark, Restoring, must_restore
from conversion.truth import (
    change_each,
    look,
    open_campaign,
    refresh_converted_file,
    settle_everybody,
    strays,
    wait_for_calls_of_the_dead,
)
from idp_proxy.audit.chain import Event as AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from conversion.bulk import Bulk, Tally
    from conversion.decision.account import Account
    from conversion.ledger.base import Change, Row
    from conversion.proof import Proof

#: Facts of a row: it went ahead of the others; and when, at the earliest (ISO 8601, UTC).
PILOT: Final = "pilot"
BEGAN: Final = "return_began"

_AT_PASSWORD: Final = (RowState.CONVERTED, RowState.CLAIMED)


@dataclass(frozen=True, slots=True)
class Orders:
    """How the return is to go. `operator` is the user name of the operator's own SAML account.

    `first` are user ids of volunteers for the pilot; `wave` people go at a time, 0 for all at once;
    `decided` are user ids in conflict whose row a person has judged to be right. `login_wait` is
    how long this command waits for a login of the pilot before it leaves that to the next one.
    """

    operator: str = ""
    proxy_works: bool | None = None
    pilot: int = 5
    first: frozenset[str] = frozenset()
    wave: int = 0
    email_fallback: bool = False
    no_wait_reason: str = ""
    login_wait: timedelta = timedelta(0)
    poll: timedelta = timedelta(seconds=5)
    decided: frozenset[str] = frozenset()


@dataclass(slots=True)
class Homecoming:
    """What a return or a verification found and did.

    `waiting` are the pilot's user ids while none of them has logged in by SAML; `held_back` has no
    known way back; `strays` are at a password and in no row: `reconcile` adopts them.
    """

    campaign: str
    proof: Proof | None = None
    verified: int = 0
    repaired: int = 0
    withdrawn: int = 0
    waiting: tuple[str, ...] = ()
    held_back: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    not_in_file: tuple[str, ...] = ()
    remarks: list[Remark] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    counts: Mapping[RowState, int] = field(default_factory=dict)
    stopped: str = ""
    closed: bool = False

    @property
    def open_rows(self) -> int:
        """How many people are left."""
        return sum(people for state, people in self.counts.items() if state in OPEN)

    def must_be_complete(self) -> None:
        """Raise `CampaignIncomplete` (exit code 3) while anybody is open."""
        if not self.closed:
            left = {state.value: n for state, n in self.counts.items() if state in OPEN and n}
            said = ", ".join(f"{people} {state}" for state, people in sorted(left.items()))
            also = f"; {len(self.strays)} moved by hand: run reconcile" if self.strays else ""
            raise CampaignIncomplete(f"{self.open_rows} people are open: {said or 'none'}{also}")


def return_people(bulk: Bulk, orders: Orders) -> Homecoming:
    """Bring people back as `orders` say. Raises `ProofMissing`, `LedgerError`, and what the server
    says. Who is not back yet stays open; `Homecoming.must_be_complete` tells.
    """
    with bulk.ledger.lock("return", bulk.actor, bulk.clock()):
        journey = _Return(bulk, open_campaign(bulk).id, orders)
        return journey.go()


def verify(bulk: Bulk) -> Homecoming:
    """Hold every row against the list; finish and repair what was returned; close if all is well.

    Converts nobody, and returns nobody who was not returned before.
    """
    with bulk.ledger.lock("verify", bulk.actor, bulk.clock()):
        campaign = open_campaign(bulk).id
        wait_for_calls_of_the_dead(bulk, campaign)
        accounts = look(bulk)
        settle_everybody(bulk, campaign, accounts)
        told = Homecoming(campaign)
        restoring = Restoring(bulk, campaign, accounts)
        _conclude(bulk, told, restoring, restoring.check())
        return told


class _Return:
    """One `return`, under the lock."""

    def __init__(self, bulk: Bulk, campaign: str, orders: Orders) -> None:
        self._bulk = bulk
        self._campaign = campaign
        self._orders = orders
        self._told = Homecoming(campaign)

    def go(self) -> Homecoming:
        """Proof, pilot, login, waves; and the campaign is closed if nobody is left."""
        must_restore(self._bulk)
        wait_for_calls_of_the_dead(self._bulk, self._campaign)
        accounts = look(self._bulk)
        self._prove(accounts)
        settle_everybody(self._bulk, self._campaign, accounts)
        self._withdraw()
        restoring = Restoring(self._bulk, self._campaign, accounts)
        # Each later look takes the place of this one; two lists of everybody are one too many.
        del accounts
        restoring.check()
        tally = self._pilot(restoring)
        if (tally is None or not tally.stopped) and self._may_go_on(restoring.accounts):
            tally = self._rest(restoring) or tally
        self._told.held_back = self._held_back()
        _conclude(self._bulk, self._told, restoring, tally)
        return self._told

    def _prove(self, accounts: Mapping[str, Account]) -> None:
        orders = self._orders
        proof = prove(self._bulk, accounts, orders.operator, proxy_works=orders.proxy_works)
        self._told.proof = proof
        self._record("sso_proven", {"by": proof.kind})

    def _withdraw(self) -> None:
        """Whoever was planned and never touched needs no return."""

        def withdrawn(row: Row) -> Change:
            return self._bulk.step(row, Event.WITHDRAW, "SSO works again: nothing to do")

        states = (RowState.PLANNED, RowState.OFFERED)
        for changes in change_each(self._bulk, self._campaign, withdrawn, *states):
            self._told.withdrawn += len(changes)

    def _pilot(self, restoring: Restoring) -> Tally | None:
        """Bring the pilot back. Is it back already, volunteers who are named join it: one of them
        will log in where nobody of the others can be reached.
        """
        accounts = restoring.accounts
        first, size = self._orders.first, self._orders.pilot
        if any(True for _ in self._pilots()):
            if not first:
                return None
            size = 0
        able = (one for one in self._returnable() if _can_log_in(accounts, one))
        volunteers = [one for one in able if one in first] if first else []
        able = (one for one in self._returnable() if _can_log_in(accounts, one))
        others = (one for one in able if one not in first)
        ids = People([*volunteers, *islice(others, max(0, size - len(volunteers)))])
        del accounts, able, others
        if not ids:
            return None
        began = self._bulk.clock().isoformat()
        tally = restoring.bring_back(ids, {PILOT: "yes", BEGAN: began})
        # Before anybody is told to log in by SSO, the proxy must let them.
        refresh_converted_file(self._bulk, self._campaign)
        return tally

    def _pilots(self) -> Iterator[Row]:
        rows = self._bulk.ledger.rows(self._campaign, RowState.RETURNED, RowState.VERIFIED)
        return (row for row in rows if PILOT in row.facts)

    def _returnable(self) -> Iterator[str]:
        """Whom this command may bring back."""
        for row in self._bulk.ledger.rows(self._campaign, *_AT_PASSWORD):
            if row.binding.source is not Source.EMAIL_FALLBACK or self._orders.email_fallback:
                yield row.user_id
        for row in self._bulk.ledger.rows(self._campaign, RowState.CONFLICT, RowState.FAILED):
            if row.user_id in self._orders.decided:
                yield row.user_id

    def _held_back(self) -> tuple[str, ...]:
        """Who would come back by their email only, and was not asked for."""
        if self._orders.email_fallback:
            return ()
        makeshift = Source.EMAIL_FALLBACK
        rows = self._bulk.ledger.rows(self._campaign, *_AT_PASSWORD, source=makeshift)
        return tuple(row.user_id for row in rows)

    def _may_go_on(self, accounts: Mapping[str, Account]) -> bool:
        """Whether the rest may follow: nobody is left who could log in, one of the pilot is in, or
        it was waived.
        """
        pilots = next(self._pilots(), None)
        if pilots is None and not any(_can_log_in(accounts, one) for one in self._returnable()):
            return True
        if next(self._returnable(), None) is None:
            return True
        if self._orders.no_wait_reason:
            self._record("login_of_pilot_waived", {"reason": self._orders.no_wait_reason})
            return True
        if not self._bulk.capabilities.sees_sessions:
            raise ProofMissing(
                "the pilot is back, and local mode does not show whether one of them has logged in:"
                " ask one to, then return with --no-wait-for-login REASON; or use mattermost.token"
            )
        until = self._bulk.clock() + self._orders.login_wait
        while not self._pilot_is_in():
            if self._bulk.stop() or self._bulk.clock() >= until:
                self._told.waiting = tuple(row.user_id for row in self._pilots())
                return False
            self._bulk.sleep(self._orders.poll.total_seconds())
        return True

    def _pilot_is_in(self) -> bool:
        """Whether one of the pilot has a SAML login of after the return.

        Of who is finished every login by password was ended, and no new one is possible: what is
        there was made by SAML, in the desktop app too.
        """
        return any(
            login_since(
                self._bulk, row.user_id, _login_counts_from(row), marked=FINISHED not in row.facts
            )
            is not None
            for row in self._pilots()
        )

    def _rest(self, restoring: Restoring) -> Tally | None:
        tally = None
        everybody = People(self._returnable())
        size = self._orders.wave
        for wave in map(People, groups(everybody, size)) if size else [everybody] * bool(everybody):
            tally = restoring.bring_back(wave, {})
            refresh_converted_file(self._bulk, self._campaign)
            if tally.stopped:
                break
        return tally

    def _record(self, kind: str, facts: Mapping[str, str]) -> None:
        told = {"campaign": self._campaign, **facts}
        event = AuditEvent(kind, self._bulk.actor, self._bulk.clock(), facts=told)
        self._bulk.ledger.record(event)


def _login_counts_from(row: Row) -> datetime:
    """While the account was at a password nobody could log in by SAML, so the clocks may differ a
    little; what was before that is no proof.
    """
    began = datetime.fromisoformat(row.facts[BEGAN]) - SKEW
    return max(began, datetime.fromisoformat(row.facts[MOVED])) if MOVED in row.facts else began


def _can_log_in(accounts: Mapping[str, Account], user_id: str) -> bool:
    account = accounts.get(user_id)
    return account is not None and account.active


def _conclude(bulk: Bulk, told: Homecoming, restoring: Restoring, tally: Tally | None) -> None:
    """What is left, the proxy's file, and the end of the campaign if nobody is left."""
    told.verified, told.repaired = restoring.verified, restoring.repaired
    told.remarks = list(restoring.remarks)
    astray = strays(bulk, told.campaign, restoring.accounts)
    told.strays = tuple(known.user_id for known in astray)
    told.problems = restoring.problems
    told.stopped = "" if tally is None else tally.stopped
    told.not_in_file = refresh_converted_file(bulk, told.campaign)
    told.counts = bulk.ledger.counts(told.campaign)
    if tally is not None and tally.fatal is not None:
        raise tally.fatal
    if not told.open_rows and not told.strays:
        at = bulk.clock()
        event = AuditEvent("campaign_closed", bulk.actor, at, facts={"campaign": told.campaign})
        bulk.ledger.close_campaign(told.campaign, at, event)
        told.closed = True
