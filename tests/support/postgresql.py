"""A real PostgreSQL server for tests: of Debian's package, on loopback, gone afterwards.

It refuses to run as root, so that root starts it as the user `postgres`. Passwords are asked for on
every connection (SCRAM), as a careful installation does. It can be stopped, killed, frozen and
started again on the same port.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, make_url, text
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE_S = 60.0
_POLL_S = 0.05
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    # What a kill of the machine would lose plays no part here; what a kill of a process does.
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "16MB",
}


class NoServer(Exception):
    """PostgreSQL is not installed, or did not start; says why."""


@dataclass(slots=True)
class PostgreSQL:
    """One server with its data in `folder`."""

    folder: Path
    port: int
    password: str = field(repr=False)
    _binaries: Path = field(repr=False)
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of its first database (`postgresql+psycopg://...`)."""
        return self.url_of("postgres")

    def url_of(self, database: str, port: int | None = None) -> str:
        """The URL of a database; `port` is that of a proxy on the way, if there is one."""
        port = self.port if port is None else port
        return f"postgresql+psycopg://tester:{self.password}@127.0.0.1:{port}/{database}"

    def new_database(self) -> str:
        """Make an empty database; gives its name."""
        name = f"t_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, and end whoever is connected to it."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Do this as the administrator does, outside of a transaction."""
        engine = create_engine(make_url(self.url_of(database)), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises `NoServer`."""
        program = [str(self._binaries / "postgres"), "-D", str(self.folder / "data")]
        options = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        log = self.folder / "log"
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                [*_as_postgres(), *program, "-p", str(self.port), *options],
                stdout=output,
                stderr=output,
                cwd=self.folder,
            )
        if not _waiting(self._is_up):
            raise NoServer(f"PostgreSQL did not start: {log.read_text()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT is its fast shutdown, which waits for no client; SIGQUIT a crash."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(how)
            server.wait(_PATIENCE_S)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it and start it again, on the same port."""
        self.stop(how)
        self.start()

    def freeze(self) -> None:
        """STOP it with all its processes: it accepts connections, and nothing ever answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, which: signal.Signals) -> None:
        server = self._server
        if server is None:
            raise NoServer("PostgreSQL was not started")
        # Each of its processes leads a group of its own. The parent first: it starts no more then.
        os.kill(server.pid, which)
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text()
        for child in children.split():
            with suppress(ProcessLookupError):
                os.kill(int(child), which)

    def _is_up(self) -> bool | None:
        """Whether it takes connections; None when it ended instead."""
        if self._server is None or self._server.poll() is not None:
            return None
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """A server with one empty database, while the block runs."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        server = PostgreSQL(folder, free_port(), secrets.token_hex(16), binaries)
        _make_data(server, binaries)
        server.start()
        try:
            yield server
        finally:
            with suppress(NoServer):
                server.thaw()
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_data(server: PostgreSQL, binaries: Path) -> None:
    password = server.folder / "password"
    password.write_text(server.password)
    if os.geteuid() == 0:
        for path in (server.folder, password):
            shutil.chown(path, "postgres", "postgres")
    command = [
        *_as_postgres(),
        str(binaries / "initdb"),
        *("-D", str(server.folder / "data"), "-U", "tester", "--auth=scram-sha-256"),
        *(f"--pwfile={password}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoServer(f"initdb: {done.stderr}")


def _waiting(is_up: Callable[[], bool | None]) -> bool:
    waiting = Retrying(
        stop=stop_after_delay(_PATIENCE_S),
        wait=wait_fixed(_POLL_S),
        retry=retry_if_result(lambda up: up is False),
        retry_error_callback=lambda _: False,
    )
    return bool(waiting(is_up))


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if not found:
        raise NoServer("no PostgreSQL server here: bash tests/e2e/install.sh, as root")
    return found[-1].parent


def _version(initdb: Path) -> int:
    name = initdb.parent.parent.name
    return int(name) if name.isdigit() else 0


def _as_postgres() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
