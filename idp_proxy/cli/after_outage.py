"""What a standby left behind in Mattermost, as the commands say it that lead back to the active."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.decision.standby_logins import fo_13_kept_until

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.config import Settings
    from idp_proxy.decision.standby_logins import Unsettled


def left_in_words(left: Unsettled, settings: Settings) -> str:
    """Whose sessions outlive the outage: Mattermost does not end them by itself."""
    who = "1 person" if left.people == 1 else f"{left.people} people"
    until = known_until(left, settings)
    by_hand = "" if settings.mattermost_api else ", and are ended there by hand"
    return (
        f"{who} came through a standby since {left.since:%Y-%m-%d %H:%M} UTC; "
        f"the sessions made there go on in Mattermost{by_hand}. The first of them is forgotten on "
        f"{until:%Y-%m-%d}"
    )


def known_until(left: Unsettled, settings: Settings) -> datetime:
    """When the first of them is no longer kept: upkeep forgets them one by one from then on."""
    return fo_13_kept_until(left.since, settings.failover.standby_logins_kept)


def looked_after(left: Unsettled) -> tuple[str, ...]:
    """The command that shows them, and says how to end them."""
    return ("standby-logins", "list", "--since", f"{left.since:%Y-%m-%dT%H:%M}")
