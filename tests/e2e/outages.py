"""Outages of real providers: the parts, what stands between them, and what is measured."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from idp_proxy.decision.health import Verdict
from idp_proxy.decision.switching import Mode
from tests.e2e.journeys import AT_ACTIVE, AT_STANDBY, SHORT_SOURCES
from tests.e2e.peers.mattermost import MattermostDouble
from tests.e2e.peers.proxy import Proxy, UpstreamChoice
from tests.e2e.peers.service_provider import Shown
from tests.e2e.peers.simplesamlphp import SimpleSamlPhp, Style
from tests.support.browser import Browser, BrowserError
from tests.support.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support.outage import Arrivals, LoginLost, Outage, measure
from tests.support.people import ALICE
from tests.support.processes import free_port
from tests.support.sight import Sight

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.peers.authority import Authority

ACTIVE, STANDBY = "active", "standby"
#: What was measured, each under the name of its fault; printed at the end of the run.
OUTAGES = pytest.StashKey[list[tuple[str, Outage]]]()
#: Whatever else is to be said at the end of the run.
SAID = pytest.StashKey[list[str]]()
#: What a person's browser waits for a page, and how often somebody arrives.
_PATIENCE_S = 2.0
_EVERY_S = 0.5
#: `rise` good looks of the profile "fast", on a busy machine.
UP_WITHIN_S = 20.0
#: Longer than the probe's own deadline in the profile "fast".
_LATENCY_S = 2.0
#: Behind the TLS handshake, in the middle of SimpleSAMLphp's login page.
_CUT_AFTER = 4000
#: Alice as the active describes her, whoever answered.
_IN_MATTERMOST = Shown(ALICE.employee_number, {"email": ALICE.mail.lower(), "username": ALICE.uid})
_SETTINGS = """
[failover]
profile = "fast"
hold_down_s = {hold_down_s}
dwell_s = {hold_down_s}
automatic_per_hour = 2

[health]
references = ["https://127.0.0.1:{neutral}/"]
"""


@dataclass(slots=True)
class Field:
    """A proxy with its watch between two SimpleSAMLphp and Mattermost. `ways` has what stands
    before each provider, `neutral` before the one neutral reference.
    """

    proxy: Proxy
    party: MattermostDouble
    providers: dict[str, SimpleSamlPhp]
    ways: dict[str, FaultProxy]
    neutral: FaultProxy
    sight: Sight
    context: ssl.SSLContext

    @property
    def active(self) -> SimpleSamlPhp:
        """The provider that is preferred."""
        return self.providers[ACTIVE]

    def visit(self) -> str:
        """Alice logs in on a new device; gives who answered. Raises `LoginLost`."""
        person = ALICE
        with Browser(verify=self.context, timeout_s=_PATIENCE_S) as browser:
            try:
                page = browser.login(self.party.protected_url, person.uid, person.password)
            except (httpx.HTTPError, BrowserError) as error:
                raise LoginLost(f"{type(error).__name__} at {browser.history[-1]}") from error
            asked = [
                name
                for name, provider in self.providers.items()
                if browser.visited(provider.base_url.rstrip("/"))
            ]
        if self.party.shown(page.body) != _IN_MATTERMOST or len(asked) != 1:
            raise LoginLost(f"{page.status} at {page.url} by {asked}: {page.text[:200]}")
        return asked[0]

    def everything_up(self) -> None:
        """Wait until both providers are up, whatever was wrong with them before."""
        for name in self.providers:
            self.sight.wait_until(name, Verdict.UP, UP_WITHIN_S)

    def changed(self) -> bool:
        """Whether another one than the active serves, or the watch may not switch by itself."""
        state = self.sight.now().state
        return state.serving != ACTIVE or state.mode is not Mode.AUTO

    def heal(self) -> None:
        """Everything as it was, and seen to be up. What serves is left as it is."""
        for way in (self.neutral, *self.ways.values()):
            way.heal()
        self.active.restore()
        self.everything_up()

    def wait_for_proposals(self) -> list[dict[str, Any]]:
        """What waits for a person, once anything does. Raises `tenacity.RetryError`."""
        waiting = Retrying(
            stop=stop_after_delay(10),
            wait=wait_fixed(0.1),
            retry=retry_if_result(lambda one: not one),
        )
        found: list[dict[str, Any]] = waiting(lambda: self.proxy.status()["proposals"])
        return found

    def rehearse(self, name: str, *command: str) -> None:
        """Alice logs in by `name` behind the link of `rehearse`, or of another `command`."""
        made = self.proxy.command(*(command or ("rehearse",)), name, "--no-wait", "--json")
        link = json.loads(made.stdout)["link"]
        with Browser(verify=self.context) as browser:
            page = browser.rehearse(link, ALICE.uid, ALICE.password)
        assert page.status == httpx.codes.OK, page.text
        assert page.url.startswith(self.proxy.public_url), page.url

    def return_to_active(self) -> None:
        """The operator's return: with a fresh budget, the watch switches by itself again."""
        self.proxy.operate("failback", "--reason", "the outage is over")

    def strike(
        self, fault: Callable[[], object], *, at: str = ACTIVE, within_s: float = 30.0
    ) -> Outage:
        """The serving upstream suffers while people arrive, until the other one lets them in."""
        return measure(
            self.sight,
            Arrivals(self.visit, _EVERY_S),
            fault,
            active=at,
            standby=STANDBY if at == ACTIVE else ACTIVE,
            within_s=within_s,
        )


@contextmanager
def open_field(parent: Path, authority: Authority, *, hold_down_s: int = 600) -> Iterator[Field]:
    """Everything up, the active serves, the standby is rehearsed, and the watch may switch."""
    ports = {ACTIVE: free_port(), STANDBY: free_port()}
    active = SimpleSamlPhp(
        parent,
        "struck-active",
        authority,
        AT_ACTIVE,
        Style(demand_signed_requests=True),
        reached_by=ports[ACTIVE],
    )
    standby = SimpleSamlPhp(
        parent,
        "struck-standby",
        authority,
        AT_STANDBY,
        Style(demand_signed_requests=True, oid_names=False),
        reached_by=ports[STANDBY],
    )
    party = MattermostDouble(parent, "struck-party", authority)
    before = partial(fault_proxy, latency_s=_LATENCY_S, cut_after=_CUT_AFTER)
    with (
        before(active.port, port=ports[ACTIVE]) as to_active,
        before(standby.port, port=ports[STANDBY]) as to_standby,
        before(party.port) as to_neutral,
        active,
        standby,
        Proxy(
            parent,
            "struck-proxy",
            authority,
            party,
            (
                UpstreamChoice(ACTIVE, active),
                UpstreamChoice(STANDBY, standby, SHORT_SOURCES),
            ),
            more_settings=_SETTINGS.format(hold_down_s=hold_down_s, neutral=to_neutral.port),
        ) as proxy,
    ):
        proxy.introduce()
        field_ = Field(
            proxy,
            party,
            {ACTIVE: active, STANDBY: standby},
            {ACTIVE: to_active, STANDBY: to_standby},
            to_neutral,
            Sight.of(proxy.configuration, proxy.process.log),
            authority.client_context(),
        )
        field_.everything_up()
        assert field_.visit() == ACTIVE
        field_.rehearse(STANDBY)
        yield field_
        party.stop()


def by_fault(fault: Fault) -> Callable[[Field], None]:
    """What stands before the active suffers so."""

    def strike(field_: Field) -> None:
        field_.ways[ACTIVE].suffer(fault)

    return strike
