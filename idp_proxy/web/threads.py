"""The threads that journeys run in, beside the event loop, and replaced now and then.

libxml2 keeps every element and attribute name it ever met for the life of a thread, so that a
stranger's messages could grow a worker without end; a thread that ends gives them back (XML-02).
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable


T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Journeys of one worker at a time. libxml2 and the database let go of the interpreter's lock for
#: moments: with a second thread, each becomes a switch to it and back (4 % of a login's CPU), and
#: workers wait for each other at SQLite's one write lock anyway.
THREADS: Final = 1
#: The same where the store is behind a network, which may be slow to answer or to refuse.
THREADS_REMOTE: Final = 8
#: Journeys after which all threads are replaced: hostile ones may leave 17 KiB each.
REPLACED_AFTER: Final = 2000


class JourneyThreads:
    """Runs journeys for the event loop of one worker."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="journey")
        self._left = REPLACED_AFTER

    async def run(self, journey: Callable[[*Ts], T], *args: *Ts) -> T:
        """What `journey` returns or raises, from a thread of its own."""
        self._left -= 1
        if self._left < 0:
            # The old threads end when what they were given is done.
            self._pool.shutdown(wait=False)
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="journey")
            self._left = REPLACED_AFTER
        return await asyncio.get_running_loop().run_in_executor(self._pool, journey, *args)
