"""Answers that are truly signed, and out of time or of another shape than the profile has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.saml import checks
from tests.attacks.attack import ResponseAttack, table
from tests.attacks.messages import (
    ASSERTION,
    ATTRIBUTES,
    CONDITIONS,
    CONFIRMATION,
    CONFIRMATION_DATA,
    NAME_ID,
    STATEMENT,
    STATUS_CODE,
    Signed,
    add,
    at,
    drop,
    forged,
    octets,
    one,
    put,
    said,
    signed,
    twice,
    unset,
    unsigned,
    write,
)

if TYPE_CHECKING:
    from tests.attacks.attack import Login

SUBJECT = f"{ASSERTION}/a:Subject"
CONTEXT = f"{STATEMENT}/a:AuthnContext"
HOUR = 3600
HOLDER_OF_KEY = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"


TIMES = (
    *table(
        "time",
        checks.sp_07_times,
        {
            "IssueInstant missing": said(unset(ASSERTION, "IssueInstant")),
            "issued two hours ago": said(put(ASSERTION, "IssueInstant", at(-2 * HOUR))),
            "issued in ten minutes": said(put(ASSERTION, "IssueInstant", at(600))),
            "expired": said(put(CONDITIONS, "NotOnOrAfter", at(-121))),
            "confirmation expired": said(put(CONFIRMATION_DATA, "NotOnOrAfter", at(-121))),
            "not valid yet": said(put(CONDITIONS, "NotBefore", at(130))),
            "no end of the confirmation": said(unset(CONFIRMATION_DATA, "NotOnOrAfter")),
            "no end of the conditions": said(unset(CONDITIONS, "NotOnOrAfter")),
            "no beginning of the conditions": said(unset(CONDITIONS, "NotBefore")),
            "a beginning of the confirmation": said(put(CONFIRMATION_DATA, "NotBefore", at(-60))),
            "valid for a year": said(put(CONDITIONS, "NotOnOrAfter", at(365 * 24 * HOUR))),
            "confirmed for a year": said(
                put(CONFIRMATION_DATA, "NotOnOrAfter", at(365 * 24 * HOUR))
            ),
            "valid to the end of time": said(
                put(CONDITIONS, "NotOnOrAfter", "9999-12-31T23:59:59Z")
            ),
            "another zone": said(put(CONDITIONS, "NotOnOrAfter", "2099-01-01T00:00:00+14:00")),
            "no zone": said(put(CONDITIONS, "NotOnOrAfter", lambda login: at(300)(login)[:-1])),
            "a day only": said(put(CONDITIONS, "NotBefore", "2020-01-01")),
            "a blank in front": said(
                put(CONDITIONS, "NotOnOrAfter", lambda login: f" {at(300)(login)}")
            ),
            "not a time": said(put(CONDITIONS, "NotOnOrAfter", "tomorrow")),
            "the 30th of February": said(put(CONDITIONS, "NotBefore", "2020-02-30T00:00:00Z")),
            "Arabic digits": said(put(CONDITIONS, "NotBefore", "٢٠٢٠-01-01T00:00:00Z")),
            "the year zero": said(put(CONDITIONS, "NotBefore", "0000-01-01T00:00:00Z")),
            "a leap second": said(put(CONDITIONS, "NotBefore", "2020-01-01T00:00:60Z")),
        },
    ),
    *table(
        "time",
        checks.sp_07_authn_times,
        {
            "authenticated in the future": said(put(STATEMENT, "AuthnInstant", at(130))),
            "no AuthnInstant": said(unset(STATEMENT, "AuthnInstant")),
            "session over": said(put(STATEMENT, "SessionNotOnOrAfter", at(-130))),
            "session end not a time": said(put(STATEMENT, "SessionNotOnOrAfter", "never")),
        },
    ),
    *table(
        "time",
        checks.sp_04_audience,
        {"no Conditions": said(drop(CONDITIONS)), "Conditions twice": said(twice(CONDITIONS))},
        rule="SP-07",
    ),
)

STATUSES = table(
    "status",
    checks.fo_02_status,
    {
        name: said(put(STATUS_CODE, "Value", f"urn:oasis:names:tc:SAML:2.0:status:{name}"))
        for name in ("Requester", "Responder", "VersionMismatch", "AuthnFailed", "success")
    }
    | {
        "no value": said(unset(STATUS_CODE, "Value")),
        "an error without an assertion": said(
            put(STATUS_CODE, "Value", "urn:oasis:names:tc:SAML:2.0:status:Responder"),
            add(
                STATUS_CODE, '<p:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:NoPassive"/>'
            ),
            drop(ASSERTION),
            what=Signed.NOTHING,
        ),
    },
) + table(
    "status",
    checks.fo_02_status,
    {
        "no Status": said(drop("p:Status")),
        "no StatusCode": said(drop(STATUS_CODE)),
        "two StatusCodes": said(twice(STATUS_CODE)),
    },
    rule="SP-09",
)


def _unsigned_copy_first(login: Login) -> bytes:
    """CVE-2022-41912, CVE-2026-25922: whoever reads the first one reads an unsigned one."""
    root = signed(unsigned(login), login)
    copy = one(unsigned(login), ASSERTION)
    copy.set("ID", "_first")
    one(root, ASSERTION).addprevious(copy)
    return octets(root)


STRUCTURE = (
    *table(
        "structure",
        checks.sp_09_one_assertion,
        {
            "no assertion": said(drop(ASSERTION), what=Signed.NOTHING),
            "two assertions, one unsigned and first": _unsigned_copy_first,
            "two assertions, one unsigned and last": forged(
                add(".", '<a:Assertion ID="_x" Version="2.0"/>')
            ),
            "an empty EncryptedAssertion beside it": forged(add(".", "<a:EncryptedAssertion/>")),
            "EncryptedAssertion in front": forged(add(".", "<a:EncryptedAssertion/>", 1)),
            "EncryptedAssertion inside": said(add(ATTRIBUTES, "<a:EncryptedAssertion/>")),
            "Extensions": forged(add(".", "<p:Extensions/>", 1)),
            "Advice": said(add(ASSERTION, "<a:Advice/>", 4)),
            "Advice within a statement": said(add(STATEMENT, "<a:Advice/>")),
            "EncryptedID": said(drop(NAME_ID), add(SUBJECT, "<a:EncryptedID/>", 0)),
            "EncryptedAttribute": said(add(ATTRIBUTES, "<a:EncryptedAttribute/>")),
            "Object in an attribute value": said(add(ATTRIBUTES, "<ds:Object/>")),
            "a second Status": forged(twice("p:Status")),
            "Status behind the assertion": forged(
                lambda root, _: root.append(one(root, "p:Status"))
            ),
            "an element of nobody's": forged(add(".", '<x:more xmlns:x="urn:x"/>')),
        },
    ),
    *table(
        "structure",
        checks.sp_09_version,
        {
            "Response of version 1.1": forged(put(".", "Version", "1.1")),
            "Response without a version": forged(unset(".", "Version")),
            "assertion of version 2": said(put(ASSERTION, "Version", "2")),
        },
    ),
    *table(
        "structure",
        checks.sp_09_parts,
        {
            "no Subject": said(drop(SUBJECT)),
            "Subject twice": said(twice(SUBJECT)),
            "no NameID": said(drop(NAME_ID)),
            "NameID twice": said(twice(NAME_ID)),
            "BaseID for a NameID": said(drop(NAME_ID), add(SUBJECT, "<a:BaseID/>", 0)),
            "no confirmation": said(drop(CONFIRMATION)),
            "two confirmations": said(twice(CONFIRMATION)),
            "holder of key": said(put(CONFIRMATION, "Method", HOLDER_OF_KEY)),
            "sender vouches": said(
                put(CONFIRMATION, "Method", "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches")
            ),
            "no method": said(unset(CONFIRMATION, "Method")),
            "bearer in capitals": said(
                put(CONFIRMATION, "Method", "URN:OASIS:NAMES:TC:SAML:2.0:CM:BEARER")
            ),
            "bearer second, holder of key first": said(
                add(
                    SUBJECT,
                    f'<a:SubjectConfirmation Method="{HOLDER_OF_KEY}"/>',
                    1,
                )
            ),
            "no AuthnStatement": said(drop(STATEMENT)),
            "AuthnStatement twice": said(twice(STATEMENT)),
            "AttributeStatement twice": said(twice(ATTRIBUTES)),
            "an AuthzDecisionStatement": said(
                add(ASSERTION, '<a:AuthzDecisionStatement Resource="/" Decision="Permit"/>')
            ),
            "a Statement of one's own": said(
                add(ASSERTION, '<a:Statement xsi:type="x:y" xmlns:x="urn:x"/>')
            ),
            "no AuthnContext": said(drop(CONTEXT)),
            "no AuthnContextClassRef": said(drop(f"{CONTEXT}/a:AuthnContextClassRef")),
            "two AuthnContextClassRefs": said(twice(f"{CONTEXT}/a:AuthnContextClassRef")),
            "an empty AuthnContextClassRef": said(write(f"{CONTEXT}/a:AuthnContextClassRef", " ")),
        },
    ),
    *table(
        "structure",
        checks.sp_03_confirmation_in_response_to,
        {
            "no SubjectConfirmationData": said(drop(CONFIRMATION_DATA)),
            "SubjectConfirmationData twice": said(twice(CONFIRMATION_DATA)),
        },
        rule="SP-09",
    ),
)

ATTACKS: tuple[ResponseAttack, ...] = (
    *TIMES,
    *STATUSES,
    *STRUCTURE,
)
