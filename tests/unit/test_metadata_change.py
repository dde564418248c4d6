"""What a change of metadata means: what drops at once, what waits, and what people are shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from idp_proxy.saml.metadata import UpstreamMetadata, read_metadata
from idp_proxy.upstream.metadata_change import diff, settle
from tests.support.keys import KeyPair, ec_pair, rsa_pair, self_signed
from tests.support.rsa_keys import private
from tests.support.upstream_metadata import (
    ENTITY_ID,
    POST,
    REDIRECT,
    SSO_URL,
    service,
    upstream_metadata,
)

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
A, B, C = (rsa_pair(name) for name in ("feed-a", "feed-b", "feed-c"))
URL = "https://active.example.org/metadata"


def said(*pairs: KeyPair, **changes: Any) -> UpstreamMetadata:
    return read_metadata(upstream_metadata(*pairs, **changes))


def keys(metadata: UpstreamMetadata | None) -> tuple[bytes, ...]:
    assert metadata is not None
    assert len(metadata.keys) == len(metadata.signing_certificates)
    return metadata.signing_certificates


def ders(*pairs: KeyPair) -> tuple[bytes, ...]:
    return tuple(pair.certificate_der for pair in pairs)


@pytest.mark.parametrize(
    ("before", "offered", "after", "waits"),
    [
        ((A,), (A,), (A,), ()),
        ((A,), (A, B), (A,), ("+",)),
        ((A, B), (A,), (A,), ()),
        ((A, B), (B, C), (B,), ("+",)),
        ((A, B), (B, A), (A, B), ()),
        ((A,), (B,), (A,), ("+", "-")),
        ((A, B), (C,), (A, B), ("+", "-", "-")),
    ],
)
def test_removed_keys_drop_at_once_and_added_ones_wait(
    before: tuple[KeyPair, ...],
    offered: tuple[KeyPair, ...],
    after: tuple[KeyPair, ...],
    waits: tuple[str, ...],
) -> None:
    settled = settle("okta", said(*before), said(*offered))
    assert keys(settled.effective) == ders(*after)
    lines = settled.waiting.lines if settled.waiting else ()
    assert tuple(line[0] for line in lines) == waits
    assert all(" key sha256:" in line for line in lines)
    vanished = not set(before) & set(offered)
    assert bool(settled.alarm) is vanished


def test_the_first_document_waits_as_a_whole() -> None:
    settled = settle("okta", None, said(A))
    assert settled.effective is None
    assert settled.waiting is not None
    kinds = [line.split()[0] + " " + line.split()[1] for line in settled.waiting.lines]
    assert kinds == ["entity ID:", "+ key", "+ address", "+ address"]


def test_another_entity_id_changes_nothing_by_itself_not_even_a_removal() -> None:
    before = said(A, B)
    settled = settle("okta", before, said(A, entity_id="https://evil.example.org/"))
    assert settled.effective is before
    assert settled.waiting is not None
    assert settled.waiting.lines[0] == f"entity ID: {ENTITY_ID} -> https://evil.example.org/"
    assert settled.alarm is None


def addresses(**by_binding: str) -> tuple[str, ...]:
    return tuple(
        service({"redirect": REDIRECT, "post": POST}[name], url) for name, url in by_binding.items()
    )


@pytest.mark.parametrize(
    ("offered", "after", "waits"),
    [
        ({"redirect": SSO_URL}, {REDIRECT: SSO_URL}, []),
        (
            {"redirect": "https://new.example.org/", "post": SSO_URL},
            {POST: SSO_URL},
            ["+ address HTTP-Redirect https://new.example.org/"],
        ),
        (
            {"post": "https://new.example.org/"},
            {REDIRECT: SSO_URL, POST: SSO_URL},
            [
                "+ address HTTP-POST https://new.example.org/",
                f"- address HTTP-Redirect {SSO_URL}",
                f"- address HTTP-POST {SSO_URL}",
            ],
        ),
    ],
)
def test_addresses_follow_the_same_rule(
    offered: dict[str, str], after: dict[str, str], waits: list[str]
) -> None:
    settled = settle("okta", said(A), said(A, services=addresses(**offered)))
    assert settled.effective is not None
    assert settled.effective.sso == after
    assert list(settled.waiting.lines if settled.waiting else ()) == waits


def test_what_adds_no_trust_is_taken_at_once() -> None:
    offered = said(
        A,
        attributes='validUntil="2026-05-05T00:00:00Z"',
        role_attributes='WantAuthnRequestsSigned="true"',
    )
    settled = settle("okta", said(A), offered)
    assert settled.effective == offered
    assert settled.waiting is None


def test_a_certificate_renewed_around_the_same_key_adds_no_trust() -> None:
    renewed = self_signed("renewed", private(A))
    settled = settle("okta", said(A), said(renewed))
    assert (settled.waiting, settled.alarm) == (None, None)
    assert keys(settled.effective) == ders(A)
    twice = settle("okta", said(A, renewed), said(renewed))
    assert keys(twice.effective) == ders(A)


def test_the_digest_is_of_exactly_the_lines_shown_and_of_this_upstream() -> None:
    change = diff("okta", said(A), said(A, B))
    assert change is not None
    assert change.digest.startswith("sha256:")
    others = [
        diff("entra", said(A), said(A, B)),
        diff("okta", said(A), said(A, C)),
        diff("okta", said(A), said(A, B, services=addresses(redirect="https://x.example.org/"))),
        diff("okta", None, said(A, B)),
    ]
    assert len({change.digest} | {other.digest for other in others if other}) == 5


def test_a_diff_shows_what_an_operator_compares() -> None:
    change = diff("okta", said(A), said(A, ec_pair("feed-ec")))
    assert change is not None
    (line,) = change.lines
    fingerprint = ec_pair("feed-ec").certificate.fingerprint(
        x509.load_pem_x509_certificate(A.certificate_pem).signature_hash_algorithm  # type: ignore[arg-type] # SHA-256, never None here
    )
    assert line.startswith(f"+ key sha256:{fingerprint.hex()} (EC secp256r1, certificate until 20")


PAIRS = [A, B, C]
SETS = st.lists(st.sampled_from(PAIRS), min_size=1, max_size=3, unique=True)


@settings(deadline=None)
@given(SETS, st.lists(SETS, min_size=1, max_size=5))
def test_no_sequence_of_documents_ever_adds_a_key_or_leaves_none(
    first: list[KeyPair], offers: list[list[KeyPair]]
) -> None:
    approved = said(*first)
    for offer in offers:
        settled = settle("okta", approved, said(*offer))
        assert settled.effective is not None
        assert settled.effective.signing_certificates
        assert set(keys(settled.effective)) <= set(keys(approved))
        approved = settled.effective
