"""A review as a page that somebody prints and signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from idp_proxy.decision.review import HELD
from idp_proxy.reviewing.sheets import conversion, side_by_side, summary

if TYPE_CHECKING:
    from idp_proxy.reviewing.report import Report


def as_html(report: Report) -> str:
    """The whole page; nothing in it is fetched from anywhere, and nothing runs."""
    environment = Environment(
        loader=PackageLoader("idp_proxy.reviewing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        report=report,
        seen=report.seen,
        review=report.review,
        policy=list(summary(report)),
        rows=side_by_side(report),
        conversion=list(conversion(report.seen)),
        held=HELD,
    )
