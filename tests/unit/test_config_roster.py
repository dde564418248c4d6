"""`[roster]`, and what the upstreams' maps and Mattermost's role attributes mean for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.config.roster import RosterLdapSettings
from idp_proxy.decision.roster import Role, RoleRule, RosterPolicy, SecondAttribute
from tests.unit.test_config_directory import DIRECTORY, PLACE, corp

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder

__all__ = ["corp"]

SENT = 'firstname = "first_name"\n'
ROLE = f'{SENT}Role = "role"\n'
GIVEN = 'first_name = "urn:oid:2.5.4.42"\n'
SIGNING = "signing_certificates = []\n"
LDAP = """
[roster.ldap]
upstream = "corp"

[roster.ldap.attributes]
id = "objectGUID"
email = "mail"
username = "uid"
"""


def with_roles(folder: Folder, lines: str) -> Folder:
    folder.set(SENT, ROLE)
    folder.set(GIVEN, f'{GIVEN}role = "urn:role"\n')
    return folder.set(SIGNING, f"{SIGNING}{lines}\n")


def test_nothing_needs_to_be_set(folder: Folder) -> None:
    read = folder.read().roster
    assert read.policy == RosterPolicy()
    assert (read.most_blocked_percent, read.csv, read.ldap) == (5, None, None)
    assert not read.mattermost


def test_what_is_set_counts(folder: Folder) -> None:
    read = folder.set(
        PLACE,
        '[roster]\nconfirmed_by_login_days = 30\nconfirmed_by_import_days = 2\ncsv = "hr.csv"\n'
        f'max_blocked_percent = 10\nprivileged_at_standby = ["e-1"]\n{PLACE}',
    ).read()
    assert read.roster.policy == RosterPolicy(
        timedelta(days=30), timedelta(days=2), privileged=frozenset({"e-1"})
    )
    assert (read.roster.most_blocked_percent, read.roster.csv) == (10, folder.path / "hr.csv")


def test_mattermost_s_role_attributes_are_withheld_and_looked_at(folder: Folder) -> None:
    lines = ("enable_admin_attribute = true", 'admin_attribute = "Role=admin"')
    read = with_roles(folder, "\n".join((*lines, 'guest_attribute = "Role=guest"'))).read()
    assert read.roster.policy.roles == (
        RoleRule(Role.ADMIN, "role", "admin"),
        RoleRule(Role.GUEST, "role", "guest"),
    )
    assert read.service_provider.role_attributes == {"role"}


def test_an_admin_attribute_that_mattermost_does_not_heed_is_withheld_all_the_same(
    folder: Folder,
) -> None:
    read = with_roles(folder, 'admin_attribute = "Role=admin"').read()
    assert read.roster.policy.roles == ()
    assert read.service_provider.role_attributes == {"role"}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("enable_admin_attribute = true", "service_provider.admin_attribute: missing"),
        ('guest_attribute = "Role"', "service_provider.guest_attribute: not of the form"),
        ('guest_attribute = "Role=a=b"', "service_provider.guest_attribute: not of the form"),
        ('guest_attribute = "=guest"', "service_provider.guest_attribute: not of the form"),
        ('guest_attribute = "role=guest"', "guest_attribute: nothing is sent as 'role'"),
    ],
)
def test_a_role_attribute_that_says_nothing_is_a_problem(
    folder: Folder, lines: str, problem: str
) -> None:
    (found,) = with_roles(folder, lines).problems()
    assert problem in found


EMAIL = 'email = "urn:oid:0.9.2342.19200300.100.1.3"\n'
STANDBY = '[upstream.attributes]\nlink_key = "NameID"\n'


@pytest.mark.parametrize(
    ("standby", "more", "second", "warning"),
    [
        ('link_key = "mail"\nusername = "uid"\n', "", "username", "username must agree too"),
        ('link_key = "mail"\nid = "no"\nusername = "uid"\n', "", "id", "id must agree too"),
        (
            'link_key = "mail"\nid = "no"\nusername = "uid"\n',
            'agreeing_attribute = "username"',
            "username",
            None,
        ),
        ('link_key = "mail"\n', "", None, "a standby lets in nobody"),
        ('link_key = "mail"\nid = "mail"\n', "", None, "a standby lets in nobody"),
        ('link_key = "x"\nemail = "x"\n', "", None, "a standby lets in nobody"),
        ('link_key = "sub"\nid = "no"\n', "link_key_is_email = true", "id", "id must agree too"),
    ],
)
def test_an_email_address_as_link_key_needs_something_that_agrees(
    folder: Folder, standby: str, more: str, second: str | None, warning: str | None
) -> None:
    folder.set(EMAIL, f"{EMAIL}link_key = 'workaddress'\n")
    read = (
        folder.set(STANDBY, f"[upstream.attributes]\n{standby}")
        .set(PLACE, f"[roster]\n{more}\n{PLACE}")
        .read()
    )
    assert read.roster.policy.second == SecondAttribute(second)
    found = [one for one in read.warnings if "agreeing_attribute" in one]
    assert (warning is None and not found) or (warning or "") in found[0]


def test_a_name_id_is_an_email_address_where_it_is_asked_for_as_one(folder: Folder) -> None:
    assert folder.read().roster.policy.second is None
    folder.set(
        "[upstream.attributes]\nlink_key",
        'name_id_format = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"\n'
        "[upstream.attributes]\nlink_key",
    )
    assert folder.read().roster.policy.second == SecondAttribute(None)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('agreeing_attribute = "username"', "has an effect only where the link key is an email"),
        ('privileged_at_standby = [""]', "roster.privileged_at_standby[0]: not the id of a person"),
        ("confirmed_by_import_days = 0", "roster.confirmed_by_import_days: 0 is too small"),
        ("max_blocked_percent = 51", "roster.max_blocked_percent: 51 is too large"),
        ("confirmed_by_login = 3", "did you mean confirmed_by_login_days?"),
        (
            'link_key_is_email = true\nagreeing_attribute = "username"',
            "'username' is not mapped by every upstream",
        ),
    ],
)
def test_what_makes_no_sense_is_a_problem(folder: Folder, lines: str, problem: str) -> None:
    (found,) = folder.set(PLACE, f"[roster]\n{lines}\n{PLACE}").problems()
    assert problem in found


def test_a_directory_of_people_is_read(corp: Folder) -> None:
    read = corp.set(PLACE, f"{LDAP}\n{PLACE}").read().roster.ldap
    assert read == RosterLdapSettings(
        upstream="corp",
        base="ou=people,dc=corp,dc=example",
        written="(objectClass=person)",
        attributes={"id": "objectGUID", "email": "mail", "username": "uid"},
        guid="uuid",
        page_size=500,
        timeout=timedelta(minutes=15),
    )


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '"corp"\n\n[roster',
            '"okta"\n\n[roster',
            'roster.ldap.upstream: no upstream of kind "ldap"',
        ),
        ('email = "mail"\n', "", "roster.ldap.attributes.email: missing"),
        ('email = "mail"\n', 'email = "mail"\nfax = "fax"\n', "attributes.fax: the active maps no"),
        ("\n\n[roster.ldap.a", "\nfilter = '(cn='\n\n[roster.ldap.a", "filter: no filter"),
    ],
)
def test_a_directory_of_people_that_cannot_be_is_a_problem(
    corp: Folder, old: str, new: str, problem: str
) -> None:
    (found,) = corp.set(PLACE, f"{LDAP.replace(old, new)}\n{PLACE}").problems()
    assert problem in found


def test_only_a_directory_can_be_asked_for_its_people(folder: Folder) -> None:
    (found,) = folder.set(PLACE, f"{LDAP}\n{PLACE}").problems()
    assert "there are none" in found
    assert DIRECTORY
