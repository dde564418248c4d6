"""The parties run as processes, end when told, and come back as who they were."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support import keys
from tests.support.browser import Browser
from tests.support.launch import Party
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def _parties(folder: Path) -> Iterator[tuple[Party, Party]]:
    key, certificate = keys.rsa_pair("launched").write(folder, "idp")
    mattermost_port = free_port()
    site = f"http://127.0.0.1:{mattermost_port}"
    idp = Party(
        "idp",
        "tests.support.identity_provider",
        (
            f"--key={key}",
            f"--certificate={certificate}",
            f"--sp={site}/api/v4/saml/metadata",
        ),
        folder / "idp.log",
    )
    mattermost = Party(
        "mattermost",
        "tests.support.mattermost",
        (f"--idp-metadata={idp.url}/metadata", "--direct"),
        folder / "mattermost.log",
        port=mattermost_port,
    )
    try:
        idp.start()
        idp.wait()
        mattermost.start()
        mattermost.wait()
        yield idp, mattermost
    finally:
        mattermost.kill()
        idp.kill()


def test_a_killed_provider_is_gone_and_comes_back_with_the_same_key(tmp_path: Path) -> None:
    with _parties(tmp_path) as (idp, mattermost), Browser() as browser:
        start = f"{mattermost.url}/login/sso/saml"
        assert browser.login(start, "alice", "alice-pass").title == "Welcome alice"
        idp.kill()
        with pytest.raises(httpx.ConnectError):
            browser.login(start, "alice", "alice-pass")
        idp.start()
        idp.wait()
        assert browser.login(start, "alice", "alice-pass").title == "Welcome alice"
        assert browser.login(start, "bob", "bob-pass").title == "Welcome bob"
        (alice, bob) = httpx.get(f"{mattermost.url}/accounts.json", trust_env=False).json()
    assert (alice["auth_data"], bob["auth_data"]) == ("e-1001", "e-1002")
