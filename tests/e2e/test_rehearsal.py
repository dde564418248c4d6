"""Rehearsals and drills on real providers: the commands, a browser, and who notices."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.journeys import as_described_by_active, assert_our_page, log_in
from tests.e2e.peers.mellon import Mellon
from tests.e2e.peers.proxy import PROGRAM
from tests.support.people import ALICE, BOB, CAROL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.journeys import NewStack, Stack
    from tests.e2e.peers.authority import Authority
    from tests.e2e.peers.proxy import Proxy
    from tests.support.browser import Browser, Page

pytestmark = pytest.mark.e2e

#: A command that waits sees the evidence at its next look.
WAITS_S = 20


@pytest.fixture(scope="module")
def stack(rigs: Path, authority: Authority, new_stack: NewStack) -> Iterator[Stack]:
    with new_stack(Mellon(rigs, "rehearsal", authority)) as running:
        yield running


def asked(proxy: Proxy, *words: str, code: int = 0) -> dict[str, Any]:
    """The answer of a command with --json."""
    done = proxy.command(*words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def upstream(proxy: Proxy, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = proxy.status()["upstreams"]
    return next(one for one in found if one["name"] == name)


@pytest.mark.parametrize("name", ["standby", "active"])
def test_a_rehearsal_ends_on_our_page_and_the_command_that_waits_sees_it(
    stack: Stack, new_browser: Callable[[], Browser], name: str
) -> None:
    provider = stack.active if name == "active" else stack.standby
    waiting = subprocess.Popen(
        [str(PROGRAM), "rehearse", name],
        env={**os.environ, "IDP_PROXY_CONFIG": str(stack.proxy.configuration)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert waiting.stdout is not None
        shown = ""
        while (found := re.search(r"https://\S+/rehearse/\S+\n", shown)) is None:
            line = waiting.stdout.readline()
            assert line, f"the command ended: {shown}"
            shown += line
        with new_browser() as browser:
            page = browser.rehearse(found[0].strip(), ALICE.uid, ALICE.password)
            assert browser.visited(provider.base_url.rstrip("/"))
            assert not browser.visited(stack.party.origin)
        assert f"The login by {name} works" in page.text
        assert not page.forms
        out, _ = waiting.communicate(timeout=WAITS_S)
    finally:
        if waiting.poll() is None:
            waiting.kill()
            waiting.wait()
    assert waiting.returncode == 0, out
    assert f"the login by {name} works, proven " in out


def test_after_a_wrong_password_the_link_is_opened_again_and_then_it_is_used_up(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    link = asked(stack.proxy, "failback", "test", "--no-wait", code=3)["link"]
    with new_browser() as browser:
        form_again = browser.rehearse(link, ALICE.uid, "wrong")
        assert form_again.url.startswith(stack.active.base_url)
    with new_browser() as browser:
        page = browser.rehearse(link, ALICE.uid, ALICE.password)
        assert "The login by active works" in page.text
        assert "ten minutes" in page.text
    with new_browser() as browser:
        assert_our_page(browser.get(link), stack.proxy, 410, "link_used")


def test_a_disabled_upstream_cannot_be_rehearsed(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    link = asked(stack.proxy, "rehearse", "standby", "--no-wait", code=3)["link"]
    stack.proxy.operate("upstream", "disable", "standby", "--reason", "a test")
    try:
        assert stack.proxy.command("rehearse", "standby", "--no-wait").returncode == 1
        with new_browser() as browser:
            assert_our_page(browser.get(link), stack.proxy, 503, "upstream_unavailable")
    finally:
        stack.proxy.operate("upstream", "enable", "standby", "--reason", "a test")


def test_in_a_drill_its_people_come_by_the_standby_and_everybody_else_as_always(
    stack: Stack, new_browser: Callable[[], Browser]
) -> None:
    party, proxy = stack.party, stack.proxy
    for person in (ALICE, BOB):
        with new_browser() as browser:
            log_in(browser, party, stack.active, person)
    before = proxy.status()
    answer = asked(
        proxy,
        *("drill", "cohort", "--upstream", "standby", "--minutes", "10", "--reason", "a test"),
        *("--person", ALICE.employee_number, "--person", BOB.employee_number),
    )
    links = {one["person"]: one["link"] for one in answer["people"]}
    with new_browser() as alices, new_browser() as bobs, new_browser() as carols:
        join(alices, links[ALICE.employee_number])
        join(bobs, links[BOB.employee_number])

        page = log_in(alices, party, stack.standby, ALICE)
        assert party.shown(page.body) == as_described_by_active(ALICE)
        # Alice's password in Bob's browser: the standby knows her, and his pass is not hers.
        page = log_in(bobs, party, stack.standby, ALICE)
        assert_our_page(page, proxy, 403, "person_not_in_drill")
        page = log_in(carols, party, stack.active, CAROL)
        assert party.shown(page.body) == as_described_by_active(CAROL)
        assert_our_page(carols.get(links[BOB.employee_number]), proxy, 410, "link_used")
        assert_same_switch(before, proxy.status())

        done = proxy.command("drill", "stop", "--reason", "seen enough")
        assert done.returncode == 0, done.stderr
        page = log_in(bobs, party, stack.active, BOB)
        assert party.shown(page.body) == as_described_by_active(BOB)
    assert upstream(proxy, "standby")["proven_at"] is not None
    assert proxy.command("verify-audit").returncode == 0


def join(browser: Browser, link: str) -> None:
    page: Page = browser.get(link)
    assert "Take part in an exercise" in page.text
    assert "This browser takes part" in browser.submit(page, page.forms[0]).text


def assert_same_switch(before: dict[str, Any], after: dict[str, Any]) -> None:
    for fact in ("serving", "epoch", "mode", "since"):
        assert before[fact] == after[fact]
