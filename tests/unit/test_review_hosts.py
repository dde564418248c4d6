"""Two hosts of one store with different files: what one of them changed, nobody switches to."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy import lookout, serve
from idp_proxy.adapters import open_standards, open_store, open_upstreams
from idp_proxy.decision.fleet import HostReport
from idp_proxy.decision.health import Track, Verdict
from idp_proxy.decision.notices import Kind
from idp_proxy.decision.review import Signed
from idp_proxy.decision.switching import first_state
from idp_proxy.reviewing.policy import policy_of
from idp_proxy.reviewing.standing import Standing
from idp_proxy.store import reviews
from idp_proxy.store.memory import MemoryStore
from idp_proxy.store.schema import migrate
from idp_proxy.survey import survey
from tests.support.keys import rsa_pair
from tests.support.upstream_metadata import upstream_metadata
from tests.unit.config_folder import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.config import Settings
    from idp_proxy.decision.notices import Notice
    from idp_proxy.store.sql import SqlStore

NOW = datetime.now(UTC)


@pytest.fixture
def hosts(folder: Folder) -> dict[str, Settings]:
    """sso1 runs what is signed; on sso2 somebody widened the clock of the standby."""
    for name in ("okta", "entra"):
        metadata = upstream_metadata(rsa_pair(f"{name}-idp"), entity_id=f"https://{name}.example")
        (folder.path / f"{name}.xml").write_bytes(metadata)
    folder.set('{ url = "https://idp.example.org/metadata" }', '{ file = "entra.xml" }')
    first = folder.read()
    other = Folder(folder.path, folder.text).set('host = "sso1"', 'host = "sso2"')
    other.set(
        'link_key = "NameID"\n', 'link_key = "NameID"\n[upstream.limits]\nclock_skew_s = 180\n'
    )
    return {"sso1": first, "sso2": other.read()}


@pytest.fixture
def store(hosts: dict[str, Settings]) -> Iterator[SqlStore]:
    settings = hosts["sso1"]
    migrate(settings.store.url)
    opened = open_store(settings)
    policy = policy_of(settings, open_upstreams(settings), NOW)
    with opened.writing() as connection:
        signed = Signed("s1", "Rita", NOW, policy, 0)
        reviews.keep_signed(connection, signed, settings.proxy.state_keys)
    yield opened
    opened.close()


def barred(settings: Settings, store: SqlStore) -> dict[str, tuple[str, ...]]:
    upstreams = open_upstreams(settings)
    return dict(Standing(settings, upstreams, store, lambda: NOW, time.monotonic)())


def test_neither_host_switches_to_what_differs_at_one_of_them(
    hosts: dict[str, Settings], store: SqlStore
) -> None:
    seen = {name: barred(settings, store) for name, settings in hosts.items()}
    assert seen["sso1"] == {}
    assert set(seen["sso2"]) == {"entra"}
    fleet = MemoryStore("sso1")
    with fleet.transaction() as transaction:
        transaction.swap(0, first_state(["okta", "entra"], NOW))
    up = Track(Verdict.UP, 9, 0, NOW, NOW, NOW, "answers")
    for name in hosts:
        fleet.publish(HostReport(name, NOW, {"okta": up, "entra": up}, barred=seen[name]))
    settings = hosts["sso1"]
    standards = open_standards(settings, open_upstreams(settings), store)
    state = fleet.switch_state()
    assert state is not None
    found = survey(fleet, state, standards, fleet.clock())
    why = [one for one in found.why_ineligible("entra") if "finding" in one]
    assert len(why) == 1
    assert why[0].startswith("finding on sso2: it is not as Rita signed it")
    # A host that is not heard any more has no say.
    later = survey(fleet, state, standards, fleet.clock() + timedelta(minutes=2))
    assert not [one for one in later.why_ineligible("entra") if "finding" in one]


class Pager:
    """The matters that stand, as people know them."""

    def __init__(self) -> None:
        self.standing: dict[str, Notice] = {}

    def raise_(self, notice: Notice) -> None:
        self.standing[notice.key] = notice

    def resolve(self, key: str) -> None:
        self.standing.pop(key, None)

    def close(self, _timeout_s: float) -> bool:
        return True


def test_each_host_tells_of_its_own_files_and_ends_nothing_of_the_other(
    hosts: dict[str, Settings], store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    pager = Pager()
    monkeypatch.setattr(lookout, "open_notifier", lambda *_: pager)
    for name in ("sso2", "sso1"):
        serve._tell_of_change(hosts[name], open_upstreams(hosts[name]), store)
    (notice,) = pager.standing.values()
    assert notice.kind is Kind.FINDING
    assert "on sso2: the running policy is not what Rita signed" in str(notice.facts["what"])
    assert "upstream.entra.limits.clock_skew" in str(notice.facts["what"])
    cured = replace(hosts["sso1"], proxy=replace(hosts["sso1"].proxy, host="sso2"))
    serve._tell_of_change(cured, open_upstreams(cured), store)
    assert pager.standing == {}
