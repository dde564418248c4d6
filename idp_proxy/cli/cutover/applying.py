"""`cutover check` and `cutover apply`: from an upstream to the proxy."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from cryptography.x509 import load_der_x509_certificate

from idp_proxy import way_back
from idp_proxy.cli import terminal
from idp_proxy.cli.cutover.looking import (
    PROVE,
    WHAT,
    CertificateOption,
    look,
    pem,
    read_certificate,
    show,
)
from idp_proxy.cli.cutover.recording import begin, ended, store_if_there, undisturbed
from idp_proxy.cli.session import (
    EXIT_REFUSED,
    ConfigOption,
    JsonOption,
    ReasonOption,
    clock,
    command_line,
    opened_store,
    settings_of,
    shown_next,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption
from idp_proxy.cli.standby_table import printable
from idp_proxy.cutover import Trust, change
from idp_proxy.decision.approval import Act
from idp_proxy.decision.cutover import Place
from idp_proxy.decision.saml_settings import before, untouched
from idp_proxy.errors import CutoverRefused
from idp_proxy.mattermost import open_api
from idp_proxy.operators.consent import Wish
from idp_proxy.way_back import WayBack

if TYPE_CHECKING:
    from idp_proxy.cli.cutover.looking import Looked


def check(
    certificate: CertificateOption = None, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Whom Mattermost trusts, and what stands in the way of the proxy. Changes nothing."""
    settings = settings_of(config)
    with open_api(settings, WHAT) as api, store_if_there(settings) as store:
        api.whoami()
        looked = look(settings, api, store, read_certificate(certificate))
    if as_json:
        typer.echo(json.dumps(_as_json(looked), indent=2))
    else:
        typer.echo(f"Mattermost trusts {looked.trusted}")
        show(looked.obstacles)
        typer.echo(f"way back: {_shown(looked.way)} ({way_back.path_of(settings.path)})")
        typer.echo(_next_of(looked))
    if looked.obstacles:
        raise typer.Exit(EXIT_REFUSED)


def apply(
    reason: ReasonOption,
    certificate: CertificateOption = None,
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Have Mattermost trust the proxy. What it trusts now is written down first."""
    settings = settings_of(config)
    path = way_back.path_of(settings.path)
    with open_api(settings, WHAT) as api, opened_store(settings) as store:
        api.whoami()
        looked = look(settings, api, store, read_certificate(certificate))
        if looked.obstacles:
            show(looked.obstacles)
        if looked.obstacles or looked.place is Place.PROXY:
            typer.echo(f"nothing has changed: Mattermost trusts {looked.trusted}")
            typer.echo(shown_next(WHAT, "check"))
            raise typer.Exit(EXIT_REFUSED if looked.obstacles else 0)
        wish = Wish(Act.CUTOVER, "proxy", reason)
        by = begin(settings, store, wish, Means(as_name, None, password_from))
        with ended(store, wish, by):
            way = _way_from(looked, by)
            way_back.write(path, way)
            to = Trust(looked.ours.fields(), pem(settings.proxy.signing.certificate))
            with undisturbed():
                change(api, to, Trust(way.settings, way.certificate), terminal.pause)
    typer.echo(f"Mattermost trusts the proxy: {looked.ours.entity_id}")
    typer.echo(f"the way back is on disk: {path}; keep a copy where you find it without this host")
    typer.echo(PROVE)
    typer.echo(f"if a login fails: {command_line(WHAT, 'back', '--reason', 'logins fail')}")
    typer.echo(shown_next(WHAT, "check"))


def _way_from(looked: Looked, by: str) -> WayBack:
    """Whom Mattermost trusts now, to be led back to."""
    if looked.certificate is None:  # it was an obstacle
        raise CutoverRefused("the present certificate is not certain; nothing was changed")
    return WayBack(
        at=clock(),
        by=by,
        upstream=looked.upstream,
        proxy=looked.ours.entity_id,
        settings=before(looked.seen),
        untouched=untouched(looked.seen),
        certificate=pem(load_der_x509_certificate(looked.certificate)),
    )


def _shown(way: WayBack | None) -> str:
    if way is None:
        return "none"
    return f"to {printable(way.upstream)}, {way.at:%Y-%m-%d %H:%M} UTC"


def _next_of(looked: Looked) -> str:
    if looked.obstacles:
        return shown_next(WHAT, "check")
    if looked.place is Place.PROXY:
        return shown_next("status")
    return shown_next(WHAT, "apply", "--reason", "go live")


def _as_json(looked: Looked) -> dict[str, object]:
    way = looked.way
    return {
        "trusts": looked.place.value,
        "upstream": looked.upstream or None,
        "issuer": looked.seen.text("IdpDescriptorURL"),
        "obstacles": [asdict(one) for one in looked.obstacles],
        "way_back": None if way is None else {"at": way.at.isoformat(), "upstream": way.upstream},
    }
