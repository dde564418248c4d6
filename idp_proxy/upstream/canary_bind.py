"""L2 at a directory: a dedicated account is found, and its password tried, as a person's is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from idp_proxy.decision.health import Outcome
from idp_proxy.errors import SamlError, UpstreamUnavailable
from idp_proxy.upstream.looking import in_a_line
from idp_proxy.upstream.probing import Probed

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from idp_proxy.config import CanarySettings
    from idp_proxy.upstream.directory import DirectoryUpstream


@dataclass(frozen=True, slots=True)
class BindCanary:
    """One `[[upstream.canary]]` of a directory; implements `probing.CanaryLogin`."""

    directory: DirectoryUpstream
    settings: CanarySettings
    timeout: timedelta

    @property
    def upstream(self) -> str:
        """See `probing.CanaryLogin`."""
        return self.directory.name

    @property
    def name(self) -> str:
        """See `probing.CanaryLogin`."""
        return self.settings.name

    async def log_in(self, now: datetime) -> Probed:
        """See `probing.CanaryLogin`."""
        whole = self.timeout.total_seconds()
        try:
            async with asyncio.timeout(whole):
                outcome, reason = await asyncio.to_thread(self._log_in, now)
        except TimeoutError:
            outcome, reason = Outcome.BROKEN, f"no answer within {whole:g} s"
        return Probed(outcome, in_a_line(reason.replace(self.settings.password, "(hidden)")))

    def _log_in(self, now: datetime) -> tuple[Outcome, str]:
        try:
            found = self.directory.find(self.settings.username)
            if found.name is None:
                return Outcome.BROKEN, f"has {found.entries or 'no'} entries for it, not one"
            state = self.directory.prove(found.name, self.settings.password)
            if not state.proves:
                return Outcome.REFUSED, f"refuses the account: {state.value}"
            subject = self.directory.subject(found, now)
        except UpstreamUnavailable as error:
            return Outcome.BROKEN, error.detail
        except SamlError as error:
            return Outcome.BROKEN, f"its entry does not say who it is: {error}"
        if subject.link_key != self.settings.subject:
            return Outcome.REFUSED, "the entry is about somebody else than the configured subject"
        return Outcome.PASSED, "is found, and its password is right"
