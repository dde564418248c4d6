"""`cutover back`: from the proxy to what Mattermost trusted before it, whatever is broken here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificate

from idp_proxy import way_back
from idp_proxy.cli import terminal
from idp_proxy.cli.cutover.looking import (
    PROVE,
    WHAT,
    CertificateOption,
    certificates_of,
    metadata_of,
    pem,
    read_certificate,
    show,
)
from idp_proxy.cli.cutover.recording import begin, ended, store_if_there
from idp_proxy.cli.session import (
    EXIT_REFUSED,
    ConfigOption,
    actor,
    clock,
    settings_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.cli.standby_table import printable
from idp_proxy.cutover import Trust, change
from idp_proxy.decision import cutover
from idp_proxy.decision.approval import Act
from idp_proxy.errors import CutoverRefused, StoreError
from idp_proxy.mattermost import open_api
from idp_proxy.operators.consent import Wish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_proxy.config import Settings
    from idp_proxy.decision.cutover import Seen
    from idp_proxy.store.sql import SqlStore
    from idp_proxy.way_back import WayBack

#: What the System Console calls the fields: Authentication, SAML 2.0.
_LABELS: Final[Mapping[str, str]] = {
    "IdpURL": "SAML SSO URL",
    "IdpDescriptorURL": "Identity Provider Issuer URL",
    "IdpMetadataURL": "Identity Provider Metadata URL",
    "IdAttribute": "Id Attribute",
    "EmailAttribute": "Email Attribute",
    "UsernameAttribute": "Username Attribute",
    "FirstNameAttribute": "First Name Attribute",
    "LastNameAttribute": "Last Name Attribute",
    "NicknameAttribute": "Nickname Attribute",
    "LocaleAttribute": "Preferred Language Attribute",
    "PositionAttribute": "Position Attribute",
}


def back(
    reason: Annotated[
        str, typer.Option("--reason", help="Why, in one line; not needed with --by-hand.")
    ] = "",
    certificate: CertificateOption = None,
    *,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="Say what to type into the System Console, and stop.")
    ] = False,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Have Mattermost trust again whom it trusted before the proxy, which may be gone."""
    settings = settings_of(config)
    way = _way(settings)
    trust = _trust(settings, way, read_certificate(certificate))
    if by_hand:
        _say_by_hand(way, trust)
        return
    wish = Wish(Act.CUTOVER_BACK, way.upstream or "before", terminal.one_line(reason, "--reason"))
    with open_api(settings, WHAT) as api:
        seen = api.saml()
        if pinned := tuple(cutover.pinned(seen, trust.settings)):
            show(pinned)
            typer.echo("nothing has changed")
            typer.echo(shown_next(WHAT, "back", "--by-hand"))
            raise typer.Exit(EXIT_REFUSED)
        with store_if_there(settings) as store:
            by = _begun(settings, store, wish, Means(as_name, None, password_from))
            with ended(store, wish, by):
                change(api, trust, _of_now(settings, seen, trust))
    issuer = printable(trust.settings["IdpDescriptorURL"])
    typer.echo(f"Mattermost trusts {issuer} again, without the proxy")
    typer.echo("there, Mattermost itself must still be registered as service provider")
    typer.echo(PROVE)
    typer.echo(shown_next(WHAT, "check"))


def _way(settings: Settings) -> WayBack:
    path = way_back.path_of(settings.path)
    way = way_back.read(path)
    if way is None:
        raise CutoverRefused(
            f"{path}: no such file: `cutover apply` was not run on this host. Copy the file from "
            "where it was, or follow docs/operations/mattermost-settings.md#the-way-back"
        )
    return way


def _trust(settings: Settings, way: WayBack, given: bytes | None) -> Trust:
    """By the certificate that the upstream signs by today: by a wrong or an expired one nobody
    could log in. Raises `CutoverRefused`.
    """
    stored = load_pem_x509_certificate(way.certificate.encode()).public_bytes(Encoding.DER)
    current = certificates_of(metadata_of(settings), way.upstream)
    found = cutover.certificate(stored, current, given)
    if found is None:
        raise CutoverRefused(
            f"{way.upstream} signs by other certificates than when the way back was written: get "
            "the present one from there, by another way than this host, and name it by "
            "--certificate FILE"
        )
    certificate = load_der_x509_certificate(found)
    if certificate.not_valid_after_utc <= clock():
        raise CutoverRefused(
            f"the certificate of {way.upstream or 'the identity provider'} expired on "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}, and Mattermost would refuse each login: "
            "get the present one from there, and name it by --certificate FILE"
        )
    return Trust(way.settings, pem(certificate))


def _begun(settings: Settings, store: SqlStore | None, wish: Wish, means: Means) -> str:
    """Who does it. Without a store nobody can be asked for an operator's credential; and who may
    read the token may do all of this anyway.
    """
    try:
        if store is not None:
            return begin(settings, store, wish, means)
    except StoreError as error:
        tell(f"note: the store is away: {error.detail or error.public}")
    tell("warning: this stands in no audit, write it down")
    return actor()


def _of_now(settings: Settings, seen: Seen, to: Trust) -> Trust | None:
    """What Mattermost trusts until then, by the settings that it has. What fails is put back to
    that and nothing else: where it was led back already, the proxy must not come again.
    """
    settings_of_now = cutover.before(seen)
    if seen.text("IdpDescriptorURL") == settings.proxy.entity_id:
        return Trust(settings_of_now, pem(settings.proxy.signing.certificate))
    if settings_of_now == dict(to.settings):
        return to
    return None


def _say_by_hand(way: WayBack, trust: Trust) -> None:
    typer.echo("In Mattermost's System Console, Authentication, SAML 2.0:")
    for field, value in trust.settings.items():
        typer.echo(f"  {_LABELS[field]} ({field}): {printable(value) or '(empty)'}")
    typer.echo("  Identity Provider Public Certificate: remove it, and upload a file with")
    typer.echo(trust.certificate.rstrip("\n"))
    typer.echo("  Enable Login With SAML 2.0: true; removing the certificate switched it off")
    typer.echo(
        "Save, then restart every node: a certificate of the same name is not loaded before."
    )
    typer.echo(f"{way.upstream or 'It'} must still know Mattermost itself as service provider.")
    typer.echo(shown_next(WHAT, "check"))
