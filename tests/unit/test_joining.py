"""A host joins its fleet; while a shared store is away, by what it was told before, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs

from idp_proxy import adapters, joining
from idp_proxy.adapters import open_kept_state, open_store, open_upstreams
from idp_proxy.decision.fleet import HostReport
from idp_proxy.errors import StoreAway, StoreError
from idp_proxy.joining import join, keep_state
from idp_proxy.store import schema
from idp_proxy.store.host_id import host_id
from tests.conformance.rooms import state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.joining import Joining
    from idp_proxy.store.sql import SqlStore
    from tests.unit.config_folder import Folder


class Server:
    """What a server is to a host, by the file that stands in for it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.away = False
        self._migrate, self._open = schema.migrate, open_store
        patch.setattr(schema, "migrate", self.migrate)
        patch.setattr(joining, "open_store", self.open)
        patch.setattr(joining, "is_shared", lambda _settings: True)

    def migrate(self, url: str) -> None:
        if self.away:
            raise StoreAway("no route to host")
        self._migrate(url)

    def open(self, settings: Settings, *, may_be_away: bool = False) -> SqlStore:
        if self.away:
            assert may_be_away
            return cast("SqlStore", None)
        return self._open(settings)


@pytest.fixture
def settings(folder: Folder) -> Settings:
    return folder.read()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


@pytest.fixture
def joined(settings: Settings) -> Iterator[Joining]:
    made = join(settings, open_upstreams(settings))
    yield made
    made.store.close()


def test_a_host_that_starts_is_on_the_register_and_has_a_state(joined: Joining) -> None:
    found = joined.store.switch_state()
    assert found is not None
    assert (found.epoch, found.serving) == (1, "okta")
    assert [one.host for one in joined.store.reports()] == ["sso1"]
    assert joined.is_done
    assert joined.again() is None


def test_a_second_host_on_one_sqlite_file_does_not_start(settings: Settings) -> None:
    first = join(settings, open_upstreams(settings))
    first.store.forget_host("sso1")
    first.store.publish(HostReport("sso2", first.store.clock(), {}))
    with pytest.raises(StoreError, match=r"sso2 uses this SQLite store too.*PostgreSQL"):
        join(settings, open_upstreams(settings))
    first.store.close()


def test_a_second_machine_of_this_name_does_not_start_and_this_one_starts_again(
    settings: Settings, joined: Joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    (known,) = joined.store.reports()
    monkeypatch.setattr(adapters, "_this_run", lambda: "another process")
    join(settings, open_upstreams(settings)).store.close()
    monkeypatch.setattr(adapters, "_this_run", lambda: "another machine")
    (settings.proxy.data_dir / "host-id").write_text("no id")
    with pytest.raises(StoreError, match="somebody else runs as host sso1"):
        join(settings, open_upstreams(settings))
    made = host_id(settings.proxy.data_dir)
    assert made == host_id(settings.proxy.data_dir) != known.member.installation
    (settings.proxy.data_dir / "host-id").unlink()
    (settings.proxy.data_dir / "host-id").mkdir()
    with pytest.raises(StoreError, match="host-id"):
        host_id(settings.proxy.data_dir)


def test_without_the_store_a_host_starts_by_what_it_was_told_and_joins_later(
    settings: Settings, server: Server
) -> None:
    upstreams = open_upstreams(settings)
    before = join(settings, upstreams)
    server.away = True
    with capture_logs() as lines:
        alone = join(settings, upstreams)
    (line,) = lines
    assert (line["event"], line["serving"], line["epoch"]) == ("started_without_store", "okta", 1)
    assert not alone.is_done
    with pytest.raises(StoreAway):
        alone.again()
    server.away, alone.store = False, before.store
    assert alone.again() == "the store is back, and this host takes part again"
    assert alone.again() is None
    before.store.close()


def test_without_the_store_a_host_that_was_never_told_does_not_start(
    settings: Settings, server: Server
) -> None:
    server.away = True
    with pytest.raises(StoreAway, match=r"no route to host; .*never told who serves"):
        join(settings, open_upstreams(settings))


def test_a_store_of_another_shape_is_no_store_that_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(settings, open_upstreams(settings)).store.close()

    def newer(_url: str) -> None:
        raise StoreError("a newer version of the proxy made it")

    monkeypatch.setattr(schema, "migrate", newer)
    with pytest.raises(StoreError, match="newer version"):
        join(settings, open_upstreams(settings))


def test_what_the_store_says_is_kept_and_an_empty_store_says_nothing(
    joined: Joining, settings: Settings
) -> None:
    kept = open_kept_state(settings)
    with joined.store.transaction() as transaction:
        transaction.swap(1, state(2, "entra"))
    keep_state(joined.store, kept)
    assert kept.told().state == state(2, "entra")

    class Empty:
        def switch_state(self) -> None:
            return None

    keep_state(cast("SqlStore", Empty()), kept)
    assert kept.told().state == state(2, "entra")
