"""What a campaign did: so many moved, so many back, nobody left, and each exception with a reason.

account    the figures and the exceptions, from the ledger alone
rendering  the same as text, JSON, CSV, HTML; no binding and no secret in any of them
"""

from conversion.report.account import Exceptional, Report, report_of
from conversion.report.rendering import Format, render

__all__ = ["Exceptional", "Format", "Report", "render", "report_of"]
