"""Changes of the configuration (api4/config.go, api4/saml.go, app/saml.go of 5.37)."""

from __future__ import annotations

from email import message_from_bytes
from typing import TYPE_CHECKING, Any

from cryptography.x509 import load_pem_x509_certificate

from tests.support.mattermost_api.asking import OK, Ask, RefusedError, Reply, invalid_body

if TYPE_CHECKING:
    from tests.support.mattermost_api.server import MattermostServer

_FILE = "saml-idp.crt"
_NO_FILE = "api.admin.add_certificate.no_file.app_error"
#: What must hold something while SAML is on (model/config.go, SamlSettings.isValid).
_DEMANDED = {
    "IdpUrl": "saml_idp_url",
    "IdpDescriptorUrl": "saml_idp_descriptor_url",
    "IdpCertificateFile": "saml_idp_cert",
    "EmailAttribute": "saml_email_attribute",
    "UsernameAttribute": "saml_username_attribute",
    "ServiceProviderIdentifier": "saml_spidentifier_attribute",
}


def environment(ask: Ask) -> Reply:
    """What is set by variables: the fields, as true."""
    ask.require_session()
    ask.require_admin()
    pinned = dict.fromkeys(sorted(ask.server.pinned), True)
    return Reply({"SamlSettings": pinned} if pinned else {})


def patch(ask: Ask) -> Reply:
    """Some fields. Their names are read without regard to case, as Go does; what stands in the
    environment is saved, and counts for nothing.
    """
    ask.require_session()
    ask.require_admin()
    if not isinstance(ask.body, dict):
        raise invalid_body("config")
    server = ask.server
    if _is_read_only(server):
        raise RefusedError(403, "ent.cluster.save_config.error")
    for section, fields in ask.body.items():
        known = server.settings.get(section)
        if known is None or not isinstance(fields, dict):
            continue
        names = {name.casefold(): name for name in known}
        wanted = {names[name.casefold()]: value for name, value in fields.items()}
        changed = known | {k: v for k, v in wanted.items() if k not in server.pinned}
        if section == "SamlSettings":
            _demand_valid(changed)
            _save(server, changed)
        server.settings[section] = changed
    ask.note()
    return Reply(server.settings)


def add_idp_certificate(ask: Ask) -> Reply:
    """A file in the place of the one before, whatever it holds. It is loaded with the next change
    of a SAML setting, of which the first upload is one.
    """
    ask.require_session()
    ask.require_admin()
    server, content = ask.server, _uploaded(ask)
    if "IdpCertificateFile" in server.pinned:  # it reads another file
        return OK
    server.idp_file = content
    if _is_read_only(server):  # the file is written, the error of the rest is swallowed
        return OK
    saml = server.settings["SamlSettings"]
    _save(server, saml | {"IdpCertificateFile": _FILE})
    server.settings["SamlSettings"] = saml | {"IdpCertificateFile": _FILE}
    ask.note()
    return OK


def _uploaded(ask: Ask) -> bytes:
    """The multipart field `certificate`."""
    form = message_from_bytes(f"Content-Type: {ask.content_type}\r\n\r\n".encode() + ask.octets)
    for part in form.walk():
        if part.get_param("name", header="Content-Disposition") == "certificate":
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                load_pem_x509_certificate(content)  # a test that uploads junk is wrong
                return content
    raise RefusedError(400, _NO_FILE)


def _is_read_only(server: MattermostServer) -> bool:
    """config/file.go: a cluster's configuration in a file, as it is by default."""
    cluster = server.settings.get("ClusterSettings", {})
    return bool(cluster.get("Enable") and cluster.get("ReadOnlyConfig"))


def _save(server: MattermostServer, changed: dict[str, Any]) -> None:
    """The service provider is built again when the configuration is another one than before."""
    if changed != server.settings["SamlSettings"]:
        server.idp_loaded = server.idp_file


def _demand_valid(saml: dict[str, Any]) -> None:
    if not saml["Enable"]:
        return
    for field, said in _DEMANDED.items():
        if not saml[field]:
            raise RefusedError(400, f"model.config.is_valid.{said}.app_error")
