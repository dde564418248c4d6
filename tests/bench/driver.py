"""The driver: browser, Mattermost and upstream in one process, at a fraction of a login's cost.

The upstream signs each assertion for real (python-xmlsec); what Mattermost gets is checked in full
for one login in a hundred, and for the others as far as a search for its InResponseTo goes.
"""

from __future__ import annotations

import html
import http.client
import queue
import re
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

from tests.support import people
from tests.support import saml_wire as wire
from tests.support.identity_provider import Provider, Question, issue
from tests.support.mattermost import Settings, accept

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELD = re.compile(r'name="SAMLResponse" value="([^"]*)"|value="([^"]*)" name="SAMLResponse"')
_ID = re.compile(rb' ID="([^"]+)"')
_CHECKED_IN_FULL = 100
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class LoginWentWrong(Exception):
    """A login under measurement did not end as it must; figures would be worth nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured, and what the other two parties know of it."""

    port: int
    provider: Provider
    entity_id: str
    acs_url: str
    mattermost: Settings
    people: int = 1000


@dataclass(slots=True)
class Result:
    """Latencies in seconds, one for each login; the time it all took; the driver's own CPU."""

    latencies: list[float] = field(default_factory=list)
    elapsed_s: float = 0.0
    driver_cpu_s: float = 0.0

    def add(self, other: Result) -> None:
        """Take in a run that followed this one."""
        self.latencies += other.latencies
        self.elapsed_s += other.elapsed_s
        self.driver_cpu_s += other.driver_cpu_s


def log_in(target: Target, number: int) -> float:
    """One whole login on a connection of its own; gives the seconds a person waited for the proxy.

    Raises `LoginWentWrong`.
    """
    request_id = f"_{uuid.uuid4()}"
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    try:
        began = time.perf_counter()
        location, cookie = begin(connection, target, request_id)
        to_upstream = time.perf_counter() - began
        body = _upstream_answers(target, location, people.employee(number % target.people))
        began = time.perf_counter()
        page = complete(connection, urlsplit(target.acs_url).path, body, cookie)
        from_upstream = time.perf_counter() - began
    finally:
        connection.close()
    _check(target, page, request_id, in_full=number % _CHECKED_IN_FULL == 0)
    return to_upstream + from_upstream


def closed_loop(target: Target, numbers: range, threads: int) -> Result:
    """As many logins at a time as there are threads: what the server can take at most."""
    return _run(target, iter([(number, 0.0) for number in numbers]), len(numbers), threads)


def open_loop(target: Target, numbers: range, per_s: float, threads: int) -> Result:
    """Logins begin at a steady rate, whether earlier ones are done or not.

    A login that had to wait for the driver counts from when it should have begun.
    """
    first = time.perf_counter() + 0.1
    due = ((number, first + step / per_s) for step, number in enumerate(numbers))
    return _run(target, due, len(numbers), threads)


def _run(target: Target, due: Iterator[tuple[int, float]], count: int, threads: int) -> Result:
    result, failures = Result(), queue.SimpleQueue[Exception]()
    lock = threading.Lock()

    def work() -> None:
        while failures.empty():
            with lock:
                number, start = next(due, (None, 0.0))
            if number is None:
                return
            try:
                result.latencies.append(_timed(target, number, start))
            except (LoginWentWrong, OSError, http.client.HTTPException) as error:
                failures.put(error)

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    began, cpu = time.perf_counter(), time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    result.elapsed_s, result.driver_cpu_s = time.perf_counter() - began, time.process_time() - cpu
    if not failures.empty():
        raise LoginWentWrong(f"{len(result.latencies)} of {count} logins: {failures.get()}")
    return result


def _timed(target: Target, number: int, start: float) -> float:
    late = 0.0
    if start:
        wait = start - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        late = max(0.0, time.perf_counter() - start)
    return log_in(target, number) + late


def begin(
    connection: http.client.HTTPConnection, target: Target, request_id: str
) -> tuple[str, str]:
    """Mattermost's redirect to its identity provider; gives that one's redirect and its cookie."""
    query = f"RelayState=c3RhdGU%3D&SAMLRequest={quote_plus(_authn_request(target, request_id))}"
    path = urlsplit(target.mattermost.idp_url).path
    connection.request("GET", f"{path}?{query}")
    answer = connection.getresponse()
    answer.read()
    location, cookie = answer.getheader("location"), answer.getheader("set-cookie")
    if answer.status not in {302, 303} or location is None or cookie is None:
        raise LoginWentWrong(f"{path} answered {answer.status}, location {location}")
    return location, cookie.partition(";")[0]


def _authn_request(target: Target, request_id: str) -> str:
    return wire.deflate(
        f'<samlp:AuthnRequest xmlns:samlp="{wire.SAMLP}" xmlns:saml="{wire.SAML}" '
        f'ID="{request_id}" Version="2.0" ProtocolBinding="{wire.POST}" '
        f'AssertionConsumerServiceURL="{target.mattermost.acs_url}" '
        f'IssueInstant="{wire.instant(datetime.now(UTC))}" '
        f'Destination="{target.mattermost.idp_url}">'
        f"<saml:Issuer>{target.mattermost.entity_id}</saml:Issuer>"
        '<samlp:NameIDPolicy AllowCreate="true"/></samlp:AuthnRequest>'.encode()
    )


def _upstream_answers(target: Target, location: str, person: people.Person) -> str:
    """What the upstream lets the browser post."""
    query = parse_qs(urlsplit(location).query)
    found = _ID.search(wire.inflate(query["SAMLRequest"][0]))
    if found is None:
        raise LoginWentWrong("the request to the upstream has no ID")
    question = Question(found[1].decode("ascii"), target.entity_id, target.acs_url)
    message = issue(target.provider, question, person, now=datetime.now(UTC))
    return urlencode({"SAMLResponse": message, "RelayState": query["RelayState"][0]})


def complete(connection: http.client.HTTPConnection, path: str, body: str, cookie: str) -> str:
    """The upstream's answer, posted to the proxy at `path`; gives the page for Mattermost."""
    connection.request("POST", path, body, {**_FORM, "Cookie": cookie})
    answer = connection.getresponse()
    page = answer.read().decode("utf-8")
    if answer.status != http.client.OK:
        raise LoginWentWrong(f"{path} answered {answer.status}: {page[:2000]}")
    return page


def _check(target: Target, page: str, request_id: str, *, in_full: bool) -> None:
    message = response_in(page)
    if f'InResponseTo="{request_id}"'.encode() not in wire.decode(message):
        raise LoginWentWrong("the Response answers another request")
    if in_full:
        accept(message, target.mattermost, now=datetime.now(UTC))


def response_in(page: str) -> str:
    """The SAMLResponse that the page posts to Mattermost. Raises `LoginWentWrong`."""
    found = _FIELD.search(page)
    if found is None:
        raise LoginWentWrong(f"the page has no SAMLResponse: {page[:500]}")
    return html.unescape(found[1] or found[2])
