"""A real Active Directory: Samba's domain controller, with nothing but its LDAP service.

Its ports cannot be chosen, so `make e2e-ad` runs all of it in a network namespace of its own.
"""

from __future__ import annotations

import json
import subprocess
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ldap3.utils.dn import escape_rdn

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
MOST_REFUSALS: Final = 6

_SETTINGS: Final = """\
[global]
server services = ldap
tls keyfile = {key}
tls certfile = {certificate}
tls cafile = {bundle}
logging = file
log file = {folder}/samba.log
"""


#: What the domain's own Python does, with the server's database in its hands: accounts as JSON, and
#: what no client may write. The control lets a password be as old as a test wants it.
_WRITE: Final = """\
import json, ldb, sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB

settings = LoadParm()
settings.load(sys.argv[1])
database = SamDB(url=sys.argv[2], session_info=system_session(), lp=settings)
for one in json.load(sys.stdin):
    database.add({"dn": one["dn"], "objectClass": "user", **one["attributes"]})
    itself = "(distinguishedName=" + ldb.binary_encode(one["dn"]) + ")"
    database.setpassword(itself, one["password"])
    for name, value in one["then"].items():
        message = ldb.Message(ldb.Dn(database, one["dn"]))
        message[name] = ldb.MessageElement(value, ldb.FLAG_MOD_REPLACE, name)
        database.modify(message, controls=["local_oid:1.3.6.1.4.1.7165.4.3.20:0"])
"""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody in the domain; `then` are attributes that are written behind the password."""

    name: str
    cn: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    then: dict[str, str] = field(default_factory=dict)

    @property
    def dn(self) -> str:
        """The entry's name."""
        return f"CN={escape_rdn(self.cn or self.name)},{PEOPLE}"

    @property
    def mail(self) -> str:
        """An address: letters of the name that every mail server takes."""
        plain = unicodedata.normalize("NFKD", self.name).encode("ascii", "ignore").decode()
        return f"{plain}@corp.test"

    def told(self) -> dict[str, object]:
        """For `_WRITE`."""
        usual = {
            "sAMAccountName": self.name,
            "userPrincipalName": f"{self.name}@corp.test",
            "mail": self.mail,
        }
        return {
            "dn": self.dn,
            "password": password_of(self.name),
            "attributes": usual | self.attributes,
            "then": {"userAccountControl": "512"} | self.then,
        }


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

    def write(self, *accounts: Account) -> None:
        """These accounts, all in one go; the server must not run meanwhile."""
        database = self.folder / "private" / "sam.ldb"
        done = subprocess.run(
            ["/usr/bin/python3", "-c", _WRITE, str(self.configuration), str(database)],
            input=json.dumps([one.told() for one in accounts]),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]

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
