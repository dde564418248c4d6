from __future__ import annotations

import importlib.util
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from onelogin.saml2 import response as library
from onelogin.saml2.utils import OneLogin_Saml2_Utils
from onelogin.saml2.xml_utils import OneLogin_Saml2_XML

from idp_proxy.errors import AssertionInvalid
from idp_proxy.saml.answer import RequireSigned
from idp_proxy.saml.assertion import VerifiedAssertion, verify_response
from idp_proxy.saml.metadata import read_metadata
from idp_proxy.upstream import second_opinion
from idp_proxy.upstream.second_opinion import SecondOpinion
from tests.support.keys import KeyPair, ec_pair, rsa_pair
from tests.support.rsa_keys import private
from tests.support.upstream_metadata import upstream_metadata
from tests.unit import saml_messages as messages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

NOW = messages.NOW
SKEW = timedelta(seconds=120)


def opinion(
    *pairs: KeyPair,
    require_signed: RequireSigned = RequireSigned.ASSERTION,
    decryption: Sequence[KeyPair] = (),
    acs_url: str = messages.ACS,
    clock_skew: timedelta = SKEW,
) -> SecondOpinion:
    signers = pairs or (messages.issuer_pair(),)
    return SecondOpinion(
        read_metadata(upstream_metadata(*signers, entity_id=messages.ISSUER)),
        entity_id=messages.AUDIENCE,
        acs_url=acs_url,
        require_signed=require_signed,
        clock_skew=clock_skew,
        decryption_keys=[private(pair) for pair in decryption],
    )


def verified(octets: bytes, **changes: Any) -> VerifiedAssertion:
    return verify_response(messages.posted(octets), messages.expected(**changes))


def confirm(
    octets: bytes,
    judge: SecondOpinion | None = None,
    *,
    seen: VerifiedAssertion | None = None,
    now: datetime = NOW,
    request_id: str = messages.REQUEST_ID,
) -> None:
    ours = seen or verified(octets)
    (judge or opinion()).confirm(messages.posted(octets), request_id, ours, now)


def refusal(octets: bytes, judge: SecondOpinion | None = None, **how: Any) -> str:
    with pytest.raises(AssertionInvalid) as refused:
        confirm(octets, judge, **how)
    assert refused.value.rule == "SO-01"
    return refused.value.detail


def good(**changes: str) -> bytes:
    return messages.signed(messages.response(**changes))


def with_values(values: dict[str, tuple[str, ...]]) -> bytes:
    statement = messages.attribute_statement(values)
    signature = messages.signature("_assertion-1")
    return good(assertion=messages.assertion(signature=signature, statement=statement))


# --- it agrees -----------------------------------------------------------------------------------


@pytest.mark.parametrize("require_signed", list(RequireSigned))
def test_agrees_on_a_message_signed_as_required(require_signed: RequireSigned) -> None:
    octets = good(signature=messages.signature("_response-1"))
    confirm(octets, opinion(require_signed=require_signed))


@pytest.mark.parametrize(
    "values",
    [
        {"email": (" ada@example.org\n",)},
        {"email": ("ada@example.org", "", "  ")},
        {"a": ("1", "2"), "b": ("1",)},
        {"none": ()},
        {"t": ("<saml:NameID>opaque</saml:NameID>",)},
        {"t": (" <saml:NameID> opaque </saml:NameID> ",)},
        {"u": ("\U0001f600 &lt;&amp; \u00e4",)},
    ],
)
def test_agrees_on_values_of_every_form(values: dict[str, tuple[str, ...]]) -> None:
    confirm(with_values(values))


def test_agrees_when_one_name_comes_in_two_attributes() -> None:
    one = '<saml:Attribute Name="g"><saml:AttributeValue>a</saml:AttributeValue></saml:Attribute>'
    two = one.replace(">a<", ">b<")
    statement = f"<saml:AttributeStatement>{one}{two}</saml:AttributeStatement>"
    signature = messages.signature("_assertion-1")
    octets = good(assertion=messages.assertion(signature=signature, statement=statement))
    assert verified(octets).attributes == {"g": ("a", "b")}
    confirm(octets)


def test_agrees_with_a_key_out_of_several() -> None:
    confirm(good(), opinion(rsa_pair("retired-issuer"), ec_pair("next"), messages.issuer_pair()))


def test_agrees_on_addresses_on_loopback() -> None:
    acs = "http://127.0.0.1:8443/upstream/okta/acs"
    octets = good().replace(messages.ACS.encode(), acs.encode())
    assert refusal(octets, opinion(acs_url=acs), seen=verified(good()))
    xml = messages.response().replace(messages.ACS, acs)
    signed = messages.signed(xml)
    confirm(signed, opinion(acs_url=acs), seen=verified(signed, acs_url=acs))


@pytest.mark.parametrize("sign_response", [True, False])
@pytest.mark.parametrize("retired", [True, False])
def test_agrees_on_an_encrypted_assertion_with_either_key(
    *, sign_response: bool, retired: bool
) -> None:
    ours = rsa_pair("so-decryption")
    keys = [rsa_pair("so-retired"), ours] if retired else [ours]
    xml = messages.assertion(signature=messages.signature("_assertion-1"))
    octets = messages.encrypted(xml, ours, sign_response=sign_response)
    seen = verified(octets, decryption_keys=tuple(private(pair) for pair in keys))
    judge = opinion(decryption=keys)
    confirm(octets, judge, seen=seen)
    confirm(octets, judge, seen=seen)


# --- its clock is ours ---------------------------------------------------------------------------


def starting(seconds: float) -> bytes:
    """A message that counts from so many seconds after NOW, for 300 s after NOW."""
    conditions = messages.conditions(start=f'NotBefore="{messages.at(seconds)}"')
    signature = messages.signature("_assertion-1")
    return good(assertion=messages.assertion(signature=signature, conditions=conditions))


@pytest.mark.parametrize("skew", [0, 60, 120, 180])
@pytest.mark.parametrize("late", [True, False])
def test_at_the_edges_of_what_we_take_it_does_not_refuse_first(skew: int, *, late: bool) -> None:
    allowed = timedelta(seconds=skew)
    now = NOW + timedelta(seconds=299) + allowed if late else NOW - allowed
    octets = starting(0)
    seen = verified(octets, now=now, clock_skew=allowed)
    confirm(octets, opinion(clock_skew=allowed), seen=seen, now=now)


def test_its_clock_is_the_one_that_is_passed_in() -> None:
    octets = good()
    for now in (NOW + timedelta(minutes=10), NOW - timedelta(minutes=10)):
        assert "ValidationError" in refusal(octets, seen=verified(octets), now=now)


def test_nobody_else_sees_the_exchanged_clock_and_schema() -> None:
    confirm(good())
    assert library.OneLogin_Saml2_Utils is OneLogin_Saml2_Utils
    assert library.OneLogin_Saml2_XML is OneLogin_Saml2_XML
    assert OneLogin_Saml2_Utils.now() > 1_700_000_000


# --- it refuses ----------------------------------------------------------------------------------


def test_refuses_what_is_not_signed_by_the_upstream() -> None:
    octets = messages.signed(messages.response(), rsa_pair("mallory"))
    assert "Signature" in refusal(octets, seen=verified(good()))


def test_refuses_what_is_not_signed_as_required() -> None:
    assert refusal(good(), opinion(require_signed=RequireSigned.RESPONSE), seen=verified(good()))


def test_refuses_what_is_not_valid_by_the_schema() -> None:
    extra = "<saml:Conditions/>"
    signature = messages.signature("_assertion-1")
    octets = good(assertion=messages.assertion(signature=signature, extra=extra))
    assert "schema" in refusal(octets, seen=verified(good()))


@pytest.mark.parametrize(
    "changes",
    [
        {"destination": 'Destination="https://evil.example.org/"'},
        {"in_response_to": 'InResponseTo="_other"'},
        {"issuer": "<saml:Issuer>https://evil.example.org/</saml:Issuer>"},
        {"version": 'Version="1.1"'},
    ],
)
def test_refuses_another_question_or_party(changes: dict[str, str]) -> None:
    assert refusal(good(**changes), seen=verified(good()))


@pytest.mark.parametrize(
    "values",
    [
        {"email": ("mallory@example.org",)},
        {"email": ("ada@example.org",), "admin": ("1",)},
        {"mail": ("ada@example.org",)},
        {"email": ("ada@example.org", "mallory@example.org")},
    ],
)
def test_refuses_when_it_reads_other_attributes(values: dict[str, tuple[str, ...]]) -> None:
    assert "the attributes otherwise" in refusal(with_values(values), seen=verified(good()))


def test_refuses_a_value_that_two_readers_see_differently() -> None:
    """A child element inside a value: one reads the text before it, the other no text at all."""
    octets = with_values({"email": ("ada@example.org<saml:x/>.evil.example.org",)})
    assert verified(octets).attributes == {"email": ("",)}
    assert refusal(octets)


def test_refuses_when_it_reads_another_person() -> None:
    name_id = "<saml:NameID>mallory</saml:NameID>"
    signature = messages.signature("_assertion-1")
    subject = messages.subject(name_id=name_id)
    octets = good(assertion=messages.assertion(signature=signature, subject=subject))
    assert "the NameID" in refusal(octets, seen=verified(good()))


def test_refuses_when_it_reads_another_assertion() -> None:
    xml = messages.response(
        assertion=messages.assertion(signature=messages.signature("_assertion-2")).replace(
            'ID="_assertion-1"', 'ID="_assertion-2"'
        )
    )
    assert "the assertion's ID" in refusal(messages.signed(xml), seen=verified(good()))


@pytest.mark.parametrize(
    "message", ["", "%%%", "PGEvPg==", "PCFET0NUWVBFIGE+PGEvPg==", "\u00e4", "AAAA"]
)
def test_whatever_it_raises_is_a_refusal(message: str) -> None:
    with pytest.raises(AssertionInvalid, match="SO-01"):
        opinion().confirm(message, messages.REQUEST_ID, verified(good()), NOW)


def test_a_fault_inside_the_library_is_a_refusal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> object:
        raise ZeroDivisionError("broken")

    octets = good()
    seen = verified(octets)
    monkeypatch.setattr(second_opinion._library().OneLogin_Saml2_Response, "get_nameid", broken)
    assert refusal(octets, seen=seen) == "ZeroDivisionError: broken"


def test_without_any_settings_it_agrees_with_nothing() -> None:
    judge = opinion()
    judge._settings = []
    assert "no settings" in refusal(good(), judge)


def test_a_refusal_tells_no_value_of_the_message() -> None:
    octets = with_values({"email": ("secret-person@example.org",)})
    assert "secret-person" not in refusal(octets, seen=verified(good()))


# --- many at once --------------------------------------------------------------------------------


def test_threads_with_other_clocks_and_keys_do_not_disturb_each_other() -> None:
    octets = good()
    seen = verified(octets)
    judges = [opinion(), opinion(rsa_pair("mallory"))]
    outcomes: list[bool] = []

    def judge(number: int) -> None:
        for _ in range(10):
            wrong_key, wrong_time = number % 2 == 1, number % 3 == 1
            now = NOW + timedelta(minutes=30) if wrong_time else NOW
            try:
                confirm(octets, judges[number % 2], seen=seen, now=now)
                accepted = True
            except AssertionInvalid:
                accepted = False
            outcomes.append(accepted is not (wrong_key or wrong_time))

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [True] * 60


def test_no_private_key_is_shown() -> None:
    assert "PRIVATE" not in repr(opinion(decryption=[rsa_pair("so-decryption")]))


def test_without_the_library_nothing_is_agreed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    second_opinion._library.cache_clear()
    try:
        assert "ImportError" in refusal(good())
    finally:
        second_opinion._library.cache_clear()
