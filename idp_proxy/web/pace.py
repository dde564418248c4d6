"""How long the answer to a password takes: a multiple of half a second, however far it came.

So neither a name that is not there, nor a wrong password, nor an account that is locked is told by
the time (LDAP-04). A directory that takes longer is padded to the next multiple.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
#: Every answer takes a multiple of this.
PADDED_TO_S: Final = 0.5


def still_to_wait(taken_s: float) -> float:
    """The seconds up to the next multiple, of which there is at least one."""
    return max(1, math.ceil(taken_s / PADDED_TO_S)) * PADDED_TO_S - taken_s


async def pause(seconds: float) -> None:
    """Let other requests go on meanwhile."""
    await asyncio.sleep(seconds)


async def padded(answer: Awaitable[T], monotonic: Callable[[], float]) -> T:
    """The answer, or its error, at the next multiple."""
    began = monotonic()
    try:
        return await answer
    finally:
        await pause(still_to_wait(monotonic() - began))
