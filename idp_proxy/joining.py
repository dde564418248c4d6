"""A host joins its fleet: the database's shape, the first switch state, its place on the register.

While a shared store is away a host starts all the same, by the last state that it was told (ADR
13): the active's people log in, nothing is switched, and it joins when the store is back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog

from idp_proxy.adapters import (
    is_shared,
    membership,
    open_kept_state,
    open_store,
    open_switchboard,
    utc_now,
)
from idp_proxy.decision.fleet import HostReport
from idp_proxy.errors import StoreAway, StoreError
from idp_proxy.store import schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.config.settings import Settings
    from idp_proxy.store.kept_state import KeptState
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream

#: How often a host that started without the store tries to join, in seconds.
TRY_EVERY_S: Final = 5.0
#: How often the state is asked for that the host would start by, in seconds; the same one is dated
#: anew after a minute.
KEEP_EVERY_S: Final = 2.0
_DATED_ANEW: Final = timedelta(minutes=1)

_log = structlog.get_logger("idp_proxy.joining")


@dataclass(slots=True)
class Joining:
    """The way of this host into its fleet. `store` is open, whether or not anybody answers there;
    `is_done` says that the store knows this host.
    """

    settings: Settings
    upstreams: Mapping[str, ConfiguredUpstream]
    store: SqlStore
    is_done: bool

    def again(self) -> str | None:
        """Try once more, if it did not work yet. Raises `StoreError`."""
        if self.is_done:
            return None
        schema.migrate(self.settings.store.url)
        _join(self.settings, self.upstreams, self.store)
        self.is_done = True
        return "the store is back, and this host takes part again"


def join(settings: Settings, upstreams: Mapping[str, ConfiguredUpstream]) -> Joining:
    """Bring the store up to date and take this host's place in it. Raises `StoreError`.

    While a shared store is away, whoever has a state to start by starts.
    """
    try:
        schema.migrate(settings.store.url)
        store = open_store(settings)
    except StoreAway as away:
        try:
            state = open_kept_state(settings).told().state
        except StoreError as unknown:
            raise StoreAway(f"{away.detail}; {unknown.detail}") from away
        _log.warning(
            "started_without_store", serving=state.serving, epoch=state.epoch, detail=away.detail
        )
        store = open_store(settings, may_be_away=True)
        return Joining(settings, upstreams, store, is_done=False)
    _join(settings, upstreams, store)
    return Joining(settings, upstreams, store, is_done=True)


def keep_state(store: SqlStore, kept: KeptState) -> None:
    """Keep what the store says now. Raises `StoreError`."""
    state = store.switch_state()
    if state is not None:
        kept.keep(state, _DATED_ANEW)


def _join(settings: Settings, upstreams: Mapping[str, ConfiguredUpstream], store: SqlStore) -> None:
    """The first switch state, if there is none yet, and this host on the register.

    What it sees it will say soon; until then it has seen nothing.
    """
    open_switchboard(store, upstreams).current()
    report = HostReport(settings.proxy.host, utc_now(), {}, member=membership(settings))
    store.publish(report, begins=True)
    if is_shared(settings):
        keep_state(store, open_kept_state(settings))
