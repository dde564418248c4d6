"""A receiver of notifications on loopback: answers as told, remembers what came."""

from __future__ import annotations

import json
import socketserver
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


class _Mailbox(socketserver.StreamRequestHandler):
    mails: list[str]

    def handle(self) -> None:
        """As much of SMTP (RFC 5321) as a client needs that sends one mail."""
        self._say("220 ready")
        for line in self.rfile:
            command = line[:4].upper().strip()
            if command == b"DATA":
                self._say("354 go on")
                self.mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
            if command == b"QUIT":
                self._say("221 bye")
                return
            self._say("250 done")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def running_mail_server() -> Iterator[tuple[str, list[str]]]:
    """A mail server: its URL for Apprise, and the mails that came."""
    mails: list[str] = []
    handler = type("Mailbox", (_Mailbox,), {"mails": mails})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"127.0.0.1:{server.server_address[1]}"
        yield f"mailto://{address}?from=proxy@example.org&to=night@example.org", mails
        server.shutdown()
        thread.join()


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
