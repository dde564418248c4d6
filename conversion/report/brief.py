"""Six lines for the management: what is so, whom it hits, what was done, what comes next.

The two languages are two templates over the same facts. No name of a person, and no figure that
was not looked at.
"""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from conversion.decision.lifecycle import RowState
from conversion.decision.situation import OpenCampaign, next_words
from conversion.report.forms import one_line, templates

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from conversion.decision.situation import Situation
    from conversion.decision.triage import Load


class Language(enum.StrEnum):
    """The languages of a brief."""

    EN = "en"
    DE = "de"


#: What the command that `now` proposes means for somebody who never types one.
STEPS: Final[Mapping[Language, Mapping[str, str]]] = {
    Language.EN: {
        "plan": "we give those who are locked out a password login.",
        "convert": "we give those who are locked out a password login.",
        "return": "we bring everybody back to single sign-on.",
        "verify": "we check that everybody is back.",
        "prepare": "we renew the record that brings people back.",
        "preflight": "we check and mend what stands in the way.",
        "status": "we wait for single sign-on, then everybody returns.",
    },
    Language.DE: {
        "plan": "wer keinen Zugang hat, bekommt eine Anmeldung mit Passwort.",
        "convert": "wer keinen Zugang hat, bekommt eine Anmeldung mit Passwort.",
        "return": "alle werden zu SSO zurückgebracht.",
        "verify": "wir prüfen, ob alle zurück sind.",
        "prepare": "wir erneuern die Aufzeichnung, die alle zurückbringt.",
        "preflight": "wir prüfen und beheben, was im Weg steht.",
        "status": "wir warten auf SSO, dann kehren alle zurück.",
    },
}


def brief_of(found: Situation, language: Language, update: datetime, owner: str = "") -> str:
    """The six lines; `update` is when there will be news (UTC), `owner` who gives them."""
    campaign = found.campaign or OpenCampaign("", found.now, None, {})
    sso = True if found.seems_to_work else found.sso_works
    # Nothing is promised to the management while nobody knows whether there is an outage.
    words = next_words(found)
    stale = found.inventory_age is None or found.inventory_age > found.inventory_max_age
    text = templates.get_template(f"brief.{language.value}.txt").render(
        at=f"{found.now:%Y-%m-%d %H:%M}",
        reachable=not found.server,
        sso=sso,
        loads=[_load(load) for load in found.loads],
        people=found.people,
        moved=campaign.moved,
        back=campaign.counts.get(RowState.VERIFIED, 0),
        left=campaign.left,
        overdue=campaign.waiting.overdue,
        reminded=campaign.waiting.reminded,
        ended=bool(campaign.left and campaign.until and campaign.until <= found.now),
        unknown=found.people - found.known,
        stale=stale,
        step=STEPS[language],
        next="preflight" if words[0] == "plan" and sso is None else words[0],
        update=f"{update:%H:%M}",
        owner=one_line(owner),
    )
    return "".join(f"{line}\n" for line in text.splitlines() if line)


def _load(load: Load) -> dict[str, str]:
    return {
        "people": str(load.people),
        "hours": f"{round(load.after / timedelta(hours=1), 1):g}",
        "phone": f"{load.phone_hours:.0f}",
    }
