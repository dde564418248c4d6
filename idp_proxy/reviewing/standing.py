"""What the review says of the policy that runs: who may not take over, and what was changed.

The watch asks at every turn; it is looked at anew every half minute. While the store is away the
watch decides nothing anyway, and the error goes up to it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.review import bars, changed_since, judge, why_not_started
from idp_proxy.reviewing.gathering import gather
from idp_proxy.reviewing.policy import policy_of
from idp_proxy.store import reviews

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream

_EVERY_S: Final = 30.0


@dataclass(slots=True)
class Standing:
    """The findings that bar an upstream, for `survey.Standards.findings`."""

    settings: Settings
    upstreams: Mapping[str, ConfiguredUpstream]
    store: SqlStore
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    _known: Mapping[str, tuple[str, ...]] = field(default_factory=dict, init=False)
    _read_at: float = field(default=float("-inf"), init=False)

    def __call__(self) -> Mapping[str, tuple[str, ...]]:
        """By upstream, why it may not take over. Raises `StoreError`."""
        if self.monotonic() - self._read_at < _EVERY_S:
            return self._known
        now = self.now()
        with self.store.reading() as connection:
            signed = reviews.last_signed(connection, self.settings.proxy.state_keys)
            waived = reviews.waivers(connection, now, self.settings.proxy.state_keys)
        review = judge(gather(self.settings, self.upstreams, now), waived)
        self._known = bars(review, policy_of(self.settings, self.upstreams, now), signed)
        self._read_at = self.monotonic()
        return self._known


def change_of(
    settings: Settings,
    upstreams: Mapping[str, ConfiguredUpstream],
    store: SqlStore,
    now: datetime,
) -> str | None:
    """That what runs is not what was signed, in one line; None if it is. Raises `StoreError`."""
    with store.reading() as connection:
        signed = reviews.last_signed(connection, settings.proxy.state_keys)
    return changed_since(signed, policy_of(settings, upstreams, now), now)


def stops_start(
    settings: Settings, upstreams: Mapping[str, ConfiguredUpstream], now: datetime
) -> tuple[str, ...]:
    """What is wrong with our own keys and listeners, a line each."""
    found = why_not_started(gather(settings, upstreams, now))
    return tuple(f"{one.rule}: {one.evidence}; {one.fix}" for one in found)
