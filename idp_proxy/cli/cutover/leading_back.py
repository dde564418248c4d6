"""`cutover back`: from the proxy to what Mattermost trusted before it, whatever is broken here."""

from __future__ import annotations

from contextlib import nullcontext
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
from idp_proxy.cli.cutover.recording import begin, ended, store_if_there, undisturbed
from idp_proxy.cli.session import (
    EXIT_OPEN,
    EXIT_REFUSED,
    ConfigOption,
    actor,
    clock,
    configuration_of,
    shown_next,
    tell,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.cli.standby_table import printable
from idp_proxy.config import load, load_api
from idp_proxy.config.mattermost import demanded
from idp_proxy.cutover import Trust, change
from idp_proxy.decision import cutover
from idp_proxy.decision.approval import Act
from idp_proxy.errors import ConfigError, CutoverRefused, StoreError
from idp_proxy.mattermost import open_api, open_api_of
from idp_proxy.operators.consent import Wish

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from idp_proxy.config import Settings
    from idp_proxy.decision.saml_settings import Seen
    from idp_proxy.mattermost import MattermostApi
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
    configuration = configuration_of(config)
    way, given = _way(configuration), read_certificate(certificate)
    if by_hand:
        _say_by_hand(way, _trust(way, (), given))
        return
    wish = Wish(Act.CUTOVER_BACK, way.upstream, terminal.one_line(reason, "--reason"))
    settings = _settings_if_usable(configuration)
    trust = _trust(way, _current(settings, way), given)
    with _open_api(settings, configuration) as api, _store(settings) as store:
        api.whoami()
        seen = api.saml()
        _demand_beginning(way, seen)
        by = _begun(settings, store, wish, Means(as_name, None, password_from))
        with ended(store, wish, by), undisturbed():
            change(api, trust, None, terminal.pause)
        left = tuple(cutover.changed_since(api.saml(), way.untouched))
    typer.echo(f"Mattermost trusts {printable(way.settings['IdpDescriptorURL'])}, not the proxy")
    show(left)
    typer.echo("there, Mattermost itself must still be registered as service provider")
    typer.echo(PROVE)
    typer.echo(shown_next(WHAT, "check"))
    if left:
        raise typer.Exit(EXIT_OPEN)


def _way(configuration: Path) -> WayBack:
    path = way_back.path_of(configuration)
    way = way_back.read(path)
    if way is None:
        raise CutoverRefused(
            f"{path}: no such file: `cutover apply` was not run on this host. Copy the file from "
            "where it was, or follow docs/operations/mattermost-settings.md#the-way-back"
        )
    return way


def _settings_if_usable(configuration: Path) -> Settings | None:
    """None where the configuration is broken: the way back needs its access to the API alone."""
    try:
        return load(configuration, now=clock())
    except ConfigError as error:
        tell("warning: the configuration is not usable, the way back goes on without it:")
        for problem in error.problems:
            tell("  -", problem)
        return None


def _open_api(settings: Settings | None, configuration: Path) -> MattermostApi:
    if settings is not None:
        return open_api(settings, WHAT)
    return open_api_of(demanded(load_api(configuration), WHAT), configuration.parent)


def _store(settings: Settings | None) -> AbstractContextManager[SqlStore | None]:
    return nullcontext() if settings is None else store_if_there(settings)


def _current(settings: Settings | None, way: WayBack) -> tuple[bytes, ...]:
    """The certificates by which the upstream signs today, as far as this host knows."""
    return () if settings is None else certificates_of(metadata_of(settings), way.upstream)


def _trust(way: WayBack, current: tuple[bytes, ...], given: bytes | None) -> Trust:
    """By a wrong certificate, or an expired one, nobody could log in. Raises `CutoverRefused`."""
    stored = load_pem_x509_certificate(way.certificate.encode()).public_bytes(Encoding.DER)
    found = cutover.certificate(stored, current, given)
    if found is None:
        raise CutoverRefused(
            f"{printable(way.upstream)} signs by other certificates than when the way back was "
            "written: get the present one from there, by another way than this host, and name it "
            "by --certificate FILE"
        )
    certificate = load_der_x509_certificate(found)
    if certificate.not_valid_after_utc <= clock():
        raise CutoverRefused(
            f"the certificate of {printable(way.upstream)} expired on "
            f"{certificate.not_valid_after_utc:%Y-%m-%d}, and Mattermost would refuse each login: "
            "get the present one from there, and name it by --certificate FILE"
        )
    if given is None and len(current) > 1:
        tell("note: the upstream has several certificates; if logins fail: --certificate FILE")
    return Trust(way.settings, pem(certificate))


def _demand_beginning(way: WayBack, seen: Seen) -> None:
    """It leads from the proxy, or has led already, and the API can take it all the way."""
    if pinned := tuple(cutover.pinned(seen, way.settings)):
        show(pinned)
        typer.echo("nothing has changed")
        typer.echo(shown_next(WHAT, "back", "--by-hand"))
        raise typer.Exit(EXIT_REFUSED)
    trusted = seen.text("IdpDescriptorURL")
    if trusted not in {way.proxy, way.settings["IdpDescriptorURL"]}:
        raise CutoverRefused(
            f"Mattermost trusts {printable(trusted)!r}, which is neither the proxy nor what was "
            "before it: somebody led it there since, and nobody here knows how to return to that. "
            "Nothing has changed; if you mean it: `cutover back --by-hand`"
        )


def _begun(settings: Settings | None, store: SqlStore | None, wish: Wish, means: Means) -> str:
    """Who does it. Without a store nobody can be asked for an operator's credential; and who may
    read the token may do all of this anyway.
    """
    try:
        if settings is not None and store is not None:
            return begin(settings, store, wish, means)
    except StoreError as error:
        tell(f"note: the store is away: {error.detail or error.public}")
    tell("warning: this stands in no audit, write it down")
    return actor()


def _say_by_hand(way: WayBack, trust: Trust) -> None:
    typer.echo("In Mattermost's System Console, Authentication, SAML 2.0:")
    for field, value in trust.settings.items():
        typer.echo(f"  {_LABELS[field]} ({field}): {printable(value) or '(empty)'}")
    typer.echo("  Identity Provider Public Certificate: remove it, and upload a file with")
    typer.echo(trust.certificate.rstrip("\n"))
    typer.echo("As it was before the proxy; removing the certificate switches Enable off:")
    for field, value in way.untouched.items():
        typer.echo(f"  {field}: {printable(value) or '(empty)'}")
    typer.echo(
        "Save, then restart every node: a certificate of the same name is not loaded before."
    )
    typer.echo(f"{printable(way.upstream)} must still know Mattermost itself as service provider.")
    typer.echo(shown_next(WHAT, "check"))
