"""What a message says: a template for each kind and language, and facts that can do no harm in it.

Some facts come from an upstream: its error texts, for one. Whoever controls them must be able to
forge no line of a message, to call nobody by name in a chat, and to place no link.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from idp_proxy.decision.notices import DETAIL, FACTS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.decision.notices import Fact, Notice, NoticeRecord

Language = Literal["en", "de"]
Severity = Literal["info", "success", "warning", "failure"]

LONGEST_FACT: Final = 300
LONGEST_SUBJECT: Final = 80
_LONGEST_COMMAND: Final = 500
_MISSING: Final = "?"

#: How bad it is, in Apprise's words; pagers have a ring tone for each.
SEVERITY: Final[Mapping[Kind, Severity]] = {
    Kind.SWITCHED: "warning",
    Kind.PROPOSED: "warning",
    Kind.LATCHED: "failure",
    Kind.OVERRIDE: "failure",
    Kind.FINDING: "warning",
    Kind.EXPIRY: "warning",
    Kind.CANARY: "warning",
    Kind.STORE: "failure",
    Kind.OUTAGE: "failure",
    Kind.DECIDE: "failure",
    Kind.DISABLED: "failure",
    Kind.UNPROTECTED: "warning",
    Kind.HELD: "info",
    Kind.ISOLATED: "failure",
    Kind.CLOCK: "warning",
    Kind.L3: "warning",
    Kind.DRILL: "info",
    Kind.TEST: "info",
    Kind.DEADLINE: "warning",
    Kind.WRITTEN_OFF: "failure",
    Kind.HOSTS: "warning",
    Kind.DOUBLE_USE: "failure",
    Kind.INVENTORY: "warning",
}

#: What would be a mention, markup or a link somewhere: Mattermost, Slack, mail programs.
_HARMLESS: Final = str.maketrans(
    {"@": "(at)", "`": "'", "[": "(", "]": ")", "<": "\u2039", ">": "\u203a"}
)
_LINK: Final = re.compile(r"://|\bwww\.", re.IGNORECASE)
_DEFANGED: Final = {"://": "[:]//", "www.": "www[.]"}


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: a subject of one line and at most 80 characters, and plain text."""

    subject: str
    body: str
    severity: Severity


def plain(text: str, longest: int = LONGEST_FACT) -> str:
    """`text` as one line of at most `longest` characters that means nothing but itself.

    Control and format characters (Unicode category C: line breaks, terminal escapes, reversed
    writing) are gone, mentions and markup are replaced, links are broken visibly.
    """
    # Cut first: what follows is linear, but an error may be megabytes long.
    kept = "".join(_visible(character) for character in text[: 4 * longest])
    words = " ".join(kept.split()).translate(_HARMLESS)
    return _cut(_LINK.sub(lambda found: _DEFANGED[found[0].lower()], words), longest)


def write(
    notice: Notice, language: Language, *, since: datetime, fallback: str, source: str
) -> Message:
    """The message that tells `notice`. `fallback` is the command for one without a usable `next`,
    `source` says who speaks. A fact that is missing shows as a question mark.
    """
    known = FACTS[notice.kind]
    facts = {name: _shown(notice.facts.get(name, _MISSING)) for name in known}
    rendered = _render(
        f"{language}/{notice.kind.value}.txt",
        facts,
        since=_shown(since),
        next=_command(notice.next) or fallback,
        detail=_shown(notice.facts.get(DETAIL, "")),
        source=plain(source),
    )
    return _message(rendered, SEVERITY[notice.kind])


def write_over(
    record: NoticeRecord, language: Language, *, now: datetime, fallback: str, source: str
) -> Message:
    """The message that tells that a matter ended."""
    minutes = max(0, round((now - record.since).total_seconds() / 60))
    rendered = _render(
        f"{language}/over.txt",
        {"subject": plain(record.subject), "minutes": str(minutes)},
        since=_shown(record.since),
        now=_shown(now),
        next=fallback,
        detail="",
        source=plain(source),
    )
    return _message(rendered, "success")


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp", "Zs"}:
        return " "
    return "" if category.startswith("C") else character


def _shown(fact: Fact) -> str:
    if isinstance(fact, datetime):
        return f"{fact.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return plain(str(fact))


def _command(text: str) -> str:
    """`text`, or nothing if it is no command of one line: half a command must not be copied."""
    usable = len(text) <= _LONGEST_COMMAND and text.isprintable()
    return text.strip() if usable else ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "\u2026"


def _message(rendered: str, severity: Severity) -> Message:
    subject, _, body = rendered.partition("\n")
    return Message(_cut(subject, LONGEST_SUBJECT), body.strip(), severity)


def _render(name: str, facts: Mapping[str, str], **frame: str) -> str:
    return _templates().get_template(name).render(dict(facts) | frame)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("idp_proxy.notify"),
        # Plain text: what HTML needs is done by Apprise for the channels that speak it.
        autoescape=select_autoescape(default_for_string=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
