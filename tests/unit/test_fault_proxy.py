"""The faults that tests put between two parties do what they say."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGE = b"0123456789" * 20


@pytest.fixture
def way() -> Iterator[FaultProxy]:
    """In front of a server that says everything back."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while octets := connection.recv(4096):
                connection.sendall(octets)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with fault_proxy(listener.getsockname()[1], latency_s=0.3) as proxy:
        yield proxy
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def connected(way: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", way.port), timeout=1.0)


def said_back(connection: socket.socket, message: bytes = MESSAGE) -> bytes:
    """What comes back until the message is whole or the connection ends."""
    connection.sendall(message)
    found = b""
    while len(found) < len(message) and (more := connection.recv(4096)):
        found += more
    return found


def test_without_a_fault_everything_passes_and_again_after_one(way: FaultProxy) -> None:
    with connected(way) as connection:
        assert said_back(connection) == MESSAGE
    with way.suffering(Fault.DOWN), pytest.raises(ConnectionRefusedError):
        connected(way)
    with connected(way) as connection:
        assert said_back(connection) == MESSAGE
    assert (way.accepted, way.fault) == (2, Fault.NONE)


def test_down_ends_the_open_connections_too(way: FaultProxy) -> None:
    with connected(way) as connection:
        said_back(connection)
        way.suffer(Fault.DOWN)
        assert connection.recv(1) == b""


def test_frozen_accepts_and_never_answers(way: FaultProxy) -> None:
    with connected(way) as before:
        said_back(before)
        way.suffer(Fault.FROZEN)
        for connection in (before, connected(way)):
            with connection, pytest.raises(TimeoutError):
                said_back(connection)


@pytest.mark.parametrize("is_open", [True, False])
def test_reset_is_a_reset(way: FaultProxy, is_open: bool) -> None:
    if not is_open:
        way.suffer(Fault.RESET)
    with connected(way) as connection:
        if is_open:
            said_back(connection)
            way.suffer(Fault.RESET)
        with pytest.raises(ConnectionResetError):
            said_back(connection)


def test_cut_ends_in_the_middle_of_the_answer(way: FaultProxy) -> None:
    way.suffer(Fault.CUT)
    with connected(way) as connection:
        assert said_back(connection) == MESSAGE[: way.cut_after]
        assert connection.recv(1) == b""


def test_cut_counts_the_octets_of_the_whole_connection(way: FaultProxy) -> None:
    way.suffer(Fault.CUT)
    with connected(way) as connection:
        assert said_back(connection, MESSAGE[:60]) == MESSAGE[:60]
        assert said_back(connection) == MESSAGE[: way.cut_after - 60]


@pytest.mark.parametrize(("fault", "comes_back"), [(Fault.SLOW, MESSAGE), (Fault.SLOW_CLOSE, b"")])
def test_slow_takes_its_time(way: FaultProxy, fault: Fault, comes_back: bytes) -> None:
    way.suffer(fault)
    began = time.monotonic()
    with connected(way) as connection:
        assert said_back(connection) == comes_back
    assert time.monotonic() - began >= 0.3
