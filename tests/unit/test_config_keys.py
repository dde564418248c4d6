from __future__ import annotations

import base64
import hashlib
import os
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.support.keys import certificate_again, ec_pair, rsa_pair, self_signed
from tests.unit.config_folder import NOW, Folder, private_file, saml_of

if TYPE_CHECKING:
    from tests.support.keys import KeyPair


RANDOM = hashlib.sha256(b"the same in each worker of a parallel run").digest()


def weak_pair() -> KeyPair:
    return self_signed("weak", rsa.generate_private_key(public_exponent=65537, key_size=1024))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
@pytest.mark.parametrize("name", ["idp.key", "okta-sp.key", "state.key", "audit.key"])
def test_a_secret_that_others_may_read_is_refused_with_the_command_that_closes_it(
    folder: Folder, name: str, mode: int
) -> None:
    file = folder.path / "keys" / name
    file.chmod(mode)
    (problem,) = folder.problems()
    assert f"open to other users (mode {mode:04o}, KEY-01)" in problem
    assert problem.endswith(f"run: chmod 600 {file}")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_of_its_owner_alone_is_accepted(folder: Folder, mode: int) -> None:
    (folder.path / "keys/idp.key").chmod(mode)
    assert folder.read().proxy.signing.key.key_size == 2048


def test_a_key_behind_a_link_is_judged_by_the_file_itself(folder: Folder) -> None:
    key = folder.path / "keys/idp.key"
    target = key.rename(folder.path / "elsewhere.key")
    target.chmod(0o644)
    key.symlink_to(target)
    (problem,) = folder.problems()
    assert "mode 0644" in problem


def test_key_and_certificate_belong_together(folder: Folder) -> None:
    (folder.path / "keys/idp.crt").write_bytes(rsa_pair("stranger").certificate_pem)
    assert folder.problems() == [
        "proxy.signing_certificate: keys/idp.crt is not the certificate of keys/idp.key"
    ]


def test_a_renewed_certificate_over_the_same_key_is_accepted(folder: Folder) -> None:
    renewed = certificate_again(rsa_pair("idp"))
    (folder.path / "keys/idp.crt").write_bytes(renewed.certificate_pem)
    assert folder.read().proxy.signing.certificate == renewed.certificate


def test_a_successor_of_our_certificate_is_read_for_a_rollover(folder: Folder) -> None:
    assert folder.read().proxy.next_certificate is None
    successor = rsa_pair("idp-next")
    (folder.path / "next.crt").write_bytes(successor.certificate_pem)
    folder.set("workers = 2", 'next_signing_certificate = "next.crt"')
    assert folder.read().proxy.next_certificate == successor.certificate


def test_a_short_rsa_key_is_refused_in_key_and_certificate(folder: Folder) -> None:
    folder.add_pair("idp", weak_pair())
    assert folder.problems() == [
        "proxy.signing_key: keys/idp.key is an RSA key of 1024 bits; at least 2048 (KEY-02)",
        (
            "proxy.signing_certificate: keys/idp.crt has an RSA key of 1024 bits; at least 2048 "
            "(KEY-02)"
        ),
    ]


def test_several_faults_of_one_key_are_all_named(folder: Folder) -> None:
    folder.add_pair("idp", weak_pair())
    (folder.path / "keys/idp.key").chmod(0o644)
    assert sum(problem.startswith("proxy.signing_key:") for problem in folder.problems()) == 2


def test_mattermost_takes_no_elliptic_curve_key(folder: Folder) -> None:
    folder.add_pair("idp", ec_pair("idp"))
    assert {problem.split(": ")[0] for problem in folder.problems()} == {
        "proxy.signing_key",
        "proxy.signing_certificate",
    }


def test_a_key_under_a_passphrase_is_refused_with_the_way_out(folder: Folder) -> None:
    key = load_pem_private_key(rsa_pair("idp").key_pem, None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a passphrase")
    )
    private_file(folder.path / "keys/idp.key", locked)
    (problem,) = folder.problems()
    assert "locked by a passphrase; remove it: openssl pkey" in problem


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 100, id="zeros"),
        pytest.param(
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", id="no content"
        ),
        pytest.param(rsa_pair("idp").certificate_pem, id="a certificate"),
        pytest.param(rsa_pair("idp").key_pem[:-200], id="cut off"),
    ],
)
def test_what_is_no_key_is_refused(folder: Folder, content: bytes) -> None:
    private_file(folder.path / "keys/idp.key", content)
    assert folder.problems() == ["proxy.signing_key: no private key in PEM form: keys/idp.key"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "no certificate in PEM form", id="empty"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "no certificate in PEM form",
            id="no content",
        ),
        pytest.param(
            rsa_pair("idp").certificate_pem * 2,
            "holds 2 certificates; exactly one is expected",
            id="two",
        ),
        pytest.param(
            rsa_pair("idp").certificate_pem + rsa_pair("idp").key_pem,
            "holds a private key; a certificate's file is for all to read (KEY-01)",
            id="with its key",
        ),
    ],
)
def test_what_is_not_one_certificate_is_refused(
    folder: Folder, content: bytes, problem: str
) -> None:
    (folder.path / "keys/idp.crt").write_bytes(content)
    (found,) = folder.problems()
    assert found.startswith("proxy.signing_certificate: ")
    assert problem in found


def test_a_named_pipe_a_folder_and_a_giant_in_place_of_a_key_do_not_hang_the_start(
    folder: Folder,
) -> None:
    keys = folder.path / "keys"
    for name in ("idp.key", "okta-sp.key", "entra-sp.key"):
        (keys / name).unlink()
    os.mkfifo(keys / "idp.key", 0o600)
    (keys / "okta-sp.key").mkdir()
    private_file(keys / "entra-sp.key", b"x" * (1024 * 1024 + 1))
    assert folder.problems() == [
        "proxy.signing_key: not a regular file: keys/idp.key",
        "upstream[0].signing_key: cannot be read: 'keys/okta-sp.key': Is a directory",
        "upstream[1].signing_key: larger than 1 MiB: keys/entra-sp.key",
    ]


@pytest.mark.parametrize("name", ["a\\u0000b", "x" * 300])
def test_an_impossible_file_name_is_a_problem(folder: Folder, name: str) -> None:
    (problem,) = folder.set('"keys/idp.key"', f'"{name}"').problems()
    assert problem.startswith("proxy.signing_key: cannot be read: ")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "okta-sp",
            "idp",
            (
                "upstream[0].signing_key: the same key as proxy.signing_key; "
                "each purpose needs a key of its own (KEY-01)"
            ),
        ),
        (
            "entra-sp",
            "okta-sp",
            (
                "upstream[1].signing_key: the same key as upstream[0].signing_key; "
                "each purpose needs a key of its own (KEY-01)"
            ),
        ),
    ],
)
def test_no_key_serves_two_purposes(folder: Folder, old: str, new: str, problem: str) -> None:
    assert folder.set(old, new, everywhere=True).problems() == [problem]


def test_a_copy_of_a_key_under_another_name_is_still_the_same_key(folder: Folder) -> None:
    folder.add_pair("okta-sp", certificate_again(rsa_pair("idp")))
    (problem,) = folder.problems()
    assert problem.startswith("upstream[0].signing_key: the same key as proxy.signing_key")


def test_the_decryption_key_is_a_pair_of_its_own(folder: Folder) -> None:
    pair = 'decryption_key = "keys/{0}.key"\ndecryption_certificate = "keys/{0}.crt"'
    line = 'require_signed = "assertion"'
    folder.set(line, f"{line}\n{pair.format('okta-sp')}")
    (problem,) = folder.problems()
    assert problem.startswith("upstream[0].decryption_key: the same key as")
    folder.add_pair("okta-enc", rsa_pair("okta-enc"))
    folder.set(pair.format("okta-sp"), pair.format("okta-enc"))
    decryption = saml_of(folder.read())[0].decryption
    assert decryption is not None
    assert decryption.certificate == rsa_pair("okta-enc").certificate


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('decryption_key = "keys/x.key"', "upstream[0].decryption_certificate: missing"),
        ('decryption_certificate = "keys/x.crt"', "upstream[0].decryption_key: missing"),
    ],
)
def test_half_a_decryption_pair_is_refused(folder: Folder, line: str, problem: str) -> None:
    (found,) = folder.set('kind = "saml"', line).problems()
    assert found == f"{problem}: key and certificate come as a pair"


def test_tls_takes_a_chain_and_an_elliptic_curve_key(folder: Folder) -> None:
    folder.add_pair("tls", ec_pair("tls"))
    chain = folder.path / "keys/tls.crt"
    chain.write_bytes(chain.read_bytes() + rsa_pair("intermediate").certificate_pem)
    folder.set("workers = 2", 'tls_key = "keys/tls.key"\ntls_certificate = "keys/tls.crt"')
    tls = folder.read().proxy.tls
    assert tls is not None
    assert tls.certificate_file == chain


@pytest.mark.parametrize(
    ("stem", "other", "problem"),
    [
        ("tls", "stranger", "proxy.tls_certificate: the first certificate of keys/tls.crt is not"),
        ("idp", "idp", "proxy.tls_key: the same key as"),
    ],
)
def test_a_wrong_tls_pair_is_refused(folder: Folder, stem: str, other: str, problem: str) -> None:
    folder.add_pair("tls", rsa_pair(stem))
    (folder.path / "keys/tls.crt").write_bytes(rsa_pair(other).certificate_pem)
    folder.set("workers = 2", 'tls_key = "keys/tls.key"\ntls_certificate = "keys/tls.crt"')
    found = folder.problems()
    assert any(one.startswith((problem, "proxy.signing_key: the same key")) for one in found)
    assert len(found) == 1


def test_a_tls_key_of_another_kind_is_refused(folder: Folder) -> None:
    key = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    private_file(folder.path / "keys/tls.key", key)
    folder.set("workers = 2", 'tls_key = "keys/tls.key"\ntls_certificate = "keys/idp.crt"')
    assert folder.problems() == [
        "proxy.tls_key: keys/tls.key holds neither an RSA nor an EC key (KEY-02)"
    ]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (400, "EXPIRED on"),
        (365, "EXPIRED on"),
        (364, "expires in 0 days"),
        (306, "expires in 58 days"),
        (304, None),
        (-2, "NOT VALID before"),
    ],
)
def test_the_date_of_our_certificate_only_ever_warns(
    folder: Folder, days: int, expected: str | None
) -> None:
    warnings = folder.read(now=NOW + timedelta(days=days)).warnings
    ours = [warning for warning in warnings if warning.startswith("proxy.signing_certificate")]
    assert len(ours) == (expected is not None)
    assert expected is None or expected in ours[0]


def test_the_key_ring_seals_with_the_first_and_keeps_the_order(folder: Folder) -> None:
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    private_file(folder.path / "keys/state.key", second)
    folder.environ["STATE_KEY"] = base64.b64encode(first).decode()
    folder.set('["file:keys/state.key"]', '["env:STATE_KEY", "file:keys/state.key"]')
    assert folder.read().proxy.state_keys == (first, second)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds 0 octets"),
        (RANDOM[:31], "holds 31 octets; it must be exactly 32 random ones"),
        (RANDOM + b"\n", "holds 33 octets"),
        (base64.b64encode(RANDOM), "holds 44 octets"),
        (bytes(32), "is not random"),
        (b"0123456789" * 3 + b"01", "is not random"),
    ],
)
def test_a_state_key_file_is_32_raw_random_octets(
    folder: Folder, content: bytes, problem: str
) -> None:
    private_file(folder.path / "keys/state.key", content)
    (found,) = folder.problems()
    assert found.startswith("proxy.state_keys[0]: file:keys/state.key ")
    assert problem in found


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "the environment variable STATE_KEY is not set"),
        ("%%%", "env:STATE_KEY holds no base64"),
        (base64.b64encode(b"short").decode(), "env:STATE_KEY holds 5 octets"),
        ("\udcff", "env:STATE_KEY holds no base64"),
    ],
)
def test_a_state_key_in_the_environment_is_base64(
    folder: Folder, value: str | None, problem: str
) -> None:
    if value is not None:
        folder.environ["STATE_KEY"] = value
    (found,) = folder.set("file:keys/state.key", "env:STATE_KEY").problems()
    assert found.startswith(f"proxy.state_keys[0]: {problem}")


def test_one_state_key_twice_is_refused(folder: Folder) -> None:
    folder.set('["file:keys/state.key"]', '["file:keys/state.key", "file:./keys/state.key"]')
    (problem,) = folder.problems()
    assert problem.startswith("proxy.state_keys[1]: the same key as proxy.state_keys[0]")


@pytest.mark.parametrize("plain", ["hunter2hunter2", "file:", "env:", "FILE:x", ""])
def test_a_plain_secret_is_refused_with_the_way_out_and_never_repeated(
    folder: Folder, plain: str
) -> None:
    (problem,) = folder.set("file:keys/state.key", plain).problems()
    assert "a secret may not stand in this file" in problem
    assert '"file:PATH"' in problem
    assert "hunter2" not in problem


def test_the_list_of_converted_people_comes_with_its_key(folder: Folder) -> None:
    private_file(folder.path / "keys/converted.key", secrets.token_bytes(32))
    file, key = 'converted_file = "converted.txt"', 'converted_key = "file:keys/converted.key"'
    assert folder.set("encrypt = false", file).problems() == [
        "service_provider.converted_key: missing: it comes with converted_file"
    ]
    assert folder.set(file, key).problems() == [
        "service_provider.converted_file: missing: it comes with converted_key"
    ]
    converted = folder.set(key, f"{file}\n{key}").read().service_provider.converted
    assert converted is not None
    assert converted.file == folder.path / "converted.txt"
    assert len(converted.key) == 32


def test_the_signer_of_metadata_is_held_against_its_pin(folder: Folder) -> None:
    signer = rsa_pair("federation")
    (folder.path / "federation.crt").write_bytes(signer.certificate_pem)
    right = f"sha256:{signer.certificate.fingerprint(SHA256()).hex()}"
    bare = '"https://idp.example.org/metadata"'
    signed = f'{bare}, trust = "signed"'
    folder.set(bare, signed)
    assert folder.problems() == [
        (
            'upstream[1].metadata.certificate: missing: trust = "signed" needs the signer\'s '
            "certificate"
        )
    ]
    folder.set(signed, f'{signed}, certificate = "federation.crt", pin = "{right}"')
    folder.read()
    for wrong, problem in (
        (f"sha256:{'0' * 64}", f"federation.crt is another certificate: {right} (MD-01)"),
        (right.upper(), "not a pin"),
        (right.removeprefix("sha256:"), "not a pin"),
    ):
        folder.set(right, wrong)
        (found,) = folder.problems()
        assert found.startswith(f"upstream[1].metadata.pin: {problem}")
        folder.set(wrong, right)


def test_no_secret_is_part_of_a_repr(folder: Folder) -> None:
    secret = secrets.token_hex(16)
    folder.environ["STORE"] = f"postgresql://proxy:{secret}@db.example.org/proxy"
    folder.environ["OUT"] = f"http://proxy:{secret}@out.example.org:3128"
    folder.set('"sqlite:///var/idp-proxy.db"', '"env:STORE"')
    read = folder.set("workers = 2", 'outbound_proxy = "env:OUT"').read()
    assert secret in read.store.url
    assert secret in read.proxy.outbound.proxy
    assert secret not in repr(read)
    for key in read.proxy.state_keys:
        assert repr(key) not in repr(read)
    assert "PrivateKey" not in repr(read)
