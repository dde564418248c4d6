"""SimpleSAMLphp from Debian as an identity provider: PHP's own server, nginx as TLS before it."""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from tests.e2e.peers.rendering import FILES, demand, new_folder, program, render
from tests.support.keys import rsa_pair
from tests.support.people import SHORT_ATTRIBUTES
from tests.support.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from tests.e2e.peers.authority import Authority, TlsFiles
    from tests.support.people import Person

_WEB_ROOT = Path("/usr/share/simplesamlphp/www")


@dataclass(frozen=True, slots=True)
class Style:
    """How this provider answers; the defaults are the package's own."""

    sign_response: bool = True
    sign_assertion: bool = True
    encrypt: bool = False
    demand_signed_requests: bool = False
    oid_names: bool = True


@dataclass(slots=True)
class SimpleSamlPhp:
    """One provider with a configuration folder of its own, over https.

    `people` maps the name typed in the login form to the person it logs in; `saved_metadata` is
    what it served at its last start. With `reached_by`, something stands before it at this port,
    which is what its addresses name, and passes on to `port`.
    """

    parent: Path
    name: str
    authority: Authority
    people: Mapping[str, Person]
    style: Style = field(default_factory=Style)
    reached_by: int | None = None
    folder: Path = field(init=False)
    base_url: str = field(init=False)
    saved_metadata: str = field(default="", init=False, repr=False)
    _php: Process = field(init=False, repr=False)
    _front: Process = field(init=False, repr=False)
    _ports: tuple[int, int] = field(init=False, repr=False)
    _running: ExitStack = field(default_factory=ExitStack, init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay out the folder; nothing runs yet."""
        inner = ("cert", "metadata", "log", "data", "tmp", "sessions", "sp", "nginx")
        self.folder = new_folder(self.parent, self.name, inner)
        self._ports = (free_port(), free_port())
        self.base_url = f"https://127.0.0.1:{self.reached_by or self.port}/"
        rsa_pair(f"simplesamlphp {self.name}").write(self.folder / "cert", "idp")
        for file, place in (
            ("config.php", "."),
            ("authsources.php", "."),
            ("saml20-idp-hosted.php", "metadata"),
        ):
            shutil.copy(FILES / "simplesamlphp" / file, self.folder / place)
        (self.folder / "rig.json").write_text(json.dumps(self._rig()))
        self._php = self._application()
        self._front = self._tls_front(self.authority.server)

    @property
    def port(self) -> int:
        """Where its TLS front listens."""
        return self._ports[1]

    @property
    def entity_id(self) -> str:
        """The entity ID; SimpleSAMLphp serves its metadata there."""
        return f"{self.base_url}saml2/idp/metadata.php"

    def start(self) -> Self:
        """Start, or start again after an end. Raises `ProcessDiedError` with the logs."""
        for process, port in zip((self._php, self._front), self._ports, strict=True):
            self._running.enter_context(process.start())
            process.wait_for_port(port)
        self.saved_metadata = self._fetch_metadata()
        return self

    def stop(self) -> None:
        """TERM, as an administrator would."""
        self._running.close()

    def freeze(self) -> None:
        """STOP: its ports accept, and nothing ever answers."""
        for process in (self._front, self._php):
            process.freeze()

    def show(self, tls: TlsFiles | None = None, *, page: str = "") -> None:
        """From now on its front has this certificate, its own unless told; with `page` it answers
        everything by this text, and nothing of SimpleSAMLphp is to be seen.
        """
        self._front.terminate()
        self._front = self._tls_front(tls or self.authority.server, page)
        self._running.enter_context(self._front.start())
        self._front.wait_for_port(self.port)

    def restore(self) -> None:
        """As it was, whatever has become of it."""
        self.stop()
        self._front = self._tls_front(self.authority.server)
        self.start()

    def trust(self, name: str, sp_metadata: str) -> None:
        """Register a service provider; it counts from the next request."""
        (self.folder / "sp" / f"{name}.xml").write_text(sp_metadata)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _fetch_metadata(self) -> str:
        context = self.authority.client_context()
        answer = httpx.get(self.entity_id, verify=context, timeout=10, trust_env=False)
        return answer.raise_for_status().text

    def _rig(self) -> dict[str, object]:
        return {
            "name": self.name,
            "base_url": self.base_url,
            "entity_id": self.entity_id,
            "salt": secrets.token_hex(16),
            "people": {
                f"{typed}:{person.password}": {
                    name: [value] for name, value in person.attributes(SHORT_ATTRIBUTES).items()
                }
                for typed, person in self.people.items()
            },
            "sign_response": self.style.sign_response,
            "sign_assertion": self.style.sign_assertion,
            "encrypt": self.style.encrypt,
            "demand_signed_requests": self.style.demand_signed_requests,
            "oid_names": self.style.oid_names,
        }

    def _application(self) -> Process:
        demand(_WEB_ROOT, "simplesamlphp")
        return Process(
            name=f"simplesamlphp {self.name}",
            argv=(
                program("/usr/bin/php8.2", "/usr/bin/php"),
                *("-d", "error_reporting=E_ALL & ~E_DEPRECATED", "-d", "display_errors=0"),
                *("-S", f"127.0.0.1:{self._ports[0]}", "-t", str(_WEB_ROOT)),
            ),
            log=self.folder / "log" / "php.log",
            env={"SIMPLESAMLPHP_CONFIG_DIR": str(self.folder)},
            more_logs=(self.folder / "log" / "simplesamlphp.log",),
        )

    def _tls_front(self, tls: TlsFiles, page: str = "") -> Process:
        configuration = render(
            "nginx/tls.conf.j2",
            self.folder / "nginx" / "nginx.conf",
            folder=self.folder / "nginx",
            port=self.port,
            behind=self._ports[0],
            tls=tls,
            page=page,
        )
        return Process(
            name=f"nginx before {self.name}",
            argv=(program("/usr/sbin/nginx"), "-e", "stderr", "-c", str(configuration)),
            log=self.folder / "log" / "nginx.log",
        )
