"""Logins at a directory, through the proxy: the page, the password, and what it does not tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from idp_proxy import errors
from idp_proxy.decision.roster import lookup_key
from idp_proxy.saml.names import PASSWORD_PROTECTED_TRANSPORT
from idp_proxy.web import pace
from tests.flows.configuration import DIRECTORY_PASSWORD, Wanted
from tests.flows.stage import RELAY_STATE, demand_refusal, form_of
from tests.support.keys import tls_pair
from tests.support.ldap_people import Entry, PeopleDirectory, running_people
from tests.support.mattermost import accept
from tests.support.people import ALICE, BOB, CAROL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage
    from tests.support.people import Person

_DIRECTORY = """\
[[upstream]]
name = "corp"
kind = "ldap"

[upstream.attributes]
link_key = "employeeNumber"

[upstream.directory]
urls = ["ldaps://localhost:{port}"]
tls_ca = "keys/directory-ca.crt"
bind_dn = "cn=reader,dc=corp"
bind_password = "file:keys/directory.password"
base = "dc=corp"
probe_user = "probe"

"""


def entry(person: Person, **attributes: str) -> Entry:
    known = {"uid": person.uid, "employeeNumber": person.employee_number, "objectClass": "person"}
    return Entry(f"uid={person.uid},ou=people,dc=corp", person.password, {**known, **attributes})


@pytest.fixture
def corp(tmp_path: Path) -> Iterator[PeopleDirectory]:
    tls_pair("localhost").write(tmp_path / "keys", "directory-ca")
    reader = Entry("cn=reader,dc=corp", DIRECTORY_PASSWORD, {})
    people = [reader, *(entry(one) for one in (ALICE, BOB, CAROL))]
    with running_people(PeopleDirectory(people), tls_pair("localhost"), tmp_path) as running:
        yield running


@pytest.fixture
def stage(set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Alice and Bob are in the roster, and the directory serves."""
    monkeypatch.setattr(pace, "PADDED_TO_S", 0.01)
    return serving(set_up, corp)


def serving(
    set_up: Builder, corp: PeopleDirectory, *, sqlite: bool = False, **wanted: Any
) -> Stage:
    text = _DIRECTORY.format(port=corp.port) + wanted.pop("behind", "")
    stage = set_up(Wanted(directory=text, **wanted), sqlite=sqlite)
    stage.log_in(ALICE)
    stage.log_in(BOB)
    stage.switch("corp")
    return stage


class Visitor:
    """A browser at the directory's page."""

    def __init__(self, stage: Stage, client: httpx.Client | None = None, **attributes: str) -> None:
        self.stage = stage
        self.client = client or stage.client(sec_fetch_site="same-origin")
        request = stage.request(**attributes)
        self.request_id = request.get("ID", "")
        sent = self.client.get(f"/saml/sso?{stage.sso_query(request, RELAY_STATE)}")
        assert sent.status_code == 302
        self.address = sent.headers["location"]
        self.tid = parse_qs(urlsplit(self.address).query)["login"][0]

    def look(self) -> httpx.Response:
        return self.client.get(self.address)

    def type(self, name: str, password: str, **fields: str) -> httpx.Response:
        token = form_of(self.look()).fields["token"]
        sent = {"token": token, "username": name, "password": password, **fields}
        return self.client.post(self.address, data=sent)

    def accepted(self, page: httpx.Response) -> Any:
        posted = form_of(page)
        assert posted.fields["RelayState"] == RELAY_STATE
        return accept(
            posted.fields["SAMLResponse"],
            self.stage.mattermost.settings,
            now=self.stage.clock.now(),
        )


def asked(corp: PeopleDirectory) -> list[str]:
    """Everybody who was bound as, but our own account."""
    return [one for one in corp.binds if not one.startswith("cn=reader")]


def test_a_person_logs_in_by_name_and_password(stage: Stage, corp: PeopleDirectory) -> None:
    visitor = Visitor(stage)
    accepted = visitor.accepted(visitor.type(ALICE.uid, ALICE.password))
    assert accepted.in_response_to == visitor.request_id
    assert ALICE.employee_number in str(accepted)
    assert stage.on_record()[-1] == "login"
    row = stage.audit_rows("login")[-1]
    assert row.facts["upstream"] == "corp"
    assert row.facts["authn_context"] == PASSWORD_PROTECTED_TRANSPORT
    assert str(row.facts["issuer"]).endswith("/upstream/corp/directory")
    assert asked(corp) == ["uid=alice,ou=people,dc=corp"]


def test_the_page_is_safe_to_show(stage: Stage) -> None:
    page = Visitor(stage).look()
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    assert 'autocomplete="username"' in page.text
    assert 'autocomplete="current-password"' in page.text
    assert "https://sso.example.org/" in page.text


@pytest.mark.parametrize(
    ("name", "password", "why"),
    [
        (ALICE.uid, "wrong", "wrong_password"),
        ("nobody", "wrong", "0 entries"),
        ("*", "wrong", "0 entries"),
        ("alice)(uid=*", "wrong", "0 entries"),
        (ALICE.uid, "", "a password that is none"),
        (ALICE.uid, "\0", "a password that is none"),
        (ALICE.uid, "x" * 1025, "a password that is none"),
        (f"{ALICE.uid}\0", ALICE.password, "a name that is none"),
        (f"{ALICE.uid}\n\n*", ALICE.password, "a name that is none"),
        ("", ALICE.password, "a name that is none"),
        ("a" * 257, ALICE.password, "a name that is none"),
    ],
)
def test_what_does_not_do_is_told_alike(
    stage: Stage,
    corp: PeopleDirectory,
    capsys: pytest.CaptureFixture[str],
    name: str,
    password: str,
    why: str,
) -> None:
    visitor = Visitor(stage)
    answer = visitor.type(name, password)
    assert (answer.status_code, answer.content) == (303, b"")
    assert answer.headers["location"] == f"/upstream/corp/login?login={visitor.tid}&problem=1"
    page = visitor.client.get(answer.headers["location"])
    assert 'role="alert"' in page.text
    assert name == "" or len(name) < 5 or name not in page.text
    assert stage.on_record()[2:] == []
    # Whoever is not there is asked for as well; what is no password is asked of nobody.
    assert len(asked(corp)) == (0 if "that is none" in why else 1)
    assert ALICE.password not in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer",
    [
        (49, "", 0),
        (49, "", 1),
        (0, "", 2),
        (53, "", None),
        (
            49,
            "80090308: LdapErr: DSID-0C090, comment: AcceptSecurityContext error, data 533, v4",
            None,
        ),
        (
            49,
            "80090308: LdapErr: DSID-0C090, comment: AcceptSecurityContext error, data 773, v4",
            None,
        ),
        (0, "", 77),
    ],
)
def test_a_right_password_of_an_account_that_may_not_be_used_is_not_enough(
    stage: Stage, corp: PeopleDirectory, answer: tuple[int, str, int | None]
) -> None:
    corp.entries[1].answer = answer
    refused = Visitor(stage).type(ALICE.uid, ALICE.password)
    assert refused.headers["location"].endswith("problem=1")
    assert stage.on_record()[2:] == []


def test_two_entries_for_one_name_are_nobody(stage: Stage, corp: PeopleDirectory) -> None:
    corp.entries.append(
        Entry("uid=alice,ou=old,dc=corp", ALICE.password, corp.entries[1].attributes)
    )
    assert Visitor(stage).type(ALICE.uid, ALICE.password).headers["location"].endswith("problem=1")
    assert "uid=alice,ou=people,dc=corp" not in asked(corp)


def test_who_is_not_in_the_roster_is_told_so_behind_a_right_password_only(stage: Stage) -> None:
    demand_refusal(Visitor(stage).type(CAROL.uid, CAROL.password), errors.PersonUnknown)


def test_a_form_of_another_site_or_of_another_login_is_not_taken(
    stage: Stage, corp: PeopleDirectory
) -> None:
    visitor, other = Visitor(stage), Visitor(stage)
    token = form_of(other.look()).fields["token"]
    fields = {"username": ALICE.uid, "password": ALICE.password}
    for sent, headers in (
        ({**fields, "token": token}, {}),
        (fields, {}),
        (
            {**fields, "token": form_of(visitor.look()).fields["token"]},
            {"sec-fetch-site": "cross-site"},
        ),
    ):
        answer = visitor.client.post(visitor.address, data=sent, headers=headers)
        assert answer.status_code >= 400
    stranger = stage.client(sec_fetch_site="same-origin").get(visitor.address)
    demand_refusal(stranger, errors.LoginUnknown)
    assert asked(corp) == []


def test_a_password_given_twice_and_a_large_form_are_not_read(
    stage: Stage, corp: PeopleDirectory
) -> None:
    visitor = Visitor(stage)
    token = form_of(visitor.look()).fields["token"]
    twice = f"token={token}&username=alice&password=a&password=b"
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert visitor.client.post(visitor.address, content=twice, headers=form).status_code == 400
    large = f"token={token}&username=alice&password={'x' * 9000}"
    assert visitor.client.post(visitor.address, content=large, headers=form).status_code == 413
    assert asked(corp) == []


def test_a_login_that_ended_or_is_too_old_asks_for_no_password(
    stage: Stage, corp: PeopleDirectory
) -> None:
    visitor = Visitor(stage)
    token = form_of(visitor.look()).fields["token"]
    fields = {"token": token, "username": ALICE.uid, "password": ALICE.password}
    visitor.accepted(visitor.client.post(visitor.address, data=fields))
    demand_refusal(visitor.look(), errors.ReplayDetected)
    demand_refusal(visitor.client.post(visitor.address, data=fields), errors.ReplayDetected)
    late = Visitor(stage)
    stage.clock.pass_by(minutes=10)
    demand_refusal(late.look(), errors.LoginExpired)
    assert len(asked(corp)) == 1


def test_a_directory_that_was_left_takes_no_password(stage: Stage, corp: PeopleDirectory) -> None:
    visitor = Visitor(stage)
    visitor.look()
    stage.switch("active")
    stage.clock.pass_by(minutes=5)
    assert visitor.look().status_code >= 400
    assert asked(corp) == []


def test_an_answer_cannot_be_posted_for_a_directory(stage: Stage) -> None:
    visitor = Visitor(stage)
    sent = {"SAMLResponse": "PHg+", "RelayState": visitor.tid}
    assert visitor.client.post("/upstream/corp/acs", data=sent).status_code == 503


def test_where_no_page_may_be_shown_none_is(stage: Stage) -> None:
    page = Visitor(stage, IsPassive="true").look()
    assert "SAMLResponse" in form_of(page).fields


def test_spellings_of_one_name_are_one_person(stage: Stage, corp: PeopleDirectory) -> None:
    for spelling in ("alice", "ALICE", "Alice", " alice "):
        Visitor(stage).type(spelling, "wrong")
    before = len(asked(corp))
    assert before == 4
    refused = Visitor(stage).type("aLiCe", ALICE.password)
    assert refused.headers["location"].endswith("problem=1")
    assert len(asked(corp)) == before, "the directory was asked again"


def test_a_name_that_is_spelled_in_parts_is_asked_for_in_one(
    stage: Stage, corp: PeopleDirectory
) -> None:
    """As some phones send it. Active Directory would find nobody."""
    corp.entries.append(
        Entry("uid=j,dc=corp", "word", {"uid": "j\u00fcrgen", "employeeNumber": "1"})
    )
    Visitor(stage).type("ju\u0308rgen", "word")
    assert asked(corp) == ["uid=j,dc=corp"]


def test_our_account_is_bound_once_and_people_on_connections_of_their_own(
    stage: Stage, corp: PeopleDirectory
) -> None:
    for _ in range(3):
        Visitor(stage).type(ALICE.uid, ALICE.password)
    assert corp.binds.count("cn=reader,dc=corp") == 1
    assert corp.connections == 1 + 3


def test_a_floor_above_a_password_leads_to_the_second_step(
    set_up: Builder, corp: PeopleDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PADDED_TO_S", 0.01)
    levels = '[assurance]\nlevels = ["password", "mfa"]\nfloor = "mfa"\n'
    mapped = '[upstream.assurance.contexts]\n"https://refeds.org/profile/mfa" = "mfa"\n\n'
    stage = serving(set_up, corp, more=levels, behind=mapped)
    demand_refusal(Visitor(stage).type(ALICE.uid, ALICE.password), errors.SecondFactorMissing)
    assert re.search("login", stage.on_record()[-1])
    assert stage.store.person_by_lookup_key(lookup_key(ALICE.employee_number)) is not None
