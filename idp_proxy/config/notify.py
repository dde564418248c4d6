"""`[notify]`: the channels, each a reference to a URL of Apprise's (KEY-01).

Only what can be told without Apprise is judged here: it takes 30 MiB, which no worker needs.
`check-config` and `notify test` ask Apprise itself.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from idp_proxy.config.settings import NotifySettings

if TYPE_CHECKING:
    from idp_proxy.config.material import Reader
    from idp_proxy.config.shape import NotifyTable

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
_YES: Final = frozenset({"yes", "true", "1", "on"})


def read_notify(table: NotifyTable, reader: Reader) -> NotifySettings:
    """`[notify]`; a channel with a problem is left out, and the problem is noted."""
    urls = [
        _channel(f"notify.urls[{index}]", reference, reader)
        for index, reference in enumerate(table.urls)
    ]
    return NotifySettings(
        urls=tuple(url for url in urls if url is not None),
        language=table.language,
        repeat=timedelta(minutes=table.repeat_minutes),
        held_reminder=timedelta(hours=table.held_reminder_hours),
        timeout=timedelta(seconds=table.timeout_s),
    )


def _channel(where: str, reference: str, reader: Reader) -> str | None:
    url = reader.secret_text(where, reference)
    if url is None:
        return None
    if (problem := _problem(url)) is not None:
        reader.findings.problem(where, f"{reference} {problem}")
        return None
    return url


def _problem(url: str) -> str | None:
    """What keeps a text from being a channel. The text is a secret and stands in no message."""
    if _URL.fullmatch(url) is None:
        return (
            "holds no URL of Apprise's; such a URL has the form mmosts://chat.example.org/TOKEN, "
            "without blanks"
        )
    try:
        options = parse_qsl(urlsplit(url).query)
    except ValueError:
        return "holds a URL that cannot be read: its host or port is malformed"
    if any(name.lower() == "verify" and value.lower() not in _YES for name, value in options):
        return "holds verify=no, which would accept any certificate (WEB-01); remove it"
    return None
