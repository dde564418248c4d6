"""A real OpenLDAP server for tests: Debian's slapd, with its own configuration, on loopback."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE_S = 20.0
BASE = "dc=corp,dc=test"
READER, PASSWORD = f"cn=reader,{BASE}", "reader's word"
LOCKED = f"cn=locked,{BASE}"

_CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload retcode
pidfile {folder}/pid
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
database mdb
suffix "dc=corp,dc=test"
directory {folder}/data
limits dn.exact="cn=reader,dc=corp,dc=test" size.soft={limit} size.hard={limit} size.prtotal={limit}
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=reader,dc=corp,dc=test" read by * none
overlay ppolicy
ppolicy_default "cn=policy,dc=corp,dc=test"
ppolicy_use_lockout
overlay retcode
retcode-parent "ou=faults,dc=corp,dc=test"
retcode-item "cn=busy" 0x33
retcode-item "cn=unavailable" 0x34
retcode-item "cn=slow" 0x00 sleeptime=4
"""
#: Below it this directory fails as the name says, whoever binds or searches there.
FAULTS = "ou=faults,dc=corp,dc=test"
#: Refusals in a row that lock an account.
MOST_REFUSALS = 5
_TOP = f"""\
dn: {BASE}
objectClass: dcObject
objectClass: organization
dc: corp
o: Corp

dn: {READER}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: {PASSWORD}

dn: {LOCKED}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: locked
userPassword: {PASSWORD}
pwdAccountLockedTime: 000001010000Z

dn: cn=policy,{BASE}
objectClass: device
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE
pwdMaxFailure: {MOST_REFUSALS}
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files for TLS: who signed, and the server's own for `localhost`."""

    ca: Path
    certificate: Path
    key: Path


class Slapd:
    """One server, that can be stopped, frozen and started again on its ports."""

    def __init__(
        self,
        folder: Path,
        people: str,
        tls: Certificates,
        *,
        limit: int = 100_000,
        start_tls: bool = True,
    ) -> None:
        self._folder = folder
        self._conf = folder / "slapd.conf"
        (folder / "data").mkdir()
        text = _CONF.format(
            folder=folder, ca=tls.ca, certificate=tls.certificate, key=tls.key, limit=limit
        )
        if not start_tls:
            text = "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("TLS"))
        self._conf.write_text(text)
        ldif = folder / "people.ldif"
        ldif.write_text(f"{_TOP}\n{people}")
        add = ["/usr/sbin/slapadd", "-q", "-f", str(self._conf), "-l", str(ldif)]
        subprocess.run(add, check=True)
        self.port, self.tls_port = free_port(), free_port()
        self.urls = (f"ldap://localhost:{self.port}", f"ldaps://localhost:{self.tls_port}")
        self._listens = self.urls if start_tls else self.urls[:1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, and wait until it listens."""
        slapd = shutil.which("slapd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        assert slapd is not None, "no slapd here: bash tests/e2e/install.sh, as root"
        command = [slapd, "-f", str(self._conf), "-h", " ".join(self._listens), "-d", "none"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        _wait(self.port, self._process, self._folder / "log")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(_PATIENCE_S)
            self._process = None

    def freeze(self) -> None:
        """It takes connections, and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def running(slapd: Slapd) -> Iterator[Slapd]:
    """Start it, and end it whatever was done to it."""
    slapd.start()
    try:
        yield slapd
    finally:
        slapd.thaw()
        slapd.stop()


@contextmanager
def running_slapd(
    folder: Path, people: str, tls: Certificates, *, limit: int = 100_000, start_tls: bool = True
) -> Iterator[tuple[str, str]]:
    """A directory with `people` (LDIF) in it; gives its `ldap://` and its `ldaps://` address."""
    with running(Slapd(folder, people, tls, limit=limit, start_tls=start_tls)) as slapd:
        yield slapd.urls


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        else:
            return
