"""The page at the end of what somebody proved on a page of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from idp_proxy.rehearsal import Rehearsed
from idp_proxy.web.wording import choose_language

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from idp_proxy.login import Issued
    from idp_proxy.web.pages import Pages

_log = structlog.get_logger("idp_proxy.web")


def ended(request: Request, end: Issued | Rehearsed, tid: str, pages: Pages) -> Response:
    """On to Mattermost behind a login; behind a rehearsal, that it works."""
    language = choose_language(request.headers.get("accept-language", ""))
    if isinstance(end, Rehearsed):
        _log.info(end.kind.value, upstream=end.upstream, tid=tid[:8])
        return pages.rehearsed(end, language)
    _log.info(end.outcome, upstream=end.upstream, tid=tid[:8])
    fields = {"SAMLResponse": end.saml_response}
    if end.relay_state is not None:
        fields["RelayState"] = end.relay_state
    return pages.auto_post(end.acs_url, fields, "sp", language)
