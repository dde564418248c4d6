"""The parent process: database, housekeeping, the watch, and the workers.

Each worker builds its own application from the same configuration file; none of them survives this
process, and a worker that dies is replaced.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import uvicorn

from idp_proxy import logs, lookout, measuring, upkeep
from idp_proxy.adapters import (
    open_kept_state,
    open_spool,
    open_standards,
    open_upstreams,
    utc_now,
)
from idp_proxy.audit import checkpoint
from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import AuditLog
from idp_proxy.config import CONFIG_VARIABLE
from idp_proxy.decision.drill import forgotten
from idp_proxy.decision.notices import Kind, Notice
from idp_proxy.decision.roster import overdue
from idp_proxy.decision.standby_logins import fo_13_forgotten_before
from idp_proxy.errors import ConfigError
from idp_proxy.factors.renewal import renew
from idp_proxy.joining import KEEP_EVERY_S, TRY_EVERY_S, join, keep_state
from idp_proxy.operators import proposals
from idp_proxy.reviewing.standing import change_of, stops_start
from idp_proxy.store import reviews
from idp_proxy.store.standby_logins import unsettled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from idp_proxy.config.settings import Checkpoints, Listen, Settings
    from idp_proxy.decision.notices import Fact
    from idp_proxy.decision.traffic import TrafficLimits
    from idp_proxy.joining import Joining
    from idp_proxy.store.base import Spool, Store
    from idp_proxy.store.local import LocalSpool
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.upstream.configured import ConfiguredUpstream
    from idp_proxy.upstream.metadata_feed import MetadataFeed

#: A canary that nobody configures any more is forgotten when it has not run for so long.
_RAN_OF_LATE: Final = timedelta(days=1)
#: No rehearsal counts for longer.
_EVIDENCE_KEPT: Final = timedelta(days=30)
_PROPOSALS_KEPT: Final = timedelta(days=90)
#: How long a worker may take to start, or to answer its parent.
_WORKER_ANSWERS_S: Final = 60
#: How long the telling of a double use may take before the next merge.
_TELLING_S: Final = 30.0
#: The matter of a policy that is not the one that was signed.
_CHANGED: Final = "review:policy:"
#: The matter of lists that a timer should have imported.
_LISTS: Final = "roster:lists"


def serve(settings: Settings) -> None:
    """Run the proxy until it is told to stop: database, housekeeping, watch, workers.

    Raises `ConfigError` when our own keys or listeners are not as they must be, or the address is
    taken, `StoreError` when the store cannot be brought up to date, or is away and this host has no
    state to start by.
    """
    logs.configure()
    upstreams = open_upstreams(settings)
    if stops := stops_start(settings, upstreams, utc_now()):
        raise ConfigError(stops)
    demand_address(settings.proxy.listen)
    joined = join(settings, upstreams)
    store = joined.store
    stop_upkeep = upkeep.start(
        [*_jobs(settings, store, upstreams), *_shared_jobs(settings, joined)]
    )
    stop_watch = lookout.start(settings, store, upstreams)
    stop_measuring = measuring.start(settings, store, upstreams)
    os.environ[CONFIG_VARIABLE] = str(settings.path)
    proxy = settings.proxy
    try:
        uvicorn.run(
            "idp_proxy.app:worker",
            factory=True,
            host=proxy.listen.host,
            port=proxy.listen.port,
            workers=proxy.workers,
            loop="uvloop",
            http="httptools",
            ssl_certfile=proxy.tls.certificate_file if proxy.tls else None,
            ssl_keyfile=proxy.tls.key_file if proxy.tls else None,
            proxy_headers=bool(proxy.trusted_proxies),
            forwarded_allow_ips=list(proxy.trusted_proxies),
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_keep_alive=20,
            timeout_graceful_shutdown=10,
            # A worker that is still importing answers nothing. With 5 s, the default, a machine
            # that is slow or busy ends each one before it is there, again and again.
            timeout_worker_healthcheck=_WORKER_ANSWERS_S,
        )
    finally:
        stop_measuring()
        stop_watch()
        stop_upkeep.set()
        store.close()


def demand_address(listen: Listen) -> None:
    """Raises `ConfigError` where nobody can listen at this address.

    Asked before anything else: a `serve` that is started beside another one would watch, and speak
    for this host, until its workers find that they have no address.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            # As the web server does: connections that ended a moment ago are no obstacle.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((listen.host, listen.port))
    except OSError as error:
        what = f"proxy.listen: nobody can listen at {listen.host}:{listen.port}: {error.strerror}"
        who = f"ss -ltnp 'sport = :{listen.port}'"
        raise ConfigError([f"{what}; who does already: {who}"]) from error


def _jobs(
    settings: Settings, store: SqlStore, upstreams: Mapping[str, ConfiguredUpstream]
) -> list[upkeep.Job]:
    jobs = [
        upkeep.Job("prune", 600, partial(_forget, store)),
        upkeep.Job(
            "prune traffic", 600, partial(_forget_traffic, store, settings.health.unanswered)
        ),
        upkeep.Job(
            "tidy", 21600, partial(_tidy, store, open_standards(settings, upstreams).canaries)
        ),
    ]
    kept = settings.failover.standby_logins_kept
    jobs.append(upkeep.Job("standby logins", 21600, partial(_forget_standby_logins, store, kept)))
    if len(settings.proxy.state_keys) > 1:
        jobs.append(upkeep.Job("factors", 86400, partial(_renew_factors, settings, store)))
        jobs.append(upkeep.Job("marks", 86400, partial(_renew_marks, settings, store)))
    if settings.roster.sources:
        jobs.append(upkeep.Job("lists", 3600, partial(_tell_of_lists, settings, store)))
    jobs.append(upkeep.Job("review", 300, partial(_tell_of_change, settings, upstreams, store)))
    jobs += [
        upkeep.Job(f"metadata {name}", 3600, partial(_refresh, upstream.feed))
        for name, upstream in upstreams.items()
        if upstream.feed is not None
    ]
    points, log = settings.audit.checkpoints, AuditLog(settings.proxy.host)
    if points is not None:
        jobs.append(upkeep.Job("checkpoint", 300, partial(_checkpoint, store, log, points)))
    if points is not None and settings.audit.retention is not None:
        keep = settings.audit.retention
        jobs.append(upkeep.Job("retention", 86400, partial(_prune, store, log, points, keep)))
    return jobs


def _shared_jobs(settings: Settings, joined: Joining) -> list[upkeep.Job]:
    """What a host does besides where the store is behind a network, and may go away."""
    store = joined.store
    spool = open_spool(settings, store)
    if spool is None:
        return []
    keep = partial(keep_state, store, open_kept_state(settings))
    return [
        upkeep.Job("join", TRY_EVERY_S, joined.again),
        upkeep.Job("keep state", KEEP_EVERY_S, keep),
        upkeep.Job("merge", 10, partial(_merge, spool, store, _Doubles(settings, store))),
        upkeep.Job("prune spool", 600, partial(_forget, spool)),
    ]


def _forget(store: Store | Spool) -> str | None:
    gone = store.prune(utc_now())
    return f"{gone} used ids forgotten" if gone else None


def _tidy(store: SqlStore, configured: frozenset[tuple[str, str]]) -> str | None:
    """Forget what nothing is decided by any more. Every host does it, and one is enough.

    A canary that another host ran within a day is that host's, whose configuration may be newer.
    """
    now = store.clock()
    running = {
        (one.upstream, one.name)
        for one in store.canaries()
        if (one.track.at is not None and now - one.track.at < _RAN_OF_LATE)
        or (one.lease_until is not None and one.lease_until > now)
    }
    canaries = store.forget_canaries(configured | running)
    evidence = store.prune_evidence(now - _EVIDENCE_KEPT)
    with store.writing() as connection:
        old = proposals.prune(connection, now - _PROPOSALS_KEPT)
    drills = _forget_drill(store, now)
    if not canaries + evidence + old + drills:
        return None
    return (
        f"{canaries} canaries, {evidence} proofs of rehearsal, {old} proposals, the people of "
        f"{drills} drills forgotten"
    )


def _forget_drill(store: SqlStore, now: datetime) -> int:
    """Who took part in a drill that is over is nobody's business any more."""
    drill, state = store.drill(), store.switch_state()
    left = None if drill is None or state is None else forgotten(drill, state, now)
    if drill is None or left is None:
        return 0
    with store.transaction() as tx:
        tx.swap_drill(drill.version, left)
    return 1


def _forget_standby_logins(store: SqlStore, kept: timedelta) -> str | None:
    """Who came through a standby so long ago that a session is over which nobody used since."""
    now = store.clock()
    before = fo_13_forgotten_before(now, kept)
    with store.reading() as connection:
        left = unsettled(connection)
    if left is None or left.since >= before:
        return None
    with store.transaction() as tx:
        gone = tx.forget_standby_logins_before(before)
        if not gone.logins:  # another host did
            return None
        facts: dict[str, str | int] = {"people": gone.people, "logins": gone.logins}
        facts["before"] = before.isoformat()
        tx.record(Event("standby_logins_forgotten", "idp-proxy", now, facts=facts))
    return f"{gone.logins} logins by standbys forgotten whose sessions nobody looked after"


def _forget_traffic(store: SqlStore, limits: TrafficLimits) -> str | None:
    """What no judgement of unanswered logins looks back to any more."""
    gone = store.prune_traffic(store.clock() - limits.baseline - 2 * limits.settled_after)
    return f"{gone} counts of logins forgotten" if gone else None


def _renew_factors(settings: Settings, store: SqlStore) -> str | None:
    """So that an old state key may be taken away a day after a new one came first."""
    renewed, lost = renew(store, settings.proxy.state_keys)
    if not renewed and not lost:
        return None
    return f"{renewed} second factors sealed by the first state key, {lost} that no key opens"


def _renew_marks(settings: Settings, store: SqlStore) -> str | None:
    """As with the factors: what people signed outlives the key that vouches for it."""
    with store.writing() as connection:
        renewed = reviews.renew(connection, settings.proxy.state_keys)
    return f"{renewed} signatures and waivers marked by the first state key" if renewed else None


def _tell_of_change(
    settings: Settings, upstreams: Mapping[str, ConfiguredUpstream], store: SqlStore
) -> str | None:
    """Somebody signed a policy, and another one runs here: people hear of it until it is signed.
    Each host speaks for itself: another one's files may be as they were signed.
    """
    host = settings.proxy.host
    why, matter = change_of(settings, upstreams, store, utc_now()), f"{_CHANGED}{host}"
    notifier = lookout.open_notifier(settings, store)
    if why is None:
        notifier.resolve(matter)
    else:
        facts: dict[str, Fact] = {"rule": "review", "what": f"on {host}: {why}"}
        notifier.raise_(Notice(Kind.FINDING, matter, facts, "idp-proxy review"))
    notifier.close(_TELLING_S)
    return why


def _tell_of_lists(settings: Settings, store: SqlStore) -> str | None:
    """A nightly import that does not come fails silently: people hear of it days before it means
    that somebody does not get in. Every host looks, and one of them tells.
    """
    completed = {run.source: run.completed_at for run in store.import_runs()}
    why = overdue({name: completed.get(name) for name in settings.roster.sources}, store.clock())
    notifier = lookout.open_notifier(settings, store)
    if why is None:
        notifier.resolve(_LISTS)
    else:
        facts: dict[str, Fact] = {"rule": "FO-08", "what": why}
        notifier.raise_(Notice(Kind.FINDING, _LISTS, facts, "idp-proxy roster check"))
    notifier.close(_TELLING_S)
    return why


def _refresh(feed: MetadataFeed) -> str | None:
    return feed.refresh(utc_now())


def _checkpoint(store: SqlStore, log: AuditLog, points: Checkpoints) -> None:
    with store.reading() as connection:
        log.write_checkpoint(connection, points.file, points.key, utc_now())


def _prune(store: SqlStore, log: AuditLog, points: Checkpoints, keep: timedelta) -> str | None:
    now = utc_now()
    signed = checkpoint.read_file(points.file, points.key.public_key()).checkpoints
    with store.writing(patient=True) as connection:
        gone = log.prune(connection, now - keep, signed, now)
    return f"{gone} audit rows removed" if gone else None


@dataclass(slots=True)
class _Doubles:
    """Tells people that a login was used twice while the store was away."""

    settings: Settings
    store: SqlStore
    _told: int = 0

    def tell(self, in_all: int) -> None:
        """So many ids counted twice since the start. What tells is opened for it: it hardly ever
        happens.
        """
        ids, self._told = in_all - self._told, in_all
        if not ids:
            return
        host = self.settings.proxy.host
        facts: dict[str, Fact] = {"host": host, "ids": ids}
        key = f"double_use:{host}:{utc_now().isoformat()}"
        notifier = lookout.open_notifier(self.settings, self.store)
        notifier.raise_(Notice(Kind.DOUBLE_USE, key, facts, "idp-proxy verify-audit"))
        notifier.close(_TELLING_S)


def _merge(spool: LocalSpool, store: SqlStore, doubles: _Doubles) -> str | None:
    try:
        moved = spool.merge(store)
    finally:
        doubles.tell(spool.double_uses)
    return f"{moved} audit rows merged" if moved else None
