"""Mattermost is led to another identity provider, or stays where it was: against the double."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.config.mattermost import ApiSettings
from idp_proxy.config.settings import Outbound
from idp_proxy.cutover import Trust, change
from idp_proxy.decision.cutover import CHANGED
from idp_proxy.errors import CutoverRefused, MattermostUnauthorized
from idp_proxy.mattermost import MattermostApi
from tests.support.keys import rsa_pair
from tests.support.launch import in_thread
from tests.support.mattermost_api import Fault, Kind, MattermostServer, app

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def trust(name: str) -> Trust:
    settings = {field: f"https://{name}.example.org/{field}" for field in CHANGED}
    return Trust(settings, rsa_pair(name).certificate_pem.decode())


UPSTREAM, PROXY = trust("okta"), trust("proxy")


@pytest.fixture
def server() -> MattermostServer:
    made = MattermostServer()
    made.settings["SamlSettings"] |= {"Enable": True, "ServiceProviderIdentifier": "chat"}
    made.settings["SamlSettings"] |= {"IdpCertificateFile": "saml-idp.crt"}
    saml = made.settings["SamlSettings"]
    names = {name.casefold(): name for name in saml}
    saml |= {names[name.casefold()]: value for name, value in UPSTREAM.settings.items()}
    made.idp_file = made.idp_loaded = UPSTREAM.certificate.encode()
    return made


@pytest.fixture
def api(server: MattermostServer) -> Iterator[MattermostApi]:
    with in_thread(app(server)) as url:
        settings = ApiSettings(url, "file:t", Outbound(), timedelta(seconds=5))
        with MattermostApi(settings, server.admin_token, sleep=lambda _: None) as opened:
            yield opened


def trusted(server: MattermostServer) -> str:
    """Whom logins are believed of, by the settings and by the certificate that is loaded."""
    found = []
    for name, one in (("upstream", UPSTREAM), ("proxy", PROXY)):
        if server.settings["SamlSettings"]["IdpUrl"] == one.settings["IdpURL"]:
            found.append(name)
        found += [name] * (server.idp_loaded == one.certificate.encode())
    return "+".join(found)


def test_there_and_back(server: MattermostServer, api: MattermostApi) -> None:
    assert api.saml().differing(UPSTREAM.settings) == ()
    change(api, PROXY, UPSTREAM)
    assert trusted(server) == "proxy+proxy"
    assert server.settings["SamlSettings"]["Verify"] is True
    change(api, PROXY, UPSTREAM)  # said twice
    change(api, UPSTREAM, PROXY)
    assert trusted(server) == "upstream+upstream"
    assert api.saml().differing(UPSTREAM.settings) == ()


@pytest.mark.parametrize(
    ("kind", "times"),
    [(Kind.SERVER_ERROR, 3), (Kind.ERROR_AFTER, 3), (Kind.CUT_AFTER, 3), (Kind.JUNK, 1)],
)
@pytest.mark.parametrize("path", ["/saml/certificate/idp", "/config/patch"])
def test_a_call_that_fails_leaves_mattermost_as_it_was(
    server: MattermostServer, api: MattermostApi, kind: Kind, times: int, path: str
) -> None:
    server.trouble.faults.append(Fault(kind, path=path, times=times))
    with pytest.raises(CutoverRefused, match="trusts whom it trusted before"):
        change(api, PROXY, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


def test_what_mattermost_keeps_is_put_back_with_the_rest(
    server: MattermostServer, api: MattermostApi
) -> None:
    server.pinned.add("IdpUrl")
    assert api.saml().pinned == {"IdpURL"}
    with pytest.raises(CutoverRefused, match=r"kept its own IdpURL; Mattermost was put back"):
        change(api, PROXY, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


def test_who_cannot_put_it_back_says_so(server: MattermostServer, api: MattermostApi) -> None:
    server.trouble.faults.append(Fault(Kind.SERVER_ERROR, path="/config/patch", times=6))
    with pytest.raises(CutoverRefused, match="nobody knows whom Mattermost trusts now"):
        change(api, PROXY, UPSTREAM)


def test_who_stops_it_leaves_mattermost_as_it_was(
    server: MattermostServer, api: MattermostApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = api.change_saml

    def stopped(_: Mapping[str, str]) -> None:
        monkeypatch.setattr(api, "change_saml", changed)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "change_saml", stopped)
    with pytest.raises(CutoverRefused, match=r"Ctrl-C; Mattermost was put back"):
        change(api, PROXY, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


def test_what_is_not_known_is_not_put_back(server: MattermostServer, api: MattermostApi) -> None:
    server.trouble.faults.append(Fault(Kind.SERVER_ERROR, path="/config/patch", times=3))
    with pytest.raises(CutoverRefused, match="was not put back"):
        change(api, PROXY, None)
    change(api, PROXY, None)
    assert trusted(server) == "proxy+proxy"


def test_a_refusal_of_the_new_settings_changes_nothing(
    server: MattermostServer, api: MattermostApi
) -> None:
    bad = Trust(dict(PROXY.settings) | {"IdpURL": ""}, PROXY.certificate)
    with pytest.raises(CutoverRefused, match="saml_idp_url"):
        change(api, bad, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


def test_the_token_of_somebody_else_changes_nothing(server: MattermostServer) -> None:
    ann = server.add("ann")
    with in_thread(app(server)) as url:
        settings = ApiSettings(url, "file:t", Outbound(), timedelta(seconds=5))
        token = server.give_token(ann.id, "t").token
        with MattermostApi(settings, token, sleep=lambda _: None) as stranger:
            with pytest.raises(MattermostUnauthorized):
                stranger.saml()
            with pytest.raises(CutoverRefused, match="nobody knows"):
                change(stranger, PROXY, UPSTREAM)
    assert trusted(server) == "upstream+upstream"
