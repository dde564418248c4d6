"""What the log holds of a run: each refusal with its rule and id, and no secret (OPS-01)."""

from __future__ import annotations

import html
import io
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from idp_proxy import errors
from tests.flows.configuration import provider
from tests.flows.stage import Stage, demand_refusal, form_of
from tests.support.people import ALICE, BOB

if TYPE_CHECKING:
    import httpx

RELAY_STATE = "relay-state-of-mattermost-7f3a"
SECRETS = ("e-1001", "alice", "Alice", "bob", "e-1002", RELAY_STATE)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """All that the proxy logs, as JSON lines, whatever another test set up before."""
    written = io.StringIO()
    for name, module in list(sys.modules.items()):
        if name.startswith("idp_proxy.") and hasattr(module, "_log"):
            logger = structlog.wrap_logger(
                structlog.PrintLogger(written),
                processors=[
                    structlog.processors.add_log_level,
                    structlog.processors.format_exc_info,
                    structlog.processors.JSONRenderer(),
                ],
            )
            monkeypatch.setattr(module, "_log", logger)
    return written


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def run_of_everything(stage: Stage) -> list[httpx.Response]:
    """A login, and each way in which one can fail; gives the pages of the failures."""
    begun = stage.begin(relay_state=RELAY_STATE)
    message = stage.answer(begun, ALICE)
    assert stage.post(begun, message).status_code == 200
    failures = [stage.post(begun, message)]
    begun = stage.begin(relay_state=RELAY_STATE)
    message = stage.answer(begun, BOB)
    failures += [
        stage.post(begun, message, client=stage.client()),
        stage.post(begun, message[:-40]),
        stage.post(begun, message.replace("A", "B")),
        stage.post(begun, message, upstream="standby"),
        stage.post(begun, stage.answer(begun, BOB, by=provider("standby"))),
        begun.client.post(
            "/upstream/active/acs", data={"SAMLResponse": message, "RelayState": RELAY_STATE}
        ),
        begun.client.get(f"/upstream/active/acs?SAMLResponse={message[:500]}"),
        stage.client().get(f"/saml/sso?SAMLRequest=AAAA&RelayState={RELAY_STATE}"),
        stage.client().get(f"/nowhere?RelayState={RELAY_STATE}", headers={"cookie": "a=b"}),
    ]
    stage.switch("standby")
    begun = stage.begin(relay_state=RELAY_STATE)
    failures.append(stage.post(begun, stage.answer(begun, BOB)))
    stage.clock.pass_by(seconds=300)
    failures.append(stage.post(begun, stage.answer(begun, BOB)))
    return failures


def test_no_line_holds_a_secret_or_a_name(stage: Stage, log: io.StringIO) -> None:
    begun = stage.begin(relay_state=RELAY_STATE)
    message = stage.answer(begun, ALICE)
    page = stage.post(begun, message)
    run_of_everything(stage)
    written = log.getvalue()
    assert "logged_in" in written
    cookies = [cookie.value or "" for cookie in begun.client.cookies.jar]
    issued = form_of(page).fields["SAMLResponse"]
    for secret in (*SECRETS, message[:60], message[200:260], issued[:60], begun.tid):
        assert secret not in written
    for cookie in cookies:
        assert cookie[:40] not in written
    assert not re.search(r"[A-Za-z0-9+/]{80}", written), "something long in base64"
    assert "Assertion>" not in written


def test_each_refusal_is_found_by_the_id_on_its_page(stage: Stage, log: io.StringIO) -> None:
    pages = run_of_everything(stage)
    known = {line["error_id"]: line for line in lines(log) if line["event"] == "refused"}
    assert len(known) == len(pages)
    for page in pages:
        codes = re.findall(r"<code>(.*?)</code>", html.unescape(page.text))
        error_id, code = codes
        assert known[error_id]["code"] == code
        assert known[error_id]["detail"]
        assert known[error_id]["level"] == "warning"


def test_a_refusal_of_a_saml_rule_names_the_rule(stage: Stage, log: io.StringIO) -> None:
    begun = stage.begin()
    demand_refusal(
        stage.post(begun, stage.answer(begun, ALICE, by=provider("standby"))),
        errors.AssertionInvalid,
    )
    assert lines(log)[-1]["rule"] == "FO-01"


def test_a_line_break_in_a_path_cannot_forge_a_line(stage: Stage, log: io.StringIO) -> None:
    stage.client().get('/x%0a{"event":"logged_in"}')
    assert [line["event"] for line in lines(log)] == ["refused"]


def test_a_fault_of_our_own_is_an_error_with_a_page(
    stage: Stage, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("something nobody foresaw")

    begun = stage.begin()
    monkeypatch.setattr(type(stage.upstreams["active"]), "finish", broken)
    page = stage.post(begun, stage.answer(begun, ALICE))
    text = demand_refusal(page, errors.Internal)
    assert "nobody foresaw" not in text
    (line,) = [line for line in lines(log) if line["event"] == "refused"]
    assert (line["level"], line["code"]) == ("error", "internal")
    assert line["detail"] == "RuntimeError: something nobody foresaw"
