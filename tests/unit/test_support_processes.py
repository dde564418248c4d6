"""The child processes of tests: what the end-to-end tests and the demo rely on."""

from __future__ import annotations

import socket
import sys
from functools import partial
from pathlib import Path

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tests.support.processes import (
    LOOPBACK,
    RUNNING,
    NotReadyError,
    Process,
    ProcessDiedError,
    free_port,
)

soon = partial(Retrying, stop=stop_after_delay(5), wait=wait_fixed(0.02))

_SERVER = """
import http.server, sys
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.BaseHTTPRequestHandler
    ).serve_forever()
"""
_STUBBORN_PARENT = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def python(tmp_path: Path, program: str, *arguments: str) -> Process:
    return Process("part", (sys.executable, "-c", program, *arguments), tmp_path / "part.log")


def test_a_port_is_given_once_and_never_one_of_outgoing_connections() -> None:
    given = [free_port() for _ in range(200)]
    lowest, _highest = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()

    assert len(set(given)) == len(given)
    assert max(given) < int(lowest)
    for port in given[:5]:
        with socket.socket() as listener:
            listener.bind((LOOPBACK, port))


def test_a_part_is_ready_when_its_port_accepts(tmp_path: Path) -> None:
    port = free_port()
    with python(tmp_path, _SERVER, str(port)) as part:
        part.start().wait_for_port(port)
        assert part in RUNNING
        socket.create_connection((LOOPBACK, port), timeout=2).close()
    assert part not in RUNNING
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port), timeout=2)


def test_a_part_that_dies_early_shows_its_last_words(tmp_path: Path) -> None:
    with python(tmp_path, "raise SystemExit('no such certificate')") as part:
        part.start()
        with pytest.raises(ProcessDiedError, match="no such certificate"):
            part.wait_for_port(free_port())


def test_a_part_that_never_listens_is_given_up(tmp_path: Path) -> None:
    with python(tmp_path, "import time; time.sleep(60)") as part:
        part.start()
        with pytest.raises(NotReadyError, match="does not listen"):
            part.wait_for_port(free_port(), within_s=0.2)


def test_a_frozen_part_accepts_and_is_silent_until_thawed(tmp_path: Path) -> None:
    port = free_port()
    with python(tmp_path, _SERVER, str(port)) as part:
        part.start().wait_for_port(port)
        part.freeze()
        with socket.create_connection((LOOPBACK, port), timeout=0.3) as caller:
            caller.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(TimeoutError):
                caller.recv(1)
            part.thaw()
            caller.settimeout(5)
            assert caller.recv(4) == b"HTTP"
        part.freeze()  # and a frozen one still ends when the block does


def test_the_end_of_a_part_is_the_end_of_its_children(tmp_path: Path) -> None:
    with python(tmp_path, _STUBBORN_PARENT) as part:
        part.start()
        child = int(first_line(part))
        assert is_running(child)
        part.terminate(within_s=0.2)
    soon(retry=retry_if_result(bool))(is_running, child)


def test_a_part_can_be_started_again(tmp_path: Path) -> None:
    port = free_port()
    with python(tmp_path, _SERVER, str(port)) as part:
        first = part.start().wait_for_port(port).pid
        part.terminate()
        assert part.start().wait_for_port(port).pid != first
    part.terminate()  # once more does no harm


def first_line(part: Process) -> str:
    """What the part printed first."""
    soon(retry=retry_if_result(lambda text: "\n" not in text))(part.log.read_text)
    return part.log.read_text().splitlines()[0]


def is_running(pid: int) -> bool:
    """Whether this process lives; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}
