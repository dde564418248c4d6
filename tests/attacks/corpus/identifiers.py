"""Names that two readers see differently, and conditions that forbid to pass an answer on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.saml import checks
from tests.attacks.attack import ResponseAttack, table
from tests.attacks.messages import CONDITIONS, NAME_ID, add, said, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.attacks.attack import Login


def name_id(text: str) -> Callable[[Login], bytes]:
    return said(write(NAME_ID, text))


def condition(xml: str) -> Callable[[Login], bytes]:
    return said(add(CONDITIONS, xml))


AMBIGUOUS = {
    "empty": "",
    "a blank": " ",
    "blank in front": " e-1001",
    "blank behind": "e-1001 ",
    "no-break space behind": "e-1001\u00a0",
    "line feed": "e-1001\nX-Admin: 1",
    "carriage return": "e-1001\rX-Admin: 1",
    "tab": "e\t1001",
    "next line": "e\u00851001",
    "line separator": "e\u20281001",
    "paragraph separator": "e\u20291001",
    "right to left": "e-\u202e1001",
    "isolate": "e-\u20661001",
    "zero-width space": "e-\u200b1001",
    "zero-width joiner": "e-\u200d1001",
    "byte order mark": "\ufeffe-1001",
    "soft hyphen": "e\u00ad1001",
    "word joiner": "e\u20601001",
    "tag characters": "e-1001\U000e0061",
    "full-width digits": "e-\uff11\uff10\uff10\uff11",
    "a ligature": "o\ufb03ce",
    "a superscript": "e-100\u00b9",
    "a letter-like sign": "\u212alaus",
    "decomposed": "Rene\u0301",
    "an angstrom": "\u212bke",
    "private use": "e-\ue0001001",
    "not a character": "e-\ufdd01001",
    "unassigned": "e-\u0378",
    "257 characters": "e" * 257,
    "100,000 characters": "e" * 100_000,
    "Hangul filler": "e-\u31641001",
    "invisible Hangul": "e-\u115f1001",
    "grapheme joiner": "e-\u034f1001",
    "variation selector": "e-1001\ufe0f",
    "blank of Braille": "e-\u28001001",
}

PROXY = "<a:ProxyRestriction{}>{}</a:ProxyRestriction>"
CONDITION_ATTACKS = {
    "may not be passed on": condition(PROXY.format(' Count="0"', "")),
    "count 000": condition(PROXY.format(' Count="000"', "")),
    "count below zero": condition(PROXY.format(' Count="-1"', "")),
    "count in Arabic digits": condition(PROXY.format(' Count="\u0661"', "")),
    "count with a sign": condition(PROXY.format(' Count="+1"', "")),
    "count empty": condition(PROXY.format(' Count=""', "")),
    "may be passed on to somebody else": condition(
        PROXY.format("", "<a:Audience>https://other.example</a:Audience>")
    ),
    "may be passed on to an empty name": condition(PROXY.format("", "<a:Audience/>")),
    "one restriction allows, the next forbids": said(
        add(CONDITIONS, PROXY.format(' Count="5"', "")),
        add(CONDITIONS, PROXY.format(' Count="0"', "")),
    ),
    "a Condition nobody knows": condition('<a:Condition xsi:type="x:y" xmlns:x="urn:x"/>'),
    "a foreign condition": condition('<x:Only xmlns:x="urn:x">on Sundays</x:Only>'),
    "delegation": condition(
        '<a:Condition xmlns:d="urn:oasis:names:tc:SAML:2.0:conditions:delegation" '
        'xsi:type="d:DelegationRestrictionType"/>'
    ),
}

ATTACKS: tuple[ResponseAttack, ...] = (
    *table(
        "NameID",
        checks.sp_10_name_id,
        {name: name_id(text) for name, text in AMBIGUOUS.items()}
        | {"with an element in it": said(add(NAME_ID, "<a:b/>"))},
    ),
    *table("conditions", checks.sp_11_conditions, CONDITION_ATTACKS),
)
