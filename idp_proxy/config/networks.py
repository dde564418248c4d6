"""`[[known_network]]`: offices whose people come from one address, with a budget of their own."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import combinations
from typing import TYPE_CHECKING, Final

from idp_proxy.config import addresses
from idp_proxy.config.sections import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from idp_proxy.config.material import Reader
    from idp_proxy.config.networks_shape import KnownNetworkTable

#: IPv4 addresses as IPv6 writes them: whoever comes by one is known by the IPv4 address.
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
#: Wider ones are no office: their budget would be everybody's.
_WIDEST: Final = {4: 8, 6: 32}


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """A network that may fail `failures` times in a quarter of an hour, as a whole."""

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    failures: int


def read_networks(tables: Sequence[KnownNetworkTable], reader: Reader) -> tuple[KnownNetwork, ...]:
    """Every `[[known_network]]`."""
    names: set[str] = set()
    found = []
    for index, table in enumerate(tables):
        where = f"known_network[{index}]"
        require(reader, f"{where}.name", addresses.name_problem(table.name))
        if table.name in names:
            reader.findings.problem(f"{where}.name", "another one has this name too")
        names.add(table.name)
        if not table.networks:
            reader.findings.problem(f"{where}.networks", 'missing; such as ["203.0.113.7/32"]')
        networks = tuple(_read(where, table.networks, reader))
        found.append(KnownNetwork(table.name, networks, table.failures))
    _judge_overlaps(found, reader)
    return tuple(found)


def _read(where: str, texts: Sequence[str], reader: Reader) -> Iterator[IPv4Network | IPv6Network]:
    for index, text in enumerate(texts):
        at = f"{where}.networks[{index}]"
        try:
            network = ip_network(text)
        except ValueError as error:
            reader.findings.problem(at, f"no network: {error}; it has the form 203.0.113.0/24")
            continue
        if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
            reader.findings.problem(at, f"{text} stands for IPv4 addresses; write them as such")
        elif network.prefixlen < _WIDEST[network.version]:
            reader.findings.problem(at, f"{text} is wider than any office")
        yield network


def _judge_overlaps(found: Sequence[KnownNetwork], reader: Reader) -> None:
    """An address has one budget: of two it would be the order in the file that decides."""
    places = [(index, network) for index, one in enumerate(found) for network in one.networks]
    for (index, one), (other, another) in combinations(places, 2):
        if one.version == another.version and one.overlaps(another):
            reader.findings.problem(
                f"known_network[{other}].networks",
                f"{another} and {one} of {found[index].name!r} have addresses in common; an "
                "address is of one network",
            )
