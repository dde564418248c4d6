"""`idp-proxy review` as a person types it; the policy that is signed, and its evidence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import delete, update

from idp_proxy import adapters
from idp_proxy.cli.review import looking
from idp_proxy.cli.session import opened_store
from idp_proxy.decision.review import Policy, difference, judge
from idp_proxy.mattermost import MattermostApi
from idp_proxy.reviewing.gathering import gather
from idp_proxy.reviewing.material import certificate_seen
from idp_proxy.reviewing.policy import policy_of
from idp_proxy.reviewing.standing import change_of
from idp_proxy.store import reviews
from idp_proxy.store.schema import migrate
from idp_proxy.store.tables import review_signature
from tests.support.keys import rsa_pair
from tests.support.upstream_metadata import upstream_metadata
from tests.unit.at_the_terminal import Bench, Program
from tests.unit.config_folder import NOW, Folder, private_file
from tests.unit.test_mattermost_api import API, SECTION, TOKEN, answering, row

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from idp_proxy.decision.review import CertificateSeen


@pytest.fixture
def program(folder: Folder, capsys: pytest.CaptureFixture[str]) -> Program:
    made = Program(folder, capsys)
    made.write()
    return made


def policy(folder: Folder) -> Policy:
    settings = folder.read()
    return policy_of(settings, adapters.open_upstreams(settings), NOW)


def test_the_table_says_what_to_do_and_ends_with_the_next_command(program: Program) -> None:
    program("review")
    assert program.code == 1  # entra has no approved metadata yet
    assert "SP-01" in program.out
    assert "digest:  sha256:" in program.out
    assert program.next.startswith("next: idp-proxy review")
    assert "the store was not read" in program.err


def test_a_file_takes_each_form_and_what_cannot_be_written_is_said(program: Program) -> None:
    for form in ("json", "sarif", "html"):
        target = program.folder.path / f"review.{form}"
        program("review", "--format", form, "--output", str(target))
        assert program.out == ""
        assert target.read_text("utf-8").strip()[0] in "{<"
    program("review", "--format", "json", "--output", str(program.folder.path / "no" / "x"))
    assert program.code == 2
    assert "--output" in program.err


def test_with_a_store_it_speaks_of_people_and_proofs_and_live_asks_each_upstream(
    program: Program,
) -> None:
    settings = program.folder.read()
    migrate(settings.store.url)
    program("review", "--format", "json")
    rules = {one["rule"] for one in json.loads(program.out)["findings"]}
    assert {"FO-08", "FO-15"} <= rules
    program.folder.set("https://idp.example.org/metadata", "https://127.0.0.1:1/metadata")
    program.write()
    program("review", "--format", "json", "--live")
    found = json.loads(program.out)["findings"]
    assert any(one["upstream"] == "entra" and "not answer" in one["evidence"] for one in found)


def test_without_mattermost_s_api_it_says_what_is_missing_and_judges_the_rest(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(program.folder.read().store.url)
    monkeypatch.setattr(looking, "look_now", lambda *_: None)
    not_seen = "warning: Mattermost's own settings were not looked at: "
    program("review", "--live")
    assert "no [service_provider.api]: Mattermost's own settings were not looked at" in program.err
    program.folder.text += SECTION
    program.write()
    program("review", "--live")
    assert f"{not_seen}service_provider.api.token: no such file: mattermost.token" in program.err
    private_file(program.folder.path / "mattermost.token", TOKEN.encode())
    server = answering(httpx.Response(200, json=row("b" * 26)))[0]
    api = MattermostApi(API, TOKEN, transport=httpx.MockTransport(server))
    monkeypatch.setattr("idp_proxy.mattermost.client.open_api", lambda *_: api)
    program("review", "--live")
    assert f"{not_seen}the account of service_provider.api.token is no system" in program.err
    assert "SP-01" in program.out


def test_live_without_a_store_is_refused(program: Program) -> None:
    program("review", "--live")
    assert program.code == 1
    assert "next:" in program.err


def test_what_is_signed_holds_no_secret_and_nothing_of_one_host(folder: Folder) -> None:
    fields = policy(folder).fields
    text = json.dumps(dict(fields))
    assert "PRIVATE" not in text
    for key in folder.read().proxy.state_keys:
        assert repr(key)[2:-1] not in text
        assert key.hex() not in text
    assert fields["proxy.state_keys"] == "set"
    assert fields["upstream.okta.signing.certificate"].startswith("sha256:")
    before = policy(folder)
    folder.set('host = "sso1"', 'host = "sso2"').set("workers = 2", "workers = 3")
    assert policy(folder).digest == before.digest


@pytest.mark.parametrize(
    ("old", "new", "path", "upstream"),
    [
        ("clock_skew_s = 120", "clock_skew_s = 60", "upstream.okta.limits.clock_skew", "okta"),
        ("encrypt = false", "require_signed_requests = false", None, ""),
        ('link_key = "NameID"', 'link_key = "mail"', "upstream.entra.attributes.link_key", "entra"),
        (
            'firstname = "first_name"',
            'lastname = "first_name"',
            "service_provider.attributes.firstname",
            "",
        ),
    ],
)
def test_a_field_that_changes_is_named(
    folder: Folder, old: str, new: str, path: str | None, upstream: str
) -> None:
    before = policy(folder)
    changes = difference(before, policy(folder.set(old, new)))
    assert (path is None and not changes) or path in {one.path for one in changes}
    assert all(one.upstream == upstream for one in changes if one.path == path)


def test_a_key_file_that_was_opened_to_others_is_evidence(folder: Folder) -> None:
    settings = folder.read()
    (folder.path / "keys" / "idp.key").chmod(0o644)
    seen = gather(settings, adapters.open_upstreams(settings), NOW)
    modes = {one.what: one.mode for one in seen.proxy.private_files}
    assert modes["keys/idp.key"] == 0o644
    assert modes["keys/okta-sp.key"] == 0o600


def test_what_nobody_can_look_up_is_declared(folder: Folder) -> None:
    folder.text += (
        '\n[review.operators_path]\nway = "a modem"\ndepends_on = ["mobile network"]\n'
        'tested_at = "2026-11-01"\n'
    )
    folder.set('name = "okta"\n', 'name = "okta"\nfailure_domains = ["Berlin"]\n')
    settings = folder.read()
    assert settings.operators_path is not None
    assert settings.operators_path.depends_on == ("mobile network",)
    assert settings.upstreams[0].failure_domains == {"berlin"}
    folder.set('"Berlin"', '"Berlin "').set('way = "a modem"\n', "").set('"mobile', '" mobile')
    folder.set('"2026-11-01"', '"soon"')
    assert [one.partition(":")[0] for one in folder.problems()] == [
        "upstream[0].failure_domains[0]",
        "review.operators_path.way",
        "review.operators_path.depends_on[0]",
        "review.operators_path.tested_at",
    ]
    folder.set('"soon"', '"2999-01-01"')
    assert any("future" in one for one in folder.problems())


@pytest.fixture
def bench(program: Program, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A policy whose active lets AES-CBC in, a store, and somebody who types."""
    folder = program.folder
    for name in ("okta", "entra"):
        metadata = upstream_metadata(rsa_pair(f"{name}-idp"), entity_id=f"https://{name}.example")
        (folder.path / f"{name}.xml").write_bytes(metadata)
    folder.set('{ url = "https://idp.example.org/metadata" }', '{ file = "entra.xml" }')
    folder.set(
        'signing_certificate = "keys/entra-sp.crt"\n',
        'signing_certificate = "keys/entra-sp.crt"\nrequire_signed = "both"\n'
        "allow_aes_cbc = true\n",
    )
    program.write()
    migrate(folder.read().store.url)
    return Bench(program, monkeypatch)


def digest(bench: Bench) -> str:
    read: str = json.loads(bench("review", "--format", "json").out)["digest"]
    return read


def barred(bench: Bench) -> list[str]:
    found = {one["name"]: one["ineligible"] for one in bench.program.status()["upstreams"]}
    return [why for why in found["entra"] if "finding" in why]


def test_a_blocking_finding_keeps_a_standby_from_taking_over_until_two_people_waive_it(
    bench: Bench,
) -> None:
    assert bench("review").code == 1
    assert barred(bench)[0].startswith("finding SP-08")
    bench.staff()
    until = f"{bench.now + timedelta(days=30):%Y-%m-%d}"
    words = ("waive", "SP-08", "--upstream", "entra", "--until", until, "--reason", "until June")
    asked = bench("review", *words, "--as", "anna", typed=bench.signs_in("anna"))
    assert asked.code == 3
    *confirms, proposal = asked.next.split()[:5]
    assert confirms == ["next:", "idp-proxy", "review", "confirm"]
    assert bench("review").code == 1
    agreed = bench("review", "confirm", proposal, "--as", "adam", typed=bench.signs_in("adam"))
    assert agreed.code == 0, agreed.err
    shown = bench("review")
    assert shown.code == 0
    assert "waived:  SP-08 entra by anna, adam" in shown.out
    assert barred(bench) == []
    assert "review_waived" in [kind for kind, _ in bench.audit()]
    bench.now += timedelta(days=31)
    assert bench("review").code == 1


def waived(bench: Bench) -> list[str]:
    read = json.loads(bench("review", "--format", "json").out)
    return [one["rule"] for one in read["waived"]]


def wish(bench: Bench, by: str) -> tuple[str, ...]:
    """The words with which somebody asks for a waiver of AES-CBC, and what they type."""
    until = f"{bench.now + timedelta(days=30):%Y-%m-%d}"
    words = ("review", "waive", "SP-08", "--upstream", "entra", "--until", until)
    return (*words, "--reason", "until June", "--as", by)


def test_no_waiver_by_one_person_by_the_wrong_role_or_by_a_stranger(bench: Bench) -> None:
    bench.staff()
    for name, role in (("hedda", "helpdesk"), ("vera", "viewer")):
        assert bench.add(name, role, by="anna", more=("--override", "set-up")).code == 0
    # The host's user, root too, without a credential.
    bench.uid = 0
    assert "takes an override" in bench(*wish(bench, "")[:-2]).err
    bench.uid = 1000
    # Roles that begin no waiver.
    for name in ("hedda", "vera"):
        refused = bench(*wish(bench, name), typed=bench.signs_in(name))
        assert refused.code == 1
        assert "that takes role" in refused.err
    # One approver alone: it waits, and nothing is waived by waiting.
    asked = bench(*wish(bench, "anna"), typed=bench.signs_in("anna"))
    assert asked.code == 3
    proposal = asked.next.split()[4]
    assert waived(bench) == []
    # Who asked cannot agree, nor can a role without a say.
    for name in ("anna", "hedda", "vera"):
        words = ("review", "confirm", proposal, "--as", name)
        assert bench(*words, typed=bench.signs_in(name)).code in {1, 3}
        assert waived(bench) == []
    assert barred(bench)[0].startswith("finding SP-08")
    # What was asked for ends after ten minutes.
    bench.now += timedelta(minutes=11)
    late = bench("review", "confirm", proposal, "--as", "adam")
    assert late.code == 1
    assert waived(bench) == []


def test_who_agrees_agrees_to_what_was_asked_for_and_to_nothing_that_came_since(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.staff()
    asked = bench(*wish(bench, "anna"), typed=bench.signs_in("anna"))
    seen = certificate_seen

    def old(what: str, certificate: Certificate) -> CertificateSeen:
        return replace(seen(what, certificate), signature_hash="sha1")

    monkeypatch.setattr("idp_proxy.reviewing.gathering.certificate_seen", old)
    words = ("review", "confirm", asked.next.split()[4], "--as", "adam")
    refused = bench(*words, typed=bench.signs_in("adam"))
    assert refused.code == 1
    assert "finds other things now" in refused.err
    assert waived(bench) == []


def test_a_waiver_ends_by_itself_and_covers_nothing_that_another_check_finds(bench: Bench) -> None:
    bench.staff()
    asked = bench(*wish(bench, "anna"), typed=bench.signs_in("anna"))
    words = ("review", "confirm", asked.next.split()[4], "--as", "adam")
    assert bench(*words, typed=bench.signs_in("adam")).code == 0
    assert waived(bench) == ["SP-08"]
    assert barred(bench) == []
    # A certificate signed with SHA-1 is SP-08 too, and nobody agreed to that.
    folder, now = bench.program.folder, bench.now
    settings = folder.read()
    upstreams = adapters.open_upstreams(settings)
    with opened_store(settings) as store, store.reading() as connection:
        given = reviews.waivers(connection, now, settings.proxy.state_keys)
    seen = gather(settings, upstreams, now)
    old = replace(seen.upstreams[1].certificates[0], signature_hash="sha1")
    worse = replace(
        seen, upstreams=(seen.upstreams[0], replace(seen.upstreams[1], certificates=(old,)))
    )
    assert [one.check for one in judge(worse, given).findings if one.rule == "SP-08"] == [
        "sp_08_certificates"
    ]
    bench.now += timedelta(days=31)
    assert waived(bench) == []
    assert bench("review").code == 1


@pytest.mark.parametrize(
    ("rule", "upstream", "days", "said"),
    [
        ("SP-09", "entra", 5, "no open finding"),
        ("SP-08", "okta", 5, "no open finding"),
        ("SP-08", "entra", 181, "180 days"),
        ("SP-08", "entra", -2, "past"),
        ("FO-12", "entra", 5, "under Never"),
    ],
)
def test_what_may_not_be_waived_is_refused_and_changes_nothing(
    bench: Bench, rule: str, upstream: str, days: int, said: str
) -> None:
    folder = bench.program.folder
    if rule == "FO-12":
        (folder.path / "entra.xml").write_bytes((folder.path / "okta.xml").read_bytes())
    until = f"{bench.now + timedelta(days=days):%Y-%m-%d}"
    words = ("waive", rule, "--upstream", upstream, "--until", until, "--reason", "x")
    refused = bench("review", *words)
    assert refused.code in {1, 2}
    assert said in refused.err
    assert not json.loads(bench("review", "--format", "json").out)["waived"]


def test_what_was_signed_is_held_against_what_runs(bench: Bench) -> None:
    folder = bench.program.folder
    folder.set("allow_aes_cbc = true\n", "")
    bench.program.write()
    read = digest(bench)
    assert bench("review", "sign", "--digest", "sha256:0", "--name", "Rita").code == 1
    signed = bench("review", "sign", "--digest", read, "--name", "Rita")
    assert signed.code == 0, signed.err
    signature = signed.out.split()[2]
    assert ("review_signed", "host:") in [(kind, who[:5]) for kind, who in bench.audit()]
    assert barred(bench) == []
    folder.set('link_key = "NameID"', 'link_key = "mail"')
    bench.program.write()
    assert "Rita" in barred(bench)[0]
    shown = bench("review", "--since", signature).out
    assert "changed: upstream.entra.attributes.link_key: 'NameID' -> 'mail'" in shown
    assert bench("review", "--since", "nobody").code == 2
    settings = folder.read()
    with opened_store(settings) as store:
        why = change_of(settings, adapters.open_upstreams(settings), store, NOW)
    assert "link_key" in str(why)


def test_a_signature_that_was_altered_in_the_database_binds_nobody_and_is_told(
    bench: Bench,
) -> None:
    """Whoever writes into the store makes another policy of what Rita signed: the one that runs."""
    folder = bench.program.folder
    folder.set("allow_aes_cbc = true\n", "")
    bench.program.write()
    bench("review", "sign", "--digest", digest(bench), "--name", "Rita")
    folder.set('link_key = "NameID"', 'link_key = "mail"')
    bench.program.write()
    settings = folder.read()
    runs = dict(policy(folder).fields)
    with opened_store(settings) as store, store.writing() as connection:
        connection.execute(update(review_signature).values(policy=runs))
    assert "altered in the store" in barred(bench)[0]
    shown = bench("review")
    assert shown.code == 1
    assert "FO-14" in shown.out
    with opened_store(settings) as store:
        why = change_of(settings, adapters.open_upstreams(settings), store, NOW)
    assert "altered in the store" in str(why)
    # Nor does it help to take the row away: the audit knows of it.
    with opened_store(settings) as store, store.writing() as connection:
        connection.execute(delete(review_signature))
    shown = bench("review")
    assert shown.code == 1
    assert "FO-14" in shown.out
    # The way out is what the finding says: read, and sign anew.
    assert bench("review", "sign", "--digest", digest(bench), "--name", "Rita").code == 0
    assert bench("review").code == 0
    assert barred(bench) == []


def test_a_policy_with_a_blocking_finding_is_not_signed_and_a_stranger_signs_nothing(
    bench: Bench,
) -> None:
    refused = bench("review", "sign", "--digest", digest(bench), "--name", "Rita")
    assert "SP-08" in refused.err
    bench.program.folder.set("allow_aes_cbc = true\n", "")
    bench.program.write()
    bench.staff()
    words = ("review", "sign", "--digest", digest(bench), "--name", "Olga")
    refused = bench(*words, "--as", "olga", typed=bench.signs_in("olga"))
    assert "role security or approver" in refused.err
    assert bench(*words, "--as", "anna", typed=bench.signs_in("anna")).code == 0


def test_serve_does_not_start_with_keys_that_others_can_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bench.program.folder
    settings = folder.read()
    (folder.path / "var" / "idp-proxy.db").chmod(0o644)
    monkeypatch.setattr("idp_proxy.cli.setup.settings_of", lambda _config: settings)
    refused = bench("serve")
    assert refused.code == 2
    assert "KEY-01" in refused.err
    assert "serve will not start" in bench("check-config").err
