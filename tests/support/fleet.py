"""Several hosts with `idp-proxy serve` on one PostgreSQL, each on its own way to it.

Between each host and the server stands a TCP proxy with faults, so that one of them can be cut off
while the others go on. In front of the hosts stands what a load balancer is to a browser.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import httpx

from idp_proxy.adapters import open_kept_state
from idp_proxy.audit.log import AuditLog
from idp_proxy.audit.log import rows as rows_of
from idp_proxy.config import load
from idp_proxy.errors import StoreError
from idp_proxy.store.sql import SqlStore
from tests.support import keys
from tests.support.browser import Browser, BrowserError
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.launch import Party, ProxyHost
from tests.support.people import ALICE
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from idp_proxy.audit.chain import Row
    from idp_proxy.decision.switching import SwitchState
    from idp_proxy.store.kept_state import KeptState
    from tests.support.people import Person
    from tests.support.postgresql import PostgreSQL

ACTIVE, STANDBY = "active", "standby"
HOSTS = ("sso1", "sso2", "sso3")
_PATIENCE_S = 60.0
#: Three hosts that start at once on a machine that others use too.
_START_S = 180.0
_FAST = """
[failover]
profile = "fast"
# A machine that is busy with other tests is no outage.
timeout_s = 5
connect_timeout_s = 5
"""


class NotSeen(Exception):
    """What should have become true did not. The message says what."""


def await_truth(what: str, is_true: Callable[[], bool], within_s: float = _PATIENCE_S) -> float:
    """Wait until it is true; how long it took, in seconds. Raises `NotSeen`."""
    began = time.monotonic()
    while time.monotonic() - began < within_s:
        if is_true():
            return time.monotonic() - began
        time.sleep(0.05)
    raise NotSeen(f"not within {within_s:.0f} s: {what}")


@dataclass(slots=True)
class Balancer(httpx.BaseTransport):
    """Sends what is for the public address to the hosts in turn, as a load balancer does; whoever
    refuses a connection is passed over. `only` names those that get anything.
    """

    public_port: int
    ports: dict[str, int]
    only: tuple[str, ...] = HOSTS
    _turn: Iterator[int] = field(default_factory=itertools.count, init=False)
    _network: httpx.HTTPTransport = field(
        default_factory=lambda: httpx.HTTPTransport(trust_env=False), init=False
    )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.BaseTransport`."""
        if request.url.port != self.public_port:
            return self._network.handle_request(request)
        first, error = next(self._turn), httpx.ConnectError("no host is left")
        for number in range(len(self.only)):
            name = self.only[(first + number) % len(self.only)]
            request.url = request.url.copy_with(port=self.ports[name])
            try:
                return self._network.handle_request(request)
            except httpx.ConnectError as refused:
                error = refused
        raise error

    def through(self, *names: str) -> Balancer:
        """The same for one browser, and for some of the hosts."""
        return Balancer(self.public_port, self.ports, names)

    def close(self) -> None:
        """See `httpx.BaseTransport`."""
        self._network.close()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login: how long it took in seconds, and what was wrong, empty if it was answered."""

    seconds: float
    problem: str


@dataclass(slots=True)
class Load:
    """Logins that go on while the block runs, by some people at once."""

    fleet: Fleet
    through: tuple[str, ...] = HOSTS
    people: int = 3
    attempts: list[Attempt] = field(default_factory=list, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self.people)
        for _ in range(self.people):
            self._threads.submit(self._go_on)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        assert self._threads is not None
        self._threads.shutdown()

    @property
    def answered(self) -> int:
        """How many ended in Mattermost."""
        return sum(not one.problem for one in self.attempts)

    @property
    def problems(self) -> dict[str, int]:
        """What went wrong, and how often."""
        found: dict[str, int] = {}
        for one in self.attempts:
            if one.problem:
                found[one.problem] = found.get(one.problem, 0) + 1
        return found

    def slowest(self, share: float = 1.0) -> float:
        """The slowest of that share of the logins, in seconds."""
        seconds = sorted(one.seconds for one in self.attempts)
        return seconds[max(0, int(len(seconds) * share) - 1)]

    def _go_on(self) -> None:
        while not self._stop.is_set():
            self.attempts.append(self.fleet.log_in(through=self.through))


@dataclass(slots=True)
class Fleet:
    """Everything that runs."""

    server: PostgreSQL
    database: str
    idps: dict[str, Party]
    mattermost: Party
    hosts: dict[str, ProxyHost]
    ways: dict[str, FaultProxy]
    balancer: Balancer
    store: SqlStore

    def log_in(self, person: Person = ALICE, through: tuple[str, ...] = HOSTS) -> Attempt:
        """One login from Mattermost to Mattermost, on a new device."""
        began = time.monotonic()
        try:
            with Browser(transport=self.balancer.through(*through), timeout_s=30) as browser:
                start = f"{self.mattermost.url}/login/sso/saml"
                page = browser.login(start, person.uid, person.password)
            problem = "" if page.title == f"Welcome {person.uid}" else f"{page.status} {page.title}"
        except (httpx.HTTPError, BrowserError) as error:
            problem = type(error).__name__
        return Attempt(time.monotonic() - began, problem)

    def load(self, *through: str, people: int = 3) -> Load:
        """Logins that go on, through some hosts or through all."""
        return Load(self, through or HOSTS, people)

    def state(self) -> SwitchState:
        """The switch state in the store."""
        found = self.store.switch_state()
        assert found is not None
        return found

    def ready(self, name: str) -> int:
        """What `/readyz` of a host answers."""
        url = f"{self.hosts[name].public_url}/readyz"
        return httpx.get(url, timeout=10, trust_env=False).status_code

    def asks(self, name: str) -> str:
        """Which upstream a login that begins at this host is sent to."""
        with Browser(transport=self.balancer.through(name)) as browser:
            with suppress(httpx.ConnectError):  # the upstream may be dead
                browser.continue_login(browser.get(f"{self.mattermost.url}/login/sso/saml"))
            asked = browser.history[-1]
        return next((upstream for upstream, idp in self.idps.items() if idp.url in asked), asked)

    def return_to_active(self) -> None:
        """The operator's return, once the active is seen well: on a busy machine one look that came
        late makes it suspect, and nobody returns to whom they suspect.
        """
        active = self.hosts[HOSTS[0]]
        await_truth("the active may serve", lambda: not self._why_not(active, ACTIVE))
        active.command("failback", "--reason", "a test")

    def _why_not(self, host: ProxyHost, name: str) -> list[str]:
        told = json.loads(host.command("status", "--json"))["upstreams"]
        return next(one["ineligible"] for one in told if one["name"] == name)

    def await_told(self) -> float:
        """Wait until every host would start by what the store says now, should it go away."""
        epoch = self.state().epoch
        kept = [open_kept_state(load(host.configuration)) for host in self.hosts.values()]
        return await_truth(
            "every host was told who serves", lambda: all(_epoch(one) == epoch for one in kept)
        )

    def rows(self, kind: str) -> list[Row]:
        """The audit rows of this kind."""
        with self.store.reading() as connection:
            return [row for row in rows_of(connection) if row.kind == kind]

    def recorded(self) -> int:
        """How many logins are on record: requests of Mattermost, each of which counts once."""
        return len({row.facts["request"] for row in self.rows("login")})

    def await_merged(self) -> float:
        """Wait until no host has anything left in its spool."""
        return await_truth("every spool is empty", lambda: not any(map(self.pending, HOSTS)))

    def pending(self, name: str) -> int:
        """How many audit rows a host has in its spool, as its command says."""
        spool = self.hosts[name].folder / "var" / "spool.db"
        return _pending(spool)


def _epoch(kept: KeptState) -> int | None:
    """The epoch that a host was told last."""
    try:
        return kept.told().state.epoch
    except StoreError:
        return None


def _pending(spool: Path) -> int:
    import sqlite3

    if not spool.exists():
        return 0
    with sqlite3.connect(f"file:{spool}?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT count(*) FROM spool_period").fetchone()
    connection.close()
    return int(found[0])


@contextmanager
def running_fleet(folder: Path, server: PostgreSQL) -> Iterator[Fleet]:
    """Start everything; end every process that was started, whatever happens in the block."""
    with ExitStack() as undo:
        database = server.new_database()
        hosts = {name: ProxyHost(folder / name) for name in HOSTS}
        first = hosts[HOSTS[0]]
        idps = {name: _idp(folder, name, first.public_url) for name in (ACTIVE, STANDBY)}
        for idp in idps.values():
            idp.start()
            undo.callback(idp.kill)
        metadata = {name: _metadata(folder, name, idp) for name, idp in idps.items()}
        mattermost = Party(
            "Mattermost",
            "tests.support.mattermost",
            (f"--idp-metadata={first.public_url}/saml/metadata",),
            folder / "mattermost.log",
        )
        first.init(metadata, mattermost.url)
        ways = {}
        for name, host in hosts.items():
            ways[name] = undo.enter_context(fault_proxy(server.port))
            _configure(host, first, name, server.url_of(database, ways[name].port))
        for host in hosts.values():
            undo.callback(host.stop)
        with ThreadPoolExecutor(len(hosts)) as at_once:
            list(at_once.map(lambda host: host.serve(within_s=_START_S), hosts.values()))
        mattermost.start()
        undo.callback(mattermost.kill)
        mattermost.wait()
        store = SqlStore(server.url_of(database), AuditLog("test"))
        undo.callback(store.close)
        ports = {name: host.port for name, host in hosts.items()}
        balancer = Balancer(first.port, ports)
        yield Fleet(server, database, idps, mattermost, hosts, ways, balancer, store)


def _idp(folder: Path, name: str, public_url: str) -> Party:
    key, certificate = keys.rsa_pair(f"fleet {name}").write(folder / name, "idp")
    return Party(
        f"identity provider ({name})",
        "tests.support.identity_provider",
        (
            f"--key={key}",
            f"--certificate={certificate}",
            f"--sp={public_url}/upstream/{name}/metadata",
        ),
        folder / f"{name}.log",
        port=free_port(),
    )


def _metadata(folder: Path, name: str, idp: Party) -> Path:
    idp.wait()
    answer = httpx.get(f"{idp.url}/metadata", timeout=5, trust_env=False).raise_for_status()
    saved = folder / f"{name}.xml"
    saved.write_bytes(answer.content)
    return saved


def _configure(host: ProxyHost, first: ProxyHost, name: str, url: str) -> None:
    """What the manual says about a further host: the first one's folder, with another name, another
    address to listen on, and the way to the store.
    """
    if host is not first:
        shutil.copytree(first.folder, host.folder)
    text = host.configuration.read_text()
    # Two workers where it matters that they share a spool.
    workers = 2 if name == HOSTS[-1] else 1
    text = re.sub(r"^workers = \d+$", f"workers = {workers}", text, flags=re.MULTILINE)
    if host is first:
        text = text.replace('url = "sqlite:///var/idp-proxy.db"', 'url = "file:keys/store.url"')
        text = text.replace("[store]", f'host = "{name}"\n\n[store]') + _FAST
    else:
        text = text.replace(
            f'listen = "127.0.0.1:{first.port}"', f'listen = "127.0.0.1:{host.port}"'
        )
        text = text.replace(f'host = "{HOSTS[0]}"', f'host = "{name}"')
    host.configuration.write_text(text)
    secret = host.folder / "keys" / "store.url"
    secret.touch(mode=0o600)
    secret.write_text(url)
