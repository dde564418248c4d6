"""`rehearse NAME` and `failback test`: an operator logs in by an upstream, and the store knows it.

The command makes a link and waits; the login itself happens in a browser. It changes nothing about
who serves, so any operator may ask for it, and so may whoever runs commands on the host.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from idp_proxy import adapters
from idp_proxy.cli import terminal
from idp_proxy.cli.session import (
    EXIT_OPEN,
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    clock,
    command_line,
    opened_store,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption, who
from idp_proxy.config import DirectorySettings
from idp_proxy.decision.assurance import can_reach_floor, suffices
from idp_proxy.errors import SwitchRefused
from idp_proxy.operators.accounts import actor_of
from idp_proxy.rehearsal import LINK_LASTS, PURPOSE, Ticket, link_of
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT
from idp_proxy.seal import KeyRing
from idp_proxy.store.base import Evidence

if TYPE_CHECKING:
    from datetime import datetime

    from idp_proxy.config import Settings
    from idp_proxy.store.sql import SqlStore

WaitOption = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until somebody has logged in.")
]
_LOOKS_EVERY_S: Final = 1.0
_SHOWN_EVERY_S: Final = 60


def register(program: typer.Typer) -> None:
    """Add `rehearse` to `program`."""
    program.command("rehearse")(rehearse)


def rehearse(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The upstream.")],
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
    *,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Prove that the login by NAME works, whoever serves: open the link in a browser, log in there.

    Nobody is logged in to Mattermost by it, and nothing is switched.
    """
    settings = settings_of(config)
    means = Means(as_name, None, password_from)
    _Errand(settings, Evidence.REHEARSAL, name, ("rehearse", name), as_json).run(means, wait=wait)


def failback_test(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="The upstream; else the most preferred one."),
    ] = None,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
    *,
    wait: WaitOption = True,
    as_json: JsonOption = False,
) -> None:
    """Prove by a login that the upstream to return to works again; it counts for ten minutes."""
    settings = settings_of(config)
    means = Means(as_name, None, password_from)
    wanted = name or settings.upstreams[0].name
    words = ("failback", "test", wanted)
    _Errand(settings, Evidence.FAILBACK_TEST, wanted, words, as_json).run(means, wait=wait)


@dataclass(frozen=True, slots=True)
class _Errand:
    """One command: what is to be proven of which upstream; `again` are its own words."""

    settings: Settings
    kind: Evidence
    upstream: str
    again: tuple[str, ...]
    as_json: bool

    def run(self, means: Means, *, wait: bool) -> None:
        """Make the link, show it, and wait for the login behind it.

        Raises `SwitchRefused` where the upstream cannot be asked, `typer.Exit` with 3 while the
        link is left open and with 1 when nobody used it, and what `who` and the store raise.
        """
        with opened_store(self.settings) as store:
            person = who(self.settings, store, means)
            self._demand_askable(store)
            ticket = Ticket(
                id=secrets.token_urlsafe(16),
                kind=self.kind,
                upstream=self.upstream,
                actor=actor_of(person.name),
                until=(clock() + LINK_LASTS).replace(microsecond=0),
            )
            ring = KeyRing(self.settings.proxy.state_keys, PURPOSE)
            url = f"{self.settings.proxy.public_url}/rehearse/{link_of(ticket, ring)}"
            self._show(ticket, url)
            used = wait and self._wait(store, ticket)
            proven_at = store.evidence(self.kind).get(self.upstream) if used else None
        self._end(ticket, url, proven_at)

    def _demand_askable(self, store: SqlStore) -> None:
        upstreams = adapters.open_upstreams(self.settings)
        if self.upstream not in upstreams:
            known = ", ".join(upstreams)
            raise typer.BadParameter(f"no upstream is called {self.upstream}; there are {known}")
        state = adapters.open_switchboard(store, upstreams, clock).current()
        if self.upstream in state.disabled:
            raise SwitchRefused(
                f"{self.upstream} is disabled: "
                + command_line("upstream", "enable", self.upstream, "--reason", "TEXT")
            )
        if (why := upstreams[self.upstream].why_unusable(clock())) is not None:
            raise SwitchRefused(f"{self.upstream} cannot be asked: {why}")
        policy = self.settings.assurance
        if policy.binds(self.upstream) and not can_reach_floor(policy, self.upstream):
            raise SwitchRefused(
                f"FO-04: no login by {self.upstream} reaches the floor {policy.floor}: "
                "a rehearsal would prove nothing. Map what it says in [upstream.assurance]"
            )

    def _show(self, ticket: Ticket, url: str) -> None:
        """Say what to do and what will be seen; with --json the answer is not mixed with it."""
        typer.echo(
            f"open this in a private window; it counts once, until {ticket.until:%H:%M:%S} UTC:\n"
            f"\n  {url}\n\n"
            f"you will see a page with one button, the login of {ticket.upstream}, and at last\n"
            f'"The login by {ticket.upstream} works". Nobody is logged in to Mattermost by it,\n'
            f"and nothing is switched.{self._second_step()}",
            err=self.as_json,
        )

    def _second_step(self) -> str:
        """What it takes beyond a password at a directory, where the floor asks for more."""
        wanted = next(one for one in self.settings.upstreams if one.name == self.upstream)
        if not isinstance(wanted, DirectorySettings) or suffices(
            self.settings.assurance, self.upstream, PASSWORD_PROTECTED_TRANSPORT
        ):
            return ""
        return (
            f"\n\na password alone does not suffice at {self.upstream}: you need a second step,\n"
            f"set up at {self.settings.proxy.public_url}/enroll while the active serves"
        )

    def _wait(self, store: SqlStore, ticket: Ticket) -> bool:
        """Whether the link was used; False when its time is over, or Ctrl-C was pressed."""
        shown = None
        try:
            while not store.is_used(ticket.use):
                left = (ticket.until - clock()).total_seconds()
                if left <= 0:
                    # An answer that was taken in the last moment is committed by now, or never.
                    terminal.pause(_LOOKS_EVERY_S)
                    return store.is_used(ticket.use)
                if shown is None or shown - left >= _SHOWN_EVERY_S:
                    shown = left
                    tell(f"waiting for the login, {left:.0f} s left; Ctrl-C leaves the link open")
                terminal.pause(_LOOKS_EVERY_S)
        except KeyboardInterrupt:
            return False
        return True

    def _end(self, ticket: Ticket, url: str, proven_at: datetime | None) -> None:
        over = proven_at is None and clock() >= ticket.until
        words = self.again if proven_at is None else ("status",)
        if self.as_json:
            answer = {
                "upstream": self.upstream,
                "kind": self.kind.value,
                "proven_at": None if proven_at is None else proven_at.isoformat(),
                "link": url,
                "valid_until": ticket.until.isoformat(),
                "next": command_line(*words),
            }
            typer.echo(json.dumps(answer, indent=2))
        elif proven_at is not None:
            typer.echo(f"the login by {self.upstream} works, proven {proven_at:%H:%M:%S} UTC")
        elif over:
            tell("error: nobody logged in by the link in time; nothing was proven")
        else:
            typer.echo(f"the link is left open until {ticket.until:%H:%M:%S} UTC")
        if not self.as_json:
            typer.echo(shown_next(*words))
        if proven_at is None:
            raise typer.Exit(EXIT_REFUSED if over else EXIT_OPEN)
