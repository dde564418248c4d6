"""Who takes part in a measured login: the upstream that the driver plays, and the proxy."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from tests.bench.driver import Target
from tests.support import keys
from tests.support.identity_provider import Provider, metadata
from tests.support.launch import ProxyHost
from tests.support.mattermost import Settings, import_metadata

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MATTERMOST_URL = "http://127.0.0.1:8065"


def provider(name: str) -> Provider:
    """The identity provider of this name, with keys of 2048 bits."""
    base = f"http://127.0.0.1/{name}"
    return Provider(f"{base}/metadata", f"{base}/sso", keys.rsa_pair(f"bench {name}"))


@contextmanager
def running_proxy(folder: Path, key_bits: int) -> Iterator[ProxyHost]:
    """`idp-proxy serve` as `init` sets it up in `folder`: 2 workers, SQLite, two upstreams."""
    host = ProxyHost(folder / "proxy")
    upstreams = {name: folder / f"{name}.xml" for name in ("active", "standby")}
    for name, file in upstreams.items():
        file.write_bytes(metadata(provider(name)))
    host.init(upstreams, MATTERMOST_URL, key_bits=key_bits)
    try:
        host.serve()
        yield host
    finally:
        host.stop()


def proxy_target(host: ProxyHost) -> Target:
    """The proxy as the driver meets it, by its active."""
    answer = httpx.get(f"{host.public_url}/saml/metadata", trust_env=False).raise_for_status()
    imported = import_metadata(answer.content)
    upstream = f"{host.public_url}/upstream/active"
    return Target(
        port=host.port,
        provider=provider("active"),
        entity_id=f"{upstream}/metadata",
        acs_url=f"{upstream}/acs",
        mattermost=Settings(
            site_url=MATTERMOST_URL,
            idp_url=imported.idp_url,
            idp_descriptor_url=imported.idp_descriptor_url,
            idp_certificate=imported.idp_certificate,
        ),
    )
