"""`notify test` and `check-config`: whether messages arrive, before a night in which they must."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.cli import main
from tests.unit.config_folder import private_file
from tests.unit.pager import TOKEN, Pager, running_pager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.config_folder import Folder

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pager() -> Iterator[Pager]:
    yield from running_pager()


@pytest.fixture
def run(folder: Folder, capfd: pytest.CaptureFixture[str]) -> Run:
    """The program with channels: exit code, stdout, stderr; the token is in neither."""

    def run(*words: str, urls: list[str], settings: str = "") -> tuple[int, str, str]:
        references = []
        for index, url in enumerate(urls):
            private_file(folder.path / "keys" / f"{index}.url", url.encode())
            references.append(f"file:keys/{index}.url")
        file = folder.path / "idp-proxy.toml"
        notify = f"\n[notify]\nurls = {json.dumps(references)}\n{settings}\n" if urls else ""
        file.write_text(folder.text + notify)
        with pytest.raises(SystemExit) as caught:
            main([*words, "--config", str(file)])
        out, err = capfd.readouterr()
        assert TOKEN not in out + err
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


def test_a_message_goes_to_every_channel(pager: Pager, run: Run) -> None:
    code, out, err = run("notify", "test", urls=[pager.json_url, pager.mattermost_url])
    assert (code, err) == (0, "")
    assert out.count("yes") == 2
    assert "mmost" in out
    assert out.splitlines()[-1].startswith("next: idp-proxy status --config ")
    told, posted = sorted(pager.messages, key=lambda message: "text" in message)
    assert told["title"] == "Test: notifications from sso1 arrive"
    assert "From: sso.example.org (sso1)" in told["message"]
    assert "Nothing has happened" in posted["text"]


def test_it_speaks_the_configured_language(pager: Pager, run: Run) -> None:
    run("notify", "test", urls=[pager.json_url], settings='language = "de"')
    assert pager.subjects == ["Probe: Benachrichtigungen von sso1 kommen an"]


def test_a_channel_that_fails_is_named_with_the_reason(pager: Pager, run: Run) -> None:
    unreachable = f"json://127.0.0.1:1/{TOKEN}"
    code, out, err = run("notify", "test", urls=[pager.json_url, unreachable])
    assert code == 1
    assert "notify.urls[1]" in out
    assert err == "error: 1 of 2 channels did not take the message\n"
    assert out.splitlines()[-1].startswith("next: idp-proxy notify test")
    assert len(pager.messages) == 1


def test_programs_read_json(pager: Pager, run: Run) -> None:
    pager.status = 403
    code, out, err = run(
        "notify", "test", "--json", urls=[pager.json_url, f"nosuchscheme://{TOKEN}"]
    )
    assert (code, err) == (1, "")
    answer: dict[str, Any] = json.loads(out)
    refused, unusable = answer["channels"]
    assert answer["ok"] is False
    assert refused == {
        "channel": "notify.urls[0]",
        "scheme": "json",
        "sent": False,
        "result": "refused",
        "http_status": 403,
        "reason": "answered with HTTP status 403; check the token in the URL",
    }
    assert unusable["result"] == "unusable"
    pager.status = 200
    code, out, _ = run("notify", "test", "--json", urls=[pager.json_url])
    answer = json.loads(out)
    assert (code, answer["ok"], answer["channels"][0]["reason"]) == (0, True, None)
    assert answer["next"].startswith("idp-proxy status")


def test_without_channels_it_names_the_field(run: Run) -> None:
    code, out, err = run("notify", "test", urls=[])
    assert (code, out) == (1, "")
    assert "notify.urls" in err
    assert err.splitlines()[-1].startswith("next: idp-proxy notify test")
    code, out, err = run("notify", "test", "--json", urls=[])
    answer = json.loads(out)
    assert (code, err, answer["ok"], answer["channels"]) == (1, "", False, [])
    assert "notify.urls" in answer["problem"]


def test_a_hanging_channel_ends_at_its_deadline(pager: Pager, run: Run) -> None:
    pager.hangs.set()
    code, out, _ = run("notify", "test", "--json", urls=[pager.json_url], settings="timeout_s = 1")
    (channel,) = json.loads(out)["channels"]
    assert (code, channel["result"]) == (1, "timeout")
    assert "no answer in time" in channel["reason"]


def test_check_config_asks_apprise_about_each_channel(pager: Pager, run: Run) -> None:
    code, _, err = run(
        "check-config", urls=[f"slack://{TOKEN}", pager.json_url, f"nosuchscheme://{TOKEN}"]
    )
    assert code == 2
    assert [line.partition(";")[0] for line in err.splitlines()[1:3]] == [
        "  - notify.urls[0]: Apprise cannot use the slack:// URL there",
        "  - notify.urls[2]: Apprise cannot use the nosuchscheme:// URL there",
    ]
    code, out, _ = run("check-config", urls=[pager.json_url])
    assert code == 0
    assert "1 channels (en)" in out
