"""A directory behind the proxy, as the journeys and the watch know an upstream.

It stands by: a login begins at a page of ours (`directory_login`) and ends as every other one.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import urlencode

from cryptography import x509
from ldap3.utils.conv import escape_filter_chars

from idp_proxy.config import Outbound
from idp_proxy.decision.health import Outcome
from idp_proxy.decision.subject import Evidence
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT
from idp_proxy.upstream.base import Redirect
from idp_proxy.upstream.bind_gate import BindGate
from idp_proxy.upstream.dialling import Dialler, NameUnresolved
from idp_proxy.upstream.directory_logins import DirectoryLogins
from idp_proxy.upstream.ldap import conversing
from idp_proxy.upstream.ldap_stream import Deadline, HostFailed, HostRefused
from idp_proxy.upstream.probing import Expiry, Probed
from idp_proxy.upstream.subject_mapping import AttributeMap, subject_of_entry

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from idp_proxy.config import DirectoryHost, DirectorySettings
    from idp_proxy.decision.health import Cadence
    from idp_proxy.decision.password_limits import PasswordLimits
    from idp_proxy.decision.subject import Subject
    from idp_proxy.upstream.base import Ask, Found, Pending
    from idp_proxy.upstream.ldap import Conversation
    from idp_proxy.upstream.ldap_account import AccountState

#: `[failover] confirm` asks for at most 20 looks at once.
_LOOKS_AT_ONCE: Final = 21
#: What a thread may take beyond its own deadline, before it is no longer waited for.
_OVERTIME_S: Final = 0.25
_MAX_REASON: Final = 300


class DirectoryUpstream:
    """One `[[upstream]]` of kind "ldap"; implements `upstream.configured.ConfiguredUpstream`."""

    #: A directory has no metadata, and needs none of ours.
    feed: None = None

    def __init__(self, settings: DirectorySettings) -> None:
        self._settings = settings
        self._logins = DirectoryLogins(settings)

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._settings.name

    @property
    def limits(self) -> PasswordLimits:
        """How often a password may be wrong here."""
        return self._settings.limits

    def why_unusable(self, _now: datetime) -> str | None:
        """Nothing: it needs no approved metadata. Whether it works is what the watch sees."""

    def own_metadata(self) -> None:
        """Nothing: a directory must know nothing of us but the account that we ask as."""

    def probe(self, _new_id: Callable[[], str]) -> DirectoryProbe:
        """L1: a search as a login would begin with."""
        settings = self._settings
        return DirectoryProbe(settings, Dialler(Outbound(tls_ca=settings.tls_ca)))

    def entity_id(self, _now: datetime) -> str:
        """What stands for it among the authorities: a name of ours (IDP-04)."""
        return f"{self._settings.base_url}/directory"

    def begin(self, ask: Ask) -> Redirect:
        """The page on which the person gives name and password. There is no session: every login
        is fresh, and none is passive.
        """
        query = urlencode({"login": ask.relay_state})
        return Redirect(f"{self._settings.base_url}/login?{query}")

    def finish(self, _message: str, pending: Pending) -> NoReturn:
        """Raises `UpstreamUnavailable`: a directory posts no answers."""
        raise UpstreamUnavailable(f"{self.name} is a directory: {pending.entity_id} signs nothing")

    def find(self, typed: str) -> Found:
        """See `directory_login.Directory`."""
        return self._logins.find(typed)

    def prove(self, name: str | None, password: str) -> AccountState:
        """See `directory_login.Directory`."""
        return self._logins.prove(name, password)

    def close(self) -> None:
        """End the connections that are kept for the next person; another one may still come."""
        self._logins.close()

    def subject(self, found: Found, at: datetime) -> Subject:
        """The person of an entry whose password was right at this time. Raises `AssertionInvalid`
        where the entry does not say who it is (SP-10, FO-10).
        """
        settings = self._settings
        mapping = AttributeMap(settings.attributes, settings.email_domains)
        evidence = Evidence(at, PASSWORD_PROTECTED_TRANSPORT, (self.entity_id(at),))
        return subject_of_entry(self.name, found.attributes, mapping, evidence)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one host did; the reason is empty if it did all that was asked."""

    host: DirectoryHost
    outcome: Outcome
    reason: str = ""
    expiry: Expiry | None = None


class DirectoryProbe:
    """The L1 probe of one directory; implements `probing.Probe`.

    Every host is asked at once, each in a thread and with a deadline of its own: to connect, to
    bind, and to find exactly the one entry of `probe_user` with its link key, as a login would.
    One host that does is enough; the others are named.
    """

    def __init__(
        self,
        settings: DirectorySettings,
        dialler: Dialler,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._dialler = dialler
        self._gates = {host: BindGate(settings, clock) for host in settings.hosts}
        self._threads = ThreadPoolExecutor(_LOOKS_AT_ONCE * len(settings.hosts), "probe-ldap")

    @property
    def upstream(self) -> str:
        """The name in the configuration."""
        return self._settings.name

    async def look(self, cadence: Cadence, now: datetime) -> Probed:  # noqa: ARG002 - `probing.Probe`
        """PASSED, BROKEN, or REFUSED by a directory that works and refuses our account (FO-02)."""
        wanted = self._settings
        try:
            context = self._dialler.context()
        except OSError as error:
            return Probed(Outcome.BROKEN, f"tls_ca cannot be read: {error.strerror}")
        deadline = Deadline.within(_shorter(cadence.timeout, wanted.timeout))
        connect = _shorter(cadence.connect, wanted.connect_timeout)
        looks = {
            asyncio.create_task(self._look_at(host, context, connect, deadline)): host
            for host in wanted.hosts
        }
        try:
            done, _ = await asyncio.wait(looks, timeout=deadline.whole + _OVERTIME_S)
        finally:
            for look in looks:
                look.cancel()
        late = f"no answer within {deadline.whole:g} s"
        return _judged(
            [
                look.result() if look in done else _Seen(host, Outcome.BROKEN, late)
                for look, host in looks.items()
            ]
        )

    async def _look_at(
        self, host: DirectoryHost, context: ssl.SSLContext, connect: float, deadline: Deadline
    ) -> _Seen:
        try:
            addresses = await self._dialler.addresses(host.host, host.port)
        except NameUnresolved as error:
            return _Seen(host, Outcome.BROKEN, str(error))
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._visit, host, addresses, context, connect, deadline
        )

    def _visit(
        self,
        host: DirectoryHost,
        addresses: Sequence[str],
        context: ssl.SSLContext,
        connect: float,
        deadline: Deadline,
    ) -> _Seen:
        """In a thread, which ends with the deadline at the latest."""
        expiry = None
        try:
            with conversing(host, addresses, context, connect, deadline) as talk:
                expiry = _expiry(host, talk.certificate)
                self._gates[host].bind(talk, deadline)
                self._find(talk)
        except HostRefused as error:
            return _Seen(host, Outcome.REFUSED, str(error), expiry)
        except HostFailed as error:
            return _Seen(host, Outcome.BROKEN, str(error), expiry)
        return _Seen(host, Outcome.PASSED, "", expiry)

    def _find(self, talk: Conversation) -> None:
        """Exactly one entry, with the attribute that says who somebody is."""
        wanted = self._settings
        name = wanted.probe_user
        written = wanted.user_filter.replace("{username}", escape_filter_chars(name))
        found = talk.search(wanted.base, written, [wanted.link_attribute], most=2)
        if len(found) != 1:
            raise HostFailed(f"has {len(found) or 'no'} entries for {name}, not one")
        values = {key.lower(): some for key, some in found[0]["raw_attributes"].items()}
        if not values.get(wanted.link_attribute.lower()):
            raise HostFailed(f"shows no {wanted.link_attribute} of {name}")


def _judged(seen: Sequence[_Seen]) -> Probed:
    """One host that does all is enough; one that works and refuses is no outage (FO-02)."""
    outcomes = {one.outcome for one in seen}
    order = (Outcome.PASSED, Outcome.REFUSED, Outcome.BROKEN)
    outcome = next(one for one in order if one in outcomes)
    troubles = [one for one in seen if one.reason]
    if not troubles:
        reason = "answers as it should"
    else:
        space = _MAX_REASON // len(troubles) - 2
        reason = "; ".join(_cut(f"{one.host}: {one.reason}", space) for one in troubles)
        if outcome is Outcome.PASSED:
            reason = _cut(f"answers, but not everywhere: {reason}", _MAX_REASON)
    expiries = {one.expiry.what: one.expiry for one in seen if one.expiry is not None}
    return Probed(outcome, reason, expiries=tuple(expiries.values()))


def _expiry(host: DirectoryHost, certificate: bytes | None) -> Expiry | None:
    """When the certificate of this host ends; dates that cannot be read are judged by TLS alone."""
    if certificate is None:
        return None
    try:
        ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except ValueError:
        return None
    return Expiry(f"TLS certificate of {host}", ends)


def _shorter(one: timedelta, other: timedelta) -> float:
    return min(one, other).total_seconds()


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
