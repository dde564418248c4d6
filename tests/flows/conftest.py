"""The stage, as configured by default or as a test wants it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from idp_proxy.adapters import open_store, open_switchboard, open_upstreams
from idp_proxy.app import build
from idp_proxy.seen_contexts import ContextMeter
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.schema import migrate
from idp_proxy.traffic import TrafficMeter
from tests.flows import configuration
from tests.flows.configuration import SITE, Wanted
from tests.flows.stage import Clock, Stage, described, mattermost_settings
from tests.flows.wire import Wire
from tests.support.identity_provider import IdentityProvider
from tests.support.mattermost import Mattermost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from idp_proxy.config import Settings
    from idp_proxy.store.base import Spool
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.survey import SeenStore
    from idp_proxy.upstream.configured import ConfiguredUpstream


@dataclass(slots=True)
class Builder:
    """Sets up one stage in `folder`."""

    folder: Path
    usual: Settings
    undo: ExitStack

    def __call__(
        self,
        wanted: Wanted | None = None,
        *,
        sqlite: bool = False,
        spool: Callable[[MemoryStore | SqlStore, Clock], tuple[SeenStore, Spool]] | None = None,
        **mattermost: Any,
    ) -> Stage:
        """`spool` puts a store that can go away, and a spool, between the proxy and the store;
        `mattermost` are settings of Mattermost's side.
        """
        usual = wanted is None and not sqlite
        settings = self.usual if usual else configuration.write(self.folder, wanted or Wanted())
        clock = Clock()
        store = self._store(settings, sqlite=sqlite)
        upstreams = open_upstreams(settings)
        switchboard = open_switchboard(store, upstreams, clock.now)
        switchboard.current()
        seen, spooled = spool(store, clock) if spool else (store, None)
        meter = TrafficMeter()
        contexts = ContextMeter()
        app = build(settings, seen, spooled, upstreams, meter, contexts, clock.now, clock.monotonic)
        chat = Mattermost(mattermost_settings(settings, **mattermost), now=clock.now)
        apps = {host(settings.proxy.public_url): app, host(SITE): chat.app}
        for name, upstream in upstreams.items():
            if upstream.own_metadata() is None:
                continue
            apps[f"{name}.example.com"] = _provider(name, upstream, clock).app
        wire = Wire(apps)
        self.undo.callback(wire.hang_up)
        return Stage(settings, store, upstreams, switchboard, chat, clock, wire, meter, contexts)

    def _store(self, settings: Settings, *, sqlite: bool) -> MemoryStore | SqlStore:
        if not sqlite:
            return MemoryStore(settings.proxy.host)
        migrate(settings.store.url)
        store = open_store(settings)
        self.undo.callback(store.close)
        return store


def host(url: str) -> str:
    return str(urlsplit(url).hostname)


def _provider(name: str, upstream: ConfiguredUpstream, clock: Clock) -> IdentityProvider:
    return IdentityProvider(
        configuration.provider(name), [lambda: described(upstream)], sessions=True, now=clock.now
    )


@pytest.fixture(scope="session")
def usual_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The usual configuration, read once: nothing of it is changed by a stage in memory."""
    return configuration.write(tmp_path_factory.mktemp("usual"), Wanted())


@pytest.fixture
def set_up(tmp_path: Path, usual_settings: Settings) -> Iterator[Builder]:
    """Makes the stage that a test wants."""
    with ExitStack() as undo:
        yield Builder(tmp_path, usual_settings, undo)


@pytest.fixture
def stage(set_up: Builder) -> Stage:
    """Two upstreams, the active serving; a store in memory."""
    return set_up()
