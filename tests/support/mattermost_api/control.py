"""`POST /control` of the form as a process: what tests do in-process with the server's value."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.support.mattermost_api.server import MattermostServer, SamlRefusedError
from tests.support.mattermost_api.trouble import Fault, Kind, RateLimit, Shift

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Methods of the server that may be called by name with the remaining fields as arguments.
METHODS = (
    "add",
    "add_saml",
    "people",
    "change",
    "put_password",
    "restart",
    "revoke_tokens",
    "end_sessions",
)


def control(server: MattermostServer, order: dict[str, Any]) -> dict[str, Any]:
    """Do `order["do"]` with the other fields. Unknown orders raise `KeyError`."""
    name = order.pop("do")
    if name in METHODS:
        getattr(server, name)(**order)
        return {"done": name}
    return _ORDERS[name](server, order)


def _trouble(server: MattermostServer, order: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(order)
    if "faults" in fields:
        fields["faults"] = [Fault(**{**one, "kind": Kind[one["kind"]]}) for one in fields["faults"]]
    if fields.get("rate_limit"):
        fields["rate_limit"] = RateLimit(**fields["rate_limit"])
    if "shift" in fields:
        fields["shift"] = Shift[fields["shift"]]
    for name, value in fields.items():
        setattr(server.trouble, name, value)
    return {"done": "trouble"}


def _advance(server: MattermostServer, order: Mapping[str, Any]) -> dict[str, Any]:
    server.ahead_s += order["seconds"]
    server.settle()
    return {"now_ms": server.now_ms}


def _version(server: MattermostServer, order: Mapping[str, Any]) -> dict[str, Any]:
    server.version = order["version"]
    server.restart()
    return {"version": server.release.text}


def _settings(server: MattermostServer, order: Mapping[str, Any]) -> dict[str, Any]:
    for section, values in order.items():
        server.settings[section].update(values)
    return {"done": "settings"}


def _saml_login(server: MattermostServer, order: Mapping[str, Any]) -> dict[str, Any]:
    try:
        session = server.saml_login(order["id"], order["email"], order["username"])
    except SamlRefusedError as refused:
        return {"refused": str(refused)}
    return {"token": session.token, "user_id": session.user_id}


def _session(server: MattermostServer, order: Mapping[str, Any]) -> dict[str, Any]:
    row = server.give_session(
        order["user_id"], is_saml=order.get("is_saml", False), hours=order.get("hours", 0)
    )
    return {"token": row.token, "id": row.id}


def _rows(server: MattermostServer, _order: Mapping[str, Any]) -> dict[str, Any]:
    return {"users": [asdict(row) for row in server.users.values()]}


def _outbox(server: MattermostServer, _order: Mapping[str, Any]) -> dict[str, Any]:
    return {"mails": [asdict(mail) for mail in server.outbox]}


def _calls(server: MattermostServer, _order: Mapping[str, Any]) -> dict[str, Any]:
    return dict(server.calls)


_ORDERS: Mapping[str, Callable[[MattermostServer, Mapping[str, Any]], dict[str, Any]]] = {
    "trouble": _trouble,
    "advance": _advance,
    "version": _version,
    "settings": _settings,
    "saml_login": _saml_login,
    "session": _session,
    "rows": _rows,
    "outbox": _outbox,
    "calls": _calls,
}
