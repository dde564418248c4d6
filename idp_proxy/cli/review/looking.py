"""What every `review` command works with: the report of this moment."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from idp_proxy import adapters
from idp_proxy.cli.session import clock, opened_store, tell
from idp_proxy.decision.review import judge
from idp_proxy.errors import ProxyError, StoreError
from idp_proxy.reviewing.gathering import gather, look_now
from idp_proxy.reviewing.policy import policy_of
from idp_proxy.reviewing.report import Report
from idp_proxy.reviewing.server import server_seen
from idp_proxy.store import reviews

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.decision.review import ServerSeen, Waiver
    from idp_proxy.store.sql import SqlStore

PACKAGE: Final = "mattermost-sso-failover"
_TOLD: Final = (PACKAGE, "cryptography", "lxml", "xmlsec", "python3-saml", "pysaml2", "ldap3")


def report_of(settings: Settings, *, live: bool = False) -> Report:
    """The report, with what the store knows if there is one. Raises `StoreError` with `live`."""
    try:
        with opened_store(settings) as store:
            return report_in(settings, store, live=live)
    except StoreError as error:
        if live:
            raise
        tell(f"warning: the store was not read, so nothing is said of it: {error.detail}")
        return _report(settings, None, live=False)


def report_in(settings: Settings, store: SqlStore, *, live: bool = False) -> Report:
    """The report with what the store knows. Raises `StoreError`."""
    return _report(settings, store, live=live)


def _report(settings: Settings, store: SqlStore | None, *, live: bool) -> Report:
    upstreams, now = adapters.open_upstreams(settings), clock()
    seen_live, signed = None, None
    waived: tuple[Waiver, ...] = ()
    if store is not None:
        with store.reading() as connection:
            signed = reviews.last_signed(connection, settings.proxy.state_keys)
            waived = reviews.waivers(connection, now, settings.proxy.state_keys)
        if live:
            cadence = settings.failover.cadence
            seen_live = look_now(upstreams, cadence, store, clock, adapters.new_id)
    server = _server(settings) if live else None
    seen = gather(settings, upstreams, now, store, seen_live, server)
    return Report(
        file=settings.path.name,
        seen=seen,
        review=judge(seen, waived),
        assurance=settings.assurance,
        policy=policy_of(settings, upstreams, now),
        signed=signed,
        versions=(("Python", platform.python_version()), *((one, version(one)) for one in _TOLD)),
    )


def _server(settings: Settings) -> ServerSeen | None:
    """Mattermost's settings; None where the proxy has no access to them, or they are not told: it
    says so, and all else is judged.
    """
    if settings.mattermost_api is None:
        tell("warning: no [service_provider.api]: Mattermost's own settings were not looked at")
        return None
    # The client's import is for this look alone.
    from idp_proxy.mattermost.client import open_api  # noqa: PLC0415 - see above

    try:
        with open_api(settings, "review --live") as api:
            # Others than an administrator are shown a part of them, as if that were all.
            api.whoami()
            return server_seen(api.config())
    except ProxyError as error:
        tell(f"warning: Mattermost's own settings were not looked at: {error.detail}")
        return None
