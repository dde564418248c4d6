"""What stops a command: a signal, a second one, a terminal that goes away. Nobody is lost by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from conversion.cli.session import StopAtOnce, stop_on_signals
from tests.support.mattermost_api import Fault, Kind, MattermostServer
from tests.unit.conversion_night import Night, night, planned

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["night"]


def test_a_signal_stops_between_people_and_a_second_one_at_once() -> None:
    with stop_on_signals() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        with pytest.raises(StopAtOnce):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


AT_A_TERMINAL = """
import fcntl, signal, sys, termios, time
from pathlib import Path
signal.signal(signal.SIGHUP, signal.Handlers[sys.argv[2]])
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from conversion.cli.session import stop_on_signals, tell
with stop_on_signals() as stop:
    tell("under way")
    while not stop():
        time.sleep(0.01)
    for _ in range(3):
        tell("the last people")
        print("an answer", flush=True)
Path(sys.argv[1]).write_text("ended between people")
"""


@contextmanager
def at_a_terminal(said: Path, hangup: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and our end of its terminal. It ends with the test, whatever that finds."""
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, str(said), hangup],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown = b""
        while b"under way" not in shown:
            shown += os.read(ours, 1000)
        yield child, ours
    finally:
        child.kill()
        child.wait(10)


def test_a_terminal_that_goes_away_stops_between_people(tmp_path: Path) -> None:
    """As when an ssh connection breaks."""
    with at_a_terminal(tmp_path / "said", "SIG_DFL") as (child, ours):
        os.close(ours)
        assert child.wait(10) == 0
    assert (tmp_path / "said").read_text() == "ended between people"


def test_who_begins_with_nohup_wants_it_to_go_on(tmp_path: Path) -> None:
    with at_a_terminal(tmp_path / "said", "SIG_IGN") as (child, ours):
        os.close(ours)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
    assert not (tmp_path / "said").exists()


def interrupt_at_first_password(server: MattermostServer, times: int, sent: list[int]) -> None:
    """Ctrl-C while the conversion is under way, and surely neither before nor after."""
    waiting = Retrying(
        retry=retry_if_result(lambda calls: not calls),
        wait=wait_fixed(0.01),
        stop=stop_after_delay(20),
    )
    waiting(lambda: server.calls["PUT password"])
    for _ in range(times):
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            return
        os.kill(os.getpid(), signal.SIGINT)
        sent.append(signal.SIGINT)
        time.sleep(0.1)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_during_a_conversion_loses_nobody(night: Night, times: int) -> None:
    night.run("prepare")
    digest = planned(night, "--everybody")
    night.server.trouble.faults.append(Fault(Kind.HANG, "PUT", "/password$", spare=2, times=1))
    night.server.trouble.hang_s = 1.0
    sent: list[int] = []
    hurry = threading.Thread(target=interrupt_at_first_password, args=(night.server, times, sent))
    hurry.start()
    code = night.run("convert", "--plan", digest, "--yes")
    hurry.join()
    # A busy machine may be done with everybody before the second one.
    assert code in {1: {0, 3}, 2: {1}}[len(sent)]
    assert "SIGINT: stopping" in night.err
    night.server.trouble.faults.clear()
    assert night.run("convert", "--plan", digest, "--yes") == 0, night.out + night.err
    assert night.on_saml() == 1
