"""What a standby left behind in Mattermost, as the commands say it that lead back to the active."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idp_proxy.decision.standby_logins import Unsettled


def left_in_words(left: Unsettled) -> str:
    """Whose sessions outlive the outage: Mattermost does not end them by itself."""
    who = "1 person" if left.people == 1 else f"{left.people} people"
    return (
        f"{who} came through a standby since {left.since:%Y-%m-%d %H:%M} UTC; "
        "the sessions made there go on in Mattermost"
    )


def looked_after(left: Unsettled) -> tuple[str, ...]:
    """The command that shows them, and says how to end them."""
    return ("standby-logins", "list", "--since", f"{left.since:%Y-%m-%dT%H:%M}")
