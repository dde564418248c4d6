"""`python -m tests.support.identity_provider`: the identity provider as a process of its own."""

# Typer reads the annotations at run time: they are no strings here.

from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from tests.support import keys, xml_security
from tests.support import saml_wire as wire
from tests.support.identity_provider.answers import Provider, Sign
from tests.support.identity_provider.app import IdentityProvider
from tests.support.people import OID_ATTRIBUTES, SHORT_ATTRIBUTES

_CIPHERS = {
    "aes128-gcm": xml_security.AES128_GCM,
    "aes256-gcm": xml_security.AES256_GCM,
    "aes128-cbc": xml_security.AES128_CBC,
    "aes256-cbc": xml_security.AES256_CBC,
}
_FORMATS = {
    "persistent": wire.PERSISTENT,
    "email": wire.EMAIL,
    "transient": wire.TRANSIENT,
    "unspecified": wire.UNSPECIFIED,
}


def main(
    *,
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1")],
    key: Annotated[Path | None, typer.Option(help="signing key, PEM; else made at start")] = None,
    certificate: Annotated[Path | None, typer.Option(help="its certificate, PEM")] = None,
    service_provider: Annotated[
        list[str] | None, typer.Option("--sp", help="metadata of a service provider: path or URL")
    ] = None,
    sign: Annotated[Sign, typer.Option(help="what is signed")] = Sign.ASSERTION,
    encrypt: Annotated[str, typer.Option(help=f"one of {', '.join(_CIPHERS)}")] = "",
    name_id_format: Annotated[str, typer.Option(help=", ".join(_FORMATS))] = "persistent",
    short_names: Annotated[bool, typer.Option(help="attributes as mail, uid, ...")] = False,
    sessions: Annotated[bool, typer.Option(help="remember who logged in, by a cookie")] = False,
    require_signed_requests: Annotated[bool, typer.Option()] = False,
    title: Annotated[str, typer.Option(help="what its pages are called")] = "Company login",
    public_url: Annotated[str, typer.Option(help="default: http://127.0.0.1:PORT")] = "",
    tls_certificate: Annotated[Path | None, typer.Option()] = None,
    tls_key: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Serve until a signal comes."""
    base = public_url or f"http://127.0.0.1:{port}"
    pair = keys.load(key, certificate) if key and certificate else keys.rsa_pair(base)
    provider = Provider(
        entity_id=f"{base}/metadata",
        sso_url=f"{base}/sso",
        keys=pair,
        sign=sign,
        cipher=_CIPHERS[encrypt] if encrypt else None,
        name_id_format=_FORMATS[name_id_format],
        attributes=dict(SHORT_ATTRIBUTES if short_names else OID_ATTRIBUTES),
    )
    running = IdentityProvider(
        provider=provider,
        sources=service_provider or [],
        sessions=sessions,
        require_signed_requests=require_signed_requests,
        title=title,
    )
    uvicorn.run(
        running.app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        ssl_certfile=tls_certificate,
        ssl_keyfile=tls_key,
    )


if __name__ == "__main__":
    typer.run(main)
