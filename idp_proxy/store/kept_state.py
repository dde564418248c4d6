"""The last switch state that this host was told, on its own disk: what it starts by while the
shared store is away.

Sealed under the state keys, for this host and this store: nobody without the keys can write one,
and that of another host, or of a store from before, does not open. Replaced as a whole (written
beside it, synced, renamed), for the proxy's user alone.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.engine import make_url

from idp_proxy import whole_file
from idp_proxy.decision.absence import Told, why_not_kept
from idp_proxy.errors import StoreError
from idp_proxy.store.records import state_from, state_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from pathlib import Path

    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.seal import KeyRing

PURPOSE: Final = "switch-state"
_TIMES: Final = ("since", "hold_until", "held_since")


class KeptState:
    """The file at `path`. `ring` is for `PURPOSE`, `context` says whose state it is."""

    def __init__(
        self, path: Path, ring: KeyRing, context: str, now: Callable[[], datetime]
    ) -> None:
        self._path = path
        self._ring = ring
        self._context = context
        self._now = now
        self._written: tuple[SwitchState, datetime] | None = None

    def keep(self, state: SwitchState, again_after: timedelta) -> None:
        """Remember what the store says now. The same state is written again after a while only, to
        be dated anew. Raises `StoreError` when the disk does not take it.
        """
        now = self._now()
        if self._written is not None:
            known, at = self._written
            if known == state and abs(now - at) < again_after:
                return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            whole_file.replace(self._path, self._ring.seal(self._context, _text(state, now)))
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error
        self._written = state, now

    def told(self) -> Told:
        """What the store told this host last. Raises `StoreError`, with the reason why nobody may
        go by it.
        """
        try:
            sealed = self._path.read_bytes()
        except FileNotFoundError:
            raise StoreError(f"{self._path}: this host was never told who serves") from None
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error
        content = self._ring.open(self._context, sealed)
        if content is None:
            raise StoreError(
                f"{self._path}: not of this host, this store and these state keys, or altered"
            )
        state, told_at = _read(content)
        why_not = why_not_kept(told_at, self._now())
        if why_not is not None:
            raise StoreError(f"{self._path}: nobody knows who serves now: {why_not}")
        return Told(state, told_at)


def context_of(host: str, url: str) -> str:
    """Whose state it is: of this host, in this database of these servers."""
    parsed = make_url(url)
    place = [parsed.host, parsed.port, parsed.database, parsed.query.get("host")]
    return json.dumps([host, place])


def _text(state: SwitchState, told_at: datetime) -> bytes:
    record = state_record(state)
    times = {name: None if record[name] is None else record[name].isoformat() for name in _TIMES}
    return json.dumps({**record, **times, "told_at": told_at.isoformat()}).encode()


def _read(content: bytes) -> tuple[SwitchState, datetime]:
    record: dict[str, Any] = json.loads(content)
    told_at = datetime.fromisoformat(record.pop("told_at"))
    for name in _TIMES:
        kept = record.get(name)  # an older version kept fewer
        record[name] = None if kept is None else datetime.fromisoformat(kept)
    return state_from(record), told_at
