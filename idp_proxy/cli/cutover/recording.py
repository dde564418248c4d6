"""A cutover on record, who, why, and how it ended; and that nobody stops it in the middle."""

from __future__ import annotations

import signal
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from idp_proxy.audit.chain import Event
from idp_proxy.cli.approving import ask
from idp_proxy.cli.session import clock, opened_store, tell
from idp_proxy.errors import CutoverRefused, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.cli.signing_in import Means
    from idp_proxy.config import Settings
    from idp_proxy.operators.consent import Wish
    from idp_proxy.store.sql import SqlStore


@contextmanager
def store_if_there(settings: Settings) -> Iterator[SqlStore | None]:
    """The store; None while it is away, for whoever goes on without it."""
    with ExitStack() as stack:
        try:
            store = stack.enter_context(opened_store(settings))
        except StoreError as error:
            tell(f"note: the store is away: {error.detail or error.public}")
            store = None
        yield store


def begin(settings: Settings, store: SqlStore, wish: Wish, means: Means) -> str:
    """Who does it, once it is on record. Raises as `ask`."""
    by = ask(settings, store, wish, means).actor
    facts = {"target": wish.target, "cause": wish.reason}
    with store.transaction() as tx:
        tx.record(Event("cutover_begun", by, clock(), facts=facts))
    return by


@contextmanager
def ended(store: SqlStore | None, wish: Wish, by: str) -> Iterator[None]:
    """Puts the end on record, as far as there is a store: what was done in Mattermost is done."""
    facts = {"target": wish.target, "cause": wish.reason}
    try:
        yield
    except CutoverRefused as error:
        _end(store, Event("cutover_failed", by, clock(), facts=facts | {"why": error.detail}))
        raise
    _end(store, Event("cutover_done", by, clock(), facts=facts))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Between the upload of a certificate and the settings that belong to it nothing may stop: a
    restart of Mattermost would take the one for the other. A lost terminal does not either.
    """
    tell("changing Mattermost now; this cannot be interrupted, and may take a few minutes")
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {one: signal.signal(one, signal.SIG_IGN) for one in signals}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _end(store: SqlStore | None, event: Event) -> None:
    if store is None:
        return
    try:
        with store.transaction() as tx:
            tx.record(event)
    except StoreError as error:
        tell(f"warning: {event.kind} stands in no audit, write it down: {error.detail}")
