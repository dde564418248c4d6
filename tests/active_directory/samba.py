"""A real Active Directory: Samba's domain controller, with nothing but its LDAP service.

Its ports cannot be chosen, so `make e2e-ad` runs all of it in a network namespace of its own.
"""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.support.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.peers.authority import Authority

BASE: Final = "DC=corp,DC=test"
PEOPLE: Final = f"CN=Users,{BASE}"
#: Who the proxy asks as; the name that Active Directory takes beside a DN.
READER: Final = "reader@corp.test"
PORT, TLS_PORT = 389, 636
#: Wrong passwords in a row that lock an account.
MOST_REFUSALS: Final = 3

_SETTINGS: Final = """\
[global]
server services = ldap
tls keyfile = {key}
tls certfile = {certificate}
tls cafile = {bundle}
logging = file
log file = {folder}/samba.log
"""


@dataclass(frozen=True, slots=True)
class Domain:
    """A provisioned domain `corp.test` (NetBIOS name CORP) in `folder`, and its accounts."""

    folder: Path
    configuration: Path

    @classmethod
    def provision(cls, folder: Path, authority: Authority) -> Domain:
        """A new domain, whose server shows the authority's certificate for `localhost`."""
        _samba_tool(
            "domain",
            "provision",
            f"--targetdir={folder}",
            "--realm=CORP.TEST",
            "--domain=CORP",
            "--host-name=localhost",
            "--server-role=dc",
            "--dns-backend=NONE",
            f"--option=posix:eadb={folder}/eadb.tdb",
            "--option=interfaces=127.0.0.1",
            "--option=bind interfaces only=yes",
        )
        configuration = folder / "etc" / "smb.conf"
        own = _SETTINGS.format(
            folder=folder,
            key=authority.server.key,
            certificate=authority.server.certificate,
            bundle=authority.bundle,
        )
        configuration.write_text(f"{configuration.read_text('utf-8')}\n{own}", "utf-8")
        domain = cls(folder, configuration)
        domain.run(
            *("domain", "passwordsettings", "set", "--complexity=off", "--min-pwd-length=4"),
            *("--min-pwd-age=0", f"--account-lockout-threshold={MOST_REFUSALS}"),
        )
        return domain

    def run(self, *words: str) -> None:
        """`samba-tool` on the domain's database; the server must not run meanwhile."""
        database = self.folder / "private" / "sam.ldb"
        _samba_tool(*words, f"--configfile={self.configuration}", f"--URL={database}")

    def add(self, name: str, *options: str) -> None:
        """An account whose password is `password_of` its name."""
        self.run("user", "create", name, password_of(name), *options)

    @contextmanager
    def serving(self) -> Iterator[Process]:
        """Run the server until the end."""
        argv = ["/usr/sbin/samba", "-F", "--no-process-group", "-M", "single", "--debug-stdout"]
        log = self.folder / "output.log"
        command = [*argv, "-s", str(self.configuration)]
        with Process("samba", command, log).start() as server:
            yield server.wait_for_port(TLS_PORT, 60)


def password_of(name: str) -> str:
    """Each account has a word of its own."""
    return f"{name}'s own word"


def _samba_tool(*words: str) -> None:
    done = subprocess.run(
        ["/usr/bin/samba-tool", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
