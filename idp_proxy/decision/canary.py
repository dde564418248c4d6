"""A canary's login page by page: what follows from what a page asks for; and whose account it is.

The rules stand in the order in which they are asked. What they have in common (FO-02): a login
that was *refused* says nothing about the upstream, so whatever could be the account's own fault, or
ours, is REFUSED; only what nobody could log in by is BROKEN.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from idp_proxy.decision.health import Outcome
from idp_proxy.decision.roster import lookup_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Given(enum.IntEnum):
    """What the canary has told the upstream so far."""

    NOTHING = 0
    USERNAME = 1
    PASSWORD = 2
    CODE = 3


class Step(enum.Enum):
    """What the canary does next."""

    GIVE_USERNAME = "user name"
    GIVE_PASSWORD = "password"  # noqa: S105 - the name of a step
    GIVE_CODE = "code"
    GO_ON = "go on"
    TAKE_ANSWER = "take the answer"


#: What was given once a step is done.
GIVEN: Final = {
    Step.GIVE_USERNAME: Given.USERNAME,
    Step.GIVE_PASSWORD: Given.PASSWORD,
    Step.GIVE_CODE: Given.CODE,
}


@dataclass(frozen=True, slots=True)
class PageSeen:
    """What a page asks for. `passwords` are its fields for one, `asks` the names of what else must
    be typed; `goes_on`: it has nothing to type and one way on; `answers`: it holds a SAMLResponse.
    """

    status: int = 200
    answers: bool = False
    username: bool = False
    passwords: int = 0
    code: bool = False
    asks: tuple[str, ...] = ()
    goes_on: bool = False
    robot_wall: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How the login ended, and why, in words for people."""

    outcome: Outcome
    reason: str


def next_step(page: PageSeen, given: Given, *, has_totp: bool) -> Step | Ended:
    """What the canary does about this page, or how its login ended there."""
    for rule in RULES:
        found = rule(page, given, has_totp)
        if found is not None:
            return found
    where = "no login form" if given is Given.NOTHING else f"a wrong page after the {_said(given)}"
    return _broken(f"shows {where}")


def _robot_wall(page: PageSeen, _given: Given, _has_totp: bool) -> Step | Ended | None:
    if page.robot_wall or page.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _refused(
            "takes the canary for a robot: exempt its address there, or let it log in less often"
        )
    return None


def _server_error(page: PageSeen, given: Given, _has_totp: bool) -> Step | Ended | None:
    if page.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _broken(f"answers {page.status}{after(given)}")
    return None


def _answer(page: PageSeen, _given: Given, _has_totp: bool) -> Step | Ended | None:
    return Step.TAKE_ANSWER if page.answers else None


def _new_password(page: PageSeen, given: Given, _has_totp: bool) -> Step | Ended | None:
    if page.passwords > 1 and given >= Given.PASSWORD:
        return _refused("asks for a new password: the account's password has expired")
    return None


def _password(page: PageSeen, given: Given, _has_totp: bool) -> Step | Ended | None:
    if page.passwords != 1:
        return None
    if given >= Given.PASSWORD:
        return _refused(
            f"asks for the password again after the {_said(given)}: it is wrong or expired, or the "
            "account is locked"
        )
    if given is Given.NOTHING and not page.username:
        return _refused("has no field for the user name beside the password: set username_field")
    return Step.GIVE_PASSWORD


def _code(page: PageSeen, given: Given, has_totp: bool) -> Step | Ended | None:
    if not page.code or given < Given.USERNAME:
        return None
    if given is Given.CODE:
        return _refused(
            "asks for the one-time code again: the secret is wrong, a clock is off, or the code "
            "was used before"
        )
    if given is Given.PASSWORD and has_totp:
        return Step.GIVE_CODE
    return _refused(f"asks for a second factor after the {_said(given)}, and cannot be given it")


def _username(page: PageSeen, given: Given, _has_totp: bool) -> Step | Ended | None:
    if not page.username or page.passwords or page.asks:
        return None
    if given is Given.NOTHING:
        return Step.GIVE_USERNAME
    return _refused(f"asks for the user name again after the {_said(given)}")


def _question(page: PageSeen, given: Given, _has_totp: bool) -> Step | Ended | None:
    if page.asks and given > Given.NOTHING:
        fields = ", ".join(page.asks[:_SHOWN])
        return _refused(f"asks for more after the {_said(given)}: {fields}")
    return None


def _turned_away(page: PageSeen, given: Given, _has_totp: bool) -> Step | Ended | None:
    """Not to let somebody in is an answer, also where it comes before any question."""
    if page.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return _refused(f"answers {page.status}{after(given)}: it turns the canary away")
    return None


def _no_page(page: PageSeen, given: Given, _has_totp: bool) -> Step | Ended | None:
    if page.status >= HTTPStatus.BAD_REQUEST:
        return _broken(f"answers {page.status}{after(given)}")
    return None


def _way_on(page: PageSeen, _given: Given, _has_totp: bool) -> Step | Ended | None:
    return Step.GO_ON if page.goes_on else None


RULES: Final[tuple[Callable[[PageSeen, Given, bool], Step | Ended | None], ...]] = (
    _robot_wall,
    _server_error,
    _answer,
    _new_password,
    _password,
    _code,
    _username,
    _question,
    _turned_away,
    _no_page,
    _way_on,
)
#: Names of fields that a reason shows.
_SHOWN: Final = 3


def _said(given: Given) -> str:
    return {
        Given.USERNAME: "user name",
        Given.PASSWORD: "password",
        Given.CODE: "one-time code",
    }[given]


def after(given: Given) -> str:
    """How far a login had come, to stand behind what happened then."""
    return "" if given is Given.NOTHING else f" after the {_said(given)}"


def _broken(reason: str) -> Ended:
    return Ended(Outcome.BROKEN, reason)


def _refused(reason: str) -> Ended:
    return Ended(Outcome.REFUSED, reason)


# --- whose account it is --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CanaryAccounts:
    """The subjects of all canaries, at whichever upstream: nobody logs in to Mattermost as one.

    They are kept as the roster looks people up, so that no other spelling gets past.
    """

    keys: frozenset[str] = frozenset()

    @classmethod
    def of(cls, subjects: Iterable[str]) -> CanaryAccounts:
        """The accounts with these subjects."""
        return cls(frozenset(lookup_key(one) for one in subjects))

    def names_one(self, *identifiers: str) -> bool:
        """Whether any of these, a link key or an id in whatever spelling, is a canary's."""
        return any(lookup_key(one) in self.keys for one in identifiers)
