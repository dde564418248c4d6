from __future__ import annotations

import tomllib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idp_proxy.config import (
    EncryptionAlgorithm,
    Listen,
    MetadataFile,
    MetadataUrl,
    Trust,
    load,
)
from idp_proxy.config.findings import Findings, path_of
from idp_proxy.config.shape import read_shape
from idp_proxy.errors import ConfigError
from idp_proxy.saml.answer import RequireSigned
from tests.support.keys import rsa_pair
from tests.unit.config_folder import CONFIGURATION, saml_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.config_folder import Folder


def test_a_valid_file_gives_settings_with_absolute_paths_and_no_warning(folder: Folder) -> None:
    read = folder.read()
    assert read.warnings == ()
    assert read.proxy.listen == Listen("127.0.0.1", 8443)
    assert read.proxy.answer_within == timedelta(seconds=280)
    assert read.proxy.data_dir == folder.path / "var"
    assert read.proxy.host == "sso1"
    assert len(read.proxy.state_keys[0]) == 32
    assert read.store.url == f"sqlite:///{folder.path}/var/idp-proxy.db"
    assert read.audit.checkpoints is not None
    assert read.audit.checkpoints.file == folder.path / "var/checkpoints.log"
    assert read.audit.retention is None
    assert read.roster.policy.confirmed_by_login == timedelta(days=90)
    assert read.service_provider.attributes["firstname"] == "first_name"
    okta, entra = saml_of(read)
    assert okta.metadata == MetadataFile(folder.path / "okta.xml")
    assert entra.metadata == MetadataUrl("https://idp.example.org/metadata", Trust.TLS)
    assert okta.require_signed is RequireSigned.ASSERTION
    assert okta.limits.clock_skew == timedelta(seconds=120)
    assert okta.link_attribute == "urn:oid:2.16.840.1.113730.3.1.3"
    assert entra.link_attribute == "NameID"


def test_each_upstream_knows_this_proxy_by_an_address_of_its_own(folder: Folder) -> None:
    okta, entra = saml_of(folder.read())
    assert okta.entity_id == "https://sso.example.org/upstream/okta/metadata"
    assert okta.acs_url == "https://sso.example.org/upstream/okta/acs"
    assert entra.entity_id == "https://sso.example.org/upstream/entra/metadata"


def test_the_missing_metadata_file_is_named_as_written(folder: Folder) -> None:
    folder.set('{ url = "https://idp.example.org/metadata" }', '{ file = "entra.xml" }')
    assert folder.problems() == ["upstream[1].metadata.file: no such file: entra.xml"]


def test_every_problem_of_every_kind_is_reported_in_one_reading(folder: Folder) -> None:
    folder.set("workers = 2", "workers = 0")
    folder.set('public_url = "https://sso.example.org"', 'publik_url = "https://sso.example.org"')
    folder.set('"keys/okta-sp.key"', '"keys/nowhere.key"')
    folder.set('url = "sqlite:///var/idp-proxy.db"', "url = 3")
    folder.set('link_key = "NameID"', 'email = "mail"')
    folder.set("[audit]", "[audits]")
    assert set(folder.problems()) == {
        "audits: unknown field; did you mean audit?",
        "proxy.workers: 0 is too small: at least 1",
        "proxy.publik_url: unknown field; did you mean public_url?",
        "proxy.public_url: missing",
        "store.url: must be text in quotes",
        "upstream[0].signing_key: no such file: keys/nowhere.key",
        (
            "upstream[1].attributes.link_key: missing: a standby gives link_key, or id "
            "in its place (FO-09)"
        ),
    }


def test_an_empty_file_names_all_that_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "idp-proxy.toml"
    file.write_text("")
    with pytest.raises(ConfigError) as caught:
        load(file)
    named = {problem.split(":")[0] for problem in caught.value.problems}
    assert named >= {
        "proxy.entity_id",
        "proxy.public_url",
        "proxy.signing_key",
        "proxy.signing_certificate",
        "proxy.state_keys",
        "service_provider.entity_id",
        "service_provider.acs_url",
        "service_provider.login_url",
        "upstream",
    }


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[proxy\n", "not valid TOML: Expected ']' at the end of a table declaration (at line 1"),
        (b"[proxy]\nworkers 2\n", "(at line 2, column 9)"),
        (b"[proxy]\nworkers = 2\nworkers = 3\n", "line 3"),
        (b"\xff\xfe[proxy]", "not UTF-8 text: octet 0 is 0xff"),
        (b"a = " + b"[" * 5000, "not valid TOML: nested too deeply"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_named_with_the_place(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    file = tmp_path / "idp-proxy.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}: ")
    assert expected in problem


#: Tables in tables, deeper than Python's own stack: TOML's parser reads dotted keys in a loop.
_DEEP = ".a" * 1100


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[proxy]", "b{deep} = 1\n[proxy]", "b: unknown field"),
        ("workers = 2", "workers{deep} = 2", "proxy.workers: must be a whole number"),
        ("[store]", "[proxy.b{deep}]\n[store]", "proxy.b: unknown field"),
        ('kind = "saml"', "kind{deep} = 1", "upstream[0].kind: must be text in quotes: 'saml' or"),
        ('id = "id"', "id{deep} = 1", "service_provider.attributes.id: must be text in quotes"),
        ("[upstream.limits]", "[upstream.limits.b{deep}]", "upstream[0].limits.b: unknown field"),
    ],
)
def test_tables_nested_without_end_are_a_problem_of_their_field(
    folder: Folder, old: str, new: str, problem: str
) -> None:
    found = folder.set(old, new.format(deep=_DEEP)).problems()
    assert any(one.startswith(problem) for one in found), found


def test_a_missing_file_and_a_folder_in_its_place_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; .*idp-proxy init DIR"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("workers = 2", "workers = 65", "proxy.workers: 65 is too large: at most 64"),
        ("workers = 2", 'workers = "2"', "proxy.workers: must be a whole number without quotes"),
        ("workers = 2", "workers = true", "proxy.workers: must be a whole number without quotes"),
        (
            "workers = 2",
            "answer_within_s = 281",
            "proxy.answer_within_s: 281 is too large: at most 280",
        ),
        ("encrypt = false", 'encrypt = "no"', "service_provider.encrypt: must be true or false"),
        (
            "clock_skew_s = 120",
            "clock_skew_s = 181",
            "upstream[0].limits.clock_skew_s: 181 is too large: at most 180 (SP-07)",
        ),
        (
            "clock_skew_s = 120",
            "max_assertion_lifetime_s = 3601",
            "upstream[0].limits.max_assertion_lifetime_s: 3601 is too large: at most 3600 (SP-07)",
        ),
        (
            'require_signed = "assertion"',
            'require_signed = "none"',
            (
                "upstream[0].require_signed: unknown value 'none'; use 'assertion', 'response' or "
                "'both'"
            ),
        ),
        (
            "encrypt = false",
            'encryption_algorithm = "aes128-cbc"',
            (
                "service_provider.encryption_algorithm: unknown value 'aes128-cbc'; use "
                "'aes128-gcm' or 'aes256-gcm'"
            ),
        ),
        (
            'kind = "saml"',
            'kind = "oidc"',
            "upstream[0].kind: unknown value 'oidc'; use 'saml' or 'ldap'",
        ),
        (
            'name = "okta"',
            'name = "okta"\nkeys = 1',
            "upstream[0].keys: unknown field; there are name",
        ),
        (
            'listen = "127.0.0.1:8443"',
            'acs_url = "https://x"',
            "proxy.acs_url: unknown field here; it belongs in service_provider",
        ),
        ("[audit]", "[upstream.audit]", "upstream[1].audit: unknown field"),
        ("workers = 2", '"a b\\n" = 1', 'proxy."a b\\n": unknown field'),
        (
            'host = "sso1"',
            'host = "a/b"',
            "proxy.host: 'a/b' cannot name this host in the audit",
        ),
        ('host = "sso1"', 'data_dir = "okta.xml"', "proxy.data_dir: not a folder: 'okta.xml'"),
        ('host = "sso1"', 'data_dir = ""', "proxy.data_dir: not a folder"),
        ('host = "sso1"', 'data_dir = "a\\u0000b"', "proxy.data_dir: not a folder"),
        (
            'checkpoint_file = "var/checkpoints.log"',
            "",
            "audit.checkpoint_file: missing: file and key come together",
        ),
        (
            'checkpoint_key = "keys/audit.key"',
            "",
            "audit.checkpoint_key: missing: file and key come together",
        ),
        (
            'checkpoint_key = "keys/audit.key"',
            'checkpoint_key = "keys/idp.key"',
            "audit.checkpoint_key: keys/idp.key holds no Ed25519 key",
        ),
        (
            'checkpoint_key = "keys/audit.key"',
            'checkpoint_key = "keys/audit.key"\nretention_days = -1',
            "audit.retention_days: -1 is too small: at least 0",
        ),
        (
            'checkpoint_file = "var/checkpoints.log"\ncheckpoint_key = "keys/audit.key"',
            "retention_days = 30",
            "audit.retention_days: needs checkpoint_file and checkpoint_key",
        ),
        (
            "[audit]",
            "[roster]\nconfirmed_by_login_days = 0\n[audit]",
            "roster.confirmed_by_login_days: 0 is too small: at least 1",
        ),
    ],
)
def test_one_wrong_field_gives_one_problem(
    folder: Folder, old: str, new: str, problem: str
) -> None:
    found = folder.set(old, new).problems()
    assert len(found) == 1, found
    assert found[0].startswith(problem)


@pytest.mark.parametrize("wrong", ["upstream = 3", 'upstream = "okta"', "upstream = [1, 2]"])
def test_upstreams_of_another_shape_are_reported_where_they_stand(
    folder: Folder, wrong: str
) -> None:
    head = folder.text[: folder.text.index("[[upstream]]")]
    folder.text = f"{wrong}\n{head}"
    assert {problem.split(":")[0] for problem in folder.problems()} <= {
        "upstream",
        "upstream[0]",
        "upstream[1]",
    }


def test_a_host_without_a_name_takes_the_machine_s(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "machine-7")
    assert folder.set('host = "sso1"', "").read().proxy.host == "machine-7"


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ('support_url = "https://help.example.org/sso"', "", "proxy.support_url: not set"),
        (
            'checkpoint_file = "var/checkpoints.log"\ncheckpoint_key = "keys/audit.key"',
            "",
            "audit.checkpoint_file: not set",
        ),
        (
            'entity_id = "https://chat.example.org/login/sso/saml"',
            'entity_id = "https://sso.example.org/saml/metadata"',
            "service_provider.entity_id: the same as proxy.entity_id",
        ),
    ],
)
def test_what_can_be_lived_with_is_a_warning(
    folder: Folder, old: str, new: str, warning: str
) -> None:
    (found,) = folder.set(old, new).read().warnings
    assert found.startswith(warning)


def test_one_upstream_is_allowed_with_a_warning(folder: Folder) -> None:
    start, end = folder.text.rindex("[[upstream]]"), folder.text.index("[audit]")
    folder.text = folder.text[:start] + folder.text[end:]
    (warning,) = folder.read().warnings
    assert warning == "upstream: only one: without a standby nothing can take over"


def test_encryption_takes_the_named_algorithm_and_certificate(folder: Folder) -> None:
    pair = rsa_pair("mattermost")
    (folder.path / "mattermost.crt").write_bytes(pair.certificate_pem)
    folder.set(
        "encrypt = false",
        'encrypt = true\nencryption_certificate = "mattermost.crt"\n'
        'encryption_algorithm = "aes256-gcm"',
    )
    encryption = folder.read().service_provider.encryption
    assert encryption is not None
    assert encryption.algorithm is EncryptionAlgorithm.AES256_GCM
    assert encryption.certificate == pair.certificate


def test_a_network_setting_of_proxy_is_every_upstream_s_until_it_has_its_own(
    folder: Folder,
) -> None:
    (folder.path / "ca.crt").write_bytes(rsa_pair("idp").certificate_pem)
    folder.set(
        'host = "sso1"',
        'outbound_proxy = "http://proxy.example.org:3128"\nno_proxy = ["localhost"]\n'
        'tls_ca = "ca.crt"',
    )
    folder.set('name = "entra"', 'name = "entra"\noutbound_proxy = ""\nno_proxy = []')
    okta, entra = saml_of(folder.read())
    assert okta.outbound.proxy == "http://proxy.example.org:3128"
    assert okta.outbound.no_proxy == ("localhost",)
    assert entra.outbound.proxy == ""
    assert entra.outbound.no_proxy == ()
    assert okta.outbound.tls_ca == entra.outbound.tls_ca == folder.path / "ca.crt"


def test_an_inherited_mistake_is_reported_once_where_it_stands(folder: Folder) -> None:
    folder.set('host = "sso1"', 'tls_ca = "none.crt"\nno_proxy = ["a b"]')
    assert folder.problems() == [
        "proxy.no_proxy[0]: not a host: 'a b'",
        "proxy.tls_ca: no such file: none.crt",
    ]


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("upstream", 1, "metadata", "file"), "upstream[1].metadata.file"),
        (("proxy", "state_keys", 0), "proxy.state_keys[0]"),
        (("proxy", 'a"b.c'), 'proxy."a\\"b.c"'),
        (("proxy", "\x1b[31m"), 'proxy."\\u001b[31m"'),
    ],
)
def test_the_path_of_a_field_is_written_as_toml_would(
    parts: tuple[str | int, ...], path: str
) -> None:
    assert path_of(parts) == path


_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_stands_in_a_field_is_a_problem_or_a_value_and_never_a_crash(
    data: st.DataObject,
) -> None:
    document = tomllib.loads(CONFIGURATION)
    for _ in range(data.draw(st.integers(1, 4))):
        section = data.draw(st.sampled_from(["proxy", "store", "service_provider", "upstream"]))
        table = document[section]
        if isinstance(table, list) and table:
            table = data.draw(st.sampled_from(table))
        if isinstance(table, dict) and table:
            key = data.draw(st.sampled_from(sorted(table)) | st.text(max_size=8))
            table[key] = data.draw(_VALUES)
        if data.draw(st.integers(0, 9)) == 0:
            document[section] = data.draw(_VALUES)
    findings = Findings()
    shape = read_shape(document, findings)
    assert findings.problems or shape.model_dump(exclude_unset=True) == document
