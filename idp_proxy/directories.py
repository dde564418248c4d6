"""The composition of logins at directories: only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.directory_login import DirectoryLogin
from idp_proxy.web import directory_login
from idp_proxy.web.directory_login import DirectoryPages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from starlette.routing import Route

    from idp_proxy.config.settings import Settings
    from idp_proxy.enrolling import SecondFactors
    from idp_proxy.login import Login
    from idp_proxy.store.base import Store
    from idp_proxy.transaction import CookieStyle
    from idp_proxy.upstream.configured import ConfiguredUpstream
    from idp_proxy.web.acs import Rehearsals
    from idp_proxy.web.pages import Pages


def directory_route(
    settings: Settings,
    store: Store,
    upstreams: Mapping[str, ConfiguredUpstream],
    login: Login,
    rehearsals: Rehearsals,
    factors: SecondFactors,
    pages: Pages,
    style: CookieStyle,
    now: Callable[[], datetime],
    monotonic: Callable[[], float],
) -> Route:
    """The page of every directory, with the second step behind it."""
    # The import of its library is slow: who has no directory does not wait for it.
    from idp_proxy.upstream.directory import DirectoryUpstream  # noqa: PLC0415 - see above

    journeys = {
        name: DirectoryLogin(
            directory=upstream,
            networks=settings.known_networks,
            store=store,
            key=settings.proxy.state_keys[0],
            now=now,
        )
        for name, upstream in upstreams.items()
        if isinstance(upstream, DirectoryUpstream)
    }
    return directory_login.route(
        DirectoryPages(
            directories=journeys,
            login=login,
            rehearsals=rehearsals,
            policy=settings.assurance,
            steps=factors.steps,
            pages=pages,
            style=style,
            address=settings.proxy.public_url,
            monotonic=monotonic,
        )
    )
