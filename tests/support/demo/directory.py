"""`make demo STANDBY=ldap`: the company's directory as the standby, served by this process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.keys import tls_pair
from tests.support.ldap_people import Entry, PeopleDirectory, running_people
from tests.support.people import PEOPLE
from tests.support.process_stage import STANDBY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READER = "cn=reader,dc=corp"
_READERS_PASSWORD = "reader-pass"
_UPSTREAM = """
[[upstream]]
name = "{name}"
kind = "ldap"

[upstream.attributes]
link_key = "employeeNumber"

[upstream.directory]
urls = ["ldaps://localhost:{port}"]
tls_ca = "{authority}"
bind_dn = "{reader}"
bind_password = "file:{password}"
base = "dc=corp"
probe_user = "alice"
"""


@contextmanager
def company_directory(folder: Path) -> Iterator[str]:
    """Everybody of the story in a directory over TLS while the block runs; gives the `[[upstream]]`
    for it.
    """
    pair = tls_pair("localhost")
    _, authority = pair.write(folder, "directory-ca")
    password = folder / "directory.password"
    password.touch(mode=0o600)
    password.write_text(_READERS_PASSWORD)
    people = [
        Entry(
            f"uid={one.uid},ou=people,dc=corp",
            one.password,
            {"uid": one.uid, "employeeNumber": one.employee_number, "objectClass": "person"},
        )
        for one in PEOPLE
    ]
    directory = PeopleDirectory([Entry(_READER, _READERS_PASSWORD, {}), *people])
    with running_people(directory, pair, folder):
        yield _UPSTREAM.format(
            name=STANDBY,
            port=directory.port,
            authority=authority,
            reader=_READER,
            password=password,
        )
