"""`idp-proxy review` as a person types it; the policy that is signed, and its evidence."""

from __future__ import annotations

import json

import pytest

from idp_proxy import adapters
from idp_proxy.decision.review import Policy, difference
from idp_proxy.reviewing.gathering import gather
from idp_proxy.reviewing.policy import policy_of
from idp_proxy.store.schema import migrate
from tests.unit.at_the_terminal import Program
from tests.unit.config_folder import NOW, Folder


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
