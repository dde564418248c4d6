"""The cookie of a login: what ties an answer to the browser that asked (SP-03, WEB-01)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from idp_proxy import errors
from tests.flows.configuration import Wanted, provider
from tests.flows.stage import MATTERMOST_PATH, RELAY_STATE, SUPPORT, Stage, demand_refusal, form_of
from tests.support.people import ALICE, BOB
from tests.support.upstream_metadata import service, upstream_metadata

if TYPE_CHECKING:
    import httpx

    from tests.flows.conftest import Builder
    from tests.flows.stage import Begun


def cookie_of(begun: Begun) -> str:
    return f"__Host-login-{begun.tid[:8]}"


def jar_of(begun: Begun) -> list[str]:
    return sorted(cookie.name for cookie in begun.client.cookies.jar)


def carry(begun: Begun, value: str, name: str | None = None) -> httpx.Client:
    """The browser of this login with another cookie in the place of its own."""
    begun.client.cookies.clear()
    begun.client.cookies.set(name or cookie_of(begun), value, domain="sso.example.org")
    return begun.client


def test_the_cookie_is_marked_exactly(stage: Stage) -> None:
    begun = stage.begin()
    (header,) = begun.page.headers.get_list("set-cookie")
    pair, *attributes = header.split("; ")
    name, _, value = pair.partition("=")
    assert name == cookie_of(begun)
    assert value.partition(".")[0] == str(int(stage.clock.at.timestamp()))
    assert sorted(attributes) == ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=None", "Secure"]
    assert begun.page.headers["cache-control"] == "no-store"


def test_on_loopback_without_tls_it_is_marked_for_that(set_up: Builder) -> None:
    stage = set_up(Wanted(proxy="insecure_loopback = true", public="http://127.0.0.1:8443"))
    begun = stage.begin()
    (header,) = begun.page.headers.get_list("set-cookie")
    pair, *attributes = header.split("; ")
    assert pair.startswith(f"login-{begun.tid[:8]}=")
    assert sorted(attributes) == ["HttpOnly", "Max-Age=600", "Path=/", "SameSite=Lax"]
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert stage.accepted(page, begun).profile.id == "e-1001"


@pytest.mark.parametrize("relay_state", ["x" * 2048, "☃" * 682, "&" * 2048])
def test_the_longest_relay_state_fits_into_a_cookie_that_browsers_keep(
    stage: Stage, relay_state: str
) -> None:
    (header,) = stage.begin(relay_state=relay_state).page.headers.get_list("set-cookie")
    assert len(header) <= 4096


def test_a_login_that_no_cookie_could_hold_does_not_begin(set_up: Builder) -> None:
    """A browser would drop it, and the person be told of cookies at the very end."""
    known = provider("active")
    long_name = f"https://active.example.com/{'n' * 900}"
    metadata = upstream_metadata(
        known.keys, entity_id=long_name, services=[service(location=known.sso_url)]
    )
    stage = set_up(Wanted(metadata={"active": metadata}))
    (header,) = stage.begin(relay_state="x" * 1500).page.headers.get_list("set-cookie")
    assert len(header) <= 4096
    query = stage.sso_query(stage.request(), "x" * 2048)
    demand_refusal(stage.client().get(f"/saml/sso?{query}"), errors.RelayStateRefused)


def test_the_cookie_shows_nothing_of_what_it_holds(stage: Stage) -> None:
    begun = stage.begin()
    value = begun.client.cookies[cookie_of(begun)]
    for inside in (RELAY_STATE, begun.sp_request_id, begun.question.request_id, "active"):
        assert inside not in value
    again = stage.begin()
    assert again.client.cookies[cookie_of(again)].partition(".")[2] != value.partition(".")[2]


def test_without_cookies_there_is_a_page_that_says_so(stage: Stage) -> None:
    begun = stage.begin()
    page = stage.post(begun, stage.answer(begun, ALICE), client=stage.client())
    text = demand_refusal(page, errors.LoginUnknown)
    assert "cookies are blocked" in text
    assert MATTERMOST_PATH in text
    assert stage.nothing_happened()


def test_a_browser_that_refuses_cookies_sees_that_page_at_the_end(stage: Stage) -> None:
    with stage.browser(cookies_on=False) as browser:
        page = browser.login(MATTERMOST_PATH, "alice", "alice-pass")
    assert page.status == 400
    assert "This browser has no login waiting" in page.text
    assert stage.nothing_happened()


def test_an_answer_in_another_browser_is_refused(stage: Stage) -> None:
    """Login CSRF: who sends a victim the answer of a login of their own gets nowhere."""
    attacker, victim = stage.begin(), stage.begin()
    page = stage.post(attacker, stage.answer(attacker, BOB), client=victim.client)
    demand_refusal(page, errors.LoginUnknown)
    assert stage.nothing_happened()


@pytest.mark.parametrize("place", ["head", "nonce", "middle", "tag", "cut", "longer", "empty"])
def test_a_modified_cookie_is_refused(stage: Stage, place: str) -> None:
    begun = stage.begin()
    value = begun.client.cookies[cookie_of(begun)]
    at, _, sealed = value.partition(".")
    middle = len(sealed) // 2
    flipped = "A" if sealed[middle] != "A" else "B"
    forged = {
        "head": f"{at}0",
        "nonce": f"{at}.{'B' if sealed[0] == 'A' else 'A'}{sealed[1:]}",
        "middle": f"{at}.{sealed[:middle]}{flipped}{sealed[middle + 1 :]}",
        "tag": f"{at}.{sealed[:-4]}{'BBBB' if sealed[-4:] != 'BBBB' else 'CCCC'}",
        "cut": value[:-8],
        "longer": f"{value}AAAA",
        "empty": "",
    }[place]
    page = stage.post(begun, stage.answer(begun, ALICE), client=carry(begun, forged))
    demand_refusal(page, errors.LoginUnknown)
    assert stage.nothing_happened()


@pytest.mark.parametrize(
    "junk", ["x", ".", "0.", "1.é", "9" * 5000, '"', "1.====", "1." + "A" * 38]
)
def test_a_cookie_that_is_junk_is_refused(stage: Stage, junk: str) -> None:
    begun = stage.begin()
    begun.client.cookies.clear()
    header = f"{cookie_of(begun)}={junk}".encode()
    page = begun.client.post(
        "/upstream/active/acs",
        data={"SAMLResponse": stage.answer(begun, ALICE), "RelayState": begun.tid},
        headers={b"cookie": header},
    )
    demand_refusal(page, errors.LoginUnknown)


def test_the_time_in_front_of_a_cookie_is_nobodys_word(stage: Stage) -> None:
    """A younger one does not prolong a login."""
    begun = stage.begin()
    sealed = begun.client.cookies[cookie_of(begun)].partition(".")[2]
    stage.clock.pass_by(seconds=400)
    later = f"{int(stage.clock.at.timestamp())}.{sealed}"
    page = stage.post(begun, stage.answer(begun, ALICE), client=carry(begun, later))
    demand_refusal(page, errors.LoginExpired)


def test_a_cookie_opens_for_its_own_login_only(stage: Stage) -> None:
    """Also under another login's name: the seal knows the id."""
    mine, other = stage.begin(), stage.begin()
    stolen = other.client.cookies[cookie_of(other)]
    page = stage.post(mine, stage.answer(mine, ALICE), client=carry(mine, stolen))
    demand_refusal(page, errors.LoginUnknown)
    assert stage.nothing_happened()


def test_the_same_eight_letters_are_not_enough(stage: Stage) -> None:
    begun = stage.begin()
    similar = begun.tid[:8] + ("A" * 14 if begun.tid[8:] != "A" * 14 else "B" * 14)
    page = stage.post(begun, stage.answer(begun, ALICE), tid=similar)
    demand_refusal(page, errors.LoginUnknown)


def test_a_cookie_of_another_proxy_is_refused(set_up: Builder) -> None:
    """Its keys are others."""
    foreign = set_up(Wanted())
    begun_there = foreign.begin()
    stolen = begun_there.client.cookies[cookie_of(begun_there)]
    stage = set_up()
    begun = stage.begin()
    client = carry(begun, stolen, cookie_of(begun_there))
    page = stage.post(begun, stage.answer(begun, ALICE), client=client, tid=begun_there.tid)
    demand_refusal(page, errors.LoginUnknown)


# --- tabs ----------------------------------------------------------------------------------------


def test_two_tabs_do_not_disturb_each_other(stage: Stage) -> None:
    first = stage.begin(relay_state="first")
    second = stage.begin(first.client, relay_state="second")
    for begun, said in ((second, "second"), (first, "first")):
        page = stage.post(begun, stage.answer(begun, ALICE))
        assert form_of(page).fields["RelayState"] == said
        assert stage.accepted(page, begun).profile.id == "e-1001"


def test_answers_of_two_tabs_cannot_be_exchanged(stage: Stage) -> None:
    first = stage.begin()
    second = stage.begin(first.client)
    page = stage.post(first, stage.answer(second, ALICE))
    demand_refusal(page, errors.AssertionInvalid)
    assert stage.nothing_happened()


def test_the_sixth_tab_drops_the_oldest(stage: Stage) -> None:
    tabs = [stage.begin()]
    for _ in range(5):
        stage.clock.pass_by(seconds=2)
        tabs.append(stage.begin(tabs[0].client))
    assert jar_of(tabs[0]) == sorted(cookie_of(tab) for tab in tabs[1:])
    page = stage.post(tabs[0], stage.answer(tabs[0], ALICE))
    demand_refusal(page, errors.LoginUnknown)
    for tab in tabs[1:]:
        page = stage.post(tab, stage.answer(tab, ALICE))
        assert stage.accepted(page, tab).profile.id == "e-1001"


def test_however_many_junk_cookies_come_the_new_login_has_its_own(stage: Stage) -> None:
    client = stage.client()
    for number in range(30):
        client.cookies.set(f"__Host-login-junk{number:04}", "zz", domain="sso.example.org")
    client.cookies.set("MMAUTHTOKEN", "left alone", domain="sso.example.org")
    begun = stage.begin(client)
    assert len([name for name in jar_of(begun) if name.startswith("__Host-login-")]) <= 5
    assert client.cookies["MMAUTHTOKEN"] == "left alone"
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert stage.accepted(page, begun).profile.id == "e-1001"


# --- time ----------------------------------------------------------------------------------------


def test_a_login_may_take_279_seconds(stage: Stage) -> None:
    begun = stage.begin()
    stage.clock.pass_by(seconds=279)
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert stage.accepted(page, begun).profile.id == "e-1001"


def test_after_281_seconds_a_browser_is_sent_back_to_mattermost(stage: Stage) -> None:
    begun = stage.begin()
    stage.clock.pass_by(seconds=281)
    page = stage.post(begun, stage.answer(begun, ALICE))
    text = demand_refusal(page, errors.LoginExpired)
    assert f'href="{MATTERMOST_PATH}"' in text
    assert "Start again from Mattermost" in text
    assert stage.nothing_happened()


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Close this window and tap sign-in again in the app."),
        ("de", "Fenster"),
    ],
)
def test_after_281_seconds_an_app_is_told_to_close_the_window(
    stage: Stage, language: str, words: str
) -> None:
    begun = stage.begin()
    stage.clock.pass_by(seconds=281)
    page = stage.post(
        begun,
        stage.answer(begun, ALICE),
        user_agent="Mozilla/5.0 (iPhone) Mattermost Mobile/2.30",
        accept_language=language,
    )
    assert page.status_code == errors.LoginExpired.http_status
    assert words in page.text
    assert f'href="{MATTERMOST_PATH}"' not in page.text


def test_an_operator_may_shorten_the_time(set_up: Builder) -> None:
    stage = set_up(Wanted(proxy="answer_within_s = 60"))
    begun = stage.begin()
    stage.clock.pass_by(seconds=61)
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.LoginExpired)


def test_a_login_from_the_future_is_refused(stage: Stage) -> None:
    """Another host's clock runs ahead by more than two clocks may differ."""
    begun = stage.begin()
    stage.clock.pass_by(seconds=-125)
    demand_refusal(stage.post(begun, stage.answer(begun, ALICE)), errors.LoginExpired)


def test_a_host_whose_clock_is_a_little_behind_can_finish(stage: Stage) -> None:
    begun = stage.begin()
    stage.clock.pass_by(seconds=-100)
    page = stage.post(begun, stage.answer(begun, ALICE))
    assert form_of(page).fields["RelayState"] == RELAY_STATE


# --- unsolicited ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "relay_state",
    [
        "",
        "https://chat.example.net/",
        "A" * 21,
        "A" * 23,
        "A" * 21 + "\n",
        "\uff21" * 22,
        "../" * 7,
    ],
)
def test_a_tile_on_a_dashboard_leads_to_mattermost_and_not_in(
    stage: Stage, relay_state: str
) -> None:
    begun = stage.begin()
    message = stage.answer(begun, ALICE)
    page = begun.client.post(
        "/upstream/active/acs", data={"SAMLResponse": message, "RelayState": relay_state}
    )
    text = demand_refusal(page, errors.LoginUnsolicited)
    assert f'href="{MATTERMOST_PATH}"' in text
    assert SUPPORT in text
    assert stage.nothing_happened()


def test_an_answer_without_a_relay_state_is_unsolicited_too(stage: Stage) -> None:
    begun = stage.begin()
    page = begun.client.post(
        "/upstream/active/acs", data={"SAMLResponse": stage.answer(begun, ALICE)}
    )
    demand_refusal(page, errors.LoginUnsolicited)
