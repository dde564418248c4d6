"""A receiver of notifications on loopback: answers as told, remembers what came."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A token as a webhook of Mattermost's has it; it must appear nowhere but in requests.
TOKEN = "k3yt0k3nk3yt0k3nk3yt0k3n12"


@dataclass
class Pager:
    """`status` is what it answers; while `hangs` is set it answers nothing."""

    port: int
    messages: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    status: int = 200
    hangs: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def json_url(self) -> str:
        """Its address for Apprise, as a service that takes JSON."""
        return f"json://127.0.0.1:{self.port}/{TOKEN}"

    @property
    def mattermost_url(self) -> str:
        """Its address for Apprise, as an incoming webhook of Mattermost's."""
        return f"mmost://127.0.0.1:{self.port}/{TOKEN}"

    @property
    def subjects(self) -> list[str]:
        """The subjects that came, in order."""
        return [str(message["title"]) for message in self.messages]

    @property
    def bodies(self) -> list[str]:
        """The texts that came, in order."""
        return [str(message["message"]) for message in self.messages]


class _Handler(BaseHTTPRequestHandler):
    pager: Pager

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.pager.hangs.is_set():
            self.pager.released.wait(30)
            return
        self.pager.paths.append(self.path)
        if self.pager.status < 300:
            self.pager.messages.append(json.loads(content))
        self.send_response(self.pager.status)
        self.send_header("Location", f"http://127.0.0.1:{self.pager.port}/elsewhere")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def running_pager() -> Iterator[Pager]:
    """A pager that listens until the test is over."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    pager = Pager(server.server_port)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"pager": pager})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield pager
    finally:
        pager.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
