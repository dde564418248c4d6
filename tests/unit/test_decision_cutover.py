"""What stands in the way of a cutover, and how to find back, as tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.decision.cutover import (
    PROVEN_WITHIN,
    Ours,
    Place,
    certificate,
    changed_since,
    obstacles,
    otherwise,
    pinned,
    place,
)
from idp_proxy.decision.saml_settings import CHANGED, Seen, before, untouched

NOW = datetime(2026, 12, 1, 2, 0, tzinfo=UTC)
OURS = Ours(
    entity_id="https://sso.example.org/saml/metadata",
    sso_url="https://sso.example.org/saml/sso",
    metadata_url="https://sso.example.org/saml/metadata",
    sp_entity_id="https://chat.example.org/login/sso/saml",
    acs_url="https://chat.example.org/login/sso/saml",
    sent={"id": "id", "email": "email", "username": "username", "firstname": "first_name"},
    read={"id": "oid", "email": "mail", "username": "uid", "first_name": "givenName"},
    encrypts=False,
    demands_signature=False,
    checks_signature=False,
)
#: As the upstream alone was set up; `IdpUrl` is how older releases spell it.
SECTION: dict[str, Any] = {
    "Enable": True,
    "Verify": True,
    "Encrypt": False,
    "SignRequest": False,
    "SignatureAlgorithm": "RSAwithSHA1",
    "CanonicalAlgorithm": "Canonical1.0",
    "IdpUrl": "https://idp.example.org/sso",
    "IdpDescriptorUrl": "https://idp.example.org",
    "IdpMetadataUrl": "",
    "ServiceProviderIdentifier": OURS.sp_entity_id,
    "AssertionConsumerServiceURL": OURS.acs_url,
    "IdAttribute": "oid",
    "EmailAttribute": "mail",
    "UsernameAttribute": "uid",
    "FirstNameAttribute": "givenName",
    "NicknameAttribute": "nick",
    "PrivateKeyFile": "never looked at",
    "IdpCertificateFile": "saml-idp.crt",
}


def seen(**changes: Any) -> Seen:
    return Seen.of(SECTION | changes, {})


def fields_in_the_way(ours: Ours = OURS, **changes: Any) -> list[str]:
    found = obstacles(seen(**changes), ours, proven_at=NOW, serving="okta", now=NOW)
    assert all(one.problem and one.cure for one in found)
    return [one.field for one in found]


def test_nothing_stands_in_the_way_of_what_fits() -> None:
    assert fields_in_the_way() == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"Enable": False}, "Enable"),
        ({"Enable": None}, "Enable"),
        ({"Enable": "true"}, "Enable"),
        ({"Verify": False}, "Verify"),
        ({"Encrypt": True}, "Encrypt"),
        ({"ServiceProviderIdentifier": ""}, "ServiceProviderIdentifier"),
        ({"ServiceProviderIdentifier": OURS.sp_entity_id + "/"}, "ServiceProviderIdentifier"),
        ({"AssertionConsumerServiceURL": "http://chat"}, "AssertionConsumerServiceURL"),
        ({"IdAttribute": "sub"}, "IdAttribute"),
        ({"IdAttribute": ""}, "IdAttribute"),
        ({"EmailAttribute": "upn"}, "EmailAttribute"),
        ({"UsernameAttribute": "cn"}, "UsernameAttribute"),
        ({"FirstNameAttribute": "displayName"}, "FirstNameAttribute"),
        ({"IdpCertificateFile": "okta.crt"}, "IdpCertificateFile"),
        ({"GuestAttribute": "kind=guest"}, "GuestAttribute"),
        ({"EnableAdminAttribute": True, "AdminAttribute": "kind=admin"}, "AdminAttribute"),
    ],
)
def test_one_field_that_does_not_fit_is_one_obstacle(changes: dict[str, Any], field: str) -> None:
    assert fields_in_the_way(**changes) == [field]


@pytest.mark.parametrize(
    ("ours", "changes", "found"),
    [
        (replace(OURS, encrypts=True), {}, ["Encrypt"]),
        (replace(OURS, encrypts=True), {"Encrypt": True}, []),
        (replace(OURS, demands_signature=True), {}, ["SignRequest"]),
        (OURS, {"SignRequest": True}, ["SignRequest", "SignatureAlgorithm"]),
        (replace(OURS, checks_signature=True), {"SignRequest": True}, ["SignatureAlgorithm"]),
        (
            replace(OURS, checks_signature=True, demands_signature=True),
            {"SignRequest": True, "SignatureAlgorithm": "RSAwithSHA256"},
            [],
        ),
        (
            replace(OURS, checks_signature=True),
            {
                "SignRequest": True,
                "SignatureAlgorithm": "RSAwithSHA256",
                "CanonicalAlgorithm": "Canonical1.1",
            },
            ["CanonicalAlgorithm"],
        ),
        (OURS, {"AdminAttribute": "kind=admin"}, []),
        # By the name of a role, and something else by it; or not withheld from standbys.
        (
            replace(
                OURS,
                sent=dict(OURS.sent) | {"kind": "dept"},
                read=dict(OURS.read) | {"dept": "department"},
                roles=frozenset({"dept"}),
            ),
            {"GuestAttribute": "kind=guest"},
            ["GuestAttribute"],
        ),
        (
            replace(
                OURS,
                sent=dict(OURS.sent) | {"kind": "role"},
                read=dict(OURS.read) | {"role": "kind"},
            ),
            {"GuestAttribute": "kind=guest"},
            ["GuestAttribute"],
        ),
        (OURS, {"EnableAdminAttribute": True, "AdminAttribute": ""}, []),
        (
            replace(
                OURS,
                sent=dict(OURS.sent) | {"kind": "role"},
                read=dict(OURS.read) | {"role": "kind"},
                roles=frozenset({"role"}),
            ),
            {
                "EnableAdminAttribute": True,
                "AdminAttribute": "kind=admin",
                "GuestAttribute": "kind=guest",
            },
            [],
        ),
        (
            replace(OURS, read=dict(OURS.read) | {"id": "mail"}),
            {"IdAttribute": ""},
            ["IdAttribute"],
        ),
    ],
)
def test_both_sides_must_want_the_same(
    ours: Ours, changes: dict[str, Any], found: list[str]
) -> None:
    assert fields_in_the_way(ours, **changes) == found


@pytest.mark.parametrize(
    ("proven_at", "stands"),
    [
        (None, True),
        (NOW, False),
        (NOW - PROVEN_WITHIN, False),
        (NOW - PROVEN_WITHIN - timedelta(seconds=1), True),
    ],
)
def test_a_login_through_the_proxy_was_seen_lately(
    proven_at: datetime | None, stands: bool
) -> None:
    found = obstacles(seen(), OURS, proven_at=proven_at, serving="okta", now=NOW)
    assert [one.cure for one in found] == (["idp-proxy rehearse okta"] if stands else [])


def test_what_stands_in_the_environment_is_named_with_its_variable() -> None:
    there = Seen.of(
        SECTION, {"IdpUrl": True, "IdAttribute": True, "Encrypt": True, "Enable": False}
    )
    found = list(pinned(there, OURS.fields()))
    assert [one.field for one in found] == ["IdpURL", "IdAttribute"]
    assert "MM_SAMLSETTINGS_IDPURL" in found[0].cure
    assert OURS.sso_url in found[0].cure
    same = OURS.fields() | {"IdpURL": SECTION["IdpUrl"], "IdAttribute": "oid"}
    assert list(pinned(there, same)) == []


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (OURS.entity_id, (Place.PROXY, "")),
        ("https://idp.example.org", (Place.UPSTREAM, "okta")),
        ("https://idp.example.org/", (Place.ELSEWHERE, "")),
        ("", (Place.ELSEWHERE, "")),
    ],
)
def test_whom_mattermost_trusts_is_told_by_the_issuer(
    issuer: str, expected: tuple[Place, str]
) -> None:
    upstreams = {"entra": "https://entra.example.org", "okta": "https://idp.example.org"}
    assert place(seen(IdpDescriptorUrl=issuer), OURS, upstreams) == expected


def test_the_way_there_and_the_way_back_change_the_same_fields() -> None:
    assert tuple(OURS.fields()) == tuple(before(seen())) == CHANGED
    assert before(seen())["NicknameAttribute"] == "nick"
    assert OURS.fields()["NicknameAttribute"] == ""
    assert OURS.fields()["FirstNameAttribute"] == "firstname"
    assert before(Seen({}))["IdpURL"] == ""


def test_behind_the_proxy_another_value_is_told() -> None:
    there = SECTION | OURS.fields()
    assert list(otherwise(Seen(there), OURS)) == []
    for change in ({"IdAttribute": "sub"}, {"Enable": False}, {"Encrypt": True}, {"Verify": False}):
        (found,) = otherwise(Seen(there | change), OURS)
        assert [found.field] == list(change)


def test_what_changed_since_is_told_and_nothing_else() -> None:
    then = untouched(seen())
    assert then["Enable"] == "true"
    assert then["AssertionConsumerServiceURL"] == OURS.acs_url
    assert list(changed_since(seen(IdpUrl="https://elsewhere"), then)) == []
    (found,) = changed_since(seen(Encrypt=True), then)
    assert (found.field, "'false' before" in found.problem) == ("Encrypt", True)
    assert list(changed_since(seen(), {})) == []


@pytest.mark.parametrize(("name", "told"), [("/etc/mm/okta.crt", True), ("saml-idp.crt", False)])
def test_a_certificate_that_stands_in_the_environment_cannot_be_uploaded(
    name: str, told: bool
) -> None:
    there = Seen.of(SECTION | {"IdpCertificateFile": name}, {"IdpCertificateFile": True})
    found = obstacles(there, OURS, proven_at=NOW, serving="okta", now=NOW)
    assert [one.field for one in found] == (["IdpCertificateFile"] if told else [])


@pytest.mark.parametrize(
    ("stored", "current", "given", "expected"),
    [
        (None, (b"a",), None, b"a"),
        (None, (b"a", b"b"), None, None),
        (None, (), None, None),
        (None, (b"a", b"b"), b"b", b"b"),
        (b"a", (), None, b"a"),
        (b"a", (b"b", b"a"), None, b"a"),
        (b"a", (b"b",), None, None),
        (b"a", (b"b", b"c"), None, None),
        (b"a", (b"b", b"c"), b"d", b"d"),
    ],
)
def test_a_certificate_is_certain_or_asked_for(
    stored: bytes | None, current: tuple[bytes, ...], given: bytes | None, expected: bytes | None
) -> None:
    assert certificate(stored, current, given) == expected


@given(
    st.dictionaries(st.sampled_from([*SECTION, "Junk"]), st.text() | st.booleans() | st.none()),
    st.dictionaries(st.sampled_from([*SECTION, "Junk"]), st.booleans()),
)
def test_whatever_mattermost_says_the_way_back_is_whole(
    section: dict[str, Any], environment: dict[str, bool]
) -> None:
    there = Seen.of(section, environment)
    assert there.differing(before(there)) == ()
    in_the_way = {one.field for one in pinned(there, OURS.fields())} - {"IdpCertificateFile"}
    assert in_the_way == set(there.differing(OURS.fields())) & there.pinned
    assert {one.field for one in pinned(there, before(there))} <= {"IdpCertificateFile"}
