"""What an LDAP directory may answer, and what is made of it. The wire is held against a real slapd
in tests/e2e.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pytest

from conversion.config import LdapSettings, load
from conversion.decision.account import Binding, Source
from conversion.errors import ConfigError
from conversion.inventory import Key, Said
from conversion.inventory.directory import DEADLINE_S, entries_said, found
from tests.unit.test_conversion_config import GOOD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BY_MAIL = LdapSettings(
    ("ldaps://localhost",),
    "dc=c",
    "(uid=*)",
    "employeeNumber",
    "text",
    "mail",
    "",
    "",
    "",
    None,
    5,
)
PAGED = "1.2.840.113556.1.4.319"


def entry(name: str, **attributes: list[bytes]) -> dict[str, Any]:
    return {"type": "searchResEntry", "dn": f"uid={name}", "raw_attributes": attributes}


def test_an_attribute_is_met_whatever_its_case_and_every_mail_counts() -> None:
    given = entry("a", EMPLOYEENUMBER=[b"7"], mail=[b"a@b.c", "ä@b.c".encode()])
    binding = Binding("7", Source.LDAP, NOW)
    assert entries_said(BY_MAIL, [given], NOW) == (
        Said(Key.EMAIL, "a@b.c", binding),
        Said(Key.EMAIL, "ä@b.c", binding),
    )


GUID = bytes.fromhex("d3c2b1a0e5f4a7b6") + bytes(range(1, 9))


@pytest.mark.parametrize(
    ("form", "octets", "told"),
    [
        ("base64", GUID, "08KxoOX0p7YBAgMEBQYHCA=="),
        ("guid", GUID, "a0b1c2d3-f4e5-b6a7-0102-030405060708"),
    ],
)
def test_octets_are_told_in_the_form_that_the_provider_sends(
    form: Literal["base64", "guid"], octets: bytes, told: str
) -> None:
    settings = replace(BY_MAIL, id_attribute="objectGUID", id_form=form)
    given = entry("a", objectGUID=[octets], mail=[b"a@b.c"])
    assert [one.binding.auth_data for one in entries_said(settings, [given], NOW)] == [told]


def test_octets_of_another_length_are_no_guid() -> None:
    settings = replace(BY_MAIL, id_attribute="objectGUID", id_form="guid")
    given = entry("a", objectGUID=[GUID[:15]], mail=[b"a@b.c"])
    with pytest.raises(ConfigError, match="objectGUID has 15 octets, which is no GUID"):
        entries_said(settings, [given], NOW)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ({"employeeNumber": [b"1", b"2"], "mail": [b"a"]}, "2 values of employeeNumber"),
        ({"employeeNumber": [b"\xff\xfe\x01"], "mail": [b"a"]}, "employeeNumber is no text"),
        ({"employeeNumber": [b"a\x00b"], "mail": [b"a"]}, "has control characters"),
        ({"employeeNumber": [b" a"], "mail": [b"a"]}, "blanks around it"),
        ({"employeeNumber": [b"x" * 129], "mail": [b"a"]}, "129 characters; Mattermost keeps 128"),
        ({"employeeNumber": [b"1"], "mail": [b"\xff"]}, "mail is no text"),
        ({"employeeNumber": [b"1"], "mail": [b"a\nb"]}, "mail is no text"),
    ],
)
def test_an_entry_that_could_bind_somebody_wrongly_refuses_the_directory(
    attributes: dict[str, list[bytes]], told: str
) -> None:
    good = entry("good", employeeNumber=[b"9"], mail=[b"good"])
    with pytest.raises(ConfigError) as caught:
        entries_said(BY_MAIL, [good, entry("bad", **attributes)], NOW)
    (problem,) = caught.value.problems
    assert problem.startswith("ldap: uid=bad: ")
    assert told in problem


def test_a_thousand_ambiguous_entries_are_told_shortly() -> None:
    bad = [entry(str(n), employeeNumber=[b"1", b"2"], mail=[b"a"]) for n in range(1000)]
    with pytest.raises(ConfigError) as caught:
        entries_said(BY_MAIL, bad, NOW)
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "ldap: and 980 more"


class Pages:
    """A connection that answers each search by the next page."""

    def __init__(self, *pages: tuple[int, Sequence[dict[str, Any]], bytes]) -> None:
        self._pages = list(pages)
        self.cookies: list[bytes | None] = []

    def search(self, *_words: object, paged_cookie: bytes | None, **_more: object) -> object:
        self.cookies.append(paged_cookie)
        code, entries, cookie = self._pages.pop(0)
        controls = {PAGED: {"value": {"cookie": cookie}}}
        told = {0: "success", 4: "sizeLimitExceeded", 3: "timeLimitExceeded"}[code]
        return True, {"result": code, "description": told, "controls": controls}, entries, None


def test_pages_are_read_to_the_end_and_referrals_passed_over() -> None:
    one, two = entry("a"), entry("b")
    referral = {"type": "searchResRef", "uri": ["ldap://other.example.org"]}
    pages = Pages((0, [one, referral], b"next"), (0, [two], b""))
    assert list(found(BY_MAIL, pages, lambda: 0.0)) == [one, two]
    assert pages.cookies == [None, b"next"]


@pytest.mark.parametrize("code", [3, 4])
def test_a_limit_in_the_midst_is_no_end(code: int) -> None:
    pages = Pages((0, [entry("a")], b"next"), (code, [entry("b")], b""))
    with pytest.raises(ConfigError, match="half a list is none"):
        list(found(BY_MAIL, pages, lambda: 0.0))


def test_a_directory_that_pages_for_ever_is_left() -> None:
    times = iter((0.0, 1.0, DEADLINE_S + 1))
    pages = Pages(*[(0, [entry("a")], b"next")] * 3)
    with pytest.raises(ConfigError, match="did not end within 900 s"):
        list(found(BY_MAIL, pages, lambda: next(times)))


# The section of the configuration

LDAP = """
[ldap]
urls = ["ldaps://one.example.org", "ldap://two.example.org:1389"]
base = "dc=example,dc=org"
id_attribute = "employeeNumber"
email = "mail"
bind_dn = "cn=reader"
bind_password = "env:WORD"
"""


def read(tmp_path: Path, text: str) -> LdapSettings | None:
    for name, content in (("token", b"t" * 26), ("converted.key", bytes(range(32)))):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    path = tmp_path / "c.toml"
    path.write_text(GOOD + text)
    return load(path, {"WORD": "hidden word"}).ldap


def test_a_directory_is_configured_and_its_password_shown_nowhere(tmp_path: Path) -> None:
    ldap = read(tmp_path, LDAP)
    assert ldap is not None
    assert ldap.urls == ("ldaps://one.example.org", "ldap://two.example.org:1389")
    assert (ldap.bind_password, ldap.timeout_s) == ("hidden word", 10)
    assert "hidden word" not in repr(ldap)
    assert read(tmp_path, "") is None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"ldaps://one.example.org"', '"http://one"', "ldap.urls[0]: no address; it has the form"),
        ('"ldaps://one.example.org"', '"ldaps://u:w@one"', "ldap.urls[0]: no address"),
        ('"ldaps://one.example.org"', '"ldaps://one/dc=x"', "ldap.urls[0]: no address"),
        ('"ldaps://one.example.org"', '"ldaps://[one"', "ldap.urls[0]: no address"),
        ('base = "dc=example,dc=org"', "", "ldap.base: missing"),
        ('id_attribute = "employeeNumber"', "", "ldap.id_attribute: missing"),
        ('"employeeNumber"', '"no name)"', "ldap.id_attribute: 'no name)' is no name of an attrib"),
        ('email = "mail"', "", "ldap.email: name one attribute, in email or in username"),
        ('email = "mail"', 'email = "mail"\nusername = "uid"', "ldap.email: name one attribute"),
        ('bind_dn = "cn=reader"', "", "ldap.bind_dn: it comes with bind_password"),
        ('"env:WORD"', '"plain word"', "a secret may not stand in this file"),
        ('base = "dc', 'filters = ""\nbase = "dc', "ldap.filters: unknown field; did you mean fil"),
    ],
)
def test_what_is_wrong_with_it_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, LDAP.replace(old, new))
    assert told in str(caught.value)
    assert "plain word" not in str(caught.value)
    assert "u:w@" not in str(caught.value)


def test_fields_without_an_address_are_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ldap\.urls: missing"):
        read(tmp_path, '[ldap]\nbase = "dc=x"\n')
