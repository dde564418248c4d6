"""SATOSA between the same two parties as the proxy: pysaml2's own verifier and xmlsec1 beneath.

It is set up as its examples are, over plain HTTP, with two workers, keys as long as the proxy's and
two signatures as well. It keeps no roster and no audit, and remembers no used ids: each of its
workers knows its own requests only, so that answers to any request must be let in.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lxml import etree

from tests.bench.driver import Target
from tests.bench.parties import MATTERMOST_URL, provider
from tests.support import keys
from tests.support import saml_wire as wire
from tests.support.identity_provider import metadata
from tests.support.mattermost import DIRECT, Settings
from tests.support.processes import LOOPBACK, Process, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
_FRONTEND, _BACKEND = "frontend", "backend"
_BACKEND_ID, _FRONTEND_ID = "proxy_saml2_backend.xml", "proxy.xml"


@contextmanager
def running_satosa(folder: Path, gunicorn: Path) -> Iterator[tuple[int, Target]]:
    """Its process id, and SATOSA as the driver meets it, while the block runs."""
    folder.mkdir()
    port = free_port()
    mattermost = Settings(
        site_url=MATTERMOST_URL,
        idp_url=f"http://{LOOPBACK}:{port}/{_BACKEND}/sso/redirect",
        idp_descriptor_url=f"http://{LOOPBACK}:{port}/{_FRONTEND}/{_FRONTEND_ID}",
        idp_certificate=keys.rsa_pair("satosa frontend").certificate_pem,
        attributes=DIRECT,
    )
    target = Target(
        port=port,
        provider=provider("active"),
        entity_id=f"http://{LOOPBACK}:{port}/{_BACKEND}/{_BACKEND_ID}",
        acs_url=f"http://{LOOPBACK}:{port}/{_BACKEND}/acs/post",
        mattermost=mattermost,
    )
    _configure(folder, port, mattermost)
    command = (str(gunicorn), "--workers=2", f"--bind={LOOPBACK}:{port}", "satosa.wsgi:app")
    process = Process("satosa", command, folder / "satosa.log", cwd=folder).start()
    try:
        process.wait_for_port(port, within_s=30)
        yield process.pid, target
    finally:
        process.terminate()


def _configure(folder: Path, port: int, mattermost: Settings) -> None:
    for side in (_FRONTEND, _BACKEND):
        keys.rsa_pair(f"satosa {side}").write(folder, side)
    (folder / "idp.xml").write_bytes(metadata(provider("active")))
    (folder / "sp.xml").write_bytes(_service_provider(mattermost))
    documents: dict[str, dict[str, Any]] = {
        "proxy_conf": {
            "BASE": f"http://{LOOPBACK}:{port}",
            "INTERNAL_ATTRIBUTES": "internal_attributes.yaml",
            "COOKIE_STATE_NAME": "SATOSA_STATE",
            "STATE_ENCRYPTION_KEY": "not a secret: it ends with the run",
            "BACKEND_MODULES": ["backend.yaml"],
            "FRONTEND_MODULES": ["frontend.yaml"],
            "LOGGING": {"version": 1},
        },
        "internal_attributes": {
            "attributes": {
                name: {"saml": [name]}
                for name in ("employeeNumber", "mail", "uid", "givenName", "sn")
            }
        },
        "frontend": _frontend(),
        "backend": _backend(),
    }
    for name, document in documents.items():  # every JSON document is a YAML one
        (folder / f"{name}.yaml").write_text(json.dumps(document, indent=2))


def _frontend() -> dict[str, Any]:
    return {
        "module": "satosa.frontends.saml2.SAMLFrontend",
        "name": _FRONTEND,
        "config": {
            "endpoints": {
                "single_sign_on_service": {wire.REDIRECT: "sso/redirect", wire.POST: "sso/post"}
            },
            "idp_config": {
                "key_file": "frontend.key",
                "cert_file": "frontend.crt",
                "metadata": {"local": ["sp.xml"]},
                "entityid": f"<base_url>/<name>/{_FRONTEND_ID}",
                "accepted_time_diff": 60,
                "service": {
                    "idp": {
                        "endpoints": {"single_sign_on_service": []},
                        "name_id_format": [wire.PERSISTENT],
                        "sign_response": True,
                        "sign_assertion": True,
                        "policy": {
                            "default": {
                                "fail_on_missing_requested": False,
                                "lifetime": {"minutes": 5},
                                "name_form": _URI,
                            }
                        },
                    }
                },
            },
        },
    }


def _backend() -> dict[str, Any]:
    return {
        "module": "satosa.backends.saml2.SAMLBackend",
        "name": _BACKEND,
        "config": {
            "sp_config": {
                "key_file": "backend.key",
                "cert_file": "backend.crt",
                "metadata": {"local": ["idp.xml"]},
                "entityid": f"<base_url>/<name>/{_BACKEND_ID}",
                "accepted_time_diff": 60,
                "service": {
                    "sp": {
                        "authn_requests_signed": True,
                        "want_response_signed": False,
                        "want_assertions_signed": True,
                        "allow_unsolicited": True,
                        "name_id_format": wire.PERSISTENT,
                        "endpoints": {
                            "assertion_consumer_service": [
                                ["<base_url>/<name>/acs/post", wire.POST]
                            ],
                        },
                    }
                },
            },
        },
    }


def _service_provider(mattermost: Settings) -> bytes:
    maker = wire.Maker(wire.MD, {"md": wire.MD})
    service = maker(
        "AssertionConsumerService", Binding=wire.POST, Location=mattermost.acs_url, index="0"
    )
    role = maker("SPSSODescriptor", service, protocolSupportEnumeration=wire.SAMLP)
    return etree.tostring(maker("EntityDescriptor", role, entityID=mattermost.entity_id))
