"""The stage: two identity providers, the proxy and Mattermost as processes on loopback."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from tests.support import keys
from tests.support.browser import Browser, BrowserError
from tests.support.launch import Party, ProxyHost
from tests.support.people import ALICE
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.browser import Page
    from tests.support.people import Person

#: A worker may go on with the switch state it read up to a second ago.
STATE_IS_KNOWN_S = 1.2
ACTIVE = "active"
STANDBY = "standby"
_IDP_TITLES = {ACTIVE: "Company login (active)", STANDBY: "Company login (standby)"}


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs. `idps` has the identity providers by their upstream's name; a standby
    that is not among them is a directory, whose login page is the proxy's own.
    """

    idps: dict[str, Party]
    proxy: ProxyHost
    mattermost: Party

    @property
    def start_url(self) -> str:
        """Where a login starts."""
        return f"{self.mattermost.url}/login/sso/saml"

    def login_page(self, name: str) -> str:
        """Where people log in by this upstream; what stands before all its addresses."""
        if (idp := self.idps.get(name)) is not None:
            return idp.url
        return f"{self.proxy.public_url}/upstream/{name}/login"

    def accounts(self) -> list[dict[str, Any]]:
        """Mattermost's user table."""
        answer = httpx.get(f"{self.mattermost.url}/accounts.json", timeout=5, trust_env=False)
        rows: list[dict[str, Any]] = answer.raise_for_status().json()
        return rows

    def account(self, username: str) -> dict[str, Any] | None:
        """The account with this user name, or None."""
        return next((row for row in self.accounts() if row["username"] == username), None)

    def switch_to(self, name: str, reason: str) -> None:
        """The operator's switch; every worker knows when the call returns."""
        self.proxy.command("switch", "to", name, "--reason", reason)
        time.sleep(STATE_IS_KNOWN_S)

    def return_to_active(self, reason: str) -> None:
        """The operator's return, from which on the watch switches by itself."""
        self.proxy.command("failback", "--reason", reason)
        time.sleep(STATE_IS_KNOWN_S)

    def status(self) -> dict[str, Any]:
        """What `idp-proxy status --json` says."""
        answer: dict[str, Any] = json.loads(self.proxy.command("status", "--json"))
        return answer


class NotLoggedIn(BrowserError):
    """A login ended elsewhere than in Mattermost, or by nobody known; the message says where."""


def log_in(stage: Stage, browser: Browser, person: Person) -> str:
    """A whole login; gives the name of the upstream that was asked. Raises `NotLoggedIn`."""
    page = browser.login(stage.start_url, person.uid, person.password)
    asked = [name for name, idp in stage.idps.items() if browser.visited(idp.url)]
    if page.title != f"Welcome {person.uid}" or len(asked) != 1:
        raise NotLoggedIn(f"{page.title!r} by {asked}: {page.text[:200]}")
    return asked[0]


def rehearse(
    stage: Stage, name: str, person: Person = ALICE, command: tuple[str, ...] = ("rehearse",)
) -> Page:
    """Log in by upstream `name` behind the link of `rehearse` (or of another `command` that makes
    one), and give the last page. Raises `NotLoggedIn`.
    """
    made = stage.proxy.command(*command, name, "--no-wait", "--json", leaves_open=True)
    with Browser() as browser:
        page = browser.rehearse(json.loads(made)["link"], person.uid, person.password)
    if page.status != httpx.codes.OK or not page.url.startswith(stage.proxy.public_url):
        raise NotLoggedIn(f"{page.status} {page.title!r} at {page.url}: {page.text[:200]}")
    return page


@contextmanager
def set_up(
    folder: Path, more_settings: str = "", names: tuple[str, ...] = (ACTIVE, STANDBY)
) -> Iterator[Stage]:
    """Start everything; end every process that was started, whatever happens in the block.

    `more_settings` is TOML that is put behind the configuration that `init` wrote. `names` are
    those of the identity providers; what else stands by is in `more_settings`.
    """
    mattermost_port, proxy = free_port(), ProxyHost(folder / "proxy")
    idps = {name: _idp(folder, name, proxy) for name in names}
    mattermost = Party(
        "Mattermost",
        "tests.support.mattermost",
        (f"--idp-metadata={proxy.public_url}/saml/metadata",),
        folder / "mattermost.log",
        port=mattermost_port,
    )
    try:
        for idp in idps.values():
            idp.start()
        metadata = {name: _save_metadata(folder, name, idp) for name, idp in idps.items()}
        proxy.init(metadata, mattermost.url)
        proxy.configure(more_settings)
        proxy.command("check-config")
        proxy.serve()
        mattermost.start()
        mattermost.wait()
        yield Stage(idps, proxy, mattermost)
    finally:
        mattermost.kill()
        proxy.stop()
        for idp in idps.values():
            idp.kill()


def _idp(folder: Path, name: str, proxy: ProxyHost) -> Party:
    """It keeps its key on disk, so that it is the same provider after it was killed."""
    key, certificate = keys.rsa_pair(f"demo {name}").write(folder / name, "idp")
    return Party(
        f"identity provider ({name})",
        "tests.support.identity_provider",
        (
            f"--key={key}",
            f"--certificate={certificate}",
            f"--sp={proxy.public_url}/upstream/{name}/metadata",
            f"--title={_IDP_TITLES[name]}",
        ),
        folder / f"{name}.log",
    )


def _save_metadata(folder: Path, name: str, idp: Party) -> Path:
    """The provider's metadata as a file, as its administrator would mail it."""
    idp.wait()
    answer = httpx.get(f"{idp.url}/metadata", timeout=5, trust_env=False).raise_for_status()
    saved = folder / f"{name}.xml"
    saved.write_bytes(answer.content)
    return saved
