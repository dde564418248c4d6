from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.config import MetadataUrl, load
from idp_proxy.errors import ConfigError
from idp_proxy.initialise import Blueprint, NewUpstream, initialise
from tests.unit.config_folder import saml_of

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC)
BITS = 2048  # the default, 3072, takes seconds for each key
EXAMPLE = Blueprint(
    public_url="https://sso.example.org",
    mattermost_url="https://chat.example.org",
    upstreams=(
        NewUpstream("okta", "okta.xml"),
        NewUpstream("entra", "https://entra.example.org/metadata"),
    ),
    support_url="mailto:help@example.org",
)


def test_what_init_makes_loads_once_the_metadata_is_there(tmp_path: Path) -> None:
    file = initialise(tmp_path / "new", EXAMPLE, NOW, BITS)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.problems == ("upstream[0].metadata.file: no such file: okta.xml",)
    (tmp_path / "new/okta.xml").write_text("<EntityDescriptor/>")
    settings = load(file)
    assert [one.split(":")[0] for one in settings.warnings] == ["assurance.levels"]
    assert settings.proxy.public_url == "https://sso.example.org"
    assert settings.service_provider.acs_url == "https://chat.example.org/login/sso/saml"
    assert [upstream.name for upstream in settings.upstreams] == ["okta", "entra"]
    entra = saml_of(settings)[1].metadata
    assert isinstance(entra, MetadataUrl)
    assert entra.url == "https://entra.example.org/metadata"
    assert settings.audit.checkpoints is not None


def test_nothing_that_init_makes_is_open_to_others(tmp_path: Path) -> None:
    previous = os.umask(0o000)
    try:
        initialise(tmp_path / "new", EXAMPLE, NOW, BITS)
    finally:
        os.umask(previous)
    for folder in ("keys", "var"):
        assert stat.S_IMODE((tmp_path / "new" / folder).stat().st_mode) == 0o700
    keys = list((tmp_path / "new/keys").glob("*.key"))
    assert {key.name for key in keys} == {
        "idp.key",
        "okta-sp.key",
        "entra-sp.key",
        "state.key",
        "audit.key",
    }
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert len((tmp_path / "new/keys/state.key").read_bytes()) == 32


def test_our_certificate_lasts_ten_years_and_names_the_host(tmp_path: Path) -> None:
    (tmp_path / "okta.xml").write_text("<EntityDescriptor/>")
    blueprint = Blueprint(
        EXAMPLE.public_url,
        EXAMPLE.mattermost_url,
        (NewUpstream("okta", str(tmp_path / "okta.xml")), EXAMPLE.upstreams[1]),
    )
    settings = load(initialise(tmp_path / "new", blueprint, NOW, BITS))
    certificate = settings.proxy.signing.certificate
    assert certificate.subject.rfc4514_string() == "CN=sso.example.org"
    assert certificate.not_valid_after_utc > NOW + timedelta(days=3652)
    assert certificate.not_valid_before_utc < NOW
    assert (tmp_path / "new/okta.xml").read_text() == "<EntityDescriptor/>"
    warned = [warning.split(":")[0] for warning in settings.warnings]
    assert warned == ["proxy.support_url", "assurance.levels"]


def test_a_trial_on_loopback_loads_too(tmp_path: Path) -> None:
    blueprint = Blueprint("http://127.0.0.1:8443", "http://127.0.0.1:8065", (EXAMPLE.upstreams[1],))
    settings = load(initialise(tmp_path / "new", blueprint, NOW, BITS))
    assert settings.proxy.insecure_loopback
    assert settings.proxy.listen.port == 8443


def test_an_existing_empty_folder_is_used(tmp_path: Path) -> None:
    assert initialise(tmp_path, EXAMPLE, NOW, BITS).parent == tmp_path


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_nothing_is_ever_overwritten(tmp_path: Path, taken: str) -> None:
    folder = tmp_path / "new"
    if taken == "file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / "idp-proxy.toml").write_text("mine")
    with pytest.raises(ConfigError, match="not an empty folder"):
        initialise(folder, EXAMPLE, NOW, BITS)
    kept = folder if taken == "file" else folder / "idp-proxy.toml"
    assert kept.read_text() == "mine"
    assert taken == "file" or list(folder.iterdir()) == [kept]


@pytest.mark.parametrize("existed", [True, False])
def test_a_failure_half_way_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, existed: bool
) -> None:
    folder = tmp_path / "new"
    if existed:
        folder.mkdir()

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("idp_proxy.initialise.write_private", full)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device"):
        initialise(folder, EXAMPLE, NOW, BITS)
    assert folder.exists() == existed
    assert not existed or not list(folder.iterdir())


@pytest.mark.parametrize(
    ("blueprint", "problem"),
    [
        (
            Blueprint("http://sso.example.org", "https://c.example.org", EXAMPLE.upstreams),
            "--public-url: plain http",
        ),
        (
            Blueprint("https://sso.example.org/", "https://c.example.org", EXAMPLE.upstreams),
            "--public-url: must be only scheme and host",
        ),
        (
            Blueprint("https://sso.example.org", "chat", EXAMPLE.upstreams),
            "--mattermost-url: not a URL",
        ),
        (
            Blueprint("https://sso.example.org", "http://127.0.0.1", EXAMPLE.upstreams),
            "--mattermost-url: plain http needs --public-url on loopback too",
        ),
        (
            Blueprint("https://s.example.org", "https://c.example.org", EXAMPLE.upstreams, "x"),
            "--support-url: not a URL",
        ),
        (
            Blueprint("https://s.example.org", "https://c.example.org", ()),
            "--upstream: at least one is needed",
        ),
        (
            Blueprint("https://s.example.org", "https://c.example.org", EXAMPLE.upstreams[:1] * 2),
            "--upstream: okta is named twice",
        ),
        (
            Blueprint(
                "https://s.example.org", "https://c.example.org", (NewUpstream("../x", "x.xml"),)
            ),
            "--upstream: '../x' is no name",
        ),
        (
            Blueprint(
                "https://s.example.org", "https://c.example.org", (NewUpstream("x", 'a"\nb'),)
            ),
            "--upstream: x: 'a\"\\nb' is no file and no URL",
        ),
    ],
)
def test_a_blueprint_that_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, blueprint: Blueprint, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        initialise(tmp_path / "new", blueprint, NOW, BITS)
    assert any(one.startswith(problem) for one in caught.value.problems)
    assert not (tmp_path / "new").exists()
