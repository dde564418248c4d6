"""The journey of an operator's switch: read the state, ask the decision, commit what it says.

State and audit row are committed together, by compare-and-swap on the epoch that was read: of two
operators at the same moment one wins, and the other is told so (DESIGN section 2, FO-14).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp_proxy.audit.chain import Event
from idp_proxy.decision import switching
from idp_proxy.decision.switching import Unchanged
from idp_proxy.errors import StoreConflict, SwitchRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.decision.switching import Changed, SwitchState
    from idp_proxy.store.base import Store

#: A reason is a line in the audit, not a document.
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class _Act:
    """What somebody does, for the audit."""

    kind: str
    reason: str
    actor: str
    at: datetime
    facts: Mapping[str, str]


class Switchboard:
    """What an operator may do to the switch.

    `usable` has every configured upstream in order of preference, each with None or the reason why
    nobody could log in there at that time.
    """

    def __init__(
        self,
        store: Store,
        usable: Callable[[datetime], Mapping[str, str | None]],
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._usable = usable
        self._now = now

    def current(self) -> SwitchState:
        """The state; a store that has none gets the first one: the most preferred one serves. Of
        hosts that start at once one writes it. Raises `StoreError`.
        """
        state = self._store.switch_state()
        if state is not None:
            return state
        now = self._now()
        first = switching.first_state(self._names(now), now)
        try:
            with self._store.transaction() as transaction:
                transaction.swap(0, first)
        except StoreConflict:
            state = self._store.switch_state()
            if state is None:
                raise
            return state
        return first

    def to(self, name: str, reason: str, actor: str, *, epoch: int | None = None) -> SwitchState:
        """New logins go to `name` from now on, and the switch is held there.

        `epoch` is the one that this was agreed for. Raises `SwitchRefused`, `StoreConflict` (also
        when the switch has moved on since `epoch`) or `StoreError`; nothing has changed then.
        """
        act = _Act("switch", _checked(reason), actor, self._now(), {})
        state = self._current_at(epoch)
        return self._commit(state, self._by_hand(state, name, act), act)

    def demand_possible(self, name: str) -> None:
        """Raises `SwitchRefused` if `to` would now, whoever agrees to it."""
        decision = self._by_hand(self.current(), name, _Act("switch", "", "", self._now(), {}))
        if isinstance(decision, Unchanged):
            raise SwitchRefused(decision.reason)

    def fail_back(
        self, name: str, reason: str, actor: str, *, epoch: int | None = None
    ) -> SwitchState:
        """New logins go back to `name`, which is preferred, and the watch switches by itself again.

        Raises as `to` does.
        """
        act = _Act("failback", _checked(reason), actor, self._now(), {})
        state = self._current_at(epoch)
        decision = switching.fail_back_by_hand(
            state, name, self._usable(act.at), cause=act.reason, actor=actor, now=act.at
        )
        return self._commit(state, decision, act)

    def hold(self, reason: str, actor: str) -> SwitchState:
        """The watch switches nothing any more. Raises as `to` does."""
        act = _Act("hold", _checked(reason), actor, self._now(), {})
        state = self.current()
        held = switching.hold(state, cause=act.reason, actor=actor, now=act.at)
        return self._commit(state, held, act)

    def release(self, reason: str, actor: str, *, epoch: int | None = None) -> SwitchState:
        """The watch switches by itself again. Raises as `to` does."""
        act = _Act("release", _checked(reason), actor, self._now(), {})
        state = self._current_at(epoch)
        return self._commit(state, switching.release(state, cause=act.reason, actor=actor), act)

    def disable(self, name: str, reason: str, actor: str) -> SwitchState:
        """Logins at `name` stop at once, those under way too. Raises as `to` does."""
        act = _Act("upstream_disabled", _checked(reason), actor, self._now(), {"upstream": name})
        state = self.current()
        return self._commit(state, switching.disable(state, name, self._names(act.at)), act)

    def enable(self, name: str, reason: str, actor: str) -> SwitchState:
        """`name` may serve again. Raises as `to` does."""
        act = _Act("upstream_enabled", _checked(reason), actor, self._now(), {"upstream": name})
        state = self.current()
        return self._commit(state, switching.enable(state, name, self._names(act.at)), act)

    def _by_hand(self, state: SwitchState, name: str, act: _Act) -> Changed | Unchanged:
        return switching.switch_by_hand(
            state, name, self._usable(act.at), cause=act.reason, actor=act.actor, now=act.at
        )

    def _current_at(self, epoch: int | None) -> SwitchState:
        """The state, if it is still the one that people agreed about."""
        state = self.current()
        if epoch is not None and state.epoch != epoch:
            raise StoreConflict(
                f"this was agreed for epoch {epoch}, and the switch is at {state.epoch} by now"
            )
        return state

    def _names(self, now: datetime) -> tuple[str, ...]:
        return tuple(self._usable(now))

    def _commit(self, before: SwitchState, decision: Changed | Unchanged, act: _Act) -> SwitchState:
        if isinstance(decision, Unchanged):
            raise SwitchRefused(decision.reason)
        after = decision.state
        facts: dict[str, str | int | float | bool | None] = {
            "epoch": after.epoch,
            "from": before.serving,
            "to": after.serving,
            "cause": act.reason,
            **act.facts,
        }
        with self._store.transaction() as transaction:
            transaction.swap(before.epoch, after)
            transaction.record(Event(kind=act.kind, actor=act.actor, at=act.at, facts=facts))
        return after


def _checked(reason: str) -> str:
    """Why it was done, in one line; without one nobody could review it later (FO-14)."""
    reason = reason.strip()
    if not reason:
        raise SwitchRefused("a reason is needed: --reason TEXT; it stands in the audit")
    if len(reason) > _LONGEST_REASON or not reason.isprintable():
        raise SwitchRefused("the reason must be one line of at most 500 characters: --reason TEXT")
    return reason
