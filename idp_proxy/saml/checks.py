"""The rules that an upstream's Response must pass: `CHECKS` is the whole list, in order.

Each entry is a function named by its rule (docs/security). They run in stages: on the posted text,
on the document as received (nothing read from it is ever used), on its signatures, and on the
answer, which was parsed again from the octets that were signed. Cheap checks come first.

Sources: SAML core 2 and 3.2, profiles 4.1.4, and the rules of docs/security.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from idp_proxy.errors import AssertionInvalid, MalformedMessage, UpstreamRefused
from idp_proxy.saml import document, names
from idp_proxy.saml.answer import RequireSigned, required_time
from idp_proxy.saml.xml import MAX_BASE64, children, text_of

if TYPE_CHECKING:
    from idp_proxy.saml.answer import Answer, Envelope
    from idp_proxy.saml.document import Check

_SAML: Final = f"{{{names.SAML}}}"
_SAMLP: Final = f"{{{names.SAMLP}}}"
_FORBIDDEN: Final = (
    f"{_SAMLP}Extensions",
    f"{_SAML}Advice",
    f"{_SAML}EncryptedID",
    f"{_SAML}EncryptedAttribute",
    f"{{{names.DS}}}Object",
)
_PARTS: Final = frozenset(
    f"{_SAML}{part}"
    for part in ("Issuer", "Subject", "Conditions", "AuthnStatement", "AttributeStatement")
)
_HEAD: Final = (names.ISSUER, names.SIGNATURE)

# On the posted text.


def xml_02_message(message: str) -> None:
    """At most 256 KiB behind the base64."""
    if len(message) > MAX_BASE64:
        raise MalformedMessage("XML-02", f"{len(message)} characters of base64")


# On the document as received.


def fo_02_status(envelope: Envelope) -> None:
    """Success, or the upstream did not log the person in; that never counts as an outage."""
    status = envelope.root.find(f"{_SAMLP}Status")
    codes = [] if status is None else children(status, f"{_SAMLP}StatusCode")
    if len(codes) != 1:
        raise AssertionInvalid("SP-09", "no single StatusCode")
    if codes[0].get("Value") != names.STATUS_SUCCESS:
        chain = [str(code.get("Value")) for code in codes[0].iter(f"{_SAMLP}StatusCode")]
        raise UpstreamRefused("FO-02", f"status {' / '.join(chain)[:300]!r}")


def sp_09_one_assertion(envelope: Envelope) -> None:
    """One assertion of either kind, directly in the Response behind its one Status, and nothing
    that could carry another one (SAML core 3.3.3).
    """
    found = [child.tag for child in envelope.root.iter(names.ASSERTION, names.ENCRYPTED_ASSERTION)]
    parts = [str(child.tag) for child in envelope.root if child.tag not in _HEAD]
    if len(found) != 1 or parts != [f"{_SAMLP}Status", *found]:
        raise AssertionInvalid("SP-09", f"{len(found)} assertions, among {', '.join(parts)[:300]}")
    carrier = next(envelope.root.iter(*_FORBIDDEN), None)
    if carrier is not None:
        raise AssertionInvalid("SP-09", f"a {carrier.tag} is not accepted")


def sp_09_version(envelope: Envelope) -> None:
    """SAML 2.0 throughout (SAML core 3.2.2, 2.3.3)."""
    for element in envelope.root.iter(names.RESPONSE, names.ASSERTION):
        if element.get("Version") != "2.0":
            raise AssertionInvalid("SP-09", "another version than 2.0")


def fo_01_response_issuer(envelope: Envelope) -> None:
    """Every Issuer is the upstream that this login asked (profiles 4.1.4.2)."""
    encrypted = envelope.root.find(names.ENCRYPTED_ASSERTION) is not None
    if encrypted and envelope.root.find(names.ISSUER) is None:
        raise AssertionInvalid("FO-01", "the Response has no Issuer")
    for issuer in envelope.root.iter(names.ISSUER):
        if text_of(issuer) != envelope.expected.issuer:
            raise AssertionInvalid(
                "FO-01", f"issuer {text_of(issuer)[:200]!r}, asked {envelope.expected.issuer!r}"
            )


def sp_03_response_in_response_to(envelope: Envelope) -> None:
    """The Response answers the one request of this login; an unsolicited one answers none."""
    if envelope.root.get("InResponseTo") != envelope.expected.request_id:
        raise AssertionInvalid("SP-03", "the Response does not answer this login's request")


def sp_05_destination(envelope: Envelope) -> None:
    """The Response is addressed to this upstream's ACS, to the letter."""
    if envelope.root.get("Destination") != envelope.expected.acs_url:
        raise AssertionInvalid("SP-05", "Destination is not this assertion consumer service")


# On the answer: from here on, only what was signed.


def sp_01_signed_as_required(answer: Answer) -> None:
    """The assertion, the Response or both are signed, as this upstream's policy demands."""
    required = answer.expected.require_signed
    if required is not RequireSigned.RESPONSE and not answer.assertion_signed:
        raise AssertionInvalid("SP-01", "the assertion is not signed")
    if required is not RequireSigned.ASSERTION and answer.response is None:
        raise AssertionInvalid("SP-01", "the Response is not signed")


def fo_01_assertion_issuer(answer: Answer) -> None:
    """The assertion's Issuer is the upstream that was asked; after decryption too."""
    if text_of(answer.part("Issuer", "FO-01")) != answer.expected.issuer:
        raise AssertionInvalid("FO-01", "the assertion is by another issuer")


def sp_09_parts(answer: Answer) -> None:
    """One Subject with one bearer confirmation, one AuthnStatement, at most one
    AttributeStatement, and no other statement or carrier.
    """
    for child in answer.assertion:
        if child.tag not in _PARTS:
            raise AssertionInvalid("SP-09", f"a {child.tag} in the assertion")
    if answer.assertion.get("Version") != "2.0":
        raise AssertionInvalid("SP-09", "another version than 2.0")
    if next(answer.assertion.iter(*_FORBIDDEN), None) is not None:
        raise AssertionInvalid("SP-09", "an element that is not accepted")
    if len(children(answer.assertion, f"{_SAML}AttributeStatement")) > 1:
        raise AssertionInvalid("SP-09", "several AttributeStatements")
    answer.part("NameID", "SP-09", answer.subject)
    confirmation = answer.part("SubjectConfirmation", "SP-09", answer.subject)
    if confirmation.get("Method") != names.CONFIRMATION_BEARER:
        raise AssertionInvalid("SP-09", "a confirmation that is not bearer")
    context = answer.part("AuthnContext", "SP-09", answer.authn_statement)
    if not text_of(answer.part("AuthnContextClassRef", "SP-09", context)).strip():
        raise AssertionInvalid("SP-09", "an empty AuthnContextClassRef")


def sp_03_confirmation_in_response_to(answer: Answer) -> None:
    """The signed confirmation answers the same request: an injected assertion does not."""
    if answer.confirmation_data.get("InResponseTo") != answer.expected.request_id:
        raise AssertionInvalid("SP-03", "the assertion does not answer this login's request")
    signed = answer.response
    if signed is not None and signed.get("InResponseTo") != answer.expected.request_id:
        raise AssertionInvalid("SP-03", "the signed Response answers another request")


def sp_05_recipient(answer: Answer) -> None:
    """Recipient, and the signed Destination, are this upstream's ACS, to the letter."""
    if answer.confirmation_data.get("Recipient") != answer.expected.acs_url:
        raise AssertionInvalid("SP-05", "Recipient is not this assertion consumer service")
    signed = answer.response
    if signed is not None and signed.get("Destination") != answer.expected.acs_url:
        raise AssertionInvalid("SP-05", "the signed Destination is another one")


def sp_04_audience(answer: Answer) -> None:
    """At least one AudienceRestriction, and each of them names us (SAML core 2.5.1.4: ANDed)."""
    restrictions = children(answer.conditions, f"{_SAML}AudienceRestriction")
    if not restrictions:
        raise AssertionInvalid("SP-04", "no AudienceRestriction")
    for restriction in restrictions:
        audiences = [text_of(audience) for audience in children(restriction, f"{_SAML}Audience")]
        if answer.expected.audience not in audiences:
            raise AssertionInvalid(
                "SP-04", f"an audience restriction without us: {audiences}"[:400]
            )


def sp_07_times(answer: Answer) -> None:
    """Every time is there, in UTC, and includes now; nothing lives longer than the cap.

    The life of an assertion counts from its IssueInstant: some upstreams backdate NotBefore.
    """
    expected, now, skew = answer.expected, answer.expected.now, answer.expected.clock_skew
    issued = required_time(answer.assertion, "IssueInstant")
    if not now - expected.max_lifetime - skew <= issued <= now + skew:
        raise AssertionInvalid("SP-07", f"issued at {issued}, now {now}")
    if answer.confirmation_data.get("NotBefore") is not None:
        raise AssertionInvalid("SP-07", "NotBefore in a bearer confirmation (profiles 4.1.4.2)")
    if required_time(answer.conditions, "NotBefore") > now + skew:
        raise AssertionInvalid("SP-07", "not valid yet")
    for element in (answer.conditions, answer.confirmation_data):
        end = required_time(element, "NotOnOrAfter")
        if end <= now - skew:
            raise AssertionInvalid("SP-07", f"expired at {end}, now {now}")
        if end > issued + expected.max_lifetime:
            raise AssertionInvalid("SP-07", f"valid for {end - issued}, over the cap")


def sp_07_authn_times(answer: Answer) -> None:
    """The person authenticated before now, and that session has not ended."""
    now, skew = answer.expected.now, answer.expected.clock_skew
    if required_time(answer.authn_statement, "AuthnInstant") > now + skew:
        raise AssertionInvalid("SP-07", "AuthnInstant lies in the future")
    if answer.authn_statement.get("SessionNotOnOrAfter") is not None:
        end = required_time(answer.authn_statement, "SessionNotOnOrAfter")
        if end <= now - skew:
            raise AssertionInvalid("SP-07", "the session at the upstream has ended")


def sp_11_conditions(answer: Answer) -> None:
    """Only conditions that are understood, and none that forbids to pass the answer on.

    A ProxyRestriction with Count 0, or with audiences that leave out the service provider behind
    us, says that no assertion may be issued on the strength of this one (SAML core 2.5.1.6).
    """
    known = {f"{_SAML}{tag}" for tag in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction")}
    for condition in answer.conditions:
        if condition.tag not in known:
            raise AssertionInvalid("SP-11", f"unknown condition {condition.tag}")
    for restriction in children(answer.conditions, f"{_SAML}ProxyRestriction"):
        count = restriction.get("Count", "1")
        if not (count.isascii() and count.isdigit()) or int(count[:9]) == 0:
            raise AssertionInvalid("SP-11", "the upstream forbids to pass its answer on")
        audiences = [text_of(audience) for audience in children(restriction, f"{_SAML}Audience")]
        if audiences and answer.expected.proxied_to not in audiences:
            raise AssertionInvalid("SP-11", "the upstream forbids to pass its answer to this one")


def sp_10_name_id(answer: Answer) -> None:
    """The NameID is one identifier that cannot be read in two ways."""
    name_id = text_of(answer.part("NameID", "SP-09", answer.subject))
    if why := why_ambiguous(name_id):
        raise AssertionInvalid("SP-10", f"NameID {why}")


ON_MESSAGE: Final[tuple[Check[str], ...]] = (xml_02_message,)
ON_ENVELOPE: Final[tuple[Check[Envelope], ...]] = (
    fo_02_status,
    sp_09_one_assertion,
    sp_09_version,
    fo_01_response_issuer,
    sp_03_response_in_response_to,
    sp_05_destination,
)
ON_ANSWER: Final[tuple[Check[Answer], ...]] = (
    sp_01_signed_as_required,
    fo_01_assertion_issuer,
    sp_09_parts,
    sp_03_confirmation_in_response_to,
    sp_05_recipient,
    sp_04_audience,
    sp_07_times,
    sp_07_authn_times,
    sp_11_conditions,
    sp_10_name_id,
)
CHECKS: tuple[Check[Any], ...] = (
    *ON_MESSAGE,
    *document.OCTET_CHECKS,
    *document.SHAPE_CHECKS,
    *ON_ENVELOPE,
    *document.SIGNATURE_CHECKS,
    *ON_ANSWER,
)


def why_ambiguous(value: str, longest: int = 256) -> str | None:
    """Why an identifier could be read in two ways (SP-10), or None: empty, too long, blanks around
    it, control, format or unassigned characters, or a form that Unicode normalisation changes.
    """
    if not value or len(value) > longest:
        return "is empty" if not value else f"has {len(value)} characters, at most {longest}"
    if value != value.strip():
        return "has blanks around it"
    # Printable ASCII has none of what the rest looks for, and most identifiers are of it.
    return None if value.isascii() and value.isprintable() else _why_unclear(value)


def _why_unclear(value: str) -> str | None:
    if any(unicodedata.category(character) in _UNSAFE for character in value):
        return "has control, format or line characters"
    if _INVISIBLE.search(value):
        return "has invisible characters"
    if unicodedata.normalize("NFKC", value) != value:
        return "changes under Unicode normalisation (NFKC)"
    return None


#: Letters and marks that show nothing (Default_Ignorable_Code_Point, UAX 44), and two odd blanks;
#: neither their category nor normalisation gives them away.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2800\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
