"""Plain pages of the other parties: readable by people, by keyboard, and by our test browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.responses import HTMLResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

_BASE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; line-height: 1.5 }
main { max-width: 32rem; margin: 3rem auto; padding: 0 1rem }
label, input, button { display: block; font: inherit; margin: .4rem 0 }
input { width: 100%; box-sizing: border-box; padding: .4rem }
button, a.button { display: inline-block; padding: .4rem 1.2rem }
[role=alert] { border-left: .3rem solid; padding-left: .8rem }
dt { font-weight: 600 } code { overflow-wrap: anywhere }
</style></head>
<body><main><h1>{{ title }}</h1>{% block content %}{% endblock %}</main></body></html>"""

_TEMPLATES = {
    "base": _BASE,
    "message": """{% extends "base" %}{% block content %}
{% for line in lines %}<p{% if alert %} role="alert"{% endif %}>{{ line }}</p>{% endfor %}
{% for text, url in links %}<p><a class="button" href="{{ url }}">{{ text }}</a></p>{% endfor %}
{% endblock %}""",
    "login": """{% extends "base" %}{% block content %}
{% if problem %}<p role="alert">{{ problem }}</p>{% endif %}
<p>{{ asker }} asks who you are.</p>
<form method="post" action="{{ action }}">
<label for="username">User name</label>
<input id="username" name="username" type="text" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<input type="hidden" name="pending" value="{{ pending }}">
<button type="submit">Log in</button></form>
{% endblock %}""",
    "auto_post": """{% extends "base" %}{% block content %}
<form method="post" action="{{ action }}">
{% for name, value in fields.items() %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<button type="submit">Continue</button></form>
<script>document.forms[0].submit()</script>
{% endblock %}""",
    "facts": """{% extends "base" %}{% block content %}
<dl>{% for name, value in facts.items() %}<dt>{{ name }}</dt><dd><code>{{ value }}</code></dd>
{% endfor %}</dl>
{% for text, url in links %}<p><a class="button" href="{{ url }}">{{ text }}</a></p>{% endfor %}
{% endblock %}""",
}

_ENVIRONMENT = Environment(
    loader=DictLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_NO_STORE = {"cache-control": "no-store"}


def message(
    title: str,
    *lines: str,
    status: int = 200,
    alert: bool = False,
    links: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """A page that says something."""
    return _page(
        "message", status, title=title, lines=lines, alert=alert, links=(links or {}).items()
    )


def login(title: str, *, action: str, pending: str, asker: str, problem: str = "") -> HTMLResponse:
    """A form for a user name and a password."""
    return _page(
        "login", 200, title=title, action=action, pending=pending, asker=asker, problem=problem
    )


def auto_post(title: str, *, action: str, fields: Mapping[str, str]) -> HTMLResponse:
    """A form that posts itself; without script, by its button."""
    return _page("auto_post", 200, title=title, action=action, fields=fields)


def facts(
    title: str, values: Mapping[str, str], *, links: Mapping[str, str] | None = None
) -> HTMLResponse:
    """A page that shows named values."""
    return _page("facts", 200, title=title, facts=values, links=(links or {}).items())


def _page(template: str, status: int, **values: object) -> HTMLResponse:
    html = _ENVIRONMENT.get_template(template).render(**values)
    return HTMLResponse(html, status_code=status, headers=_NO_STORE)
