"""Nothing but our own errors comes out of a reader, in bounded time.

`FUZZ_SECONDS=60` runs each reader for so long from a new place; otherwise a few fixed examples run.
A failure names the seed: `FUZZ_SEED=...` runs that one again.
"""

from __future__ import annotations

import base64
import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from idp_proxy.saml.xml import MAX_OCTETS
from tests.fuzz.mutation import mutated, rearranged
from tests.fuzz.targets import ALLOWED, METADATA, TARGETS, Target
from tests.unit.saml_messages import issuer_pair, response, signed

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = 150
#: The share of documents that stay well-formed and get beyond the parser.
STRUCTURED = 0.7


def seeds() -> Iterator[int]:
    if "FUZZ_SEED" in os.environ:
        yield int(os.environ["FUZZ_SEED"])
        return
    seconds = float(os.environ.get("FUZZ_SECONDS", "0"))
    first = random.SystemRandom().randrange(2**48) if seconds else 0
    end = time.monotonic() + seconds
    count = 0
    while count < EXAMPLES or time.monotonic() < end:
        yield first + count
        count += 1


def outcome(target: Target, octets: bytes) -> str:
    """The class of error that came out, or nothing; CPU over the limit counts as an error."""
    start = time.process_time()
    try:
        target.read(octets)
    except ALLOWED as error:
        name = type(error).__name__
    else:
        name = ""
    assert time.process_time() - start < target.most, "too slow"
    return name


# A serial number of zero or less is a warning of the library, which old certificates earn.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_only_our_own_errors_come_out(target: Target) -> None:
    seen: dict[str, int] = {}
    for seed in seeds():
        chance = random.Random(f"{target.name} {seed}")
        seed_octets = chance.choice(target.seeds)
        if target.is_xml and chance.random() < STRUCTURED:
            octets = rearranged(seed_octets, chance)
        else:
            octets = mutated(seed_octets, target.seeds, chance)
        try:
            name = outcome(target, octets)
        except Exception as error:
            error.add_note(f"FUZZ_SEED={seed}, {len(octets)} octets: {octets[:2000]!r}")
            raise
        seen[name] = seen.get(name, 0) + 1
    print(f"\n{target.name}: {sum(seen.values())} messages, {seen}")
    assert seen


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_every_seed_is_read(target: Target) -> None:
    reached = {outcome(target, seed) for seed in target.seeds}
    assert reached <= {"", "ConfigError", "AssertionInvalid"}
    assert "" in reached or target.name == "load"


RSA_ENCRYPTION = bytes.fromhex("2a864886f70d010101")
UNKNOWN_KEY = issuer_pair().certificate_der.replace(
    RSA_ENCRYPTION, bytes.fromhex("2a864886f70d024101")
)
#: What an earlier run found, for as long as the project lives.
FOUND = {
    "a certificate with a key of an unknown type": (
        "read_metadata",
        METADATA.replace(issuer_pair().certificate_text.encode(), base64.b64encode(UNKNOWN_KEY)),
    ),
    "a certificate of version 18": (
        "read_metadata",
        METADATA.replace(
            issuer_pair().certificate_text.encode(),
            base64.b64encode(
                issuer_pair().certificate_der.replace(
                    b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x12"
                )
            ),
        ),
    ),
    "a relative namespace name": (
        "verify_response",
        signed(response()).replace(b"<saml:Subject>", b"<saml:Subject xmlns:p='1'>"),
    ),
    "tables nested deeper than Python's stack": ("load", f"[proxy{'.a' * 1100}]".encode()),
    "nothing but ampersands": ("verify_authn_request", b"&" * MAX_OCTETS),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_before_is_refused(name: str) -> None:
    by_name = {target.name: target for target in TARGETS}
    target, octets = FOUND[name]
    assert outcome(by_name[target], octets)
