"""A real PostgreSQL server for tests: of Debian's package, on loopback, gone afterwards.

It refuses to run as root, so that root starts it as the user `postgres`. Passwords are asked for on
every connection (SCRAM), as a careful installation does.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 60.0
_POLL_S = 0.1
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


@contextmanager
def running_postgresql() -> Iterator[str]:
    """A server with one empty database; gives its SQLAlchemy URL (`postgresql+psycopg://...`)."""
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    try:
        password = secrets.token_hex(16)
        (folder / "password").write_text(password)
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        data = folder / "data"
        _run(
            binaries / "initdb", "-D", str(data), "-U", "tester", "--auth=scram-sha-256",
            f"--pwfile={folder / 'password'}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        port = free_port()
        options = [f"-c{name}={value}" for name, value in _SETTINGS.items()]
        command = [*_as_postgres(), str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([*command, *options], stdout=log, stderr=log, cwd=folder)
        try:
            _wait(binaries, port, server, folder / "log")
            yield f"postgresql+psycopg://tester:{password}@127.0.0.1:{port}/postgres"
        finally:
            # SIGINT is PostgreSQL's fast shutdown: it does not wait for its clients.
            server.send_signal(2)
            server.wait(_PATIENCE_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        [*_as_postgres(), *map(str, command)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoServer(f"{command[0]}: {done.stderr}")


def _wait(binaries: Path, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode:
        if server.poll() is not None or time.monotonic() > until:
            raise NoServer(f"PostgreSQL did not start: {log.read_text()[-2000:]}")
        time.sleep(_POLL_S)
