"""Who somebody is at a standby: the table in identities.md, each row a story of real logins."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from idp_proxy.cli.roster.lists import demands
from idp_proxy.decision.roster import (
    BY_OPERATOR,
    Account,
    AdmittedByHand,
    Listed,
    Run,
    lookup_key,
    resolved,
)
from idp_proxy.errors import RosterRefused
from idp_proxy.listing.base import Staged
from idp_proxy.roster_admission import RosterAdmission
from idp_proxy.roster_import import RosterImport
from tests.flows.configuration import Wanted, provider
from tests.flows.stage import code_of, form_of
from tests.support import people
from tests.support.mattermost import accept

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.flows.conftest import Builder
    from tests.flows.stage import Stage
    from tests.support.people import Person

_ROLE: Final = {**Wanted().attributes, "role": people.SURNAME}
_LINES: Final = (
    'enable_admin_attribute = true\nadmin_attribute = "Role=admin"\nguest_attribute = "Role=guest"'
)
_ROLES: Final = Wanted(service_provider=_LINES, sent='Role = "role"', attributes=_ROLE)
_MAIL: Final = {"active": people.MAIL, "standby": people.MAIL}
SET_UPS: Final = {
    "id": (Wanted(), "employee_number"),
    "uid": (Wanted(link_keys={"active": people.UID, "standby": people.UID}), "uid"),
    "mail": (Wanted().linked_by_mail(), "mail"),
    "mail+uid": (
        replace(Wanted().linked_by_mail(), more='[roster]\nagreeing_attribute = "username"'),
        "mail",
    ),
    "mail alone": (Wanted(link_keys=_MAIL), "mail"),
    "roles": (_ROLES, "employee_number"),
    "named": (
        replace(_ROLES, more='[roster]\nprivileged_at_standby = ["e-1001"]'),
        "employee_number",
    ),
    "scoped": (
        Wanted(upstreams={"active": 'email_domains = ["example.org"]', "standby": ""}),
        "employee_number",
    ),
    "domains": (
        Wanted(upstreams={"active": "", "standby": 'email_domains = ["example.org"]'}),
        "employee_number",
    ),
}
_FIELDS: Final = {
    "number": "employee_number",
    "mail": "mail",
    "uid": "uid",
    "given": "given_name",
    "sn": "surname",
}
_PEOPLE: Final = {one.uid: one for one in people.PEOPLE}


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    name: str
    set_up: str
    before: str
    says: str
    outcome: str


def cases() -> Iterator[Case]:
    text = (Path(__file__).parent / "identities.md").read_text("utf-8")
    for line in text.splitlines()[text[: text.index("|---")].count("\n") + 1 :]:
        yield Case(*(cell.strip() for cell in line.strip("|").split("|")))


CASES: Final = tuple(cases())


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.set_up for case in CASES} == set(SET_UPS)


def _value(text: str) -> str:
    text = text.replace("~", " ").replace(",", people.AND)
    return re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)


def described(words: list[str]) -> tuple[Person, frozenset[str]]:
    """The person whom `words` describe, and the fields that the upstream does not release."""
    name, *changes = words
    told = dict(change.split("=", 1) for change in changes)
    absent = frozenset(_FIELDS[one] for one, value in told.items() if value == "-")
    fields = {_FIELDS[one]: _value(value) for one, value in told.items() if value != "-"}
    return replace(_PEOPLE[name], **fields), absent


@dataclass(slots=True)
class Story:
    """Plays the steps of one case on a stage. `last` is what the active last said of each person,
    or a list where it never said anything.
    """

    stage: Stage
    link_field: str
    folder: Path
    last: dict[str, Person] = field(default_factory=dict)
    outage: bool = False

    def play(self, steps: str) -> None:
        for step in filter(None, (one.strip() for one in steps.split(";"))):
            ago, _, what = step.rpartition(": ")
            today = self.stage.clock.at
            self.stage.clock.at = today - timedelta(days=int(ago or 0))
            self.step(what.split())
            self.stage.clock.at = today
            self.stage.clock.pass_by(seconds=2)

    def step(self, words: list[str]) -> None:
        verb, *rest = words
        if verb in _PEOPLE:
            person, absent = described(words)
            page = self.login(person, absent)
            assert page.status_code == 200, code_of(page)
            self.last[verb] = person
        elif verb in {"list", "part"}:
            self.bring_in(rest, partial=verb == "part")
        elif verb in {"outage", "over"}:
            self.outage = verb == "outage"
            self.stage.switch("standby" if self.outage else "active")
        elif verb in {"account", "account!"}:
            self.admit(rest, privileged=verb == "account!")
        elif verb == "refused":
            with pytest.raises(RosterRefused):
                self.step(rest)
        else:
            self.operator(verb, rest[0])

    def admit(self, words: list[str], *, privileged: bool) -> None:
        """As `roster admit` does, with an account that Mattermost has of this person."""
        told = [one for one in words if not one.startswith("key=")]
        given = [_value(one.removeprefix("key=")) for one in words if one.startswith("key=")]
        person, _ = described(told)
        account = Account(
            email=person.mail,
            username=person.uid,
            auth_service="saml",
            auth_data=person.employee_number,
            roles=frozenset({f"system_{person.surname}"}),
        )
        settings = self.stage.settings
        desk = RosterAdmission(
            store=self.stage.store,
            active="active",
            policy=settings.roster.policy,
            problem=demands(settings).problem,
            now=self.stage.clock.now,
        )
        desk.demand_outage()
        key = given[0] if given else getattr(person, self.link_field)
        desk.admit(desk.of_account(account, key, privileged=privileged), "operator:ann", "on call")
        # What Mattermost has recorded leaves, and it has no given name.
        self.last[words[0]] = replace(person, given_name="")

    def login(self, person: Person, absent: frozenset[str]) -> httpx.Response:
        begun = self.stage.begin()
        known = provider(begun.upstream)
        release = {at: what for at, what in known.attributes.items() if what not in absent}
        answer = self.stage.answer(begun, person, by=replace(known, attributes=release))
        return self.stage.post(begun, answer)

    def bring_in(self, named: list[str], *, partial: bool) -> None:
        listed = []
        for one in named:
            name, *changes = one.split("@")
            person, _ = described([name, *changes])
            if name not in self.last or not self.last[name].given_name:
                self.last[name] = person
            said = {
                "id": person.employee_number,
                "email": person.mail,
                "username": person.uid,
                "first_name": person.given_name,
            }
            listed.append(Listed(person.employee_number, getattr(person, self.link_field), said))
        now = self.stage.clock.now
        journey = RosterImport(
            store=self.stage.store,
            host="sso1",
            most_percent=5,
            now=now,
            new_id=lambda: "an import",
        )
        with Staged(self.folder) as staged:
            staged.take(_List(listed))
            plan = journey.plan(staged, Run("csv", now(), partial=partial))
            journey.carry_out(staged, plan, "host:test", overridden=False)

    def operator(self, verb: str, name: str) -> None:
        store = self.stage.store
        with store.writing_people() as tx:
            row = tx.person(self.last[name].employee_number)
            assert row is not None
            if verb in {"admit", "admit!"}:
                said = AdmittedByHand(
                    row.id, self.stage.clock.now(), "operator:ann", "on call", verb == "admit!"
                )
                tx.admit_by_hand(said)
            elif verb == "resolve":
                key = lookup_key(row.link_key)
                rivals = [one for one in store.people_after("", 99) if one.lookup_key == key]
                tx.save_people(resolved(row, rivals))
            else:
                blocks = {"block": frozenset({BY_OPERATOR}), "unblock": frozenset[str]()}[verb]
                tx.save_person(replace(row, blocks=blocks))


@dataclass(frozen=True, slots=True)
class _List:
    listed: list[Listed]
    name: str = "csv"
    exhaustive: bool = True

    def people(self) -> Iterator[tuple[str, Listed]]:
        """See `listing.base.PeopleList`."""
        for number, one in enumerate(self.listed, 2):
            yield f"line {number}", one


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_who_somebody_is(case: Case, set_up: Builder, tmp_path: Path) -> None:
    wanted, link_field = SET_UPS[case.set_up]
    stage = set_up(None if case.set_up == "id" else wanted)
    story = Story(stage, link_field, tmp_path)
    story.play(case.before)
    if not story.outage:
        stage.switch("standby")
    roster = stage.store.people_after("", 99)
    page = story.login(*described(case.says.split()))
    assert stage.store.people_after("", 99) == roster
    if case.outcome not in story.last:
        assert code_of(page) == case.outcome
        assert "SAMLResponse" not in page.text
        return
    meant = story.last[case.outcome]
    assert page.status_code == 200, code_of(page)
    accepted = _accepted(stage, page)
    assert accepted["NameID"] == meant.employee_number
    assert accepted["id"] == meant.employee_number
    assert accepted["email"] == meant.mail.lower()
    assert accepted["username"] == meant.uid
    assert accepted.get("firstname", "") == meant.given_name
    assert "Role" not in accepted


def _accepted(stage: Stage, page: httpx.Response) -> dict[str, str]:
    """What Mattermost reads in the Response of this page."""
    response = form_of(page).fields["SAMLResponse"]
    read = accept(response, stage.mattermost.settings, now=stage.clock.now())
    return {"NameID": read.name_id, **{name: values[0] for name, values in read.attributes.items()}}
