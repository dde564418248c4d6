"""The reports that commands write as HTML, in Chromium on a phone, in the dark, and on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import ViewportSize

from conversion.decision.lifecycle import RowState
from conversion.report import Format, render
from idp_proxy.decision.assurance import AssurancePolicy
from idp_proxy.decision.review import judge
from idp_proxy.reviewing.html import as_html
from tests.e2e.test_browser import NARROW, chromium
from tests.e2e.test_pages_on_a_phone import context, demand_accessible, demand_fits, keep
from tests.unit import test_conversion_report as campaigns
from tests.unit import test_conversion_sheet as plans
from tests.unit import test_review_report as reviews
from tests.unit.test_decision_review import directory

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

__all__ = ["chromium", "context"]
pytestmark = pytest.mark.e2e

#: What fits on A4 upright between margins of 15 mm, at 96 pixels an inch.
A4 = ViewportSize(width=680, height=1000)


def reports() -> dict[str, str]:
    """What commands write for a browser and a printer; each as bad as it gets."""
    blocked = replace(reviews.SEEN, upstreams=(*reviews.SEEN.upstreams, *directory().upstreams[1:]))
    exceptions = tuple(
        campaigns.exceptional(user_id="p" * 26, username=f"{'n' * 60}{number}", reason="why " * 40)
        for number in range(6)
    )
    counts = {state.value: 1234 for state in RowState}
    people = [plans.person(f"{number:026}", f"{'n' * 60}{number}") for number in range(9)]
    return {
        "review": as_html(reviews.report()),
        "review-blocked": as_html(
            reviews.report(
                seen=blocked,
                review=judge(blocked),
                signed=None,
                assurance=AssurancePolicy("okta", ("password", "mfa"), "mfa"),
            )
        ),
        "campaign": render(replace(campaigns.report(**counts), exceptions=exceptions), Format.HTML),
        "campaign-simple": render(campaigns.report(verified=4), Format.HTML),
        "plan": plans.written(plans.sheet(*people), Format.HTML),
        "plan-simple": plans.written(plans.sheet(answered=(), looked=False), Format.HTML),
    }


def test_a_report_can_be_read_on_a_phone_and_on_paper(context: BrowserContext) -> None:
    for name, text in reports().items():
        demand_printable(context, name, text)


def demand_printable(context: BrowserContext, name: str, text: str) -> None:
    page = context.new_page()
    loaded: list[str] = []
    page.on("request", lambda asked: loaded.append(asked.url))
    page.set_content(text)
    demand_fits(page, NARROW["width"], name)
    demand_accessible(page, name)
    keep(page, f"report-{name}-360")
    page.emulate_media(media="print")
    page.set_viewport_size(A4)
    demand_fits(page, A4["width"], f"{name} on paper")
    # On paper nothing can be scrolled: whatever is wider than its frame would be cut off.
    cut = page.evaluate(
        "[...document.querySelectorAll('main *')].filter("
        "one => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0"
        " && getComputedStyle(one).display !== 'inline').map(one => one.outerHTML.slice(0, 80))"
    )
    assert cut == [], name
    keep(page, f"report-{name}-paper")
    if "color-scheme: light dark" in text:
        page.emulate_media(media="screen", color_scheme="dark")
        demand_accessible(page, f"{name} in the dark")
    assert loaded == [], "a report fetches nothing"
