"""JOURNEY: Mattermost trusts the proxy instead of an upstream, or that upstream again.

First the settings of now are said again, which changes nothing and shows whether anything may be
changed. Then the certificate is uploaded: one in the place of another is loaded only when another
SAML setting changes (docs/operations/mattermost-settings.md#prove-it). Then the settings change in
one call, and are read again, since a 200 proves nothing. To say all of it twice does no harm.

On the way to the proxy, what fails is put back. On the way back nothing ever leads to the proxy
again: whoever goes it says it once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, Protocol

from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_fixed

from idp_proxy.decision.saml_settings import before
from idp_proxy.errors import CutoverRefused, MattermostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenacity import RetryCallState

    from idp_proxy.decision.saml_settings import Seen

#: How often it is looked whether Mattermost has the settings, a second between.
_LOOKS: Final = 5


class Api(Protocol):
    """What is asked of Mattermost."""

    def saml(self) -> Seen:
        """Its settings as they are."""

    def upload_idp_certificate(self, pem: str) -> None:
        """The certificate by which the identity provider signs."""

    def change_saml(self, fields: Mapping[str, str]) -> None:
        """These fields of `SamlSettings`, and no others."""


@dataclass(frozen=True, slots=True)
class Trust:
    """An identity provider as Mattermost trusts it: fields of `SamlSettings`, and the certificate
    in PEM.
    """

    settings: Mapping[str, str]
    certificate: str


def change(api: Api, to: Trust, of_now: Trust | None, sleep: Callable[[float], None]) -> None:
    """Mattermost trusts `to` when this returns, for new logins; sessions go on. `of_now` is what is
    put back if that fails; None on the way back.

    Raises `CutoverRefused`, which says whom it trusts then, or how to look.
    """
    _demand_leave(api)
    try:
        left = _put(api, to, sleep)
    except MattermostError as error:
        _undo(api, of_now, error.detail, sleep)
    if left:
        _undo(api, of_now, f"Mattermost kept its own {', '.join(left)}", sleep)


def _demand_leave(api: Api) -> None:
    try:
        api.change_saml(before(api.saml()))
    except MattermostError as error:
        raise CutoverRefused(f"nothing has changed: {error.detail}") from error


def _put(api: Api, trust: Trust, sleep: Callable[[float], None]) -> tuple[str, ...]:
    """What is still different afterwards. Where the settings are these already, one is changed
    there and back: without that the certificate would not be loaded.
    """
    api.upload_idp_certificate(trust.certificate)
    if not api.saml().differing(trust.settings):
        marked = trust.settings["IdpMetadataURL"] + "#"
        api.change_saml(dict(trust.settings) | {"IdpMetadataURL": marked})
    api.change_saml(trust.settings)
    # Another node of a cluster may answer, which hears of it a moment later.
    looking = Retrying(
        sleep=sleep,
        stop=stop_after_attempt(_LOOKS),
        wait=wait_fixed(1.0),
        retry=retry_if_result(bool),
        retry_error_callback=_last_seen,
    )
    return looking(lambda: api.saml().differing(trust.settings))


def _last_seen(state: RetryCallState) -> tuple[str, ...]:
    return () if state.outcome is None else tuple(state.outcome.result())


def _undo(api: Api, of_now: Trust | None, why: str, sleep: Callable[[float], None]) -> NoReturn:
    if of_now is None:
        raise CutoverRefused(
            f"{why}; say it again, or type into the System Console what `cutover back --by-hand` "
            "says"
        )
    try:
        left = _put(api, of_now, sleep)
    except MattermostError as error:
        raise CutoverRefused(
            f"{why}; and it could not be put back ({error.detail}): nobody knows whom Mattermost "
            "trusts now; look at a login, and lead it back: `cutover back`"
        ) from error
    if left:
        raise CutoverRefused(
            f"{why}; and {', '.join(left)} could not be put back: put them right in the System "
            "Console now, with `cutover back --by-hand`"
        )
    raise CutoverRefused(f"{why}; Mattermost was put back and trusts whom it trusted before")
