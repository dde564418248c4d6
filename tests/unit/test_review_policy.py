"""The policy that is signed: its fields, its digest through releases, its marks, several hosts."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, update

from idp_proxy.adapters import open_store, open_upstreams
from idp_proxy.audit.tables import audit_row
from idp_proxy.decision.review import (
    Policy,
    Review,
    Signed,
    Waiver,
    bars,
    changed_since,
)
from idp_proxy.decision.review.policy import LATER, pattern_of
from idp_proxy.reviewing.policy import policy_of
from idp_proxy.store import reviews
from idp_proxy.store.schema import migrate
from idp_proxy.store.tables import review_signature, review_waiver
from tests.support.keys import rsa_pair
from tests.support.upstream_metadata import upstream_metadata
from tests.unit.at_the_terminal import Program
from tests.unit.config_folder import NOW, Folder, private_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from idp_proxy.store.sql import SqlStore

#: Every field that release 0.1.0 knows, by its pattern. Until that release is out a new field comes
#: in here, where it is in order of the alphabet. One that comes later comes into
#: `decision.review.policy.LATER`, with what the proxy did before there was such a field.
KNOWN = Path(__file__).with_name("policy_fields.txt")
KEYS = (b"k" * 32, b"o" * 32)
SOON = datetime(2026, 12, 1, 3, tzinfo=UTC)

EVERYTHING = """
[[upstream]]
name = "ldap"
kind = "ldap"
failure_domains = ["cellar"]

[upstream.directory]
urls = ["ldaps://ldap.example.org"]
bind_dn = "cn=proxy"
bind_password = "file:keys/bind.pw"
base = "dc=example"
probe_user = "probe"

[upstream.attributes]
id = "employeeNumber"
link_key = "employeeNumber"

[[upstream.assurance.evidence]]
attribute = "amr"
value = "otp"
level = "password"

[[upstream.canary]]
name = "clerk"
kind = "bind"
username = "canary"
password = "file:keys/bind.pw"
subject = "c-1"

[[known_network]]
name = "office"
networks = ["203.0.113.0/24"]

[roster]
csv = "people.csv"
mattermost = true

[roster.ldap]
upstream = "ldap"

[roster.ldap.attributes]
id = "employeeNumber"
email = "mail"
username = "uid"

[failover]
failback = "scheduled"
windows = ["Sun 02:00-04:00"]

[review]
conversion_config = "conversion.toml"

[review.operators_path]
way = "a modem"
depends_on = ["mobile network"]
tested_at = "2026-11-01"
"""
PARTY = """encrypt = true
encryption_certificate = "keys/okta-sp.crt"
converted_file = "converted"
converted_key = "file:keys/converted.key"

[service_provider.api]
url = "https://chat.example.org"
token = "file:keys/token"
"""


def policy(folder: Folder, text: str | None = None) -> Policy:
    settings = (folder if text is None else replace(folder, text=text)).read()
    return policy_of(settings, open_upstreams(settings), NOW)


def everything(folder: Folder) -> Folder:
    """Each section that there is."""
    private_file(folder.path / "keys" / "bind.pw", b"a password")
    private_file(folder.path / "keys" / "token", b"t" * 26)
    private_file(folder.path / "keys" / "converted.key", bytes(range(32)))
    (folder.path / "people.csv").touch()
    (folder.path / "conversion.toml").write_text('[mattermost]\ntoken = "file:keys/token"\n')
    metadata = upstream_metadata(rsa_pair("okta-idp"), entity_id="https://okta.example")
    (folder.path / "okta.xml").write_bytes(metadata)
    folder.set("encrypt = false\n", PARTY)
    folder.text += EVERYTHING
    return folder


def test_no_field_comes_into_the_policy_that_would_change_what_was_signed(folder: Folder) -> None:
    found = policy(everything(folder))
    inner = (".attributes.", ".contexts.", ".metadata.sso.", ".canaries.", "known_networks.")
    patterns = set()
    for path in found.fields:
        pattern = pattern_of(path)
        for above in inner:
            if (place := pattern.find(above)) >= 0:
                kept = pattern[: place + len(above)]
                rest = pattern.removeprefix(kept).partition(".")[2]
                pattern = f"{kept}*.{rest}".removesuffix(".")
        patterns.add(pattern)
    known = set(KNOWN.read_text("utf-8").split())
    new, gone = sorted(patterns - known - set(LATER)), sorted(known - patterns)
    assert not new, f"new, see the comment at KNOWN: {' '.join(new)}"
    assert not gone, f"whoever signed it sees a change, so take it out knowingly: {gone}"
    assert "a password" not in json.dumps(dict(found.fields))


@pytest.mark.parametrize(
    ("old", "new", "barred"),
    [
        ('floor = "password"', 'floor = "password"\nmax_age_s = 604800', {"entra", "ldap"}),
        ("workers = 2", "workers = 3", set()),
        ('username = "canary"', 'username = "other"', {"ldap"}),
        ('value = "otp"', 'value = "pwd"', {"ldap"}),
        ('urls = ["ldaps://ldap.', 'urls = ["ldaps://dap.', {"ldap"}),
        ('networks = ["203.0.113.0/24"]', 'networks = ["203.0.0.0/16"]', {"entra", "ldap"}),
        ("mattermost = true", "mattermost = false", {"entra", "ldap"}),
        (
            "[service_provider.attributes]",
            "[service_provider.attributes]\nx = 'first_name'",
            {"entra", "ldap"},
        ),
        ("clock_skew_s = 120", "clock_skew_s = 180", {"okta"}),
        ("help.example.org/sso", "help.example.org/other", set()),
        ('way = "a modem"', 'way = "a pigeon"', set()),
        ('conversion_config = "conversion.toml"', 'conversion_config = "other.toml"', set()),
    ],
)
def test_nothing_switches_to_what_a_change_concerns(
    folder: Folder, old: str, new: str, barred: set[str]
) -> None:
    signed = Signed("s1", "Rita", NOW, policy(everything(folder)), 0)
    changed = policy(folder.set(old, new))
    assert set(bars(Review((), ()), changed, signed)) == barred
    assert (changed_since(signed, changed, NOW) is None) is (signed.policy == changed)


def test_what_a_person_is_worth_at_an_upstream_stands_with_that_upstream(folder: Folder) -> None:
    fields = policy(everything(folder)).fields
    assert fields["upstream.ldap.assurance.evidence.0.value"] == "otp"
    assert fields["upstream.ldap.hosts.0.encryption"] == "ldaps"
    assert fields["upstream.ldap.canaries.clerk.subject"] == "c-1"


SECRETS = {
    "keys/bind.pw": b"the-bind-accounts-word",
    "keys/token": b"tokentokentokentokentokent",
    "keys/channel": b"json://127.0.0.1:9/pager-word-7f3a",
}


def test_no_form_of_the_review_holds_a_secret_and_the_page_holds_all_that_is_signed(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    everything(folder)
    for name, secret in SECRETS.items():
        (folder.path / name).unlink(missing_ok=True)
        private_file(folder.path / name, secret)
    folder.text += '\n[notify]\nurls = ["file:keys/channel"]\n'
    program = Program(folder, capsys)
    program.write()
    migrate(folder.read().store.url)
    said = {
        form: program("review", "--format", form).out for form in ("table", "json", "sarif", "html")
    }
    keys = list((folder.path / "keys").glob("*.key"))
    assert len(keys) > 3
    secrets = [*SECRETS.values(), *(one.read_bytes() for one in keys)]
    for form, text in said.items():
        assert text, form
        for octets in secrets:
            for written in (
                octets[-20:].decode("latin-1"),
                octets.hex(),
                b64encode(octets).decode(),
            ):
                assert written.strip() not in text, form
        assert "PRIVATE KEY" not in text
    for needed in ON_THE_PAGE:
        assert needed in said["html"], needed
    assert policy(folder).digest in said["html"]


#: What somebody who signs must have been able to read.
ON_THE_PAGE = (
    *("okta (active)", "entra (standby)", "ldap (standby)"),
    *(
        "metadata believed by",
        "signature algorithms",
        "rsa-sha256",
        "encryption",
        "certificates and keys",
    ),
    *(
        "our keys there",
        "asked for context classes",
        "levels",
        "second factor",
        "can reach the floor",
    ),
    *("attributes", "longest assertion", "clock skew", "failure domains", "wrong passwords"),
    *("Floor", "A session by a standby", "Told to Mattermost", "Mattermost&#39;s certificates"),
    *(
        "Moving people to a password",
        "Deadlines",
        "Given up for good",
        "Guards",
        "Ledger",
        "Return",
    ),
    *("Findings", "Waivers", "Since the last signature", "Versions", "cryptography", "Signature"),
)


@pytest.fixture
def store(folder: Folder) -> Iterator[SqlStore]:
    settings = folder.read()
    migrate(settings.store.url)
    opened = open_store(settings)
    yield opened
    opened.close()


SIGNED = Signed("s1", "Rita", SOON, Policy({"upstreams": "okta, entra", "a": "x"}), 2)
WAIVER = Waiver(
    "w1",
    "SP-08",
    "entra",
    ("sp_08_encryption",),
    ("anna", "adam"),
    "June",
    SOON,
    SOON + timedelta(9),
)


def keep(store: SqlStore) -> None:
    with store.writing() as connection:
        reviews.keep_signed(connection, SIGNED, KEYS[1:])
        reviews.keep_waiver(connection, WAIVER, KEYS[1:])


def test_what_was_signed_and_waived_comes_back_as_it_was(store: SqlStore) -> None:
    keep(store)
    with store.reading() as connection:
        assert reviews.last_signed(connection, KEYS) == SIGNED
        assert reviews.signed_as(connection, "s1", KEYS) == SIGNED
        assert reviews.waivers(connection, SOON, KEYS) == (WAIVER,)
        assert reviews.altered(connection, SOON, KEYS) == ()


@pytest.mark.parametrize(
    ("changes", "waived"),
    [
        ({"name": "Mallory"}, {"ends_at": SOON + timedelta(900)}),
        ({"policy": {"upstreams": "okta, entra", "a": "weak"}}, {"rule": "FO-15"}),
        ({"open_findings": 0}, {"checks": ["sp_08_certificates"]}),
        ({"at": SOON + timedelta(days=1)}, {"subject": "okta"}),
        ({"id": "s2"}, {"people": ["mallory"]}),
        ({"mark": b""}, {"mark": None}),
        ({"mark": b"\0" * 32}, {"reason": "because"}),
    ],
)
def test_who_can_write_the_database_signs_and_waives_nothing(
    store: SqlStore, changes: dict[str, Any], waived: dict[str, Any]
) -> None:
    keep(store)
    with store.writing() as connection:
        connection.execute(update(review_signature).values(**changes))
        connection.execute(update(review_waiver).values(**waived))
    with store.reading() as connection:
        found = reviews.last_signed(connection, KEYS)
        assert found is not None
        assert not found.genuine
        assert reviews.waivers(connection, SOON, KEYS) == ()
        assert len(reviews.altered(connection, SOON, KEYS)) == 2
    barred = bars(Review((), ()), found.policy, found)
    assert list(barred) == ["entra"]
    assert "altered in the store" in barred["entra"][0]
    assert "altered in the store" in str(changed_since(found, found.policy, NOW))


def test_a_row_that_is_put_in_is_nobodys_and_one_table_vouches_for_no_other(
    store: SqlStore,
) -> None:
    keep(store)
    with store.writing() as connection:
        row = {
            "id": "w2", "rule": "SP-07", "subject": "", "checks": [], "people": ["anna", "adam"],
            "reason": "x", "given_at": SOON, "ends_at": SOON + timedelta(9),
        }  # fmt: skip
        connection.execute(insert(review_waiver).values(**row, mark=b"m" * 32))
    with store.reading() as connection:
        assert [one.id for one in reviews.waivers(connection, SOON, KEYS)] == ["w1"]
        assert reviews.altered(connection, SOON, KEYS) == ("waiver w2",)
        assert reviews.altered(connection, SOON + timedelta(days=10), KEYS) == ()


@pytest.mark.parametrize(
    "body", ["{}", "no JSON", '{"facts": 3}', '{"facts": {"signature": "s9"}}']
)
def test_a_signature_that_only_the_audit_knows_is_missed(store: SqlStore, body: str) -> None:
    keep(store)
    with store.writing() as connection:
        row = {"chain": "sso1", "seq": 1, "at": NOW, "kind": reviews.SIGNED, "body": body}
        connection.execute(insert(audit_row).values(**row, previous="", digest=""))
    with store.reading() as connection:
        (missed,) = reviews.altered(connection, SOON, KEYS)
    assert missed in {"signature s9", "signature in the audit's row sso1 1"}


def test_an_old_state_key_may_go_once_its_marks_were_renewed(store: SqlStore) -> None:
    keep(store)
    with store.writing() as connection:
        assert reviews.renew(connection, KEYS) == 2
        assert reviews.renew(connection, KEYS) == 0
    with store.reading() as connection:
        assert reviews.last_signed(connection, KEYS[:1]) == SIGNED
        assert reviews.last_signed(connection, KEYS[1:]) != SIGNED
