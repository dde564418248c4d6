"""`python -m tests.support.mattermost`: Mattermost's single sign-on as a process of its own."""

# Typer reads the annotations at run time: they are no strings here.
from pathlib import Path
from typing import Annotated

import httpx
import typer
import uvicorn

from tests.support import keys, xml_security
from tests.support.mattermost.app import Mattermost
from tests.support.mattermost.importer import import_metadata
from tests.support.mattermost.settings import (
    DIRECT,
    AttributeNames,
    RelayStateForm,
    Settings,
    Signing,
)


def main(
    *,
    port: Annotated[int, typer.Option(help="TCP port on 127.0.0.1")],
    idp_metadata: Annotated[str, typer.Option(help="path or URL, read once at the start")],
    site_url: Annotated[str, typer.Option(help="default: http://127.0.0.1:PORT")] = "",
    encrypt: Annotated[bool, typer.Option(help="take encrypted assertions only")] = False,
    key: Annotated[Path | None, typer.Option(help="service provider key, PEM")] = None,
    certificate: Annotated[Path | None, typer.Option(help="its certificate, PEM")] = None,
    signing: Annotated[Signing, typer.Option(help="how requests leave")] = Signing.NONE,
    sha1: Annotated[bool, typer.Option(help="sign with RSA-SHA1, the default of 10.x")] = False,
    relay_state: Annotated[RelayStateForm, typer.Option()] = RelayStateForm.SEALED,
    direct: Annotated[bool, typer.Option(help="urn:oid names: no proxy between")] = False,
    tls_certificate: Annotated[Path | None, typer.Option()] = None,
    tls_key: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Serve until a signal comes."""
    imported = import_metadata(_read(idp_metadata))
    base = site_url or f"http://127.0.0.1:{port}"
    settings = Settings(
        site_url=base,
        idp_url=imported.idp_url,
        idp_descriptor_url=imported.idp_descriptor_url,
        idp_certificate=imported.idp_certificate,
        encrypt=encrypt,
        keys=keys.load(key, certificate) if key and certificate else None,
        signing=signing,
        style=xml_security.Style(xml_security.RSA_SHA1 if sha1 else xml_security.RSA_SHA256),
        attributes=DIRECT if direct else AttributeNames(),
        relay_state=relay_state,
    )
    uvicorn.run(
        Mattermost(settings).app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        ssl_certfile=tls_certificate,
        ssl_keyfile=tls_key,
    )


def _read(source: str) -> bytes:
    if source.startswith(("http://", "https://")):
        return httpx.get(source, timeout=5.0, trust_env=False).raise_for_status().content
    return Path(source).read_bytes()


if __name__ == "__main__":
    typer.run(main)
