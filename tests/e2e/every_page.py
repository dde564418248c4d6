"""The pages that people are shown, without what leads to them: each as bad as it gets."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, Response

from idp_proxy import errors
from idp_proxy.decision.drill import Drill
from idp_proxy.decision.roster import Refusal
from idp_proxy.decision.second_factor import COPIED, Factor, Method
from idp_proxy.enrolment_pass import EnrolmentPass
from idp_proxy.factor_desk import Prepared, Visit
from idp_proxy.factor_step import Shown
from idp_proxy.rehearsal import Rehearsed
from idp_proxy.store.base import Evidence
from idp_proxy.web import enrol_pages
from idp_proxy.web.pages import FormAction, LoginState, Pages, source_of
from idp_proxy.web.wording import Language, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

Named = tuple[str, Response]

NOW = datetime(2026, 5, 4, 10, 22, 33, tzinfo=UTC)
SSO = "https://sso.example.org"
LOGIN = "https://chat.example.org/login/sso/saml"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotingPages(Pages):
    """Pages that know which templates they were made of."""

    templates: set[str] = field(default_factory=set, compare=False)

    def page(
        self, template: str, language: Language, *, csp: str, status: int = 200, **context: object
    ) -> Response:
        """See `Pages`."""
        self.templates.add(template)
        return Pages.page(self, template, language, csp=csp, status=status, **context)


PAGES = NotingPages(
    support_url="https://help.example.org/sso",
    login_url=LOGIN,
    allowed_form_origins=("https://chat.example.org",),
    hsts=True,
)
#: A long name makes a page no wider.
UPSTREAM = "corporate-directory-of-the-whole-group"
DRILL = Drill(
    id="5f0c9a11",
    version=1,
    upstream=UPSTREAM,
    serving="okta",
    since=NOW,
    started_at=NOW,
    until=NOW + timedelta(minutes=30),
    people=frozenset(),
    actor="operator:olga",
    reason="a test",
)


def asked(language: Language) -> Iterator[Named]:
    """The pages of the directory and of the second step, and those behind a link."""
    to_us = "form-action 'self'"
    for problem, rehearsal in product((False, True), repeat=2):
        yield (
            f"directory-{problem}-{rehearsal}",
            PAGES.page(
                "directory_login.html",
                language,
                csp=to_us,
                token="t" * 64,
                address=SSO,
                upstream=UPSTREAM,
                rehearsal=rehearsal,
                problem=problem,
            ),
        )
    options = {"challenge": "AAAA", "rpId": "sso.example.org", "allowCredentials": []}
    shown = Shown(with_code=True, locked=False, options=options, kept="kept")
    problems = ("", *texts(language)["factor_step"]["problem"])
    steps = [(shown, problem, False) for problem in problems]
    steps += [
        (replace(shown, options=None), "", True),
        (replace(shown, with_code=False, locked=True), "wrong", False),
    ]
    for number, (asked, problem, rehearsal) in enumerate(steps):
        yield (
            f"step-{number}",
            PAGES.page(
                "factor_step.html",
                language,
                csp=f"script-src {source_of('passkey.js')}; {to_us}",
                shown=asked,
                upstream=UPSTREAM,
                rehearsal=rehearsal,
                problem=problem,
            ),
        )
    values = {"upstream": UPSTREAM, "until": "14:32 UTC"}
    for topic, kind in (
        ("rehearse", "rehearsal"),
        ("rehearse", "failback_test"),
        ("drill", "join"),
        ("enroll", "begin"),
    ):
        yield f"{topic}-{kind}", PAGES.question(topic, kind, values, "self", language)
    yield "joined", PAGES.joined(DRILL, language)


def refusal(
    kind: type[errors.ProxyError], language: Language, pages: Pages = PAGES, **how: Any
) -> Named:
    """The page of an error of this class, however it is made, and however somebody came."""
    if issubclass(kind, errors.SamlError):
        error: errors.ProxyError = kind("SP-01", "why")
    elif issubclass(kind, errors.WrongMethod):
        error = kind(["GET", "POST"])
    else:
        error = kind("why")
    shown = pages.error(error, "7f3a9c1e2b4d", language, **how)
    return f"refused-{kind.code}-{language.value}", shown


def rehearsed(language: Language) -> Iterator[Named]:
    """That a login works, and why whoever tried would be refused; who is blocked proves nothing."""
    refusals = (None, *(one for one in Refusal if one is not Refusal.BLOCKED))
    for kind, refused in product((Evidence.REHEARSAL, Evidence.FAILBACK_TEST), refusals):
        name = f"rehearsed-{kind.value}-{refused and refused.value}-{language.value}"
        yield name, PAGES.rehearsed(Rehearsed(kind, UPSTREAM, NOW, refused), language)


def statuses(language: Language) -> Iterator[Named]:
    """The five stories of /status."""
    stories: tuple[tuple[bool | None, LoginState], ...] = (
        (False, "works"),
        (True, "works"),
        (True, "fails"),
        (True, "unknown"),
        (None, "unknown"),
    )
    for affected, login in stories:
        shown = PAGES.status(
            affected=affected,
            login=login,
            proven_at=NOW,
            now=NOW,
            language=language,
            refresh=affected is True,
        )
        yield f"status-{affected}-{login}-{language.value}", shown


def posting(language: Language) -> Iterator[Named]:
    """The page that posts itself, without the script that would leave it."""
    ways: tuple[tuple[str, FormAction], ...] = (
        (LOGIN, "sp"),
        ("https://idp.example.net/sso", "any-https"),
    )
    for action, where in ways:
        page = PAGES.auto_post(action, {"SAMLResponse": "eA=="}, where, language)
        before, _, rest = bytes(page.body).decode().partition("<script>")
        yield f"posting-{where}", HTMLResponse(before + rest.partition("</script>")[2])


def set_up(language: Language) -> Iterator[Named]:
    """What is behind /enroll: nothing yet, everything, and each way to add something."""
    full = replace(VISIT, factors=FACTORS)
    for name, visit in (("nothing", VISIT), ("everything", full)):
        yield f"enroll-{name}", enrol_pages.enrolled(PAGES, visit, language, with_passkeys=True)
    known = texts(language)["enroll"]
    for done in known["done"]:
        page = enrol_pages.enrolled(PAGES, full, language, with_passkeys=False, done=done)
        yield f"enroll-done-{done}", page
    for problem in known["problem"]:
        page = enrol_pages.enrolled(PAGES, full, language, with_passkeys=True, problem=problem)
        yield f"enroll-problem-{problem}", page
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    code = Prepared(VISIT, "kept", {"secret": secret, "uri": f"otpauth://totp/a?secret={secret}"})
    for wrong in (False, True):
        yield f"enroll-code-{wrong}", enrol_pages.new_code(PAGES, code, language, wrong=wrong)
    passkey = Prepared(VISIT, "kept", {"challenge": "AAAA", "user": {"id": "AAAA"}})
    yield "enroll-passkey", enrol_pages.new_passkey(PAGES, passkey, language)
    codes = [f"abcd-efgh-ijkl-mn{number:02}" for number in range(10)]
    yield "enroll-recovery", enrol_pages.new_recovery(PAGES, codes, language)
    yield "enroll-left", enrol_pages.left(PAGES, language)


VISIT = Visit(EnrolmentPass("visit", "EMP-1", NOW), "n" * 60, (), "token")
FACTORS = (
    Factor("f1", "EMP-1", Method.TOTP, NOW, 1, b""),
    Factor("f2", "EMP-1", Method.PASSKEY, NOW, 1, b""),
    Factor("f3", "EMP-1", Method.PASSKEY, NOW, COPIED, b""),
    *(Factor(f"r{number}", "EMP-1", Method.RECOVERY, NOW, 0, b"") for number in range(10)),
)
