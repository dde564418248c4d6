"""Mattermost is led to another identity provider, or stays where it was: against the double."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.config.mattermost import ApiSettings
from idp_proxy.config.settings import Outbound
from idp_proxy.cutover import Trust, change
from idp_proxy.decision.saml_settings import CHANGED, Seen
from idp_proxy.errors import CutoverRefused, MattermostUnauthorized
from idp_proxy.mattermost import MattermostApi
from tests.support.keys import rsa_pair
from tests.support.launch import in_thread
from tests.support.mattermost_api import Fault, Kind, MattermostServer, app

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def lead(api: MattermostApi, to: Trust, of_now: Trust | None) -> None:
    change(api, to, of_now, lambda _: None)


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
    lead(api, PROXY, UPSTREAM)
    assert trusted(server) == "proxy+proxy"
    assert server.settings["SamlSettings"]["Verify"] is True
    lead(api, PROXY, UPSTREAM)  # said twice
    lead(api, UPSTREAM, None)
    assert trusted(server) == "upstream+upstream"
    assert api.saml().differing(UPSTREAM.settings) == ()


@pytest.mark.parametrize(
    ("kind", "times"),
    [(Kind.SERVER_ERROR, 3), (Kind.ERROR_AFTER, 3), (Kind.CUT_AFTER, 3), (Kind.JUNK, 1)],
)
@pytest.mark.parametrize(
    ("path", "spare"), [("/saml/certificate/idp", 0), ("/config/patch", 1), ("/config$", 2)]
)
def test_a_call_that_fails_leaves_mattermost_as_it_was(
    server: MattermostServer, api: MattermostApi, kind: Kind, times: int, path: str, spare: int
) -> None:
    server.trouble.faults.append(Fault(kind, path=path, times=times, spare=spare))
    with pytest.raises(CutoverRefused, match="trusts whom it trusted before"):
        lead(api, PROXY, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


def test_what_mattermost_keeps_is_put_back_with_the_rest(
    server: MattermostServer, api: MattermostApi
) -> None:
    server.pinned.add("IdpUrl")
    assert api.saml().pinned == {"IdpURL"}
    with pytest.raises(CutoverRefused, match=r"kept its own IdpURL; Mattermost was put back"):
        lead(api, PROXY, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


def test_who_cannot_put_it_back_says_so(server: MattermostServer, api: MattermostApi) -> None:
    server.trouble.faults.append(Fault(Kind.SERVER_ERROR, path="/config/patch", times=6, spare=1))
    with pytest.raises(CutoverRefused, match="nobody knows whom Mattermost trusts now"):
        lead(api, PROXY, UPSTREAM)


def test_nothing_leads_to_the_proxy_again_on_the_way_back(
    server: MattermostServer, api: MattermostApi
) -> None:
    lead(api, PROXY, UPSTREAM)
    for path, spare in (("/saml/certificate/idp", 0), ("/config/patch", 1), ("/config$", 2)):
        server.trouble.faults[:] = [Fault(Kind.SERVER_ERROR, path=path, times=3, spare=spare)]
        with pytest.raises(CutoverRefused, match="say it again"):
            lead(api, UPSTREAM, None)
    assert trusted(server) == "upstream+upstream"  # only the last look had failed


def test_a_refusal_of_the_new_settings_changes_nothing(
    server: MattermostServer, api: MattermostApi
) -> None:
    bad = Trust(dict(PROXY.settings) | {"IdpURL": ""}, PROXY.certificate)
    with pytest.raises(CutoverRefused, match="saml_idp_url"):
        lead(api, bad, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


def test_the_token_of_somebody_else_changes_nothing(server: MattermostServer) -> None:
    ann = server.add("ann")
    with in_thread(app(server)) as url:
        settings = ApiSettings(url, "file:t", Outbound(), timedelta(seconds=5))
        token = server.give_token(ann.id, "t").token
        with MattermostApi(settings, token, sleep=lambda _: None) as stranger:
            with pytest.raises(MattermostUnauthorized):
                stranger.saml()
            with pytest.raises(CutoverRefused, match="nothing has changed"):
                lead(stranger, PROXY, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


@pytest.mark.parametrize("name", ["saml-idp.crt", "okta-2024.crt"])
def test_what_is_put_back_is_loaded_too(
    server: MattermostServer, api: MattermostApi, name: str
) -> None:
    """Also where the upload itself had loaded the other certificate."""
    server.settings["SamlSettings"]["IdpCertificateFile"] = name
    fault = Fault(Kind.SERVER_ERROR, path="/config/patch", times=3, spare=1)
    server.trouble.faults.append(fault)
    with pytest.raises(CutoverRefused, match="put back"):
        lead(api, PROXY, UPSTREAM)
    assert trusted(server) == "upstream+upstream"


def test_a_certificate_that_alone_is_wrong_is_loaded(
    server: MattermostServer, api: MattermostApi
) -> None:
    """As after a kill between upload and settings, and a restart."""
    server.idp_file = server.idp_loaded = PROXY.certificate.encode()
    lead(api, UPSTREAM, None)
    assert trusted(server) == "upstream+upstream"
    assert api.saml().differing(UPSTREAM.settings) == ()


def test_a_configuration_that_nobody_may_change_is_found_before_the_upload(
    server: MattermostServer, api: MattermostApi
) -> None:
    server.settings["ClusterSettings"] = {"Enable": True, "ReadOnlyConfig": True}
    with pytest.raises(CutoverRefused, match="nothing has changed"):
        lead(api, PROXY, UPSTREAM)
    assert (trusted(server), server.calls["POST idp"]) == ("upstream+upstream", 0)


def test_a_node_that_hears_of_it_later_is_waited_for(
    server: MattermostServer, api: MattermostApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, waited = api.saml, list[float]()

    def behind() -> Seen:
        found = told()
        late = len(waited) < 2 and found.text("IdpURL") == PROXY.settings["IdpURL"]
        return Seen(dict(UPSTREAM.settings)) if late else found

    monkeypatch.setattr(api, "saml", behind)
    change(api, PROXY, UPSTREAM, waited.append)
    assert (trusted(server), waited) == ("proxy+proxy", [1.0, 1.0])


def test_a_token_that_is_shown_no_such_section_is_refused(
    server: MattermostServer, api: MattermostApi
) -> None:
    del server.settings["SamlSettings"]
    with pytest.raises(MattermostUnauthorized, match="no SamlSettings"):
        api.saml()
