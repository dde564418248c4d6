from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest

from idp_proxy.config import (
    KeyPair as ConfiguredPair,
)
from idp_proxy.config import (
    MetadataFile,
    Outbound,
    SamlSettings,
    Settings,
    UpstreamLimits,
)
from idp_proxy.decision.assurance import AssurancePolicy
from idp_proxy.errors import (
    AssertionInvalid,
    MalformedMessage,
    SamlError,
    UpstreamRefused,
    UpstreamUnavailable,
)
from idp_proxy.saml import names
from idp_proxy.saml.answer import RequireSigned
from idp_proxy.saml.xml import parse
from idp_proxy.upstream.base import Ask, Pending, PostForm, Redirect
from idp_proxy.upstream.saml import SamlUpstream
from tests.support import xml_security
from tests.support.keys import KeyPair, rsa_pair
from tests.support.rsa_keys import private
from tests.support.upstream_metadata import POST, SSO_URL, service, upstream_metadata
from tests.unit import saml_messages as messages

if TYPE_CHECKING:
    from pathlib import Path

    from idp_proxy.upstream.base import Upstream

NOW = messages.NOW
BASE = "https://login.example.org/upstream/okta"
ASK = Ask("_request-1", "r" * 22, force_authn=False, is_passive=False, now=NOW)
PENDING = Pending("_request-1", messages.ISSUER, NOW)
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
VALUES: dict[str, tuple[str, ...]] = {
    "urn:id": ("E-1815",),
    "mail": ("ada@example.org",),
    "uid": ("ada",),
    "givenName": ("Ada",),
}


def configured(pair: KeyPair, folder: Path) -> ConfiguredPair:
    return ConfiguredPair(folder / "k", folder / "c", private(pair), pair.certificate)


def upstream(folder: Path, metadata: bytes | None = None, **changes: Any) -> SamlUpstream:
    path = folder / "okta.xml"
    path.write_bytes(
        metadata or upstream_metadata(messages.issuer_pair(), entity_id=messages.ISSUER)
    )
    usual = SamlSettings(
        name="okta",
        metadata=MetadataFile(path),
        signing=configured(rsa_pair("okta-sp"), folder),
        decryption=None,
        name_id_format=PERSISTENT,
        requested_authn_context=(),
        require_signed=RequireSigned.ASSERTION,
        allow_aes_cbc=False,
        email_domains=frozenset(),
        attributes={"id": "urn:id", "email": "mail", "username": "uid", "first_name": "givenName"},
        limits=UpstreamLimits(timedelta(seconds=120), timedelta(hours=1)),
        outbound=Outbound(),
        base_url=BASE,
    )
    settings = SimpleNamespace(
        service_provider=SimpleNamespace(entity_id=messages.SERVICE_PROVIDER),
        proxy=SimpleNamespace(data_dir=folder, insecure_loopback=False),
        assurance=AssurancePolicy("okta"),
    )
    return SamlUpstream(replace(usual, **changes), cast("Settings", settings))


def answer(
    values: dict[str, tuple[str, ...]] | None = None, pair: KeyPair | None = None, **pieces: str
) -> str:
    """What the upstream posts; `pieces` are those of the assertion."""
    return messages.posted(messages.signed(answer_xml(values, **pieces), pair))


def answer_xml(values: dict[str, tuple[str, ...]] | None = None, **pieces: str) -> str:
    statement = messages.attribute_statement(VALUES if values is None else values)
    parts = {"signature": messages.signature("_assertion-1"), "statement": statement} | pieces
    xml = messages.response(assertion=messages.assertion(**parts))
    return ours(xml)


def ours(xml: str) -> str:
    return xml.replace(messages.ACS, f"{BASE}/acs").replace(messages.AUDIENCE, f"{BASE}/metadata")


def refusal(party: Upstream, message: str, pending: Pending = PENDING) -> SamlError:
    with pytest.raises(SamlError) as refused:
        party.finish(message, pending)
    return refused.value


# --- asking --------------------------------------------------------------------------------------


def test_asks_by_redirect_where_it_is_offered(tmp_path: Path) -> None:
    party: Upstream = upstream(tmp_path, requested_authn_context=("urn:mfa",))
    way = party.begin(replace(ASK, force_authn=True, is_passive=True))
    assert isinstance(way, Redirect)
    assert way.url.startswith(f"{SSO_URL}?SAMLRequest=")
    query = dict(parse_qsl(urlsplit(way.url).query))
    assert query["RelayState"] == "r" * 22
    root = parse(zlib.decompress(base64.b64decode(query["SAMLRequest"]), -15))
    assert root.get("ID") == "_request-1"
    assert root.get("Destination") == SSO_URL
    assert root.get("AssertionConsumerServiceURL") == f"{BASE}/acs"
    assert (root.get("ForceAuthn"), root.get("IsPassive")) == ("true", "true")
    assert root.findtext(f"{{{names.SAML}}}Issuer") == f"{BASE}/metadata"
    signed = way.url.partition("?")[2].partition("&Signature=")[0]
    assert xml_security.octets_verify(
        signed.encode(),
        base64.b64decode(query["Signature"]),
        rsa_pair("okta-sp").certificate_pem,
        query["SigAlg"],
    )


def test_asks_by_post_where_only_that_is_offered(tmp_path: Path) -> None:
    metadata = upstream_metadata(messages.issuer_pair(), services=[service(POST)])
    way = upstream(tmp_path, metadata).begin(ASK)
    assert isinstance(way, PostForm)
    assert way.action == SSO_URL
    root = parse(base64.b64decode(way.fields["SAMLRequest"]))
    assert xml_security.verifies(root, rsa_pair("okta-sp").certificate_pem)


def test_what_cannot_be_asked_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnavailable, match="could not be asked"):
        upstream(tmp_path, name_id_format="a\nb").begin(ASK)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (b"<html/>", "no approved metadata"),
        (
            upstream_metadata(
                messages.issuer_pair(), attributes='validUntil="2026-03-01T12:00:00Z"'
            ),
            "expired",
        ),
    ],
)
def test_without_usable_metadata_nobody_is_sent_anywhere(
    tmp_path: Path, metadata: bytes, reason: str
) -> None:
    party = upstream(tmp_path, metadata)
    why = party.why_unusable(NOW)
    assert why is not None
    assert reason in why
    for attempt in (
        lambda: party.begin(ASK),
        lambda: party.finish(answer(), PENDING),
        lambda: party.entity_id(NOW),
    ):
        with pytest.raises(UpstreamUnavailable, match=reason):
            attempt()


def test_a_usable_upstream_says_so(tmp_path: Path) -> None:
    party = upstream(tmp_path)
    assert party.why_unusable(NOW) is None
    assert party.entity_id(NOW) == messages.ISSUER
    assert party.name == "okta"


@pytest.mark.parametrize(
    ("require_signed", "wanted"), [("assertion", "true"), ("both", "true"), ("response", "false")]
)
def test_it_is_told_what_we_want_signed(tmp_path: Path, require_signed: str, wanted: str) -> None:
    party = upstream(tmp_path, require_signed=RequireSigned(require_signed))
    assert parse(party.own_metadata())[0].get("WantAssertionsSigned") == wanted


def test_it_is_told_our_encryption_key_if_there_is_one(tmp_path: Path) -> None:
    decryption = configured(rsa_pair("okta-decryption"), tmp_path)
    text = rsa_pair("okta-decryption").certificate_text.encode()
    assert text in upstream(tmp_path, decryption=decryption).own_metadata()
    assert text not in upstream(tmp_path).own_metadata()


# --- its answer ----------------------------------------------------------------------------------


def test_an_answer_becomes_a_person_under_our_names(tmp_path: Path) -> None:
    proof = upstream(tmp_path).finish(answer(), PENDING)
    subject = proof.subject
    assert (subject.upstream, subject.link_key) == ("okta", "E-1815")
    assert subject.attributes == {
        "id": "E-1815",
        "email": "ada@example.org",
        "username": "ada",
        "first_name": "Ada",
    }
    assert subject.evidence.authorities == (messages.ISSUER,)
    assert subject.evidence.authn_context.endswith("PasswordProtectedTransport")
    assert subject.evidence.authn_instant == NOW - timedelta(seconds=30)
    assert (proof.assertion_id, proof.issuer) == ("_assertion-1", messages.ISSUER)
    assert proof.expires_at == NOW + timedelta(seconds=300 + 120)


def test_an_answer_that_names_a_link_key_of_its_own(tmp_path: Path) -> None:
    mapping = {"id": "NameID", "link_key": "mail"}
    subject = upstream(tmp_path, attributes=mapping).finish(answer(), PENDING).subject
    assert subject.link_key == "ada@example.org"
    assert subject.attributes == {"id": "ada-1815"}


def test_the_chain_behind_the_upstream_is_kept_nearest_first(tmp_path: Path) -> None:
    proof = upstream(tmp_path).finish(answer(authn=chain("https://a/", "https://b/")), PENDING)
    assert proof.subject.evidence.authorities == (messages.ISSUER, "https://a/", "https://b/")


def chain(*authorities: str, context: str = "urn:password") -> str:
    inner = "".join(
        f"<saml:AuthenticatingAuthority>{one}</saml:AuthenticatingAuthority>" for one in authorities
    )
    return messages.authn_statement(
        context="<saml:AuthnContext><saml:AuthnContextClassRef>"
        f"{context}</saml:AuthnContextClassRef>{inner}</saml:AuthnContext>"
    )


@pytest.mark.parametrize("require_signed", list(RequireSigned))
def test_a_response_signed_twice_fits_every_policy(
    tmp_path: Path, require_signed: RequireSigned
) -> None:
    xml = answer_xml().replace(
        "</saml:Issuer><samlp:Status>",
        f"</saml:Issuer>{messages.signature('_response-1')}<samlp:Status>",
    )
    message = messages.posted(messages.signed(xml))
    party = upstream(tmp_path, require_signed=require_signed)
    assert party.finish(message, PENDING).assertion_id == "_assertion-1"


@pytest.mark.parametrize("algorithm", ["aes128-gcm", "aes256-gcm", "aes128-cbc"])
def test_an_encrypted_answer(
    tmp_path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = rsa_pair("okta-decryption")
    monkeypatch.setattr(messages, "ACS", f"{BASE}/acs")
    monkeypatch.setattr(messages, "AUDIENCE", f"{BASE}/metadata")
    statement = messages.attribute_statement(VALUES)
    xml = messages.assertion(signature=messages.signature("_assertion-1"), statement=statement)
    octets = messages.encrypted(xml, pair, sign_response=True, algorithm=algorithm)
    decryption = configured(pair, tmp_path)
    message = messages.posted(octets)
    party = upstream(tmp_path, decryption=decryption, allow_aes_cbc="cbc" in algorithm)
    assert party.finish(message, PENDING).subject.link_key == "E-1815"
    assert refusal(upstream(tmp_path), message).rule == "SP-08"
    if "cbc" in algorithm:
        strict = upstream(tmp_path, decryption=decryption)
        assert "allow_aes_cbc" in refusal(strict, message).detail


def test_an_answer_of_another_entity_than_the_one_asked_is_refused(tmp_path: Path) -> None:
    """The operator approved other metadata between question and answer (FO-01)."""
    pending = replace(PENDING, entity_id="https://before.example.org/")
    refused = refusal(upstream(tmp_path), answer(), pending)
    assert (type(refused), refused.rule) == (AssertionInvalid, "FO-01")


def test_new_metadata_brings_a_new_second_opinion(tmp_path: Path) -> None:
    party = upstream(tmp_path)
    party.finish(answer(), PENDING)
    successor = rsa_pair("issuer-next")
    assert refusal(party, answer(pair=successor)).rule == "SP-01"
    (tmp_path / "okta.xml").write_bytes(
        upstream_metadata(successor, entity_id=messages.ISSUER, attributes='ID="_2"')
    )
    assert party.finish(answer(pair=successor), PENDING).subject.link_key == "E-1815"
    assert refusal(party, answer()).rule == "SP-01"


def test_the_second_opinion_is_asked_and_its_refusal_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = upstream(tmp_path)
    party.finish(answer(), PENDING)
    assert party._opinion is not None

    def refuse(*_: object) -> None:
        raise AssertionInvalid("SO-01", "no")

    monkeypatch.setattr(type(party._opinion[1]), "confirm", refuse)
    assert refusal(party, answer()).rule == "SO-01"


# Each row: pieces of the assertion -> the rule that must refuse it.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "two values for the id": ({"values": VALUES | {"urn:id": ("E-1", "E-2")}}, "SP-10"),
    "no id": ({"values": {k: v for k, v in VALUES.items() if k != "urn:id"}}, "SP-10"),
    "empty id": ({"values": VALUES | {"urn:id": ("",)}}, "SP-10"),
    "blank id": ({"values": VALUES | {"urn:id": (" ",)}}, "SP-10"),
    "no email": ({"values": {k: v for k, v in VALUES.items() if k != "mail"}}, "SP-10"),
    "no user name": ({"values": {k: v for k, v in VALUES.items() if k != "uid"}}, "SP-10"),
    "two emails": ({"values": VALUES | {"mail": ("a@x.org", "b@x.org")}}, "SP-10"),
    "two first names": ({"values": VALUES | {"givenName": ("A", "B")}}, "SP-10"),
    "id with blanks around it": ({"values": VALUES | {"urn:id": (" E-1",)}}, "SP-10"),
    "id with a line break": ({"values": VALUES | {"urn:id": ("E-1&#10;x",)}}, "SP-10"),
    "id with a zero-width blank": ({"values": VALUES | {"urn:id": ("E\u200b1",)}}, "SP-10"),
    "id with a direction mark": ({"values": VALUES | {"urn:id": ("E\u202e1",)}}, "SP-10"),
    "id in full-width digits": ({"values": VALUES | {"urn:id": ("\uff11\uff12",)}}, "SP-10"),
    "id in decomposed letters": ({"values": VALUES | {"urn:id": ("e\u0301",)}}, "SP-10"),
    "id of 129 characters": ({"values": VALUES | {"urn:id": ("x" * 129,)}}, "SP-10"),
    "user name of 257": ({"values": VALUES | {"uid": ("x" * 257,)}}, "SP-10"),
    "email without a domain": ({"values": VALUES | {"mail": ("ada",)}}, "SP-10"),
    "email with two at signs": ({"values": VALUES | {"mail": ("a@b@example.org",)}}, "SP-10"),
    "email with a blank": ({"values": VALUES | {"mail": ("a b@example.org",)}}, "SP-10"),
    "first name turning round": ({"values": VALUES | {"givenName": ("a\u202eb",)}}, "SP-10"),
    "first name with a tab": ({"values": VALUES | {"givenName": ("a&#9;b",)}}, "SP-10"),
    "first name of 257": ({"values": VALUES | {"givenName": ("x" * 257,)}}, "SP-10"),
    "an authority of nothing": ({"authn": chain("")}, "SP-10"),
    "an endless chain": ({"authn": chain(*["https://a/"] * 8)}, "SP-10"),
    "context class with a break": ({"authn": chain(context="urn:a&#10;b")}, "SP-10"),
}


@pytest.mark.parametrize(("pieces", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_could_be_read_as_somebody_else_is_refused(
    tmp_path: Path, pieces: dict[str, Any], rule: str
) -> None:
    refused = refusal(upstream(tmp_path), answer(**pieces))
    assert (type(refused), refused.rule) == (AssertionInvalid, rule)


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({}, None),
        ({"givenName": ()}, None),
        ({"givenName": ("",)}, None),
        ({"givenName": ("Jos\u00e9 \u200c\u0627",)}, "Jos\u00e9 \u200c\u0627"),
    ],
)
def test_an_attribute_that_decides_nothing_may_be_absent_or_unusual(
    tmp_path: Path, values: dict[str, tuple[str, ...]], seen: str | None
) -> None:
    without = {k: v for k, v in VALUES.items() if k != "givenName"}
    proof = upstream(tmp_path).finish(answer(without | values), PENDING)
    assert proof.subject.attributes.get("first_name") == seen


def test_a_standby_may_map_the_link_key_alone(tmp_path: Path) -> None:
    proof = upstream(tmp_path, attributes={"link_key": "mail"}).finish(answer(), PENDING)
    assert (proof.subject.link_key, proof.subject.attributes) == ("ada@example.org", {})


def test_without_id_and_link_key_nobody_is_named(tmp_path: Path) -> None:
    assert refusal(upstream(tmp_path, attributes={"email": "mail"}), answer()).rule == "SP-10"


def test_a_transient_name_id_names_nobody(tmp_path: Path) -> None:
    name_id = (
        '<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient">x</saml:NameID>'
    )
    message = answer(subject=messages.subject(name_id=name_id))
    assert upstream(tmp_path).finish(message, PENDING).subject.link_key == "E-1815"
    by_name_id = upstream(tmp_path, attributes={"id": "NameID"})
    assert "transient" in refusal(by_name_id, message).detail


@pytest.mark.parametrize(
    ("email", "allowed"),
    [
        ("ada@example.org", True),
        ("ada@EXAMPLE.org", True),
        ("ada@corp.example.org", False),
        ("ada@evilexample.org", False),
        ("ada@example.org.evil.net", False),
        ("ada@other.org", False),
    ],
)
def test_an_upstream_speaks_for_its_own_domains_only(
    tmp_path: Path, email: str, *, allowed: bool
) -> None:
    party = upstream(tmp_path, email_domains=frozenset({"example.org", "example.net"}))
    message = answer(VALUES | {"mail": (email,)})
    if allowed:
        assert party.finish(message, PENDING).subject.attributes["email"] == email
    else:
        assert refusal(party, message).rule == "FO-10"


def test_domains_without_a_mapped_email_refuse_everybody(tmp_path: Path) -> None:
    party = upstream(tmp_path, attributes={"id": "urn:id"}, email_domains=frozenset({"a.org"}))
    assert refusal(party, answer()).rule == "FO-10"


def status(*codes: str) -> str:
    opened = "".join(f'<samlp:StatusCode Value="{code}">' for code in codes)
    return f"<samlp:Status>{opened}{'</samlp:StatusCode>' * len(codes)}</samlp:Status>"


def test_a_refusal_of_the_upstream_is_told_apart_from_a_bad_answer(tmp_path: Path) -> None:
    failed = status(
        "urn:oasis:names:tc:SAML:2.0:status:Responder",
        "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed",
    )
    octets = ours(messages.response(status=failed, assertion="")).encode()
    refused = refusal(upstream(tmp_path), messages.posted(octets))
    assert (type(refused), refused.rule) == (UpstreamRefused, "FO-02")


@pytest.mark.parametrize("message", ["", "%", "PGEvPg==", "A" * 400_000])
def test_garbage_is_refused_and_never_worse(tmp_path: Path, message: str) -> None:
    assert isinstance(refusal(upstream(tmp_path), message), MalformedMessage)


@pytest.mark.parametrize(
    ("now", "rule"),
    [(NOW + timedelta(seconds=421), "SP-07"), (NOW - timedelta(seconds=181), "SP-07")],
)
def test_the_limits_of_the_configuration_are_used(tmp_path: Path, now: Any, rule: str) -> None:
    assert refusal(upstream(tmp_path), answer(), replace(PENDING, now=now)).rule == rule


def test_the_lifetime_cap_of_the_configuration_is_used(tmp_path: Path) -> None:
    limits = UpstreamLimits(timedelta(seconds=120), timedelta(seconds=200))
    assert refusal(upstream(tmp_path, limits=limits), answer()).rule == "SP-07"


def test_an_upstream_may_forbid_to_pass_its_answer_on(tmp_path: Path) -> None:
    restriction = '<saml:ProxyRestriction Count="1"><saml:Audience>{}</saml:Audience>'
    for audience, passes in ((messages.SERVICE_PROVIDER, True), ("https://other.org/", False)):
        extra = restriction.format(audience) + "</saml:ProxyRestriction>"
        message = answer(conditions=messages.conditions(extra=extra))
        if passes:
            assert upstream(tmp_path).finish(message, PENDING)
        else:
            assert refusal(upstream(tmp_path), message).rule == "SP-11"
