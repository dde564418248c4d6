"""The pages behind /enroll: what is set up, and how something is added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import segno
from markupsafe import Markup

from idp_proxy.decision.second_factor import Method
from idp_proxy.web.pages import source_of
from idp_proxy.web.wording import texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from starlette.responses import Response

    from idp_proxy.factor_desk import Prepared, Visit
    from idp_proxy.web.pages import Pages
    from idp_proxy.web.wording import Language

_TO_US: Final = "form-action 'self'"
_WITH_SCRIPT: Final = f"script-src {source_of('passkey.js')}; {_TO_US}"
_COPIED: Final = "copied"


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the list. Recovery codes are one line, and are removed together."""

    id: str
    kind: str
    at: datetime
    left: int


def enrolled(
    pages: Pages,
    visit: Visit,
    language: Language,
    *,
    with_passkeys: bool,
    done: str = "",
    problem: str = "",
) -> Response:
    """The list; `done` and `problem` are keys of texts, anything else of them says nothing."""
    story = texts(language)["enroll"]
    offers = ["code", *(["passkey"] if with_passkeys else [])]
    if visit.has(Method.TOTP) or visit.has(Method.PASSKEY):
        offers.append("recovery")
    return pages.page(
        "enrolled.html",
        language,
        csp=_TO_US,
        visit=visit,
        rows=_rows(visit),
        offers=offers,
        done=done if done in story["done"] else "",
        problem=problem if problem in story["problem"] else "",
    )


def new_code(pages: Pages, made: Prepared, language: Language, *, wrong: bool) -> Response:
    """The secret as a QR code and as text, and the field for the first code."""
    qr = segno.make(made.shown["uri"], micro=False)
    return pages.page(
        "enroll_code.html",
        language,
        csp=_TO_US,
        visit=made.visit,
        kept=made.sealed,
        qr=Markup(qr.svg_inline(omitsize=True, light="#fff")),  # noqa: S704 - of our own making
        secret=_in_groups(made.shown["secret"]),
        wrong=wrong,
    )


def new_passkey(pages: Pages, made: Prepared, language: Language) -> Response:
    """The one page here that needs its script."""
    return pages.page(
        "enroll_passkey.html",
        language,
        csp=_WITH_SCRIPT,
        visit=made.visit,
        kept=made.sealed,
        options=made.shown,
    )


def new_recovery(pages: Pages, codes: Sequence[str], language: Language) -> Response:
    """The codes, shown this once."""
    return pages.page("enroll_recovery.html", language, csp=_TO_US, codes=codes)


def left(pages: Pages, language: Language) -> Response:
    """That the visit is over."""
    story = texts(language)["enroll"]["left"]
    return pages.page("told.html", language, csp="form-action 'none'", story=story)


def _rows(visit: Visit) -> list[_Row]:
    rows = [
        _Row(one.id, one.method.value if one.counts else _COPIED, one.added_at, 0)
        for one in visit.factors
        if one.method is not Method.RECOVERY
    ]
    codes = [one for one in visit.factors if one.method is Method.RECOVERY]
    if codes:
        first = codes[0]
        rows.append(_Row(first.id, first.method.value, first.added_at, visit.codes_left))
    return rows


def _in_groups(secret: str) -> str:
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
