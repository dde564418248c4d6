"""The channels themselves: each within its own deadline, none with a way to speak of its URL."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email import message_from_string
from email.policy import default
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.notices import Kind, Notice
from idp_proxy.notify.channels import Delivery, Result, open_channels, problems, send
from idp_proxy.notify.texts import Message, write
from tests.unit.pager import TOKEN, Pager, running_mail_server, running_pager

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 20
MESSAGE = Message("subject", "body <b>\n\nnext: idp-proxy status", "warning")


@pytest.fixture
def pager() -> Iterator[Pager]:
    yield from running_pager()


@pytest.fixture
def hanging() -> Iterator[Pager]:
    for made in running_pager():
        made.hangs.set()
        yield made


def test_a_channel_that_hangs_delays_no_other(pager: Pager, hanging: Pager) -> None:
    channels = open_channels([hanging.json_url, pager.json_url], 30)
    began = time.monotonic()
    stuck, taken = send(channels, MESSAGE, 2)
    assert time.monotonic() - began < 20
    assert (stuck.result, taken.result) == (Result.TIMEOUT, Result.SENT)
    assert pager.messages[0]["title"] == "subject"
    assert pager.messages[0]["type"] == "warning"


def test_a_channel_that_hangs_takes_no_more_time_for_the_next_message(
    pager: Pager, hanging: Pager
) -> None:
    channels = open_channels([hanging.json_url, pager.json_url], 30)
    send(channels, MESSAGE, 2)
    began = time.monotonic()
    for _ in range(20):
        busy, taken = send(channels, MESSAGE, 30)
        assert (busy.result, taken.result) == (Result.BUSY, Result.SENT)
    assert time.monotonic() - began < 25
    assert len(pager.messages) == 21


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 429, 500, 503])
def test_a_refusal_tells_its_status_and_follows_nobody_elsewhere(pager: Pager, status: int) -> None:
    pager.status = status
    (delivery,) = send(open_channels([pager.json_url], PATIENCE_S), MESSAGE, PATIENCE_S)
    assert delivery == Delivery(0, "json", Result.REFUSED, status)
    assert str(status) in delivery.reason
    assert pager.paths == [f"/{TOKEN}"]


def test_what_cannot_be_reached_says_so() -> None:
    (delivery,) = send(
        open_channels([f"json://127.0.0.1:1/{TOKEN}"], PATIENCE_S), MESSAGE, PATIENCE_S
    )
    assert (delivery.result, delivery.http_status) == (Result.REFUSED, None)
    assert "not reachable" in delivery.reason


UNUSABLE = [
    "nosuchscheme://host",
    "mmost://",
    "pagerduty://only-one-part",
    "http://chat.example.org/hooks/x",
    f"json://127.0.0.1/{TOKEN}?verify=no",
    f"jsons://127.0.0.1/{TOKEN}?verify=no",
    "json://[::1",
]


@pytest.mark.parametrize("url", UNUSABLE)
def test_what_apprise_cannot_use_never_sends_and_stops_nothing(pager: Pager, url: str) -> None:
    unusable, good = send(open_channels([url, pager.json_url], PATIENCE_S), MESSAGE, PATIENCE_S)
    assert unusable.result is Result.UNUSABLE
    assert good.sent


def test_what_apprise_cannot_use_is_named_by_its_index_alone(pager: Pager) -> None:
    found = problems([pager.json_url, f"nosuchscheme://{TOKEN}", f"slack://{TOKEN}"])
    assert [one.partition(":")[0] for one in found] == ["notify.urls[1]", "notify.urls[2]"]
    assert TOKEN not in "".join(found)


def test_no_channels_need_no_apprise() -> None:
    assert open_channels([], PATIENCE_S) == ()
    assert send((), MESSAGE, PATIENCE_S) == ()


def test_a_mail_has_no_header_but_ours() -> None:
    """A hostile cause tries to add a recipient, and markup."""
    facts = {"serving": "okta\r\nBcc: evil@example.org", "cause": "<img src=//evil.example/x>\n.\n"}
    message = write(
        Notice(Kind.OUTAGE, "k", facts, "idp-proxy status"),
        "de",
        since=datetime(2026, 11, 22, tzinfo=UTC),
        fallback="idp-proxy status",
        source="sso1",
    )
    for url, mails in running_mail_server():
        (delivery,) = send(open_channels([url], PATIENCE_S), message, PATIENCE_S)
        assert delivery.sent
        (mail,) = (message_from_string(one, policy=default) for one in mails)
    assert mail["Bcc"] is None
    assert mail["To"] == "night@example.org"
    assert mail["Subject"] == message.subject
    body = mail.get_content()
    assert "next: idp-proxy status" in body.splitlines()
    assert "<img" not in body


@pytest.mark.parametrize("result", Result)
def test_every_failure_names_the_way_out(result: Result) -> None:
    assert bool(Delivery(0, "json", result).reason) is (result is not Result.SENT)


def test_a_plugin_that_breaks_is_a_refusal(pager: Pager, monkeypatch: pytest.MonkeyPatch) -> None:
    (channel,) = open_channels([pager.json_url], PATIENCE_S)
    assert channel.service is not None

    def broken(**_: object) -> bool:
        raise RuntimeError(pager.json_url)

    monkeypatch.setattr(channel.service, "notify", broken)
    (delivery,) = send([channel], MESSAGE, PATIENCE_S)
    assert delivery.result is Result.REFUSED
    assert TOKEN not in repr(delivery)
