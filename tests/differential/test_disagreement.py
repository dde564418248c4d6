"""Hostile messages before the three judges, and who accepts what (`pytest -s` prints the table)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.differential import judges
from tests.differential.layouts import LAYOUTS, plain, sign
from tests.fuzz.mutation import rearranged
from tests.support.keys import rsa_pair
from tests.unit.saml_messages import DS, EXC_C14N, issuer_pair, signed

if TYPE_CHECKING:
    from collections.abc import Callable

KEYS = (issuer_pair(),)
A = "{urn:oasis:names:tc:SAML:2.0:assertion}"
VALID = signed(plain(sign("_a")))
BOTH = signed(LAYOUTS["SimpleSAMLphp"])


def edited(edit: Callable[[etree._Element], None], octets: bytes = VALID) -> bytes:
    root = etree.fromstring(octets)
    edit(root)
    return etree.tostring(root)


def assertion_of(root: etree._Element) -> etree._Element:
    found = root.find(f"{A}Assertion")
    assert found is not None
    return found


def evil_twin(root: etree._Element) -> etree._Element:
    twin = etree.fromstring(etree.tostring(assertion_of(root), with_tail=False))
    twin.set("ID", "_evil")
    own = twin.find(f"{{{DS}}}Signature")
    if own is not None:
        twin.remove(own)
    name_id = next(twin.iter(f"{A}NameID"))
    name_id.text = "eve"
    return twin


def twin_in_front(root: etree._Element) -> None:
    assertion_of(root).addprevious(evil_twin(root))


def twin_behind(root: etree._Element) -> None:
    root.append(evil_twin(root))


def wrapped_in_its_signature(root: etree._Element) -> None:
    twin, original = evil_twin(root), assertion_of(root)
    signature = original.find(f"{{{DS}}}Signature")
    assert signature is not None
    root.replace(original, twin)
    twin.insert(1, signature)
    etree.SubElement(signature, f"{{{DS}}}Object").append(original)


def wrapped_in_extensions(root: etree._Element) -> None:
    twin, original = evil_twin(root), assertion_of(root)
    root.replace(original, twin)
    holder = etree.Element("{urn:oasis:names:tc:SAML:2.0:protocol}Extensions")
    holder.append(original)
    root.insert(1, holder)


def without_signatures(root: etree._Element) -> None:
    for signature in list(root.iter(f"{{{DS}}}Signature")):
        parent = signature.getparent()
        assert parent is not None
        parent.remove(signature)


def same_id_twice(root: etree._Element) -> None:
    twin = evil_twin(root)
    twin.set("ID", "_a")
    assertion_of(root).addprevious(twin)


def replaced(old: bytes, new: bytes, octets: bytes = VALID) -> bytes:
    assert old in octets
    return octets.replace(old, new)


SHA1 = sign("_a", method=f"{DS}rsa-sha1", digest=f"{DS}sha1")
COMMENTS = plain(sign("_a")).replace(
    f'Algorithm="{EXC_C14N}"/>', f'Algorithm="{EXC_C14N}WithComments"/>'
)
#: Name -> message; not one of them may pass our verifier.
HOSTILE = {
    "no signature": edited(without_signatures),
    "another key": signed(plain(sign("_a")), rsa_pair("stranger")),
    "NameID changed": replaced(b">ada<", b">eve<"),
    "attribute changed": replaced(b"staff", b"admin"),
    "comment in the NameID": replaced(b">ada<", b">ada<!-- -->.evil<"),
    "comment in a signed value": replaced(b">staff<", b">sta<!-- -->ff<"),
    "processing instruction": replaced(b">staff<", b">sta<?x?>ff<"),
    "CDATA in a signed value": replaced(b">staff<", b"><![CDATA[staff]]><"),
    "DOCTYPE": b"<!DOCTYPE a>" + VALID,
    "entity": b'<!DOCTYPE a [<!ENTITY e "staff">]>' + VALID.replace(b">staff<", b">&e;<"),
    "XSW twin in front": edited(twin_in_front),
    "XSW twin behind": edited(twin_behind),
    "XSW original in ds:Object": edited(wrapped_in_its_signature),
    "XSW original in Extensions": edited(wrapped_in_extensions),
    "XSW both signed, twin in front": edited(twin_in_front, BOTH),
    "one ID twice": edited(same_id_twice),
    "SHA-1": signed(plain(SHA1)),
    "C14N with comments": signed(COMMENTS),
    "a relative namespace": replaced(b"<saml:Subject>", b'<saml:Subject xmlns:e="1">'),
    "a namespace pollution": replaced(b"<saml:Subject>", b'<saml:Subject xmlns:e="urn:e" e:e="1">'),
    "Destination changed": replaced(b'Destination="https', b'Destination="http'),
    "DigestValue empty": replaced(b"<ds:DigestValue>", b"<ds:DigestValue/><ds:X>").replace(
        b"</ds:DigestValue>", b"</ds:X>"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_never_passes_ours(name: str) -> None:
    octets = HOSTILE[name]
    mine = judges.ours(octets, KEYS)
    others = judges.xmlsec_alone(octets, KEYS), judges.python3_saml(octets, KEYS)
    marks = ["accepts" if verdict.accepted else "refuses" for verdict in (mine, *others)]
    print(f"\n{name:34} ours {marks[0]:8} xmlsec {marks[1]:8} python3-saml {marks[2]}")
    print(f"{'':34} {mine.reason[:60]!r} / {others[1].reason[:60]!r}")
    assert not mine.accepted


def test_the_table_would_show_an_acceptance() -> None:
    assert judges.ours(VALID, KEYS).accepted
    assert judges.xmlsec_alone(VALID, KEYS).accepted
    assert judges.python3_saml(VALID, KEYS).accepted


@given(seed=st.integers(0, 2**32), which=st.sampled_from([VALID, BOTH]))
@settings(max_examples=150, deadline=None)
def test_whatever_we_accept_the_others_verify_and_read_alike(seed: int, which: bytes) -> None:
    octets = rearranged(which, random.Random(seed))
    mine = judges.ours(octets, KEYS)
    others = judges.xmlsec_alone(octets, KEYS), judges.python3_saml(octets, KEYS)
    if mine.accepted:
        assert others[0].accepted
        assert mine.person == judges.ours(which, KEYS).person
        assert others[1].person == mine.person or not judges.is_cryptographic(others[1])
