"""What an error page offers first."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from idp_proxy.errors import (
    LoginRefused,
    PersonConverted,
    PersonNotInDrill,
    ProxyError,
    ReplayDetected,
    RosterUnavailable,
    UnknownServiceProvider,
    UnsupportedSignature,
    WrongAcs,
)
from idp_proxy.links import LinkRefused

if TYPE_CHECKING:
    from collections.abc import Mapping


class NextStep(enum.Enum):
    """The one thing an error page offers first. What goes wrong behind a link, such as that of a
    rehearsal, does not begin at Mattermost: LINK_AGAIN.
    """

    START_AGAIN = "start_again"
    OPEN_MATTERMOST = "open_mattermost"
    ASK_SUPPORT = "ask_support"
    NEW_LINK = "new_link"
    LINK_AGAIN = "link_again"


# An error takes the step of the nearest class above it that stands here.
_NEXT_STEPS: Final[Mapping[type[ProxyError], NextStep]] = {
    ProxyError: NextStep.START_AGAIN,
    ReplayDetected: NextStep.OPEN_MATTERMOST,
    UnsupportedSignature: NextStep.ASK_SUPPORT,
    UnknownServiceProvider: NextStep.ASK_SUPPORT,
    WrongAcs: NextStep.ASK_SUPPORT,
    LoginRefused: NextStep.ASK_SUPPORT,
    PersonConverted: NextStep.OPEN_MATTERMOST,
    PersonNotInDrill: NextStep.START_AGAIN,
    RosterUnavailable: NextStep.START_AGAIN,
    LinkRefused: NextStep.NEW_LINK,
}
_AT_MATTERMOST: Final = {NextStep.START_AGAIN, NextStep.OPEN_MATTERMOST}


def next_step(kind: type[ProxyError], *, by_link: bool = False) -> NextStep:
    """What a person may do after an error of class `kind`; `by_link` if they came by a link."""
    step = next(_NEXT_STEPS[cls] for cls in kind.__mro__ if cls in _NEXT_STEPS)
    return NextStep.LINK_AGAIN if by_link and step in _AT_MATTERMOST else step
