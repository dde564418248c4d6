"""What people read and agree to, and what they read afterwards; no binding and no secret in it.

account    the figures of a campaign and its exceptions, from the ledger alone
rendering  a report as text, JSON, CSV, HTML
sheet      a plan as text, JSON, CSV, HTML
brief      six lines for the management, English or German
forms      what both may be written as, and how a text goes into each unharmed
"""

from conversion.report.account import Exceptional, Report, report_of
from conversion.report.brief import Language, brief_of
from conversion.report.forms import Format
from conversion.report.rendering import render
from conversion.report.sheet import Sheet, render_plan, sheet_of

__all__ = [
    "Exceptional",
    "Format",
    "Language",
    "Report",
    "Sheet",
    "brief_of",
    "render",
    "render_plan",
    "report_of",
    "sheet_of",
]
