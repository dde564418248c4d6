"""The same identity provider with pages that are nothing without JavaScript, as Okta's and Entra's.

The page is empty but for a script. It asks for the name, then for the password, in place; it asks
the server by `fetch`, and only what the server gives back is posted to the service provider.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from tests.support import people
from tests.support.identity_provider import answers
from tests.support.identity_provider.app import IdentityProvider

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

    from tests.support.identity_provider.app import _Asked

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title></head>
<body><div id="root"></div>
<input type="password" name="decoy" style="position:absolute;left:-9999px">
<script src="/script.js"></script></body></html>"""
_SCRIPT = """
const root = document.getElementById('root');
const given = {};
function ask(name, kind) {
  root.innerHTML = `<p id=error></p><input name="${name}" type="${kind}"><button>Next</button>`;
  const field = root.querySelector('input');
  const next = () => {
    given[name] = field.value;
    if (name === 'identifier') ask('credentials.passcode', 'password'); else send();
  };
  root.querySelector('button').onclick = next;
  field.onkeydown = event => { if (event.key === 'Enter') next(); };
}
async function send() {
  const body = JSON.stringify(given), headers = {'x-by': 'script'};
  const answer = await (await fetch('/api/login', {method: 'POST', body, headers})).json();
  if (!answer.action) { document.getElementById('error').textContent = 'No'; return; }
  const form = document.createElement('form');
  form.method = 'post'; form.action = answer.action;
  for (const [name, value] of Object.entries(answer.fields)) {
    const field = document.createElement('input');
    field.type = 'hidden'; field.name = name; field.value = value; form.append(field);
  }
  document.body.append(form); form.submit();
}
setTimeout(() => ask('identifier', 'text'), 50);
"""
_COOKIE = "login-under-way"


class ScriptedIdentityProvider(IdentityProvider):
    """An `IdentityProvider` whose login is a script."""

    @property
    def app(self) -> Starlette:
        """See `IdentityProvider.app`."""
        made = super().app
        made.router.routes += [
            Route("/script.js", lambda _: Response(_SCRIPT, media_type="text/javascript")),
            Route("/api/login", self._login_by_script, methods=["POST"]),
        ]
        return made

    def _form(self, asked: _Asked, problem: str = "") -> HTMLResponse:
        shown = super()._form(asked, problem)
        page = HTMLResponse(_PAGE)
        pending = next(reversed(self._asked))
        page.set_cookie(_COOKIE, pending, httponly=True, secure=True)
        return page if shown.status_code == page.status_code else shown

    async def _login_by_script(self, request: Request) -> Response:
        given = json.loads(await request.body())
        pending = request.cookies.get(_COOKIE, "")
        asked = self._asked.get(pending)
        if asked is None or request.headers.get("x-by") != "script":
            return JSONResponse({}, status_code=400)
        person = people.find(given.get("identifier", ""), given.get("credentials.passcode", ""))
        if person is None:
            return JSONResponse({})
        login = answers.Login(self.now())
        message = await run_in_threadpool(
            answers.issue, self.provider, asked.question, person, now=self.now(), login=login
        )
        fields = {"SAMLResponse": message, "RelayState": asked.relay_state}
        return JSONResponse({"action": asked.question.acs_url, "fields": fields})
