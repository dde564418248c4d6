"""The proxy itself, as an administrator runs it: a configuration file, `serve`, and the CLI."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from tests.e2e.peers.rendering import new_folder, render
from tests.support.keys import rsa_pair
from tests.support.people import EMPLOYEE_NUMBER, GIVEN_NAME, MAIL, SURNAME, UID
from tests.support.processes import Process, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from tests.e2e.peers.authority import Authority
    from tests.e2e.peers.service_provider import ServiceProvider
    from tests.e2e.peers.simplesamlphp import SimpleSamlPhp

PROGRAM = Path(sys.executable).with_name("idp-proxy")
#: Workers read the switch state at most a second late.
_WORKERS_KNOW_AFTER_S = 1.1
OID_SOURCES = {
    "id": EMPLOYEE_NUMBER,
    "email": MAIL,
    "username": UID,
    "first_name": GIVEN_NAME,
    "last_name": SURNAME,
}


@dataclass(frozen=True, slots=True)
class UpstreamChoice:
    """One `[[upstream]]` section."""

    name: str
    provider: SimpleSamlPhp
    attributes: Mapping[str, str] = field(default_factory=lambda: OID_SOURCES)
    by_url: bool = False
    require_signed: str = "both"
    decrypt: bool = False
    allow_aes_cbc: bool = False


@dataclass(slots=True)
class Proxy:
    """`idp-proxy serve` with one worker, on https://localhost.

    `more_settings` is TOML that stands behind everything else in the configuration.
    """

    parent: Path
    name: str
    authority: Authority
    party: ServiceProvider
    upstreams: Sequence[UpstreamChoice]
    encrypt: bool = False
    more_settings: str = ""
    folder: Path = field(init=False)
    process: Process = field(init=False)
    _port: int = field(init=False, repr=False)
    _serving: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Lay out keys and configuration; nothing runs yet. Metadata files are read now."""
        self.folder = new_folder(self.parent, self.name, ("keys", "var"))
        self._port = free_port()
        self._serving = self.upstreams[0].name
        self._write_keys()
        for upstream in self.upstreams:
            if not upstream.by_url:
                metadata = upstream.provider.saved_metadata
                (self.folder / f"{upstream.name}.xml").write_text(metadata)
        render(
            "proxy/idp-proxy.toml.j2",
            self.configuration,
            public_url=self.public_url,
            port=self._port,
            name=self.name,
            tls=self.authority.server,
            tls_ca=self.authority.bundle,
            party=self.party,
            encrypt=self.encrypt,
            upstreams=self.upstreams,
            more_settings=self.more_settings,
        )
        self.process = Process(
            name=f"idp-proxy {self.name}",
            argv=(str(PROGRAM), "serve"),
            log=self.folder / "serve.log",
            env={"IDP_PROXY_CONFIG": str(self.configuration)},
        )

    @property
    def public_url(self) -> str:
        """Another site than 127.0.0.1, where the other parties are."""
        return f"https://localhost:{self._port}"

    @property
    def entity_id(self) -> str:
        """What the service provider knows us as."""
        return f"{self.public_url}/saml/metadata"

    @property
    def configuration(self) -> Path:
        """The configuration file."""
        return self.folder / "idp-proxy.toml"

    def start(self) -> Self:
        """Serve. Raises `ProcessDiedError` with the log."""
        self.process.start().wait_for_port(self._port)
        return self

    def introduce(self) -> None:
        """Make us known to both sides, by the metadata that we serve."""
        for upstream in self.upstreams:
            metadata = self.get(f"/upstream/{upstream.name}/metadata").text
            upstream.provider.trust(self.name, metadata)
        self.party.start(self.entity_id, self.get("/saml/metadata").text)

    def get(self, path: str) -> httpx.Response:
        """Ask for a page of ours that needs no login."""
        answer = httpx.get(
            f"{self.public_url}{path}",
            verify=self.authority.client_context(),
            timeout=10,
            trust_env=False,
        )
        return answer.raise_for_status()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one `idp-proxy` command to its end."""
        return subprocess.run(
            [str(PROGRAM), *arguments],
            env={**os.environ, "IDP_PROXY_CONFIG": str(self.configuration)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        read: dict[str, Any] = json.loads(done.stdout)
        return read

    def serve_by(self, name: str) -> None:
        """Let this upstream serve; an operator's switch unless it does already."""
        if self._serving != name:
            self.operate("switch", "to", name, "--reason", f"end-to-end test of {name}")
            self._serving = name

    def operate(self, *arguments: str) -> None:
        """Run a command that changes who serves, and wait until every worker knows."""
        done = self.command(*arguments)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        time.sleep(_WORKERS_KNOW_AFTER_S)

    def stop(self) -> None:
        """TERM, as an init system would."""
        self.process.terminate()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _write_keys(self) -> None:
        keys = self.folder / "keys"
        rsa_pair(f"proxy {self.name}").write(keys, "idp")
        for upstream in self.upstreams:
            for purpose in ("sp", "decryption"):
                pair = rsa_pair(f"proxy {self.name} {upstream.name} {purpose}")
                pair.write(keys, f"{upstream.name}-{purpose}")
        state = keys / "state.key"
        state.touch(mode=0o600)
        state.write_bytes(secrets.token_bytes(32))
        (keys / "sp-signing.crt").write_bytes(self.party.signing.certificate_pem)
        (keys / "sp-encryption.crt").write_bytes(self.party.encryption.certificate_pem)
