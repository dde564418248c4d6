"""What others accept in a valid message we accept too, and all read the same person."""

from __future__ import annotations

from typing import Any

import pytest

from idp_proxy.saml.answer import RequireSigned
from tests.differential import judges
from tests.differential.layouts import EC_METHODS, LAYOUTS, RSA_METHODS, plain, sign
from tests.support.keys import KeyPair, ec_pair, rsa_pair
from tests.unit.saml_messages import (
    assertion,
    encrypted,
    issuer_pair,
    private_key,
    signature,
    signed,
)

ISSUER_KEYS = (issuer_pair(),)
RESPONSE_ONLY = {"Keycloak": RequireSigned.RESPONSE}


def agree(octets: bytes, pairs: tuple[KeyPair, ...] = ISSUER_KEYS, **context: Any) -> judges.Person:
    verdicts = (
        judges.ours(octets, pairs, **context),
        judges.xmlsec_alone(octets, pairs),
        judges.python3_saml(octets, pairs),
    )
    assert [verdict.reason for verdict in verdicts] == ["", "", ""]
    assert verdicts[0].person is not None
    assert verdicts[0].person == verdicts[2].person
    return verdicts[0].person


@pytest.mark.parametrize("name", LAYOUTS)
def test_all_read_the_same_person_in_every_layout(name: str) -> None:
    octets = signed(LAYOUTS[name])
    person = agree(octets, require_signed=RESPONSE_ONLY.get(name, RequireSigned.ASSERTION))
    assert (person.assertion_id, person.name_id) == ("_a", "ada")
    assert person.attributes["mail"] == ["ada@example.org"]


@pytest.mark.parametrize("method", RSA_METHODS)
@pytest.mark.parametrize("bits", [2048, 3072])
def test_all_accept_rsa_with_sha_2(method: str, bits: int) -> None:
    pair = rsa_pair("issuer" if bits == 2048 else "large issuer", bits)
    xml = plain(sign("_a", method=method, digest=RSA_METHODS[method]))
    agree(signed(xml, pair), (pair,))


@pytest.mark.parametrize(("curve", "method"), EC_METHODS)
def test_all_accept_ecdsa_with_sha_2(curve: str, method: str) -> None:
    pair = ec_pair(f"issuer {curve}", curve)
    xml = plain(sign("_a", method=method, digest=EC_METHODS[curve, method]))
    agree(signed(xml, pair), (pair,))


def test_all_accept_either_key_during_a_rollover() -> None:
    octets = signed(LAYOUTS["SimpleSAMLphp"])
    agree(octets, (rsa_pair("next"), issuer_pair()))
    agree(octets, (issuer_pair(), rsa_pair("next")))


def test_all_take_the_pinned_key_whatever_key_info_says() -> None:
    stranger = rsa_pair("stranger").certificate_text
    own = f"<ds:X509Certificate>{issuer_pair().certificate_text}</ds:X509Certificate>"
    octets = signed(plain(sign("_a")))
    start, end = octets.index(b"<ds:X509Certificate>"), octets.index(b"</ds:X509Data>")
    other = f"<ds:X509Certificate>{stranger}</ds:X509Certificate>"
    agree(octets[:start] + own.encode() + octets[end:])
    agree(octets[:start] + other.encode() + octets[end:])


def test_all_accept_values_wrapped_over_lines() -> None:
    octets = signed(plain(sign("_a")))
    start = octets.index(b"<ds:SignatureValue>") + len(b"<ds:SignatureValue>")
    assert b"\n" in octets[start : octets.index(b"</ds:SignatureValue>")]
    indented = octets[:start] + b"\r\n\t  " + octets[start:]
    agree(indented)


ALGORITHMS = ["aes128-gcm", "aes256-gcm", "aes128-cbc"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_both_open_an_encrypted_assertion_and_read_the_same_person(algorithm: str) -> None:
    pair = rsa_pair("decryption")
    octets = encrypted(
        assertion(signature=signature("_assertion-1")),
        pair,
        algorithm=algorithm,
        sign_response=True,
    )
    mine = judges.ours(
        octets, ISSUER_KEYS, decryption_keys=(private_key(pair),), allow_aes_cbc=True
    )
    other = judges.python3_saml(octets, ISSUER_KEYS, pair)
    assert (mine.reason, other.reason) == ("", "")
    assert mine.person is not None
    assert mine.person == other.person
