"""`[[known_network]]`: an address is of one network, and no network is everybody's."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder


def network(name: str, *networks: str, more: str = "") -> str:
    listed = ", ".join(f'"{one}"' for one in networks)
    return f'\n[[known_network]]\nname = "{name}"\nnetworks = [{listed}]\n{more}\n'


def test_offices_are_read(folder: Folder) -> None:
    folder.text += network("office", "203.0.113.7/32", "2001:db8:1::/48", more="failures = 700")
    folder.text += network("vpn", "198.51.100.0/24", "203.0.113.8", "2001:db8:2:3::/64")
    office, vpn = folder.read().known_networks
    assert (office.name, office.failures, vpn.failures) == ("office", 700, 500)
    assert office.networks == (ip_network("203.0.113.7/32"), ip_network("2001:db8:1::/48"))
    assert ip_network("203.0.113.8/32") in vpn.networks


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        (
            [("a", "10.1.0.0/16"), ("b", "10.1.2.0/24")],
            "known_network[1].networks: 10.1.2.0/24",
        ),
        ([("a", "10.1.2.0/24"), ("b", "10.1.0.0/16")], "of 'a' have addresses in common"),
        ([("a", "10.1.2.0/24", "10.1.2.3/32")], "known_network[0].networks: 10.1.2.3/32 and"),
        ([("a", "2001:db8::/48"), ("b", "2001:db8:0:7::/64")], "an address is of one network"),
        ([("a", "::ffff:203.0.113.0/120")], "stands for IPv4 addresses; write them as such"),
        ([("a", "0.0.0.0/0")], "known_network[0].networks[0]: 0.0.0.0/0 is wider than any office"),
        ([("a", "::/0")], "::/0 is wider than any office"),
        ([("a", "203.0.113.7/24")], "known_network[0].networks[0]: no network: 203.0.113.7/24 has"),
        ([("a", "office.corp")], "no network: 'office.corp'"),
        ([("a",)], "known_network[0].networks: missing"),
        ([("a", "10.0.0.1"), ("a", "10.0.0.2")], "known_network[1].name: another one has this"),
        ([("A B", "10.0.0.1")], "known_network[0].name: "),
    ],
)
def test_what_would_be_nobody_s_or_two_s_is_refused(
    folder: Folder, tables: list[tuple[str, ...]], problem: str
) -> None:
    folder.text += "".join(network(*one) for one in tables)
    (found,) = folder.problems()
    assert problem in found
