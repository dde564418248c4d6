"""What every service provider in Mattermost's place has in common: Apache and a page."""

from __future__ import annotations

import html
import os
import pwd
import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.e2e.peers.rendering import FILES, demand, new_folder, program, render
from tests.support.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.peers.authority import Authority
    from tests.support.keys import KeyPair

_MODULES = Path("/usr/lib/apache2/modules")
_PRINTED = re.compile(r"^([^=\s]+)=(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Shown:
    """The person as the service provider's application sees them: attributes by SAML Name."""

    name_id: str
    attributes: Mapping[str, str]


class ServiceProvider(Protocol):
    """A service provider that one identity provider's metadata was given to."""

    @property
    def entity_id(self) -> str:
        """Its entity ID."""

    @property
    def acs_url(self) -> str:
        """Where Responses are posted to."""

    @property
    def protected_url(self) -> str:
        """The page that asks for a login and then shows who came."""

    @property
    def sign_requests(self) -> bool:
        """Whether it signs its AuthnRequests."""

    @property
    def signing(self) -> KeyPair:
        """What it signs AuthnRequests with."""

    @property
    def encryption(self) -> KeyPair:
        """What assertions for it are encrypted to."""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""

    def metadata(self) -> str:
        """Its SAML metadata."""

    def shown(self, page: str) -> Shown | None:
        """Who the protected page says came, or None when this is another page."""

    def start(self, idp_entity_id: str, idp_metadata: str) -> None:
        """Run, with this identity provider as the only one it knows."""

    def stop(self) -> None:
        """End every process of it."""


@dataclass(slots=True)
class Apache:
    """One Apache on loopback. Its page prints the environment, so that attributes are seen."""

    parent: Path
    name: str
    authority: Authority
    folder: Path = field(init=False)
    port: int = field(init=False)
    running: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay out the folder; nothing runs yet."""
        self.folder = new_folder(self.parent, self.name, ("run", "www", "www/protected", "log"))
        self.port = free_port()
        for place in ("www", "www/protected"):
            shutil.copy(FILES / "apache" / "index.shtml", self.folder / place)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"https://127.0.0.1:{self.port}"

    def start(self, template: str, module: str, **values: object) -> None:
        """Serve with this configuration. Raises `ProcessDiedError` with the logs."""
        package = f"libapache2-{module.removesuffix('.so').replace('_', '-')}"
        demand(_MODULES / module, package)
        configuration = render(
            template,
            self.folder / "httpd.conf",
            folder=self.folder,
            origin=self.origin,
            port=self.port,
            modules=_MODULES,
            user=_unprivileged(),
            tls=self.authority.server,
            **values,
        )
        server = Process(
            name=f"apache of {self.name}",
            argv=(program("/usr/sbin/apache2"), "-f", str(configuration), "-DFOREGROUND"),
            log=self.folder / "log" / "apache.log",
        )
        self.running.enter_context(server.start())
        server.wait_for_port(self.port)


def printed_environment(page: str) -> dict[str, str]:
    """The environment that the page printed; empty for any other page."""
    start, end = page.find("<pre>"), page.rfind("</pre>")
    if start < 0 or end < 0:
        return {}
    printed = html.unescape(page[start + len("<pre>") : end])
    return {match[1]: match[2] for match in _PRINTED.finditer(printed)}


def _unprivileged() -> str:
    """Who Apache's children are: Debian's own account when started by root."""
    return "www-data" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
