"""A canary that uses Chromium: for login pages that work only with JavaScript.

Chromium has no network of its own here: it resolves no name, and each of its requests is answered
by `browser_net`, on the upstream's path and within the same origins as a canary that posts forms.
Our ACS is never reached: the answer ends in our hands. What is not the upstream's fault (no
Chromium, a crash, a script that the configuration does not let through) is REFUSED, never BROKEN.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from idp_proxy.decision.canary import GIVEN, Ended, PageSeen, Step, next_step
from idp_proxy.decision.health import Outcome
from idp_proxy.upstream.base import PostForm
from idp_proxy.upstream.browser_net import BrowserNet, post_page
from idp_proxy.upstream.canary import Halted, names_of, typed
from idp_proxy.upstream.canary_origins import Origins
from idp_proxy.upstream.login_page import Asked, Entry, assign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from idp_proxy.config import CanarySettings
    from idp_proxy.upstream.canary import Answer, Progress, Question
    from idp_proxy.upstream.dialling import Dialler

#: How often the page is looked at, and for how long it must stay as it is before that counts.
_LOOK_S: Final = 0.1
_SETTLED_S: Final = 0.4
#: A page that shows nothing to do, or the same again, is given this share of the whole time.
_PATIENCE: Final = 0.25
#: For what Chromium does by itself: to type, to end.
_MOMENT_S: Final = 5.0
_ARGUMENTS: Final = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--no-first-run",
)
#: Chromium gets no more of the environment, which may hold passwords.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")
#: What a person sees to type in, in order; nothing that is hidden, covered or moved away.
_ENTRIES: Final = """() => {
  const seen = one => {
    const box = one.getBoundingClientRect();
    return one.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})
      && box.width > 1 && box.height > 1 && box.right > 0 && box.bottom > 0
      && !one.closest('[aria-hidden="true"]') && !one.disabled && !one.readOnly;
  };
  const silent = /^(hidden|submit|button|image|reset|checkbox|radio|file|range|color|search)$/;
  const widgets = '.g-recaptcha,.h-captcha,.cf-turnstile,#challenge-form';
  const frames = 'iframe[src*="captcha"],iframe[src*="turnstile"]';
  const entries = [];
  document.querySelectorAll('input, textarea').forEach((one, number) => {
    if (!silent.test(one.type) && seen(one)) {
      entries.push([number, one.name || one.id, one.type, one.autocomplete || '']);
    }
  });
  const shown = [...document.querySelectorAll(widgets)].some(
    one => one.dataset.size !== 'invisible');
  const wall = shown || [...document.querySelectorAll(frames)].some(seen);
  return {entries: entries, wall: wall};
}"""


class BrowserDriver:
    """Implements `canary.Driver`: a fresh Chromium for each login."""

    def __init__(
        self,
        settings: CanarySettings,
        dialler: Dialler,
        timeout: timedelta,
        connect: timedelta,
        *,
        insecure_loopback: bool = False,
    ) -> None:
        self._settings = settings
        self._dialler = dialler
        self._timeout = timeout
        self._connect = connect
        self._insecure_loopback = insecure_loopback

    async def drive(self, question: Question, progress: Progress) -> Answer:
        """See `canary.Driver`."""
        chromium = self._settings.chromium
        if chromium is None:
            raise Halted(Outcome.REFUSED, "this host has no Chromium: apt install chromium")
        origins = Origins.of(
            question.address, self._settings.hosts, insecure_loopback=self._insecure_loopback
        )
        progress.at_work = True
        async with (
            self._dialler.client(self._timeout, self._connect) as client,
            _started(chromium, question.deadline) as browser,
            asyncio.timeout_at(question.deadline),
        ):
            context = await browser.new_context(service_workers="block", accept_downloads=False)
            page = await context.new_page()
            page.set_default_timeout(_MOMENT_S * 1000)
            net = BrowserNet(client, origins, progress, question.acs_url, page)
            await context.route("**/*", net.serve)
            visit = _Visit(self._settings, page, net, progress, self._timeout.total_seconds())
            return await visit.run(question)


class _Visit:
    """One login: the page is looked at again and again, and answered as a person would."""

    def __init__(
        self,
        settings: CanarySettings,
        page: Page,
        net: BrowserNet,
        progress: Progress,
        whole_s: float,
    ) -> None:
        self._settings = settings
        self._page = page
        self._net = net
        self._progress = progress
        self._names = names_of(settings)
        self._patience_s = whole_s * _PATIENCE
        self._places: dict[str, int] = {}
        self._answered = (-1, Asked())

    async def run(self, question: Question) -> Answer:
        """From the question to the answer. Raises as `canary.Driver.drive`."""
        started = asyncio.ensure_future(self._open(question))
        looked: tuple[int, PageSeen, Asked] | None = None
        since = time.monotonic()
        try:
            while True:
                if self._net.answer is not None:
                    return self._net.answer
                if self._net.failure is not None:
                    raise self._net.failure
                now = await self._look()
                if now is not None and (now != looked or self._net.pending):
                    looked, since = now, time.monotonic()
                elif looked is not None:
                    await self._act(looked, time.monotonic() - since, question)
                await asyncio.sleep(_LOOK_S)
        finally:
            started.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await started
            # What is still answered when Chromium goes would wait for it for ever.
            await self._net.end()

    async def _open(self, question: Question) -> None:
        way = question.way
        if isinstance(way, PostForm):
            await self._page.set_content(post_page(way.action, way.fields))
        else:
            await self._page.goto(way.url, wait_until="commit")

    async def _look(self) -> tuple[int, PageSeen, Asked] | None:
        """The document's number and what it asks for; None while it is on its way."""
        try:
            seen: dict[str, Any] = await self._page.evaluate(_ENTRIES)
        except Exception as error:  # the page changes under our eyes, or Chromium is gone
            if self._page.is_closed() or not self._net.is_open:
                raise Halted(Outcome.REFUSED, "Chromium ended before the login did") from error
            return None
        entries = [
            (place, Entry(name or f"field {place}", kind, autocomplete.lower()))
            for place, name, kind, autocomplete in seen["entries"]
        ]
        self._places = {entry.name: place for place, entry in reversed(entries)}
        asked = assign([entry for _, entry in entries], self._names)
        page = PageSeen(
            status=self._net.status,
            username=asked.username is not None,
            passwords=len(asked.passwords),
            code=asked.code is not None,
            asks=asked.others,
            robot_wall=bool(seen["wall"]),
        )
        return self._net.documents, page, asked

    async def _act(
        self, looked: tuple[int, PageSeen, Asked], unchanged_s: float, question: Question
    ) -> None:
        """Give what is asked for once the page has settled; an end counts after some patience."""
        number, page, asked = looked
        step = next_step(page, self._progress.given, has_totp=self._settings.totp is not None)
        if isinstance(step, Step):
            if unchanged_s >= _SETTLED_S:
                await self._give(step, asked, question)
                self._answered = (number, asked)
            return
        same_again = (number, asked) == self._answered
        speaks = page.passwords or page.code or page.username or page.asks or page.status != _OK
        if unchanged_s >= (self._patience_s if same_again or not speaks else _SETTLED_S):
            self._end(step)

    def _end(self, ended: Ended) -> None:
        """A page that lacks what the configuration does not let through is no fault of its own."""
        if not self._net.documents:
            raise Halted(Outcome.REFUSED, "Chromium does not work here: it asked for no page")
        withheld = ", ".join(sorted(self._net.withheld))
        if ended.outcome is Outcome.BROKEN and withheld and self._net.status == _OK:
            raise Halted(
                Outcome.REFUSED,
                f"{ended.reason}; its scripts from {withheld} were not let through: if they belong "
                "to the login, add them to hosts",
            )
        raise Halted(ended.outcome, ended.reason)

    async def _give(self, step: Step, asked: Asked, question: Question) -> None:
        """Type, and press Enter."""
        why = self._net.stranger(self._page.url)
        if why is not None:
            raise Halted(Outcome.REFUSED, f"leads {why}")
        fields = self._page.locator("input, textarea")
        filled = typed(asked, step, self._settings, question.now())
        for name, value in filled.items():
            await fields.nth(self._places[name]).fill(value)
        self._progress.given = GIVEN.get(step, self._progress.given)
        await fields.nth(self._places[next(reversed(filled))]).press("Enter", no_wait_after=True)


_OK: Final = 200


@asynccontextmanager
async def _started(chromium: Path, deadline: float) -> AsyncIterator[Browser]:
    """A Chromium of its own, ended with everything that belongs to it, also after the deadline."""
    try:
        from playwright.async_api import Error, async_playwright  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise Halted(
            Outcome.REFUSED,
            "playwright is not installed, the proxy's extra: pip install '.[browser]'",
        ) from error
    starting = asyncio.ensure_future(async_playwright().start())
    try:
        async with asyncio.timeout_at(deadline):
            playwright = await asyncio.shield(starting)
            browser = await playwright.chromium.launch(
                executable_path=chromium,
                args=list(_ARGUMENTS),
                # Chromium refuses its own sandbox to root, and to nobody else.
                chromium_sandbox=os.geteuid() != 0,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )
        yield browser
    except Error as error:
        line = next(iter(str(error).splitlines()), "")
        raise Halted(Outcome.REFUSED, f"Chromium does not work here: {line}") from error
    finally:
        with suppress(Exception):
            async with asyncio.timeout(_MOMENT_S):
                await (await starting).stop()
