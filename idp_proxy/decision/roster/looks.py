"""What is odd in a roster: people who could be taken for each other, and rows that lack something.

Nobody is refused by what stands here: a standby's key is compared exactly, after normalisation. It
is for the operator who reads `roster check`, before an outage does.
"""

from __future__ import annotations

import enum
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.roster.rows import lookup_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from idp_proxy.decision.roster.rows import RosterRow

#: Letters of other scripts, and digits, that are drawn as the Latin letter on the right.
_DRAWN_AS: Final = str.maketrans(
    # Cyrillic
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d"
    "\u0432\u043a\u043c\u043d\u0442\u043f\u0433\u04cf"
    # Greek
    "\u03b6\u03b1\u03b2\u03b3\u03b5\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c0\u03c1\u03c4"
    "\u03c5\u03c7\u03c9\u03f2\u03f3"
    # Armenian; figures, strokes, and letters of phonetics
    "\u0578\u057d\u0581\u0566\u0570\u0585\u0582"
    "01|\u0131\u0269\u0261\u0251",
    "aeopcyxijshdqwbkmhtnrlzabyenikmvonptuxwcjnugqhouolliiga",
)


class Look(enum.StrEnum):
    """What is odd about some rows."""

    SAME_ID = "ids_differ_in_case"
    SAME_EMAIL = "email_of_two"
    SAME_USERNAME = "username_of_two"
    LOOK_ALIKE = "link_keys_look_alike"
    CONFLICT = "link_key_of_two"
    NO_KEY = "no_link_key"
    LACKS = "lacks_attribute"


@dataclass(frozen=True, slots=True)
class Odd:
    """One thing that is odd, about these people (ids); `what` says it in words."""

    look: Look
    people: tuple[str, ...]
    what: str


def drawn(text: str) -> str:
    """How `text` looks, roughly: letters of other scripts as the Latin ones that they resemble."""
    plain = unicodedata.normalize("NFD", lookup_key(text))
    seen = "".join(one for one in plain if unicodedata.category(one) not in {"Mn", "Cf"})
    return seen.translate(_DRAWN_AS).replace("rn", "m").replace("vv", "w")


def _is_out(row: RosterRow) -> bool:
    return row.blocked or row.by_hand


def _compared(row: RosterRow) -> Iterator[tuple[Look, str]]:
    yield Look.SAME_ID, lookup_key(row.id)
    yield Look.SAME_EMAIL, lookup_key(row.email)
    yield Look.SAME_USERNAME, lookup_key(row.username)
    yield Look.LOOK_ALIKE, drawn(row.link_key)


@dataclass(slots=True)
class Comparison:
    """Compares everybody with everybody, in two walks over the roster: the first finds what may
    have come twice, the second who that was. So a million people need no million names in memory.

    `expected` are the canonical names that Mattermost is sent. Who is blocked gets in nowhere, and
    is mistaken for nobody; nor is who was once admitted by hand.
    """

    expected: Collection[str]
    _seen: dict[Look, set[int]] = field(default_factory=lambda: defaultdict(set))
    _twice: dict[Look, set[int]] = field(default_factory=lambda: defaultdict(set))
    _groups: dict[tuple[Look, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    _alone: list[Odd] = field(default_factory=list)

    def first(self, row: RosterRow) -> None:
        """One row, in the first walk."""
        for look, value in () if _is_out(row) else _compared(row):
            number = hash(value)
            (self._twice if number in self._seen[look] else self._seen)[look].add(number)

    def second(self, row: RosterRow) -> None:
        """One row, in the second walk."""
        if _is_out(row):
            return
        for look, value in _compared(row):
            if hash(value) in self._twice[look]:
                self._groups[look, value].append(row.id)
        if row.conflict:
            self._alone.append(Odd(Look.CONFLICT, (row.id,), "holds a link key with somebody else"))
        elif row.lookup_key is None:
            self._alone.append(Odd(Look.NO_KEY, (row.id,), "has no link key: no standby finds it"))
        absent = sorted(name for name in self.expected if not row.attributes.get(name))
        if absent:
            self._alone.append(Odd(Look.LACKS, (row.id,), f"has no {', '.join(absent)}"))

    def odd(self) -> Iterator[Odd]:
        """Everything that is odd, those first that let people be mistaken for each other."""
        for (look, _), people in sorted(self._groups.items()):
            if len(people) > 1:
                yield Odd(look, tuple(people), _WORDS[look])
        yield from self._alone


_WORDS: Final = {
    Look.SAME_ID: "ids that only case or form tells apart",
    Look.SAME_EMAIL: "one email address",
    Look.SAME_USERNAME: "one user name",
    Look.LOOK_ALIKE: "link keys that look alike",
}
