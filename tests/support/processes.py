"""Child processes of tests: started on loopback, ended by their own process id, logs at hand."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_768)
_GIVEN: set[int] = set()

#: Every process that is running now: what a failed test shows the logs of.
RUNNING: list[Process] = []


class ProcessDiedError(Exception):
    """A child ended before it was ready. The message holds the end of its log."""


class NotReadyError(Exception):
    """A child runs, but what it should offer is not there yet."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody uses, and that this process gives out once.

    It lies below the ports that Linux gives to outgoing connections: one of these could otherwise
    take the port of a part that is started again later.
    """
    for port in (random.choice(_PORTS) for _ in range(10 * len(_PORTS))):
        if port not in _GIVEN and _is_free(port):
            _GIVEN.add(port)
            return port
    raise NotReadyError(f"no port of {LOOPBACK} is free from {_PORTS.start} to {_PORTS.stop - 1}")


def tail(log: Path, lines: int = 60) -> str:
    """The last lines of a log; empty when there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


@dataclass(slots=True)
class Process:
    """One foreground process in a group of its own.

    `log` takes both output streams; `more_logs` names files the program writes by itself.
    """

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    more_logs: Sequence[Path] = ()
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    def start(self) -> Self:
        """Start it. Raises `FileNotFoundError` when the program is not installed."""
        assert self._child is None, f"{self.name} runs already"
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                list(self.argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                cwd=self.cwd,
                start_new_session=True,
            )
        RUNNING.append(self)
        return self

    @property
    def pid(self) -> int:
        """The process id. Raises `ProcessDiedError` before the start."""
        return self._running().pid

    def wait_for_port(self, port: int, within_s: float = 15.0) -> Self:
        """Wait until 127.0.0.1:port accepts. Raises `ProcessDiedError` or `NotReadyError`."""
        for attempt in Retrying(
            stop=stop_after_delay(within_s),
            wait=wait_fixed(0.05),
            retry=retry_if_exception_type(NotReadyError),
            reraise=True,
        ):
            with attempt:
                self._try_port(port)
        return self

    def ends_within(self, seconds: float) -> int:
        """Wait for its own end and give the exit code. Raises `subprocess.TimeoutExpired`."""
        return self._running().wait(timeout=seconds)

    def terminate(self, within_s: float = 5.0) -> None:
        """TERM to the parent as an init system would; KILL to whatever is left of the group."""
        child = self._child
        if child is None:
            return
        self._signal_group(signal.SIGCONT)
        with suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=within_s)
        self._signal_group(signal.SIGKILL)
        child.wait()
        self._forget()

    def freeze(self) -> None:
        """STOP the whole group: its ports accept, and nothing ever answers."""
        self._signal_group(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen group go on."""
        self._signal_group(signal.SIGCONT)

    def logs(self) -> str:
        """The ends of all its logs, for a person who reads a failed test."""
        parts = [f"--- {log}\n{text}" for log in (self.log, *self.more_logs) if (text := tail(log))]
        return "\n".join([f"===== {self.name}", *parts])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise ProcessDiedError(f"{self.name} was not started")
        return self._child

    def _try_port(self, port: int) -> None:
        code = self._running().poll()
        if code is not None:
            raise ProcessDiedError(
                f"{self.name} ended with {code} before port {port} was open\n{self.logs()}"
            )
        try:
            socket.create_connection((LOOPBACK, port), timeout=1.0).close()
        except OSError as missing:
            raise NotReadyError(
                f"{self.name} does not listen on port {port}\n{self.logs()}"
            ) from missing

    def _signal_group(self, which: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._running().pid, which)

    def _forget(self) -> None:
        self._child = None
        if self in RUNNING:
            RUNNING.remove(self)
