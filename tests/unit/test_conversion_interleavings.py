"""Any interleaving of the tool, another administrator and the people themselves.

At the end nobody is at email and password without an open row that says why, and whomever only the
tool has touched is bound by what they had, to the byte.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from conversion.bulk import Bulk, Limits
from conversion.campaign import Manner, convert
from conversion.decision.account import Account
from conversion.decision.lifecycle import OPEN
from conversion.decision.plan import Envelope
from conversion.errors import (
    ConversionError,
    DuplicateBinding,
    NotFound,
    Rejected,
    Unreachable,
)
from conversion.homecoming import Homecoming, Orders, return_people, verify
from conversion.ledger.opening import open_ledger
from conversion.mattermost import Session, Token, capabilities_of
from conversion.mattermost.roll import Roll
from conversion.mattermost.version import Version
from conversion.planning import OUT, Choice, Surroundings, draw_up
from conversion.reconciliation import reconcile
from conversion.situation import campaign_of
from conversion.writing_off import subjects, write_off
from tests.support.conversion_stage import ANSWERED, inventory_row
from tests.support.mattermost_api import DuplicateError, MattermostServer, SamlRefusedError, User

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from conversion.decision.scope import Scope

PEOPLE = 4


class Killed(BaseException):
    """The process dies here; what was on disk is all that is left of it."""


class Direct:
    """The double without HTTP, so that a machine has time for thousands of calls.

    `script` says what becomes of the next changes: nothing, no answer before or after, or death.
    """

    def __init__(self, server: MattermostServer, script: Sequence[str]) -> None:
        self._server = server
        self._script = list(script)

    def config(self) -> Mapping[str, Mapping[str, Any]]:
        return self._server.settings

    def all_accounts(self) -> Roll:
        self._server.settle()
        return Roll(self._account(user) for user in self._server.users.values())

    def sessions(self, user_id: str) -> Sequence[Session]:
        return [
            Session(
                id=row.id,
                created_at=_moment(row.create_at),
                last_activity_at=_moment(row.last_activity_at),
                expires_at=_moment(row.expires_at),
                is_saml=row.is_saml,
                is_mobile=False,
                is_token=row.is_token,
            )
            for row in self._server.sessions.of(user_id)
        ]

    def account_by_auth_data(self, auth_data: str) -> Account | None:
        user = self._server.users.find("auth_data", auth_data)
        return None if user is None else self._account(user)

    def set_password_hash(self, user_id: str, bcrypt_hash: str) -> None:
        if user_id not in self._server.users:
            raise Rejected("no such user")
        with self._fate():
            self._server.put_password(user_id, bcrypt_hash)

    def set_password(self, user_id: str, password: str) -> None:
        if user_id not in self._server.users:
            raise Rejected("no such user")
        with self._fate():
            self._server.put_password(user_id, f"hashed {password}")

    def members(self, scope: Scope) -> frozenset[str]:
        if scope.name not in {"even", "odd"}:
            raise NotFound("no such team")
        odd = scope.name == "odd"
        people = [f"p{number:025d}" for number in range(PEOPLE)]
        return frozenset(people[odd::2])

    def set_binding(self, user_id: str, auth_data: str) -> None:
        with self._fate():
            try:
                self._server.put_auth(user_id, "saml", auth_data)
            except DuplicateError as clash:
                raise DuplicateBinding("held") from clash

    def patch_empty(self, user_id: str) -> None:
        with self._fate():
            self._server.forget(user_id)

    def clear_mfa(self, user_id: str) -> None:
        with self._fate():
            self._server.change(user_id, mfa_active=False)

    def verify_email(self, user_id: str) -> None:
        with self._fate():
            self._server.change(user_id, email_verified=True)

    def revoke_session(self, user_id: str, session_id: str) -> None:
        with self._fate():
            for row in self._server.sessions.of(user_id):
                if row.id == session_id:
                    self._server.sessions.end(row)

    def tokens(self, _user_id: str) -> Sequence[Token]:
        return ()

    def _fate(self) -> _Fate:
        return _Fate(self._script.pop(0) if self._script else "fine")

    def _account(self, user: User) -> Account:
        return Account(
            user.id,
            user.username,
            user.email,
            user.auth_service,
            (user.auth_data or None) if self._server.release.shows_auth_data else None,
            frozenset(user.roles.split()),
            _moment(user.delete_at) if user.delete_at else None,
            user.is_bot,
            bool(user.remote_id),
            user.mfa_active,
        )


class _Fate:
    """What happens around one change."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __enter__(self) -> None:
        if self._kind == "lost before":
            raise Unreachable("no answer, nothing done")
        if self._kind == "killed before":
            raise Killed

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._kind == "lost after":
            raise Unreachable("no answer, done")
        if kind is None and self._kind == "killed after":
            raise Killed


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


_FATES = ("fine", "fine", "fine", "lost before", "lost after", "killed before", "killed after")


def _script(seed: int) -> list[str]:
    """What becomes of the next changes; hypothesis's own lists would nearly always be short."""
    chance = random.Random(seed)
    return chance.choices(_FATES, k=chance.randint(0, 12))


FATES = st.integers(0, 2**16).map(_script)
STOPS = st.none() | st.integers(1, 9)
WHO = st.integers(0, PEOPLE - 1)
MANNERS = st.builds(Manner, st.none() | st.integers(1, 3), st.integers(0, 2), st.booleans())


class Interleaving(RuleBasedStateMachine):
    """One outage, in any order of events."""

    @initialize(
        version=st.sampled_from(["5.37", "10.11", "11.10"]),
        lost=st.sampled_from([0.0, 0.4]),
        seed=st.integers(1, 2**16),
        script=FATES,
    )
    def begin(self, version: str, lost: float, seed: int, script: list[str]) -> None:
        """Everybody is moved at first, as well as the day allows."""
        self.folder = TemporaryDirectory()
        self.server = MattermostServer(version, seed)
        self.server.people(PEOPLE)
        self.server.trouble.lost_updates = lost
        self.operator = self.server.add_saml("operator").id
        folder = Path(self.folder.name)
        self.ledger = open_ledger(folder / "l.db", folder / "l.mirror", host="machine")
        self.before = {
            row.id: row.auth_data
            for row in self.server.users.values()
            if row.auth_service and row.id != self.operator
        }
        now = self._now()
        rows = [inventory_row(self.server.users[user_id], now) for user_id in self.before]
        self.ledger.put_inventory(rows, now)
        self.touched: set[str] = set()
        self.given_up: set[str] = set()
        self.convert(script, None, set(range(PEOPLE)))

    # The tool

    @rule(script=FATES, stop_after=STOPS, who=st.sets(WHO, min_size=1), manner=MANNERS)
    def convert(
        self,
        script: list[str],
        stop_after: int | None,
        who: set[int],
        manner: Manner | None = None,
    ) -> None:
        people = [self.server.users[self._id(number)] for number in who]
        names = frozenset(one.username for one in people if one.auth_service and not one.delete_at)
        self._move(Choice(names), script, stop_after, manner)

    @rule(script=FATES, stop_after=STOPS, team=st.sampled_from(["odd", "even", "gone"]))
    def convert_the_locked_out_of_a_team(
        self, script: list[str], stop_after: int | None, team: str
    ) -> None:
        self._move(Choice(standings=OUT), script, stop_after, None, f"team:{team}")

    def _move(
        self,
        choice: Choice,
        script: list[str],
        stop_after: int | None,
        manner: Manner | None,
        *groups: str,
    ) -> None:
        exclude = frozenset({self.operator})
        until = self._now() + timedelta(days=365)
        bulk = self._bulk(script, stop_after)
        with suppress(ConversionError, Killed):
            envelope = Envelope(frozenset(groups), 1000, exclude, until)
            draft = draw_up(bulk, choice, envelope, Surroundings("double"), ANSWERED)
            convert(bulk, draft.digest, manner=manner)

    @rule(script=FATES, stop_after=STOPS, pilot=st.integers(1, 3))
    def bring_back(self, script: list[str], stop_after: int | None, pilot: int) -> None:
        with suppress(ConversionError, Killed):
            told = return_people(self._bulk(script, stop_after), self._orders(pilot=pilot))
            self._closed_means_nobody_is_left(told)

    @rule(script=FATES)
    def look(self, script: list[str]) -> None:
        with suppress(ConversionError, Killed):
            self._closed_means_nobody_is_left(verify(self._bulk(script)))
        with suppress(ConversionError, Killed):
            reconcile(self._bulk(script))

    @rule(who=WHO)
    def write_off(self, who: int) -> None:
        """Two operators give somebody up, if that is possible where they are."""
        with suppress(ConversionError):
            given_up = subjects(self.ledger, [self._id(who)])
            assert not write_off(self.ledger, given_up, "ann and bob", "left", self._now())
            self.given_up.add(self._id(who))
            self.touched.add(self._id(who))

    @invariant()
    def everybody_who_is_away_counts_for_the_deadlines(self) -> None:
        """What reminds and alarms rests on the same rows as what is told and what is closed."""
        campaign = campaign_of(self.ledger, self._now() + timedelta(days=4))
        if campaign is not None:
            assert campaign.waiting.people == campaign.waiting.overdue == campaign.left

    # Another administrator

    @rule(who=WHO)
    def password_by_hand(self, who: int) -> None:
        self.server.put_password(self._id(who), "$2a$10$by-hand")
        self.touched.add(self._id(who))

    @rule(who=WHO, value=st.sampled_from(["old", "swapped", "new"]))
    def binding_by_hand(self, who: int, value: str) -> None:
        old = self.before[self._id(who)]
        other = self.before[self._id((who + 1) % PEOPLE)]
        wanted = {"old": old, "swapped": other, "new": f"new-{who}"}[value]
        with suppress(DuplicateError):
            self.server.put_auth(self._id(who), "saml", wanted)
        self.touched |= {self._id(who), self._id((who + 1) % PEOPLE)}

    @rule(who=WHO, at=st.sampled_from([0, 7]))
    def deactivate(self, who: int, at: int) -> None:
        self.server.change(self._id(who), delete_at=at)
        # Who is not active when a plan is carried out stays where they are; that is no move.

    # The people

    @rule(who=WHO, known=st.booleans())
    def saml_login(self, who: int, known: bool) -> None:
        user_id = self._id(who)
        email = f"user{who:06d}@corp.test" if known else f"new{who}@corp.test"
        before = len(self.server.users)
        with suppress(SamlRefusedError):
            self.server.saml_login(self.before[user_id] or "", email, f"jit{who}")
        if len(self.server.users) > before:
            # A just-in-time account holds the binding now.
            self.touched.add(user_id)

    @rule(who=WHO)
    def own_password(self, who: int) -> None:
        if not self.server.users[self._id(who)].auth_service:
            self.server.put_password(self._id(who), "$2a$10$own")
            self.server.give_session(self._id(who))

    @rule(who=WHO)
    def enrol_mfa(self, who: int) -> None:
        if not self.server.users[self._id(who)].auth_service:
            self.server.change(self._id(who), mfa_active=True)

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            self._end()
        finally:
            self.ledger.close()
            self.folder.cleanup()

    def _end(self) -> None:
        """The outage ends: the operator runs what the tool says, and then looks."""
        for lost in (self.server.trouble.lost_updates, 0.0, 0.0):
            self.server.trouble.lost_updates = lost
            reconcile(self._bulk())
            with suppress(ConversionError):
                self._closed_means_nobody_is_left(return_people(self._bulk(), self._orders()))
        campaign = self.ledger.current_campaign()
        rows = {row.user_id: row for row in self.ledger.rows(campaign.id)} if campaign else {}
        for user_id, value in self.before.items():
            user = self.server.users[user_id]
            row = rows.get(user_id)
            if user.auth_service == "" and user_id not in self.given_up:
                assert row is not None, f"{user.username} was left behind"
                assert row.state in OPEN
                assert row.note
            if user_id not in self.touched:
                assert (user.auth_service, user.auth_data) == ("saml", value), row

    def _closed_means_nobody_is_left(self, told: Homecoming) -> None:
        away = [key for key in self.before if not self.server.users[key].auth_service]
        left = [key for key in away if key not in self.given_up]
        assert not (told.closed and left), f"closed over {left}"

    def _id(self, who: int) -> str:
        return f"p{who:025d}"

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.server.now, UTC)

    def _pass(self, seconds: float) -> None:
        self.server.ahead_s += seconds + 0.001
        self.server.settle()

    def _orders(self, **changes: Any) -> Orders:
        return replace(Orders(proxy_works=True, no_wait_reason="a test"), **changes)

    def _bulk(self, script: Sequence[str] = (), stop_after: int | None = None) -> Bulk:
        left = [10_000 if stop_after is None else stop_after]

        def stop() -> bool:
            left[0] -= 1
            return left[0] < 0

        self._pass(1)
        return Bulk(
            Direct(self.server, script),
            capabilities_of(Version.parse(self.server.version)),
            self.ledger,
            "machine",
            Limits(threads=1, group=2, error_budget_percent=90.0, attempts=3),
            clock=self._now,
            sleep=self._pass,
            stop=stop,
        )


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(
    max_examples=35,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
