"""Logins by the thousand through two identity providers that run as processes of their own.

The driver is the browser and Mattermost: it asks, logs in at whichever provider the proxy sends it
to, and holds what Mattermost would get against that provider and against the person.
"""

from __future__ import annotations

import html
import http.client
import re
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from tests.bench.driver import LoginWentWrong, begin, complete, response_in
from tests.support import people
from tests.support.mattermost import accept

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.bench.driver import Target

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
#: A person gives up after this.
_PATIENCE_S = 5.0


@dataclass(slots=True)
class Tally:
    """How the logins ended: by upstream, lost with the reason, and everything that must not be."""

    answered: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Every login that began."""
        return self.answered.total() + self.lost.total() + len(self.wrong)


def run(
    target: Target,
    providers: Mapping[int, str],
    logins: range,
    per_s: float,
    threads: int,
    at_half: Callable[[], None],
) -> Tally:
    """Begin `logins` at this rate at most, never in a burst; call `at_half` in the middle.
    `providers` has the name of the upstream behind each port.
    """
    tally, turn, numbers = Tally(), threading.Lock(), iter(logins)

    def work() -> None:
        while True:
            with turn:
                number = next(numbers, None)
                time.sleep(1 / per_s)
            if number is None:
                return
            if number - logins.start == len(logins) // 2:
                at_half()
            _tell(tally, target, providers, number)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return tally


def _tell(tally: Tally, target: Target, providers: Mapping[int, str], number: int) -> None:
    try:
        by = _log_in(target, providers, number)
    except (OSError, http.client.HTTPException) as error:
        tally.lost[type(error).__name__] += 1
    except Exception as error:  # noqa: BLE001 - whatever else happens is a finding, not a loss
        tally.wrong.append(f"login {number}: {type(error).__name__}: {error}")
    else:
        tally.answered[by] += 1


def _log_in(target: Target, providers: Mapping[int, str], number: int) -> str:
    """One whole login; gives the upstream that answered. Raises `LoginWentWrong` when Mattermost
    would get anything but this person's assertion, vouched for by the upstream that was asked.
    """
    person, request_id = people.employee(number % target.people), f"_{uuid.uuid4()}"
    ours = http.client.HTTPConnection("127.0.0.1", target.port, timeout=_PATIENCE_S)
    try:
        location, cookie = begin(ours, target, request_id)
        port = urlsplit(location).port or 0
        action, fields = _at_provider(location, person)
        page = complete(ours, urlsplit(action).path, urlencode(fields), cookie)
    finally:
        ours.close()
    got = accept(response_in(page), target.mattermost, now=datetime.now(UTC))
    seen = (got.in_response_to, got.name_id, got.profile.email, got.profile.username)
    wanted = (request_id, person.employee_number, person.mail, person.uid)
    if seen != wanted:
        raise LoginWentWrong(f"Mattermost gets {seen}, not {wanted}")
    asked = f"http://127.0.0.1:{port}/metadata"
    if got.authorities != (asked,):
        raise LoginWentWrong(f"{got.authorities} vouches, {asked} was asked")
    return providers[port]


def _at_provider(location: str, person: people.Person) -> tuple[str, dict[str, str]]:
    """What the provider has the browser post, and where."""
    url = urlsplit(location)
    theirs = http.client.HTTPConnection("127.0.0.1", url.port, timeout=_PATIENCE_S)
    try:
        theirs.request("GET", f"{url.path}?{url.query}")
        asked = dict(_HIDDEN.findall(_page(theirs)))
        typed = {"username": person.uid, "password": person.password, **asked}
        theirs.request("POST", "/login", urlencode(typed), _FORM)
        page = _page(theirs)
    finally:
        theirs.close()
    action = re.search(r'<form method="post" action="([^"]+)">', page)
    if action is None:
        raise LoginWentWrong(f"the provider does not let {person.uid} in: {page[:300]}")
    fields = {name: html.unescape(value) for name, value in _HIDDEN.findall(page)}
    return html.unescape(action[1]), fields


def _page(connection: http.client.HTTPConnection) -> str:
    return connection.getresponse().read().decode("utf-8")
