"""JOURNEY: Mattermost trusts the proxy instead of an upstream, or that upstream again.

The certificate is uploaded first: one in the place of another is loaded only when another SAML
setting changes (facts/mattermost-saml.md section 2). Then the settings change in one call, and are
read again, since a 200 proves nothing. If any of it fails, Mattermost is put back to what it
trusted, and who sits there is told so; to say all of it twice does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol

from idp_proxy.errors import CutoverRefused, MattermostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.decision.cutover import Seen


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


def change(api: Api, to: Trust, of_now: Trust | None) -> None:
    """Mattermost trusts `to` when this returns, for new logins; sessions go on. `of_now` is what it
    trusts until then; None where nobody knows its certificate, so that nothing can be put back.

    Raises `CutoverRefused`, which says whom it trusts then, or how to look.
    """
    try:
        left = _put(api, to)
    except MattermostError as error:
        _undo(api, of_now, error.detail)
    except KeyboardInterrupt:
        _undo(api, of_now, "stopped by Ctrl-C")
    if left:
        _undo(api, of_now, f"Mattermost kept its own {', '.join(left)}")


def _put(api: Api, trust: Trust) -> tuple[str, ...]:
    """What is still different afterwards. Where the settings are these already, one is changed
    there and back: without that the certificate would not be loaded.
    """
    api.upload_idp_certificate(trust.certificate)
    if not api.saml().differing(trust.settings):
        marked = trust.settings["IdpMetadataURL"] + "#"
        api.change_saml(dict(trust.settings) | {"IdpMetadataURL": marked})
    api.change_saml(trust.settings)
    return api.saml().differing(trust.settings)


def _undo(api: Api, of_now: Trust | None, why: str) -> NoReturn:
    if of_now is None:
        raise CutoverRefused(
            f"{why}; what Mattermost trusted before is not known here, and was not put back: look "
            "with `cutover check`, and run this again"
        )
    try:
        left = _put(api, of_now)
    except MattermostError as error:
        raise CutoverRefused(
            f"{why}; and it could not be put back ({error.detail}): nobody knows whom Mattermost "
            "trusts now; look with `cutover check`, and at a login"
        ) from error
    if left:
        raise CutoverRefused(
            f"{why}; and {', '.join(left)} could not be put back: put them right in the System "
            "Console now, with `cutover back --by-hand`"
        )
    raise CutoverRefused(f"{why}; Mattermost was put back and trusts whom it trusted before")
