"""The two policies of docs/security/examples: both load, and the keys they name are throw-away."""

from __future__ import annotations

import importlib.util
import json
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1

from conversion.config import load as load_conversion
from idp_proxy.adapters import open_upstreams
from idp_proxy.cli import main
from idp_proxy.config import DirectorySettings, MetadataUrl, load
from idp_proxy.decision.assurance import can_reach_floor
from idp_proxy.reviewing.policy import policy_of
from idp_proxy.saml.metadata import read_metadata
from tests.unit.config_folder import saml_of

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[2]
EXAMPLES = Path("docs") / "security" / "examples"
NOW = datetime.now(UTC)
BITS = 2048


def script() -> ModuleType:
    """certs.example/make_keys.py, which is in no package."""
    place = ROOT / "certs.example" / "make_keys.py"
    specification = importlib.util.spec_from_file_location("make_keys", place)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with nothing but the examples, after their keys were made."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / EXAMPLES, root / EXAMPLES)
    script().make(root / "certs.example" / "generated", NOW, BITS)
    return root


def test_the_example_keys_are_complete_private_and_never_replaced(root: Path) -> None:
    module, folder = script(), root / "certs.example" / "generated"
    assert {path.name for path in folder.iterdir()} == {
        *(f"{stem}.{end}" for stem in module.PAIRS for end in ("key", "crt")),
        *(f"{stem}.xml" for stem in module.UPSTREAMS),
        "state.key",
        "converted.key",
        "backup.key",
        "store.url",
        "audit.key",
        "directory.pw",
        "channel.url",
        "mattermost.token",
    }
    secret = {".key", ".pw", ".url", ".token"}
    private = [path for path in folder.iterdir() if path.suffix in secret]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in private)
    assert module.make(folder, NOW, BITS) == []


@pytest.mark.parametrize(("name", "warnings"), [("strong", 0), ("weak", 2)])
def test_an_example_passes_check_config(
    root: Path, name: str, warnings: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(root / EXAMPLES / f"{name}.toml"), "check-config"])
    assert ended.value.code == 0
    assert f"usable; warnings: {warnings}\n" in capsys.readouterr().out


def test_the_weak_example_says_each_weakness_that_it_names(root: Path) -> None:
    """What the review is to find must reach it: none of it may be lost while loading."""
    read: Any = load(root / EXAMPLES / "weak.toml", now=NOW, environ={})
    active, cloud = saml_of(read)
    assert active.allow_aes_cbc
    assert isinstance(cloud.metadata, MetadataUrl)
    assert not cloud.metadata.pinned
    assert {one.limits.clock_skew.seconds for one in (active, cloud)} == {180}
    assert {one.limits.max_assertion_lifetime.seconds for one in (active, cloud)} == {3600}
    assert isinstance(read.upstreams[2], DirectorySettings)
    assert read.assurance.floor == "mfa"
    assert not can_reach_floor(read.assurance, "directory")
    assert "roles" in read.service_provider.attributes.values()
    assert not read.service_provider.role_attributes


@pytest.mark.parametrize("name", ["strong", "weak"])
def test_the_other_program_reads_its_half_of_an_example(root: Path, name: str) -> None:
    """What the review says of the conversion is said of a file that the conversion takes."""
    theirs = load_conversion(root / EXAMPLES / f"{name}-conversion.toml", {})
    ours = load(root / EXAMPLES / f"{name}.toml", now=NOW, environ={}).conversion
    assert ours is not None
    assert ours.problem == ""
    assert ours.deadline == theirs.campaign.deadlines.alarm
    assert ours.operators is (theirs.operators is not None)
    assert ours.backups_encrypted is (theirs.ledger.backup_key is not None)
    assert ours.pilot == theirs.campaign.pilot


def test_the_old_certificate_is_signed_with_sha_1_and_by_its_own_key(root: Path) -> None:
    """Its key is believed because the metadata names it, so it loads: what to think of such a
    provider is for the review. Answers signed with SHA-1 are refused whatever it says (SP-08).
    """
    found = read_metadata((root / "certs.example" / "generated" / "old.xml").read_bytes())
    (der,) = found.signing_certificates
    certificate = x509.load_der_x509_certificate(der)
    key = certificate.public_key()
    assert isinstance(certificate.signature_hash_algorithm, SHA1)
    assert isinstance(key, RSAPublicKey)
    key.verify(certificate.signature, certificate.tbs_certificate_bytes, PKCS1v15(), SHA1())


def reviewed(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> tuple[object, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(root / EXAMPLES / f"{name}.toml"), "review", "--format", "json"])
    return ended.value.code, json.loads(capsys.readouterr().out)


def test_the_review_has_nothing_against_the_strong_example(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = reviewed(root, "strong", capsys)
    assert code == 0
    # The keys of this test are short, so that it is fast.
    assert {one["rule"] for one in report["findings"]} == {"KEY-02"}


def test_the_review_finds_each_weakness_of_the_weak_example(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = reviewed(root, "weak", capsys)
    assert code == 1
    found = {(one["rule"], one["upstream"]) for one in report["findings"]}
    assert found >= {
        ("FO-04", "directory"),
        ("SP-08", "active"),
        ("SP-07", "active"),
        ("IDP-06", None),
        ("MD-01", "cloud"),
        ("CNV-01", None),
        ("CNV-02", None),
    }
    blocking = {one["rule"] for one in report["findings"] if one["blocking"]}
    assert blocking >= {"FO-04", "SP-08", "IDP-06", "CNV-01"}


def test_the_certificate_signed_with_sha_1_is_found_where_nothing_else_hides_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (root / EXAMPLES / "weak.toml").read_text("utf-8")
    place = root / EXAMPLES / "without-cbc.toml"
    place.write_text(text.replace("allow_aes_cbc = true", "allow_aes_cbc = false"), "utf-8")
    _, report = reviewed(root, "without-cbc", capsys)
    (found,) = (one for one in report["findings"] if one["rule"] == "SP-08")
    assert (found["upstream"], "SHA1" in found["evidence"]) == ("active", True)


def test_the_keys_of_a_metadata_file_are_signed_with_the_policy_and_fetched_ones_are_not(
    root: Path,
) -> None:
    settings = load(root / EXAMPLES / "weak.toml", now=NOW, environ={})
    fields = policy_of(settings, open_upstreams(settings), NOW).fields
    assert len(fields["upstream.active.metadata.keys"]) == 64
    assert fields["upstream.active.metadata.entity_id"]
    assert not [path for path in fields if path.startswith("upstream.cloud.metadata.keys")]
    assert "set" in fields["upstream.directory.bind_password"]
