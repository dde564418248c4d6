"""A real MariaDB for tests: of Debian's package, on loopback, gone afterwards.

It stands for MySQL, under which older Mattermosts run: on Linux both tell `Users` from `users`.
"""

from __future__ import annotations

import getpass
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

from tests.support.processes import LOOPBACK, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE_S = 60.0


class NoServer(Exception):
    """MariaDB is not installed, or its tables could not be made; says why."""


@contextmanager
def running_mariadb(folder: Path) -> Iterator[str]:
    """A server with its data in `folder`; gives the URL of its administrator, without a database.

    Raises `NoServer`.
    """
    install, server = shutil.which("mariadb-install-db"), shutil.which("mariadbd", path=_PATH)
    if install is None or server is None:
        raise NoServer("mariadb-server-core is not installed: tests/e2e/install.sh")
    port, user = free_port(), getpass.getuser()
    words = ["--no-defaults", f"--user={user}", f"--datadir={folder / 'data'}"]
    made = subprocess.run(
        [install, *words, "--auth-root-authentication-method=normal", "--skip-test-db"],
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if made.returncode:
        raise NoServer(f"{made.stdout[-400:]}{made.stderr[-400:]}")
    command = [server, *words, f"--socket={folder / 's'}", f"--port={port}"]
    command += [f"--bind-address={LOOPBACK}", f"--pid-file={folder / 'pid'}"]
    with Process("mariadb", command, folder / "log").start() as process:
        process.wait_for_port(port, _PATIENCE_S)
        yield f"mysql+pymysql://root@{LOOPBACK}:{port}/"


_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


def execute(url: str, *statements: str) -> None:
    """Do these as the administrator does, each at once."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()
