"""The preflight: one finding for everything that makes a campaign fail or harm, each with a way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from conversion.config import CampaignSettings, LedgerSettings, ProxyStatus, Settings
from conversion.config.settings import NotifySettings
from conversion.decision.account import EMAIL, SAML, Account, Binding, Source
from conversion.decision.deadline import Deadlines
from conversion.decision.evidence import Evidence, Operator, Release, Severity
from conversion.decision.preflight import findings
from conversion.inventory import prepare
from conversion.ledger.base import InventoryRow
from conversion.ledger.opening import open_ledger
from conversion.mattermost import Access, Mattermost
from conversion.preflight import Ways, gather
from conversion.proxy_status import Logins, ProxyAnswer
from tests.support.launch import in_thread
from tests.support.mattermost_api import Fault, Kind, MattermostServer, app

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 3, 3, 0, tzinfo=UTC)
USER = frozenset({"system_user"})
ADMIN = USER | {"system_admin"}


def person(number: int, **fields: Any) -> Account:
    one = Account(f"p{number:025d}", f"u{number}", f"u{number}@corp.test", SAML, f"X{number}", USER)
    return replace(one, **fields)


def binding(value: str, source: Source = Source.API) -> Binding:
    return Binding(value, source, NOW)


PEOPLE = (person(1), person(2))
ROOT = Account("r" * 26, "root", "root@corp.test", EMAIL, None, ADMIN)
SETTINGS: dict[str, dict[str, Any]] = {
    "SamlSettings": {"Enable": True, "IdAttribute": "uid", "EmailAttribute": "mail"},
    "EmailSettings": {
        "EnableSignInWithEmail": True,
        "EnableSignInWithUsername": True,
        "RequireEmailVerification": False,
        "SMTPServer": "mail",
    },
    "PasswordSettings": {"MinimumLength": 14, "Symbol": True},
    "RateLimitSettings": {"Enable": False, "PerSec": 10},
    "ServiceSettings": {"EnableUserAccessTokens": True, "SessionLengthSSOInHours": 720},
    "GuestAccountsSettings": {"Enable": True},
}
GOOD = Evidence(
    now=NOW,
    release=Release(
        "11.0.0", auth_data_visible=True, patch_after_auth=False, session_lengths_in_hours=True
    ),
    licensed=True,
    statuses={"status": "OK", "database_status": "OK", "filestore_status": "OK"},
    settings=SETTINGS,
    operator=Operator(ROOT, (None,)),
    accounts=(ROOT, *PEOPLE),
    inventory={one.id: binding(one.auth_data or "") for one in PEOPLE},
    inventory_at=NOW - timedelta(hours=3),
)


def setting(section: str, name: str, value: object) -> Evidence:
    changed = {**SETTINGS, section: {**SETTINGS.get(section, {}), name: value}}
    return replace(GOOD, settings=changed)


def release(**fields: Any) -> Evidence:
    assert GOOD.release is not None
    return replace(GOOD, release=replace(GOOD.release, **fields))


def with_people(*people: Account) -> Evidence:
    known = {one.id: binding(f"Y{one.username}") for one in people}
    return replace(GOOD, accounts=(ROOT, *people), inventory=known)


def operator(**fields: Any) -> Evidence:
    return replace(GOOD, operator=Operator(replace(ROOT, **fields), (None,)))


def token_ends(*ends: datetime | None) -> Evidence:
    return replace(GOOD, operator=Operator(ROOT, ends))


def severities(evidence: Evidence) -> dict[str, Severity]:
    return {found.id: found.severity for found in findings(evidence)}


def test_a_good_server_has_notes_only() -> None:
    assert set(severities(GOOD).values()) == {Severity.NOTE}
    assert "password.policy" in severities(GOOD)
    assert "a password needs 14 characters, with a symbol" in [one.what for one in findings(GOOD)]


CLOSED = replace(
    GOOD,
    settings={
        **SETTINGS,
        "EmailSettings": {
            "EnableSignInWithEmail": False,
            "EnableSignInWithUsername": False,
            "SMTPServer": "x",
        },
    },
)
MFA_ON = {
    **SETTINGS,
    "ServiceSettings": {
        "EnableMultifactorAuthentication": True,
        "EnforceMultifactorAuthentication": True,
    },
}
B, W, N = Severity.BLOCKING, Severity.WARNING, Severity.NOTE


@pytest.mark.parametrize(
    ("evidence", "id_", "severity"),
    [
        (replace(GOOD, failures={"settings": "403"}), "unknown.settings", B),
        (release(warning="newer than any"), "server.release_unknown", W),
        (release(auth_data_visible=False), "server.auth_data_hidden", W),
        (release(patch_after_auth=True), "server.stale_cache", N),
        (release(login_may_undo_return=True), "server.rehash", N),
        (release(put_auth_ends_sessions=True), "server.return_ends_sessions", W),
        (replace(GOOD, statuses={"database_status": "UNHEALTHY"}), "server.database_status", B),
        (replace(GOOD, statuses={"filestore_status": "UNHEALTHY"}), "server.filestore_status", W),
        (CLOSED, "sign_in.closed", B),
        (setting("EmailSettings", "EnableSignInWithEmail", value=False), "sign_in.one_way", N),
        (setting("EmailSettings", "EnableSignInWithUsername", value=False), "sign_in.one_way", N),
        (setting("SamlSettings", "Enable", value=False), "sign_in.saml_off", W),
        (setting("ServiceSettings", "MaximumLoginAttempts", 10), "sign_in.attempts", N),
        (setting("EmailSettings", "RequireEmailVerification", value=True), "mail.verification", N),
        (setting("EmailSettings", "SMTPServer", ""), "mail.no_server", W),
        (setting("RateLimitSettings", "Enable", value=True), "rate.limit", W),
        (replace(GOOD, settings=MFA_ON), "mfa.enforced", W),
        (
            replace(GOOD, settings=MFA_ON, accounts=(person(1, mfa_active=True),)),
            "mfa.leftover",
            W,
        ),
        (operator(roles=USER), "token.rights", B),
        (operator(auth_service=SAML), "token.on_sso", W),
        (setting("ServiceSettings", "EnableUserAccessTokens", value=False), "token.session", W),
        (token_ends(NOW + timedelta(days=1)), "token.ends", B),
        (token_ends(NOW - timedelta(days=1)), "token.ends", B),
        (token_ends(NOW + timedelta(days=9)), "token.ends", W),
        (token_ends(NOW + timedelta(days=1), None), "token.ends", W),
        (token_ends(NOW + timedelta(days=1), NOW + timedelta(days=90)), "token.ends", W),
        (setting("SamlSettings", "EnableSyncWithLdap", value=True), "saml.ldap_sync", W),
        (setting("SamlSettings", "IdAttribute", ""), "saml.id_is_email", N),
        (setting("SamlSettings", "EnableAdminAttribute", value=True), "saml.admin_attribute", N),
        (with_people(), "people.none", B),
        (replace(GOOD, missing=2), "people.unlisted", W),
        (with_people(person(1, email="")), "people.no_mail", W),
        (
            replace(with_people(person(1, roles=frozenset({"system_guest"}))), licensed=False),
            "people.guests",
            W,
        ),
        (replace(GOOD, inventory_at=None), "inventory.none", B),
        (replace(GOOD, inventory_at=NOW - timedelta(days=3)), "inventory.age", W),
        (replace(GOOD, inventory_at=NOW + timedelta(days=3)), "inventory.age", W),
        (replace(GOOD, inventory={}), "inventory.unknown", W),
        (
            replace(
                GOOD, inventory={one.id: binding(one.id, Source.EMAIL_FALLBACK) for one in PEOPLE}
            ),
            "inventory.fallback",
            W,
        ),
        (
            replace(GOOD, inventory={one.id: binding("same") for one in PEOPLE}),
            "inventory.duplicates",
            B,
        ),
        (
            replace(GOOD, inventory={"a": binding("Ada"), "b": binding("ada")}),
            "inventory.case",
            W,
        ),
        (replace(GOOD, proof_possible=False), "return.no_proof", W),
        (replace(GOOD, proxy="no answer (ConnectError)"), "return.proxy", W),
        (replace(GOOD, operator_user="ugo"), "return.operator", W),
        (replace(GOOD, operator_user="root"), "return.operator", W),
        (
            replace(with_people(person(1, deleted_at=NOW), person(2)), operator_user="u1"),
            "return.operator",
            W,
        ),
        (replace(GOOD, licensed=False), "server.unlicensed", W),
        (replace(GOOD, clock_ahead=timedelta(minutes=3)), "server.clock", W),
        (replace(GOOD, clock_ahead=timedelta(minutes=-3)), "server.clock", W),
        (setting("SamlSettings", "EmailAttribute", ""), "saml.no_email_attribute", W),
        (
            setting("ServiceSettings", "MaximumPersonalAccessTokenLifetimeDays", 90),
            "token.lifetime",
            N,
        ),
    ],
)
def test_each_trouble_is_one_finding(evidence: Evidence, id_: str, severity: Severity) -> None:
    assert id_ not in {one for one, worst in severities(GOOD).items() if worst is not N}
    assert severities(evidence).get(id_) is severity


def test_whatever_is_no_mere_note_says_what_to_do() -> None:
    worst = replace(CLOSED, failures={"x": "y"}, inventory_at=None, proof_possible=False)
    for found in (*findings(worst), *findings(replace(GOOD, settings=MFA_ON))):
        assert found.severity is N or found.fix
    order = [found.severity for found in findings(worst)]
    assert order == sorted(order, key=list(Severity).index)


def test_without_any_answer_there_are_findings_and_no_crash() -> None:
    nothing = Evidence(now=NOW, failures={"version": "no answer"})
    assert severities(nothing) == {"unknown.version": B, "inventory.none": B}


def test_the_rate_limit_tells_how_long_it_takes() -> None:
    slow = setting("RateLimitSettings", "Enable", value=True)
    many = replace(slow, accounts=tuple(person(number) for number in range(1000)))
    (found,) = [one for one in findings(many) if one.id == "rate.limit"]
    assert "1000 people out and back take 0:06:46" in found.what


def test_bots_deactivated_and_remote_accounts_are_nobody_to_move() -> None:
    given = with_people(
        person(1), person(2, is_bot=True), person(3, deleted_at=NOW), person(4, is_remote=True)
    )
    assert given.names() == ["u1"]


def test_local_mode_needs_no_token() -> None:
    found = severities(replace(GOOD, local_mode=True, operator=None))
    assert found["token.local_mode"] is N
    assert not [id_ for id_ in found if id_.startswith("token.") and id_ != "token.local_mode"]


@pytest.mark.parametrize("per_second", [None, 0, "10"])
def test_a_rate_that_makes_no_sense_is_no_crash(per_second: object) -> None:
    limits = {**SETTINGS, "RateLimitSettings": {"Enable": True, "PerSec": per_second}}
    assert "rate.limit" not in severities(replace(GOOD, settings=limits))


def test_mfa_that_is_merely_allowed_asks_nobody_without_it() -> None:
    allowed = {**SETTINGS, "ServiceSettings": {"EnableMultifactorAuthentication": True}}
    ids = severities(replace(GOOD, settings=allowed))
    assert not {"mfa.leftover", "mfa.enforced"} & ids.keys()


def test_names_are_cut_and_no_binding_is_told() -> None:
    given = replace(with_people(*(person(number) for number in range(9))), inventory={})
    (found,) = [one for one in findings(given) if one.id == "inventory.unknown"]
    assert found.what.endswith("u0, u1, u2, u3, u4 and 4 more")
    assert not any("X1" in one.what for one in findings(GOOD))


# From a server


NO_PROXY = ProxyAnswer(None, "campaign.proxy_status_url is not set")


def settings_for(tmp_path: Path, access: Access) -> Settings:
    campaign = CampaignSettings(
        "olga",
        None,
        None,
        timedelta(0),
        5.0,
        25.0,
        timedelta(hours=26),
        5,
        5,
        6.0,
        "it",
        Deadlines(),
    )
    notify = NotifySettings((), "en", timedelta(hours=4), timedelta(seconds=5))
    ledger = LedgerSettings(tmp_path / "l" / "c.db", tmp_path / "m" / "m", "h")
    return Settings(tmp_path / "c.toml", access, ledger, campaign, notify)


def looked_at(
    tmp_path: Path,
    server: MattermostServer,
    *,
    prepared: bool = False,
    at: datetime | None = None,
    proxy: ProxyAnswer = NO_PROXY,
) -> Evidence:
    with in_thread(app(server)) as url:
        access = Access(url, server.admin_token)
        settings = settings_for(tmp_path, access)
        if proxy is not NO_PROXY:
            status = ProxyStatus("https://sso.corp.test/status")
            campaign = replace(settings.campaign, proxy_status=status)
            settings = replace(settings, campaign=campaign)
        ledger = open_ledger(settings.ledger.place, settings.ledger.mirror, host="h")
        with Mattermost(access, sleep=lambda _s: None) as client:
            if prepared:
                prepare(client, ledger, [], datetime.now(UTC))
            found = gather(client, ledger, settings, at or datetime.now(UTC), proxy)
        ledger.close()
    return found


@pytest.mark.parametrize("version", ["5.37", "10.11", "11.10"])
def test_a_server_of_each_kind_can_be_looked_at(tmp_path: Path, version: str) -> None:
    server = MattermostServer(version)
    server.people(3)
    found = looked_at(tmp_path, server, prepared=True)
    assert found.failures == {}
    assert found.release is not None
    assert found.release.auth_data_visible is (version != "5.37")
    ids = severities(found)
    assert ids.get("inventory.unknown") == (W if version == "5.37" else None)
    assert B not in ids.values()


def test_what_shall_prove_the_return_is_looked_at_before_it_is_needed(tmp_path: Path) -> None:
    server = MattermostServer("10.11")
    server.people(1)
    late = datetime.now(UTC) - timedelta(hours=1)
    found = looked_at(tmp_path, server, at=late, proxy=ProxyAnswer(None, "no answer (OSError)"))
    ids = severities(found)
    assert {"return.operator", "return.proxy", "server.clock"} <= ids.keys()
    said = {one.id: one.what for one in findings(found)}
    assert "ahead of this host's" in said["server.clock"]
    server.add_saml("olga")
    well = severities(looked_at(tmp_path, server, proxy=ProxyAnswer(Logins.UNKNOWN)))
    assert not {"return.operator", "return.proxy", "server.clock"} & well.keys()


def test_a_server_that_is_away_is_asked_once(tmp_path: Path) -> None:
    server = MattermostServer("10.11")
    server.trouble.down_until = server.now + 3600
    found = looked_at(tmp_path, server)
    assert list(found.failures) == ["version"]
    assert severities(found) == {"unknown.version": B, "inventory.none": B}


def test_what_the_server_refuses_is_told_and_the_rest_still_stands(tmp_path: Path) -> None:
    server = MattermostServer("10.11")
    server.people(3)
    server.trouble.faults.append(Fault(Kind.SERVER_ERROR, path="/config$", times=99))
    found = looked_at(tmp_path, server)
    assert list(found.failures) == ["settings"]
    assert found.accounts is not None
    assert severities(found)["unknown.settings"] is B


@given(st.dictionaries(st.integers(0, 40), st.none() | st.text("aAbBß", max_size=3), max_size=12))
def test_repeated_and_alike_ways_back_are_counted_like_by_hand(
    known: dict[int, str | None],
) -> None:
    rows = [_row(number, told) for number, told in known.items()]
    ways = Ways(rows)
    values = [told for told in known.values() if told is not None]
    assert dict(ways) == {row.user_id: row.binding for row in rows if row.binding}
    assert sorted(one.auth_data for one in ways.values()) == sorted(values)
    said = {one.id: one.what for one in findings(Evidence(now=NOW, inventory=ways))}
    repeated = sum(values.count(told) > 1 for told in set(values))
    folded = [told.casefold() for told in set(values)]
    alike = sum(folded.count(told) > 1 for told in set(folded))
    assert said.get("inventory.duplicates", "0 ").startswith(f"{repeated} ")
    assert said.get("inventory.case", "0 ").startswith(f"{alike} ")


def _row(number: int, told: str | None) -> InventoryRow:
    binding = None if told is None else Binding(told, Source.SQL, NOW)
    return InventoryRow(
        f"p{number:025d}",
        "name",
        "name@example.org",
        binding,
        frozenset(),
        active=True,
        is_bot=False,
        mfa_active=False,
        seen_at=NOW,
    )
