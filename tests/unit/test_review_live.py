"""`review --live` in front of parties that run: a double of Mattermost, and a provider's metadata
that is well, changes by itself, ends, or is gone.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from idp_proxy.adapters import open_store, open_upstreams
from idp_proxy.store.seen_base import SeenContext
from tests.support.keys import rsa_pair
from tests.support.launch import in_thread
from tests.support.mattermost_api import MattermostServer, app
from tests.support.upstream_metadata import service, upstream_metadata
from tests.unit.at_the_terminal import Bench, Program
from tests.unit.config_folder import Folder, private_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.metadata_feed import MetadataFeed

MFA = "https://refeds.org/profile/mfa"
SETTINGS: dict[str, dict[str, Any]] = {
    "SamlSettings": {
        "Verify": True,
        "Encrypt": False,
        "SignRequest": True,
        "SignatureAlgorithm": "RSAwithSHA256",
        "CanonicalAlgorithm": "Canonical1.0",
        "EnableAdminAttribute": False,
        "EnableSyncWithLdap": False,
    },
    "NativeAppSettings": {"MobileExternalBrowser": True},
}


class Provider:
    """An identity provider, as far as its metadata goes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = rsa_pair(f"{name}-live")
        self.more = ""
        self.url = ""

    def document(self) -> bytes:
        place = service(location=f"{self.url}/sso")
        return upstream_metadata(
            self.key, entity_id=f"{self.url}/idp", services=(place,), attributes=self.more
        )

    def answer(self, _request: object) -> Response:
        return Response(self.document(), media_type="application/samlmetadata+xml")


class Live:
    """Everything that runs, and the program in front of it."""

    def __init__(
        self, bench: Bench, store: SqlStore, entra: Provider, chat: MattermostServer
    ) -> None:
        self.bench, self.store, self.entra, self.chat = bench, store, entra, chat

    @property
    def feed(self) -> MetadataFeed:
        feed = open_upstreams(self.bench.program.folder.read())["entra"].feed
        assert feed is not None
        return feed

    def refresh(self) -> str | None:
        """What `serve` does each hour."""
        return self.feed.refresh(self.bench.now)

    def approve(self) -> None:
        waiting = self.feed.diff(self.bench.now)
        assert waiting is not None
        self.feed.approve(waiting.digest, self.bench.now)

    def found(self) -> dict[str, str]:
        """What the review says of each rule's check, joined."""
        done = self.bench("review", "--live", "--format", "json")
        assert "Traceback" not in done.err
        said: dict[str, str] = {}
        for one in json.loads(done.out)["findings"]:
            key = f"{one['rule']} {one['upstream'] or '-'}"
            said[key] = f"{said.get(key, '')} {one['evidence']}"
        return said


@pytest.fixture
def live(
    folder: Folder,
    empty_database: bytes,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Live]:
    entra, okta, chat = Provider("entra"), Provider("okta"), MattermostServer()
    for section, values in SETTINGS.items():
        chat.settings.setdefault(section, {}).update(values)
    routes = [Route("/entra", entra.answer), Route("/okta", okta.answer)]
    with in_thread(Starlette(routes=routes)) as providers, in_thread(app(chat)) as api:
        entra.url, okta.url = f"{providers}/entra", f"{providers}/okta"
        (folder.path / "okta.xml").write_bytes(okta.document())
        private_file(folder.path / "keys" / "token", chat.admin_token.encode())
        folder.set("https://sso.example.org", "http://127.0.0.1:8443", everywhere=True)
        folder.set('host = "sso1"', 'host = "sso1"\ninsecure_loopback = true')
        folder.set('{ url = "https://idp.example.org/metadata" }', f'{{ url = "{entra.url}" }}')
        folder.set(
            "[service_provider.attributes]",
            f'[service_provider.api]\nurl = "{api}"\ntoken = "file:keys/token"\n\n'
            "[service_provider.attributes]",
        )
        folder.set(
            "[upstream.limits]",
            f'[upstream.probe]\nurl = "{okta.url}"\nexpect = "EntityDescriptor"\n\n'
            "[upstream.limits]",
        )
        program = Program(folder, capsys)
        program.write()
        program.make_store(empty_database)
        store = open_store(folder.read())
        yield Live(Bench(program, monkeypatch), store, entra, chat)
        store.close()


def test_a_day_in_the_life_of_a_standby(live: Live) -> None:
    first = live.found()
    assert (
        "no metadata is approved" in first["SP-01 entra"] or "no approved" in first["SP-01 entra"]
    )
    live.refresh()
    assert "changed by itself" in live.found()["MD-01 entra"]
    live.approve()
    well = live.found()
    assert "SP-01 entra" not in well
    assert "changed by itself" not in well["MD-01 entra"]
    assert "not answer" not in " ".join(well.values())

    live.entra.key = rsa_pair("entra-stolen")
    live.refresh()
    changed = live.found()
    assert "changed by itself" in changed["MD-01 entra"]

    live.entra.key = rsa_pair("entra-live")
    live.entra.more = f'validUntil="{datetime.now(UTC) + timedelta(hours=5):%Y-%m-%dT%H:%M:%SZ}"'
    live.refresh()
    assert "counts until" in live.found()["MD-01 entra"]
    live.bench.now += timedelta(hours=6)
    over = live.found()
    assert "expired" in over["SP-01 entra"]
    assert live.bench.program.code == 1


def test_an_upstream_that_is_gone_and_a_clock_that_is_wrong_are_told(live: Live) -> None:
    live.refresh()
    live.approve()
    folder = live.bench.program.folder
    folder.set(f'{{ url = "{live.entra.url}" }}', '{ url = "http://127.0.0.1:1/entra" }')
    live.bench.program.write()
    live.bench.now += timedelta(minutes=5)
    found = live.found()
    assert "it does not answer now" in found["FO-15 entra"]
    assert "FO-15 okta" not in found
    assert "s from the store's" in found["OPS-02 -"]


#: (section, setting, value, the rule that finds it, whether that blocks)
HARMFUL = [
    ("SamlSettings", "Verify", False, "IDP-03", True),
    ("SamlSettings", "Encrypt", True, "IDP-03", False),
    ("SamlSettings", "SignatureAlgorithm", "RSAwithSHA1", "IDP-02", True),
    ("SamlSettings", "CanonicalAlgorithm", "Canonical1.1", "IDP-02", True),
    ("SamlSettings", "EnableAdminAttribute", True, "FO-11", True),
    ("SamlSettings", "EnableSyncWithLdap", True, "FO-09", False),
    ("NativeAppSettings", "MobileExternalBrowser", False, "WEB-01", False),
]


def test_mattermosts_own_settings_are_judged(live: Live) -> None:
    live.refresh()
    live.approve()
    assert live.bench("review", "--live").code == 0
    for section, name, value, rule, blocks in HARMFUL:
        usual = live.chat.settings[section][name]
        live.chat.settings[section][name] = value
        done = live.bench("review", "--live", "--format", "json")
        live.chat.settings[section][name] = usual
        assert done.code == (1 if blocks else 0), name
        found = json.loads(done.out)["findings"]
        assert (rule, blocks) in {
            (one["rule"], one["blocking"])
            for one in found
            if name in one["evidence"] or str(value) in one["evidence"]
        }, name


def test_the_classes_that_were_seen_are_printed(live: Live) -> None:
    at = live.bench.now
    live.store.add_contexts([SeenContext("okta", MFA, "password", 2, at)])
    live.store.add_contexts(
        [SeenContext("entra", "urn:evil\x1b[2J\nseen:    okta gave", "password", 1, at)]
    )
    out = live.bench("review", "--live").out
    assert f"seen:    okta gave {MFA}, last {at:%Y-%m-%d %H:%M} UTC" in out
    assert len(re.findall(r"^seen:", out, re.MULTILINE)) == 2, "one line each, whatever it says"
    assert "\x1b[2J" not in out
    told = json.loads(live.bench("review", "--live", "--format", "json").out)["contexts_seen"]
    assert list(told["okta"]) == [MFA]


def test_an_api_that_refuses_is_said_and_the_rest_is_judged(live: Live) -> None:
    private_file(live.bench.program.folder.path / "keys" / "token2", b"z" * 26)
    live.bench.program.folder.set("file:keys/token", "file:keys/token2")
    live.bench.program.write()
    done = live.bench("review", "--live", "--format", "json")
    assert "Mattermost" in done.err
    assert "z" * 26 not in done.err + done.out
    assert json.loads(done.out)["findings"]
