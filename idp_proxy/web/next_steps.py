"""What an error page offers first."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from idp_proxy.errors import (
    AuthenticationTooOld,
    EnrolmentClosed,
    EnrolmentOver,
    LoginRefused,
    PersonChanged,
    PersonConverted,
    PersonNotInDrill,
    ProxyError,
    ReplayDetected,
    RosterUnavailable,
    SecondFactorLocked,
    SecondFactorMissing,
    UnknownServiceProvider,
    UnsupportedSignature,
    WrongAcs,
)
from idp_proxy.links import LinkRefused

if TYPE_CHECKING:
    from collections.abc import Mapping


class Way(enum.Enum):
    """How a person came to us: from Mattermost, by a link that a command made, or by our own page
    for second steps.
    """

    MATTERMOST = "mattermost"
    LINK = "link"
    ENROLMENT = "enrolment"


class NextStep(enum.Enum):
    """The one thing an error page offers first. What goes wrong behind a link, such as that of a
    rehearsal, does not begin at Mattermost: LINK_AGAIN. Nor does what is behind /enroll:
    ENROL_AGAIN.
    """

    START_AGAIN = "start_again"
    OPEN_MATTERMOST = "open_mattermost"
    ASK_SUPPORT = "ask_support"
    NEW_LINK = "new_link"
    LINK_AGAIN = "link_again"
    ENROL_AGAIN = "enrol_again"


# An error takes the step of the nearest class above it that stands here.
_NEXT_STEPS: Final[Mapping[type[ProxyError], NextStep]] = {
    ProxyError: NextStep.START_AGAIN,
    ReplayDetected: NextStep.OPEN_MATTERMOST,
    UnsupportedSignature: NextStep.ASK_SUPPORT,
    UnknownServiceProvider: NextStep.ASK_SUPPORT,
    WrongAcs: NextStep.ASK_SUPPORT,
    LoginRefused: NextStep.ASK_SUPPORT,
    AuthenticationTooOld: NextStep.START_AGAIN,
    PersonChanged: NextStep.START_AGAIN,
    PersonConverted: NextStep.OPEN_MATTERMOST,
    PersonNotInDrill: NextStep.START_AGAIN,
    RosterUnavailable: NextStep.START_AGAIN,
    LinkRefused: NextStep.NEW_LINK,
    EnrolmentClosed: NextStep.ENROL_AGAIN,
    EnrolmentOver: NextStep.ENROL_AGAIN,
    SecondFactorLocked: NextStep.START_AGAIN,
}
# Whoever rehearses can do at once what others can do only after the outage.
_BY_LINK: Final[Mapping[type[ProxyError], NextStep]] = {
    SecondFactorMissing: NextStep.ENROL_AGAIN,
}
_AT_MATTERMOST: Final = {NextStep.START_AGAIN, NextStep.OPEN_MATTERMOST}
_ELSEWHERE: Final = {Way.LINK: NextStep.LINK_AGAIN, Way.ENROLMENT: NextStep.ENROL_AGAIN}


def next_step(kind: type[ProxyError], came: Way = Way.MATTERMOST) -> NextStep:
    """What a person may do after an error of class `kind`, who `came` that way."""
    if came is Way.LINK and kind in _BY_LINK:
        return _BY_LINK[kind]
    step = next(_NEXT_STEPS[cls] for cls in kind.__mro__ if cls in _NEXT_STEPS)
    return _ELSEWHERE.get(came, step) if step in _AT_MATTERMOST else step
