"""Starting the parties: in a thread of the test, or as processes of their own."""

from __future__ import annotations

import asyncio
import shlex
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import uvicorn
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tests.support.processes import Process, ProcessDiedError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.types import ASGIApp

_LOOK_S = 0.005


class _PromptServer(uvicorn.Server):
    """One that ends when it is told: its parent looks ten times a second, and then waits a tenth of
    one, which hundreds of tests would wait for.
    """

    async def main_loop(self) -> None:
        await self.on_tick(0)
        while not self.should_exit:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(_LOOK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        for _ in range(int(1 / _LOOK_S)):
            await asyncio.sleep(_LOOK_S)
            if not (state.connections or state.tasks):
                return


@contextmanager
def in_thread(app: ASGIApp, listener: socket.socket | None = None) -> Iterator[str]:
    """Serve `app` over HTTP on 127.0.0.1 while the block runs; gives its address.

    `listener` is a bound socket, for who must know the address before the application exists.
    """
    bound = listener or reserve()
    server = _PromptServer(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    waiting = Retrying(
        stop=stop_after_delay(10), wait=wait_fixed(0.01), retry=retry_if_result(lambda up: not up)
    )
    waiting(lambda: server.started)
    try:
        yield address(bound)
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        bound.close()


def reserve() -> socket.socket:
    """A socket bound to a free port of 127.0.0.1."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    return bound


def address(bound: socket.socket) -> str:
    """The http URL of a bound socket."""
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


PROGRAM = Path(sys.executable).with_name("idp-proxy")


class CommandFailed(Exception):
    """A command of the proxy ended with another exit code than it must. The message holds what it
    said.
    """


@dataclass(slots=True)
class ProxyHost:
    """A host with `idp-proxy` on loopback, used as an administrator uses it: by its commands.

    `folder` is where `init` writes; it must not exist yet.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    _process: Process | None = field(default=None, init=False, repr=False)

    @property
    def public_url(self) -> str:
        """Where browsers reach it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def configuration(self) -> Path:
        """The configuration file that `init` wrote."""
        return self.folder / "idp-proxy.toml"

    @property
    def pid(self) -> int:
        """The process id of `serve`. Raises `ProcessDiedError` while it does not run."""
        if self._process is None:
            raise ProcessDiedError("idp-proxy serve was not started")
        return self._process.pid

    def init(
        self, upstreams: Mapping[str, Path], mattermost_url: str, *, key_bits: int = 2048
    ) -> None:
        """Make keys and a configuration for these upstreams, the active first."""
        options = [f"--upstream={name}={metadata}" for name, metadata in upstreams.items()]
        self._run(
            "init",
            str(self.folder),
            f"--public-url={self.public_url}",
            f"--mattermost-url={mattermost_url}",
            f"--support-url={mattermost_url}",
            f"--key-bits={key_bits}",
            *options,
        )

    def configure(self, more_settings: str) -> None:
        """Put more TOML behind what `init` wrote; it counts from the next start of `serve`."""
        with self.configuration.open("a") as file:
            file.write(more_settings)

    @property
    def log(self) -> Path:
        """What `serve` logs: one JSON object a line."""
        return self.folder / "serve.log"

    def start(self, within_s: float = 60) -> None:
        """Start `idp-proxy serve`, and wait until it listens."""
        self._process = Process(
            name="idp-proxy",
            argv=(str(PROGRAM), "serve", "--config", str(self.configuration)),
            log=self.log,
        ).start()
        self._process.wait_for_port(self.port, within_s=within_s)

    def serve(self, within_s: float = 60) -> None:
        """Start `idp-proxy serve` and wait until it is ready."""
        self.start(within_s)
        waiting = Retrying(
            stop=stop_after_delay(10), wait=wait_fixed(0.05), retry=retry_if_result(_is_not_ready)
        )
        waiting(lambda: httpx.get(f"{self.public_url}/readyz", timeout=5.0, trust_env=False))

    def stop(self) -> None:
        """End `serve`, if it runs."""
        if self._process is not None:
            self._process.terminate()

    def command(self, *arguments: str, leaves_open: bool = False) -> str:
        """What one command prints; `leaves_open` where it must end with exit code 3, with work
        that waits for a person. Raises `CommandFailed`.
        """
        expected = 3 if leaves_open else 0
        return self._run(*arguments, "--config", str(self.configuration), expected=expected)

    def _run(self, *arguments: str, expected: int = 0) -> str:
        done = subprocess.run(
            [str(PROGRAM), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != expected:
            raise CommandFailed(
                f"idp-proxy {shlex.join(arguments)}: exit code {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done.stdout


def _is_not_ready(answer: httpx.Response) -> bool:
    return answer.status_code != httpx.codes.OK


@dataclass(slots=True)
class Party:
    """Another party as a process: `python -m MODULE --port ... OPTIONS`. It can come back."""

    name: str
    module: str
    options: tuple[str, ...]
    log: Path
    port: int = field(default_factory=free_port)
    _process: Process | None = field(default=None, init=False, repr=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again; `wait` tells when it listens."""
        self._process = Process(
            name=self.name,
            argv=(sys.executable, "-m", self.module, f"--port={self.port}", *self.options),
            log=self.log,
            cwd=Path(__file__).parents[2],
        ).start()

    def wait(self) -> None:
        """Wait until it listens."""
        if self._process is not None:
            self._process.wait_for_port(self.port, within_s=60)

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process is not None:
            self._process.terminate(within_s=0.0)
            self._process = None
