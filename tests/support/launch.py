"""Starting the parties: in a thread of the test, or as processes of their own."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp


@contextmanager
def in_thread(app: ASGIApp, listener: socket.socket | None = None) -> Iterator[str]:
    """Serve `app` over HTTP on 127.0.0.1 while the block runs; gives its address.

    `listener` is a bound socket, for who must know the address before the application exists.
    """
    bound = listener or reserve()
    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
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
