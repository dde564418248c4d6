"""A TCP proxy whose faults a test controls: between a client and a server on loopback.

Each `Fault` is in force for new connections and for those that are open already.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOOPBACK = "127.0.0.1"
_AT_ONCE = 65536
#: SO_LINGER on with no time: closing sends RST instead of FIN.
_RESET = struct.pack("ii", 1, 0)


class Fault(enum.Enum):
    """What is wrong with the way."""

    NONE = "none"
    #: Nobody listens: connections are refused, and those that are open are closed.
    DOWN = "down"
    #: Connections are accepted, and nothing passes in either direction: packets dropped.
    FROZEN = "frozen"
    #: Connections are reset (RST) as soon as they are used.
    RESET = "reset"
    #: The answer ends after `cut_after` octets of a connection, with an orderly close.
    CUT = "cut"
    #: Answers pass `latency_s` late.
    SLOW = "slow"
    #: Nothing passes, and the connection is closed after `latency_s`.
    SLOW_CLOSE = "slow_close"


@dataclass(slots=True)
class FaultProxy:
    """Listens on `port` and passes everything on to `target_port`, as far as the fault lets it.

    `cut_after` should lie behind a TLS handshake, if the answer itself is to be cut.
    """

    target_port: int
    port: int = field(default_factory=free_port)
    latency_s: float = 1.0
    cut_after: int = 64
    accepted: int = field(default=0, init=False)
    _fault: Fault = field(default=Fault.NONE, init=False)
    _loop: asyncio.AbstractEventLoop = field(
        default_factory=asyncio.new_event_loop, init=False, repr=False
    )
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False)
    _server: asyncio.Server | None = field(default=None, init=False, repr=False)
    _links: set[asyncio.Task[None]] = field(default_factory=set, init=False, repr=False)

    @property
    def fault(self) -> Fault:
        """What is wrong now."""
        return self._fault

    def suffer(self, fault: Fault) -> None:
        """From now on this is wrong; it is in force when the call returns."""
        asyncio.run_coroutine_threadsafe(self._suffer(fault), self._loop).result(timeout=10)

    def heal(self) -> None:
        """Nothing is wrong any more; connections that suffered are gone."""
        self.suffer(Fault.NONE)

    @contextmanager
    def suffering(self, fault: Fault) -> Iterator[None]:
        """This is wrong while the block runs."""
        self.suffer(fault)
        try:
            yield
        finally:
            self.heal()

    async def _suffer(self, fault: Fault) -> None:
        before, self._fault = self._fault, fault
        self._changed.set()
        self._changed = asyncio.Event()
        if fault is Fault.DOWN:
            await self._stop_listening()
        if fault is Fault.DOWN or (fault is Fault.NONE and before is not Fault.SLOW):
            await self._drop_all()
        if fault is not Fault.DOWN and self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, _LOOPBACK, self.port)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _drop_all(self) -> None:
        links = tuple(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = asyncio.current_task()
        assert link is not None
        self._links.add(link)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection(_LOOPBACK, self.target_port)
            await self._link(reader, writer, back, there)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
            for each in (writer, there):
                if each is not None:
                    each.close()

    async def _link(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        there: asyncio.StreamWriter,
    ) -> None:
        """Both directions, until either ends."""
        ways = {
            asyncio.create_task(self._pass_on(reader, there, is_answer=False)),
            asyncio.create_task(self._pass_on(back, writer, is_answer=True)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        if self._fault is Fault.RESET:
            found: socket.socket = writer.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        passed = 0
        while octets := await source.read(_AT_ONCE):
            allowed = await self._suffered(octets, passed, is_answer=is_answer)
            passed += len(allowed)
            if allowed:
                sink.write(allowed)
                await sink.drain()
            if allowed != octets:
                return

    async def _suffered(self, octets: bytes, passed: int, *, is_answer: bool) -> bytes:
        """What the fault leaves of `octets`, behind the `passed` ones; less than all of them ends
        the connection.
        """
        while self._fault is Fault.FROZEN:
            await self._changed.wait()
        if self._fault is Fault.RESET:
            return b""
        if self._fault is Fault.SLOW_CLOSE:
            await asyncio.sleep(self.latency_s)
            return b""
        if self._fault is Fault.SLOW and is_answer:
            await asyncio.sleep(self.latency_s)
        if self._fault is Fault.CUT and is_answer:
            return octets[: max(0, self.cut_after - passed)]
        return octets

    def _run(self, started: Callable[[], None]) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.call_soon(started)
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        await self._stop_listening()
        await self._drop_all()
        # Transports close in the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0)


@contextmanager
def fault_proxy(
    target_port: int, *, port: int | None = None, latency_s: float = 1.0, cut_after: int = 64
) -> Iterator[FaultProxy]:
    """A proxy in front of a port of 127.0.0.1, in a thread, while the block runs; at `port`, or at
    a free one.
    """
    proxy = FaultProxy(
        target_port,
        port=free_port() if port is None else port,
        latency_s=latency_s,
        cut_after=cut_after,
    )
    started = threading.Event()
    thread = threading.Thread(target=proxy._run, args=(started.set,), daemon=True)
    thread.start()
    assert started.wait(10), "the fault proxy did not start"
    try:
        yield proxy
    finally:
        with suppress(RuntimeError):
            proxy._loop.call_soon_threadsafe(proxy._loop.stop)
        thread.join(timeout=10)
