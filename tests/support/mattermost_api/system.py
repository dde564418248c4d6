"""The server itself: ping, configuration, licence, audits, jobs and exports."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

from tests.support.mattermost_api import settings, shapes
from tests.support.mattermost_api.asking import OK, Ask, RefusedError, Reply
from tests.support.mattermost_api.records import Job

if TYPE_CHECKING:
    from tests.support.mattermost_api.server import MattermostServer

#: How often an export job is looked at before it is done.
LOOKS = 2
CLIENTS = (
    "AndroidLatestVersion",
    "AndroidMinVersion",
    "DesktopLatestVersion",
    "DesktopMinVersion",
    "IosLatestVersion",
    "IosMinVersion",
)


def ping(ask: Ask) -> Reply:
    """For anybody."""
    body = dict.fromkeys(CLIENTS, "")
    if not ask.flag("get_server_status"):
        return Reply({**body, "status": "OK"})
    body |= {"database_status": "OK", "filestore_status": "OK", "status": "OK"}
    headers = {"Database_status": "OK", "Filestore_status": "OK", "Status": "OK"}
    return Reply(body, headers=headers)


def client_config(ask: Ask) -> Reply:
    """For anybody."""
    return Reply(settings.public(ask.server.settings, ask.server.release.text))


def config(ask: Ask) -> Reply:
    """For administrators."""
    ask.require_session()
    ask.require_admin()
    return Reply(ask.server.settings)


def client_license(ask: Ask) -> Reply:
    """For anybody."""
    return Reply({"IsLicensed": str(ask.server.licensed).lower()})


def audits(ask: Ask) -> Reply:
    """The latest first."""
    ask.require_session()
    ask.require_admin()
    return _page_of_audits(ask, "")


def user_audits(ask: Ask) -> Reply:
    """What this user did, not what was done to him."""
    ask.require_session()
    user_id = ask.user_id()
    ask.require_self_or_admin(user_id)
    return _page_of_audits(ask, user_id)


def _page_of_audits(ask: Ask, actor: str) -> Reply:
    size = min(ask.number("per_page", 60), 200)
    start = ask.number("page", 0) * size
    rows = [row for row in ask.server.audits if not actor or row.user_id == actor]
    return Reply([shapes.audit(row) for row in rows[start : start + size]])


def no_saml(ask: Ask) -> Reply:
    """The SAML administration of the licensed server is closed code."""
    ask.require_session()
    ask.require_admin()
    raise RefusedError(501, "api.admin.saml.not_available.app_error")


def create_job(ask: Ask) -> Reply:
    """Only exports."""
    ask.require_session()
    ask.require_admin()
    if ask.text("type") != "export_process":
        raise RefusedError(400, "model.job.is_valid.type.app_error")
    row = Job(ask.server.new_id(), ask.server.now_ms, LOOKS)
    ask.server.jobs[row.id] = row
    return Reply(shapes.job(row), status=201)


def get_job(ask: Ask) -> Reply:
    """It goes on each time it is looked at."""
    ask.require_session()
    ask.require_admin()
    row = ask.server.jobs.get(ask.names["job_id"])
    if row is None:
        raise RefusedError(404, "app.job.get.app_error")
    if row.status in {"pending", "in_progress"}:
        row.looks -= 1
        row.status = "in_progress" if row.looks > 0 else "success"
        if row.status == "success":
            ask.server.exports[f"{row.id}_export.zip"] = archive(ask.server)
    return Reply(shapes.job(row))


def archive(server: MattermostServer) -> bytes:
    """import.jsonl in a zip: version, users, messages."""
    lines = [{"type": "version", "version": 1}]
    lines += [
        shapes.export_line(row)
        for row in map(server.users.__getitem__, server.users.ordered())
        if not row.is_bot
    ]
    lines.append({"type": "post", "post": {"message": '{"type":"user","user":{}}'}})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("import.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    return file.getvalue()


def list_exports(ask: Ask) -> Reply:
    """Their names."""
    ask.require_session()
    ask.require_admin()
    return Reply(sorted(ask.server.exports))


def get_export(ask: Ask) -> Reply:
    """The file."""
    ask.require_session()
    ask.require_admin()
    octets = ask.server.exports.get(ask.names["name"])
    if octets is None:
        raise RefusedError(404, "api.export.export_not_found.app_error")
    return Reply(octets)


def delete_export(ask: Ask) -> Reply:
    """Also one that is not there."""
    ask.require_session()
    ask.require_admin()
    ask.server.exports.pop(ask.names["name"], None)
    return OK
