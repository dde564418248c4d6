"""What every list is held against before any of it counts, and where it lies until then.

A list is read once, into a file without a name, so that what was judged is what is written later.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final, Protocol, Self

from idp_proxy.decision.roster import Listed
from idp_proxy.errors import ListRefused
from idp_proxy.upstream.subject_mapping import value_problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

#: Problems that are shown; the rest is counted.
_MOST_SHOWN: Final = 20
#: People in one list; more is a mistake, or an attack on the host's memory.
MOST_PEOPLE: Final = 5_000_000
_DIGEST: Final = 12


class PeopleList(Protocol):
    """Where a list comes from."""

    @property
    def name(self) -> str:
        """What the import is called: "csv", "ldap" or "mattermost"."""

    @property
    def exhaustive(self) -> bool:
        """Whether somebody who is not in it may use no standby."""

    def people(self) -> Iterator[tuple[str, Listed]]:
        """Everybody, each with their place in the list, for people. Raises `ListRefused`."""


@dataclass(frozen=True, slots=True)
class Demands:
    """What a list must say of each person: `needed` canonical names, addresses in `domains` (empty
    means any). `known` are the names that the active's map has.
    """

    known: frozenset[str]
    needed: tuple[str, ...]
    domains: frozenset[str] = frozenset()

    def problem(self, name: str, value: str) -> str | None:
        """Why this value of a canonical name cannot count, as for a login at the active."""
        return value_problem(name, value, self.domains)


@dataclass(slots=True)
class Problems:
    """Collects what is wrong with a list. Too much of it ends the reading."""

    what: str
    _shown: list[str] = field(default_factory=list)
    _count: int = 0

    def add(self, place: str, problem: str) -> None:
        """One thing that is wrong, and where."""
        self._count += 1
        if len(self._shown) < _MOST_SHOWN:
            self._shown.append(f"{self.what}: {place}: {problem}")

    def demand_none(self) -> None:
        """Raises `ListRefused` with everything that was found."""
        if self._count > len(self._shown):
            self._shown.append(f"... and {self._count - len(self._shown)} more")
        if self._shown:
            raise ListRefused(self._shown)


class Staged:
    """A list that was read and judged. Ids are unique in it; a link key of two is for the roster
    to mark. `folder` takes the file, which has no name there and is gone when it is closed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder)  # noqa: SIM115 - closed by `close`
        self._keys: dict[bytes, bytes] = {}
        self._content = sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._keys)

    def take(self, people: PeopleList) -> None:
        """Read the whole list. Raises `ListRefused`, and then nothing of it counts."""
        problems = Problems(people.name)
        places: dict[bytes, str] = {}
        for place, listed in people.people():
            digest = _digest(listed.id)
            if digest in places:
                problems.add(place, f"the id {listed.id!a} stands in {places[digest]} already")
                continue
            if len(places) >= MOST_PEOPLE:
                problems.add(place, f"more than {MOST_PEOPLE} people")
                break
            places[digest] = place
            self._keys[digest] = b"" if listed.link_key is None else _digest(listed.key or "")
            line = _written(listed)
            self._content.update(line.encode("ascii"))
            self._file.write(line)
        problems.demand_none()

    @property
    def digest(self) -> str:
        """What was read, to the letter: whoever agrees to it agrees to nothing else."""
        return self._content.hexdigest()

    def names(self, person_id: str) -> bool:
        """Whether the list has somebody of this id."""
        return _digest(person_id) in self._keys

    def moves(self, person_id: str, key: str | None) -> bool:
        """Whether the list gives this id another link key than `key`."""
        given = self._keys.get(_digest(person_id))
        return bool(given) and given != _digest(key or "")

    def chunks(self, size: int) -> Iterator[tuple[Listed, ...]]:
        """Everybody, in the order of the list."""
        self._file.seek(0)
        part: list[Listed] = []
        for line in self._file:
            part.append(_read(line))
            if len(part) == size:
                yield tuple(part)
                part = []
        if part:
            yield tuple(part)


def listed_of(
    values: Mapping[str, str], *, roles: Collection[str] | None = None, deactivated: bool = False
) -> Listed:
    """Somebody whose values were judged; what is empty was not said."""
    said = {name: value for name, value in values.items() if value}
    link_key = said.pop("link_key", None) or said["id"]
    return Listed(
        id=said["id"],
        link_key=link_key,
        attributes=said,
        roles=None if roles is None else frozenset(roles),
        deactivated=deactivated,
    )


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def _written(listed: Listed) -> str:
    roles = None if listed.roles is None else sorted(listed.roles)
    fields = [
        listed.id,
        listed.link_key,
        dict(listed.attributes),
        roles,
        listed.deactivated,
        listed.whole,
    ]
    return json.dumps(fields) + "\n"


def _read(line: str) -> Listed:
    person, link_key, attributes, roles, deactivated, whole = json.loads(line)
    known = None if roles is None else frozenset(roles)
    return Listed(person, link_key, attributes, known, deactivated, whole)
