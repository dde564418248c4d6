"""`[notify]`: channels by reference only, each problem at its path, no token in any message."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.unit.config_folder import private_file

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder

TOKEN = "geheimes-token"
URL = f"mmosts://chat.example.org/{TOKEN}"


def notify(folder: Folder, lines: str) -> Folder:
    folder.text += f"\n[notify]\n{lines}\n"
    return folder


def test_nobody_is_told_by_default(folder: Folder) -> None:
    read = folder.read().notify
    assert read.urls == ()
    assert read.language == "en"
    assert (read.repeat, read.held_reminder) == (timedelta(hours=1), timedelta(hours=4))
    assert read.timeout == timedelta(seconds=10)


def test_channels_come_from_files_and_variables(folder: Folder) -> None:
    private_file(folder.path / "keys" / "pager.url", f"{URL}\n".encode())
    folder.environ["MAIL_URL"] = "mailtos://user:word@mail.example.org?to=night@example.org"
    read = notify(folder, 'urls = ["file:keys/pager.url", "env:MAIL_URL"]').read().notify
    assert read.urls == (URL, folder.environ["MAIL_URL"])


def test_a_repr_of_the_settings_shows_no_token(folder: Folder) -> None:
    folder.environ["CHAT"] = URL
    assert TOKEN not in repr(notify(folder, 'urls = ["env:CHAT"]').read())


def test_every_problem_is_named_at_its_path_at_once(folder: Folder) -> None:
    private_file(folder.path / "keys" / "two.url", f"{URL}\n{URL}\n".encode())
    (folder.path / "keys" / "open.url").write_text(URL)
    (folder.path / "keys" / "open.url").chmod(0o644)
    notify(
        folder,
        f"""urls = ["{URL}", "file:none.url", "env:NOT_SET", "file:keys/two.url",
                "file:keys/open.url", 7]
language = "fr"
repeat_minutes = 0
timeout_s = 61
channels = 3""",
    )
    problems = folder.problems()
    for expected in (
        "notify.urls[0]: a secret may not stand in this file (KEY-01)",
        "notify.urls[1]: no such file: none.url",
        "notify.urls[2]: the environment variable NOT_SET is not set",
        "notify.urls[3]: file:keys/two.url must hold exactly one line of text",
        "notify.urls[4]: keys/open.url is open to other users",
        "notify.urls[5]: must be text in quotes",
        "notify.language: unknown value 'fr'; use 'en' or 'de'",
        "notify.repeat_minutes: 0 is too small: at least 1",
        "notify.timeout_s: 61 is too large: at most 60",
        "notify.channels: unknown field",
    ):
        assert [one for one in problems if one.startswith(expected)], expected
    assert len(problems) == 10
    assert TOKEN not in "\n".join(problems)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (TOKEN, "holds no URL of Apprise's"),
        (f"mailto:{TOKEN}@example.org", "holds no URL of Apprise's"),
        (f"{URL} {URL}", "holds no URL of Apprise's"),
        (f"{URL}?verify=no", "holds verify=no"),
        (f"{URL}?rto=3&Verify=False", "holds verify=no"),
        (f"{URL}?verify=0", "holds verify=no"),
        (f"json://[::1/{TOKEN}", "cannot be read"),
    ],
)
def test_what_is_no_safe_channel_is_refused_without_being_shown(
    folder: Folder, url: str, says: str
) -> None:
    folder.environ["CHAT"] = url
    (problem,) = notify(folder, 'urls = ["env:CHAT"]').problems()
    assert problem.startswith("notify.urls[0]: env:CHAT ")
    assert says in problem
    assert TOKEN not in problem
