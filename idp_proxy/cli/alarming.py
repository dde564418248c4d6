"""Telling everybody at once: what a command sends itself, without waiting for the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.cli.session import clock, command_line, tell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.config import Settings
    from idp_proxy.decision.notices import Kind


def alarm(
    settings: Settings, kind: Kind, key: str, facts: Mapping[str, str], *next_words: str
) -> None:
    """Send a notice to every channel now; say which did not take it, and go on.

    The night in which nothing else works must not be the one in which nobody may act.
    """
    if not settings.notify.urls:
        tell("warning: notify.urls: no channel is set, so nobody was told")
        return
    # Templates and channels are for few commands: every other one is back sooner without them.
    from idp_proxy import notify  # noqa: PLC0415 - few commands tell: the others start without it

    timeout_s = settings.notify.timeout.total_seconds()
    message = notify.write(
        notify.Notice(kind, key, facts, command_line(*next_words)),
        settings.notify.language,
        since=clock(),
        fallback=command_line("status"),
        source=f"{settings.proxy.public_url.partition('://')[2]} ({settings.proxy.host})",
    )
    channels = notify.open_channels(settings.notify.urls, timeout_s)
    for one in notify.send(channels, message, timeout_s):
        if not one.sent:
            tell(f"warning: notify.urls[{one.index}] was not told: {one.reason}")
