"""A real OpenLDAP server for tests: Debian's slapd, with its own configuration, on loopback."""

from __future__ import annotations

import shutil
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

_CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
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
"""
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
"""


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files for TLS: who signed, and the server's own for `localhost`."""

    ca: Path
    certificate: Path
    key: Path


@contextmanager
def running_slapd(
    folder: Path, people: str, tls: Certificates, *, limit: int = 100_000, start_tls: bool = True
) -> Iterator[tuple[str, str]]:
    """A directory with `people` (LDIF) in it; gives its `ldap://` and its `ldaps://` address."""
    (folder / "data").mkdir()
    conf = folder / "slapd.conf"
    text = _CONF.format(
        folder=folder, ca=tls.ca, certificate=tls.certificate, key=tls.key, limit=limit
    )
    if not start_tls:
        text = "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("TLS"))
    conf.write_text(text)
    ldif = folder / "people.ldif"
    ldif.write_text(f"{_TOP}\n{people}")
    slapd = shutil.which("slapd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert slapd is not None, "no slapd here: bash tests/e2e/install.sh, as root"
    subprocess.run(["/usr/sbin/slapadd", "-q", "-f", conf, "-l", ldif], check=True)
    plain, encrypted = (f"localhost:{free_port()}" for _ in range(2))
    urls = [f"ldap://{plain}"] + [f"ldaps://{encrypted}"] * start_tls
    log = (folder / "log").open("wb")
    server = subprocess.Popen(
        [slapd, "-f", conf, "-h", " ".join(urls), "-d", "none"], stdout=log, stderr=log
    )
    try:
        _wait(int(plain.rpartition(":")[2]), server, folder / "log")
        yield f"ldap://{plain}", f"ldaps://{encrypted}"
    finally:
        server.terminate()
        server.wait(_PATIENCE_S)
        log.close()


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
