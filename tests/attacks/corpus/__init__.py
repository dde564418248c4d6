"""The hostile messages, by class."""

from __future__ import annotations

from tests.attacks.corpus import (
    addressed,
    algorithms,
    asking,
    asking_query,
    asking_signed,
    carriers,
    documents,
    encryption,
    identifiers,
    limits,
    person,
    profile,
    signatures,
    wrapping,
)

RESPONSES = (
    *wrapping.ATTACKS,
    *carriers.ATTACKS,
    *signatures.ATTACKS,
    *algorithms.ATTACKS,
    *documents.ATTACKS,
    *limits.ATTACKS,
    *addressed.ATTACKS,
    *profile.ATTACKS,
    *encryption.ATTACKS,
    *identifiers.ATTACKS,
)
REQUESTS = (*asking.ATTACKS, *asking_query.ATTACKS, *asking_signed.ATTACKS)
PERSON = person.ATTACKS
