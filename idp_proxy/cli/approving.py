"""Who acts, and with whose consent: what every command asks before it changes something.

    approved = ask(settings, store, Wish(Act.SWITCH, name, reason), Means(as_name, override))
    board.to(name, reason, approved.actor)

`ask` returns only when the act may be done now. A second person agrees by a command of their own,
which calls `confirm`.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeAlias

import typer

from idp_proxy.audit.log import AuditLog
from idp_proxy.cli import terminal
from idp_proxy.cli.alarming import alarm
from idp_proxy.cli.session import EXIT_OPEN, clock, shown_next, tell
from idp_proxy.cli.signing_in import Means, signed_in, who
from idp_proxy.decision.approval import BOUND_TO_EPOCH, Act, Granted, Waits
from idp_proxy.decision.notices import Kind
from idp_proxy.decision.proposal import why_void
from idp_proxy.operators import attempts, consent, overrides
from idp_proxy.operators.accounts import Recorder, actor_of
from idp_proxy.operators.consent import Wish
from idp_proxy.operators.refusals import ApprovalRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from datetime import timedelta

    from sqlalchemy import Connection

    from idp_proxy.config import Settings
    from idp_proxy.decision.proposal import Proposal
    from idp_proxy.operators.overrides import Override
    from idp_proxy.store.sql import SqlStore

OverrideOption = Annotated[
    str | None,
    typer.Option(
        "--override",
        metavar="REASON",
        help="Do alone what takes two: 60 s to stop it, everybody is told, somebody reviews it.",
    ),
]
#: Acts that move logins to the upstream that `Wish.target` names.
_MOVES: Final = frozenset({Act.SWITCH, Act.SWITCH_INELIGIBLE, Act.FAILBACK})
_SHOWN_EVERY_S: Final = 10
_SHOWN_AT_LAST_S: Final = 5


@dataclass(frozen=True, slots=True)
class Approved:
    """It may be done now, by these people in the order in which they agreed.

    `epoch` is the switch's, for the acts that are agreed for one epoch only: whoever acts compares.
    `override` is the id of the override, if it is one.
    """

    people: tuple[str, ...]
    epoch: int | None = None
    override: str | None = None

    @property
    def actor(self) -> str:
        """Who did it, for the audit: `operator:ann (confirmed by operator:bob)`."""
        first, *others = (actor_of(name) for name in self.people)
        if self.override is not None:
            return f"{first} (override {self.override})"
        return f"{first} (confirmed by {', '.join(others)})" if others else first


@dataclass(frozen=True, slots=True)
class Waiting:
    """It may be done once somebody else agrees to `proposal`."""

    proposal: Proposal
    reason: str


#: What is written in the very transaction that grants an act, or that keeps its proposal.
Effect: TypeAlias = "Callable[[Connection, Approved], None]"
Pending: TypeAlias = "Callable[[Connection, Proposal], None]"


def ask(settings: Settings, store: SqlStore, wish: Wish, means: Means, *by: str) -> Approved:
    """Returns when `wish` may be done now, after the countdown of an override if it is one.

    `by` is the command that confirms its proposal, by default `switch confirm`. Raises
    `ApprovalRefused`, `typer.Exit` when somebody else must agree first (3) or a sign-in was
    refused (1), `ConfigError` on a bad option, and `StoreError`.
    """
    outcome = request(settings, store, wish, means)
    if isinstance(outcome, Waiting):
        leave_open(settings, outcome, *(by or ("switch", "confirm")))
    return outcome


def leave_open(settings: Settings, waiting: Waiting, *by: str) -> NoReturn:
    """Say who must agree and how, tell the channels where a switch waits, and exit with 3."""
    made = waiting.proposal
    words = (*by, made.id)
    if made.act in _MOVES:
        facts = {"target": made.target, "cause": made.reason}
        alarm(settings, Kind.PROPOSED, f"proposal:{made.id}", facts, *words)
    typer.echo(f"nothing has changed: {waiting.reason}")
    typer.echo(f"proposal {made.id} waits until {made.expires_at:%H:%M:%S} UTC")
    typer.echo(shown_next(*words))
    raise typer.Exit(EXIT_OPEN)


def request(
    settings: Settings,
    store: SqlStore,
    wish: Wish,
    means: Means,
    *,
    effect: Effect | None = None,
    pending: Pending | None = None,
) -> Approved | Waiting:
    """As `ask`, but tells who waits instead of leaving. `effect` is committed with the consent,
    `pending` with the proposal.
    """
    desk = _Desk(settings, store)
    asked = Wish(wish.act, wish.target, terminal.one_line(wish.reason, "--reason"))
    override = None if means.override is None else terminal.one_line(means.override, "--override")
    person = who(settings, store, means)
    epoch = desk.epoch(asked.act)
    with desk.writing() as connection:
        verdict = consent.decide(
            connection, asked.act, (person.name,), override=override is not None
        )
        if isinstance(verdict, Waits):
            made = consent.propose(
                connection, new_id(), asked, verdict, epoch=epoch, now=clock(), record=desk.record
            )
            if pending is not None:
                pending(connection, made)
            return Waiting(made, verdict.reason)
        if verdict.countdown is None:
            approved = Approved(verdict.people, epoch)
            if effect is not None:
                effect(connection, approved)
            return approved
        used = consent.begin_override(
            connection,
            new_id(),
            asked,
            verdict.people,
            override or "",
            now=clock(),
            record=desk.record,
        )
    return desk.count_down(used, verdict.countdown, epoch, effect)


def confirm(
    settings: Settings,
    store: SqlStore,
    proposal_id: str,
    means: Means,
    acts: Collection[Act],
    effect: Callable[[Connection, Proposal, Approved], None] | None = None,
) -> tuple[Proposal, Approved]:
    """Agree to somebody else's proposal about one of `acts`. Raises as `ask`.

    It counts once: whoever then acts compares `Approved.epoch`, and if that fails proposes anew.
    """
    desk = _Desk(settings, store)
    made = proposed(settings, store, proposal_id, acts)
    asks = actor_of(made.people[0]) if made.people else "the watch"
    tell(f"{asks} asks: {made.act} {made.target}: {made.reason}")
    # Where the watch proposes, whoever confirms begins it, as with a command of their own.
    person = (signed_in if made.people else who)(settings, store, means)
    epoch = desk.epoch(made.act)
    now = clock()
    with desk.writing() as connection:
        made = consent.wanted(connection, proposal_id, acts, now)
        verdict = consent.agree(
            connection, made, person.name, epoch=epoch, now=now, record=desk.record
        )
        approved = Approved(verdict.people, epoch)
        if isinstance(verdict, Granted) and effect is not None:
            effect(connection, made, approved)
    if isinstance(verdict, Waits):
        typer.echo(f"nothing has changed: {verdict.reason}")
        typer.echo(shown_next("operator", "list"))
        raise typer.Exit(EXIT_OPEN)
    return made, approved


def proposed(
    settings: Settings, store: SqlStore, proposal_id: str, acts: Collection[Act]
) -> Proposal:
    """The proposal of this id, about one of `acts`, if somebody can still agree to it.

    Raises `ApprovalRefused`, `StoreError`.
    """
    now = clock()
    with store.reading() as connection:
        made = consent.wanted(connection, proposal_id, acts, now)
    void = why_void(made, epoch=_Desk(settings, store).epoch(made.act), now=now)
    if void is not None:
        raise ApprovalRefused(void)
    return made


class _Desk:
    """Where operators are kept, and who keeps the audit: what the questions above share."""

    def __init__(self, settings: Settings, store: SqlStore) -> None:
        self._settings = settings
        self._store = store
        self.record: Recorder = AuditLog(settings.proxy.host).append

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction in which nobody else changes operators or agrees to anything."""
        with self._store.writing() as connection:
            attempts.take_turn(connection, clock())
            yield connection

    def epoch(self, act: Act) -> int | None:
        """The switch's epoch now, for acts that are agreed for one epoch only."""
        state = self._store.switch_state() if act in BOUND_TO_EPOCH else None
        return None if state is None else state.epoch

    def count_down(
        self, used: Override, length: timedelta, epoch: int | None, effect: Effect | None
    ) -> Approved:
        """Alarm everybody, wait, and decide again: somebody may have stopped it meanwhile."""
        what = f"{used.act} {used.target}"
        facts = {"what": what, "cause": used.reason}
        tell(f"OVERRIDE {used.id}: {what}; everybody is told, and somebody else must review it")
        try:
            alarm(self._settings, Kind.OVERRIDE, f"override:{used.id}", facts, "override", "list")
            _wait(int(length.total_seconds()), terminal.pause)
            return self._act(used, epoch, effect)
        except KeyboardInterrupt:
            self._stop(used)
            raise ApprovalRefused(f"override {used.id} was stopped; nothing was done") from None
        except ApprovalRefused:
            with suppress(ApprovalRefused):  # somebody else may have stopped it
                self._stop(used)
            raise

    def _act(self, used: Override, epoch: int | None, effect: Effect | None) -> Approved:
        if self.epoch(used.act) != epoch:
            raise ApprovalRefused("somebody switched during the countdown; nothing was done")
        with self.writing() as connection:
            verdict = consent.decide(connection, used.act, used.people, override=True)
            overrides.use(connection, used)
            approved = Approved(verdict.people, epoch, used.id)
            if effect is not None:
                effect(connection, approved)
        return approved

    def _stop(self, used: Override) -> None:
        with self._store.writing() as connection:
            overrides.stop(connection, used, used.people[0], clock(), self.record)


def new_id() -> str:
    """The id of a proposal or an override: short enough for the phone, and no secret."""
    return secrets.token_hex(4)


def _wait(seconds: int, pause: Callable[[float], None]) -> None:
    for left in range(seconds, 0, -1):
        if left % _SHOWN_EVERY_S == 0 or left <= _SHOWN_AT_LAST_S:
            tell(f"in {left} s; Ctrl-C stops it")
        pause(1.0)
