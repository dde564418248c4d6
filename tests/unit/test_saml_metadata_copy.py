"""The copy of an upstream's metadata that is kept: it means what the document meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from idp_proxy.saml.metadata import UpstreamMetadata, read_metadata
from idp_proxy.saml.metadata_copy import kept_copy
from tests.support.keys import KeyPair, rsa_pair
from tests.support.upstream_metadata import POST, service, upstream_metadata

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = rsa_pair("feed-a"), rsa_pair("feed-b")


def said(*pairs: KeyPair, **changes: Any) -> UpstreamMetadata:
    return read_metadata(upstream_metadata(*pairs, **changes))


@pytest.mark.parametrize(
    "metadata",
    [
        lambda: said(A, B),
        lambda: said(A, attributes='validUntil="2026-05-05T00:00:00.123456Z"'),
        lambda: said(A, entity_id="urn:a&amp;b&lt;c"),
        lambda: said(A, services=[service(POST, "https://x.example.org/?a=1&amp;b=2")]),
        lambda: said(A, role_attributes='WantAuthnRequestsSigned="true"'),
    ],
)
def test_the_kept_copy_reads_as_the_same_value(metadata: Callable[[], UpstreamMetadata]) -> None:
    value = metadata()
    again = read_metadata(kept_copy(value))
    assert again == value
    assert again.keys == value.keys
