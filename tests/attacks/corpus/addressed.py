"""Answers by, for or to somebody else: issuers, requests, audiences, addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.saml import checks, document
from tests.attacks import signer
from tests.attacks.attack import Policy, ResponseAttack, table
from tests.attacks.messages import (
    ASSERTION,
    CONDITIONS,
    CONFIRMATION_DATA,
    Signed,
    add,
    drop,
    octets,
    one,
    put,
    said,
    unset,
    unsigned,
    write,
)

if TYPE_CHECKING:
    from tests.attacks.attack import Login

RESTRICTION = f"{CONDITIONS}/a:AudienceRestriction"
AUDIENCE = f"{RESTRICTION}/a:Audience"
RESPONSE_ISSUER = "a:Issuer"
ASSERTION_ISSUER = f"{ASSERTION}/a:Issuer"


def standby_answers(login: Login) -> bytes:
    """IdP mix-up: the standby's honest answer, in its own name and by its own key."""
    root = unsigned(login)
    for path in (RESPONSE_ISSUER, ASSERTION_ISSUER):
        one(root, path).text = login.standby_issuer
    signer.sign(one(root, ASSERTION), login.standby_keys)
    return octets(root)


def standby_in_active_name(login: Login) -> bytes:
    """Issuer spoofing: a known key, and an issuer it does not belong to."""
    root = unsigned(login)
    signer.sign(one(root, ASSERTION), login.standby_keys)
    return octets(root)


def all_of_the_standby(login: Login) -> bytes:
    """An answer made for the standby's ACS, brought to the active's."""
    root = unsigned(login)
    for path in (RESPONSE_ISSUER, ASSERTION_ISSUER):
        one(root, path).text = login.standby_issuer
    one(root, CONFIRMATION_DATA).set("Recipient", login.standby_acs_url)
    root.set("Destination", login.standby_acs_url)
    one(root, AUDIENCE).text = login.standby_audience
    signer.sign(one(root, ASSERTION), login.standby_keys)
    return octets(root)


ISSUER = (
    *table(
        "issuer",
        checks.fo_01_response_issuer,
        {
            "the standby answers": standby_answers,
            "the standby answers, all its own": all_of_the_standby,
            "Response by the standby, assertion by the active": said(
                write(RESPONSE_ISSUER, lambda login: login.standby_issuer)
            ),
            "Response by the active, assertion by the standby": said(
                write(ASSERTION_ISSUER, lambda login: login.standby_issuer)
            ),
            "with blanks around it": said(
                write(ASSERTION_ISSUER, lambda login: f" {login.issuer} ")
            ),
            "with a slash behind": said(write(ASSERTION_ISSUER, lambda login: f"{login.issuer}/")),
            "in capitals": said(write(ASSERTION_ISSUER, lambda login: login.issuer.upper())),
            "with a homoglyph": said(
                write(
                    ASSERTION_ISSUER,
                    lambda login: login.issuer.replace("p", "\u0440", 1) + "\u200b",
                )
            ),
            "empty": said(write(ASSERTION_ISSUER, "")),
            "with an element in it": said(add(ASSERTION_ISSUER, "<a:x/>")),
            "a second one in the Response": said(add(".", "<a:Issuer>urn:evil</a:Issuer>", 1)),
            "a second one in the assertion": said(
                add(ASSERTION, "<a:Issuer>urn:evil</a:Issuer>", 1)
            ),
        },
    ),
    *table(
        "issuer",
        document.sp_02_signature_place,
        {
            "signed assertion without one": said(drop(ASSERTION_ISSUER)),
            "signed Response without one": said(drop(RESPONSE_ISSUER), what=Signed.RESPONSE),
        },
    ),
    *table(
        "issuer",
        checks.fo_01_assertion_issuer,
        {"assertion without one": said(drop(ASSERTION_ISSUER), what=Signed.RESPONSE)},
        policy=Policy.RESPONSE,
    ),
    *table(
        "issuer",
        document.sp_01_signature_value,
        {"the standby in the active's name": standby_in_active_name},
    ),
)

SOLICITED = (
    *table(
        "in response to",
        checks.sp_03_response_in_response_to,
        {
            "unsolicited": said(
                unset(".", "InResponseTo"), unset(CONFIRMATION_DATA, "InResponseTo")
            ),
            "missing in the Response": said(unset(".", "InResponseTo")),
            "another request": said(
                put(".", "InResponseTo", "_other"), put(CONFIRMATION_DATA, "InResponseTo", "_other")
            ),
            "another request in the Response": said(put(".", "InResponseTo", "_other")),
            "empty": said(put(".", "InResponseTo", "")),
            "in capitals": said(
                put(".", "InResponseTo", lambda login: login.request_id.swapcase())
            ),
            "a beginning": said(put(".", "InResponseTo", lambda login: login.request_id[:-1])),
            "with a blank behind": said(
                put(".", "InResponseTo", lambda login: f"{login.request_id} ")
            ),
            "two requests": said(
                put(".", "InResponseTo", lambda login: f"{login.request_id} _other")
            ),
        },
    ),
    *table(
        "in response to",
        checks.sp_03_confirmation_in_response_to,
        {
            "missing in the confirmation": said(unset(CONFIRMATION_DATA, "InResponseTo")),
            "stolen assertion in a fresh Response": said(
                put(CONFIRMATION_DATA, "InResponseTo", "_other")
            ),
            "empty in the confirmation": said(put(CONFIRMATION_DATA, "InResponseTo", "")),
        },
    ),
)

ADDRESSED = (
    *table(
        "audience",
        checks.sp_04_audience,
        {
            "no restriction": said(drop(RESTRICTION)),
            "a restriction without an audience": said(drop(AUDIENCE)),
            "an empty one": said(write(AUDIENCE, "")),
            "another service provider": said(write(AUDIENCE, "https://other.example/metadata")),
            "Mattermost itself": said(write(AUDIENCE, lambda login: login.proxied_to)),
            "our other entity ID, the standby's": said(
                write(AUDIENCE, lambda login: login.standby_audience)
            ),
            "a second restriction without us": said(
                add(
                    CONDITIONS,
                    "<a:AudienceRestriction><a:Audience>urn:other</a:Audience>"
                    "</a:AudienceRestriction>",
                )
            ),
            "a beginning": said(write(AUDIENCE, lambda login: login.audience[:-1])),
            "a longer one": said(write(AUDIENCE, lambda login: f"{login.audience}/")),
            "in capitals": said(write(AUDIENCE, lambda login: login.audience.upper())),
            "with blanks around it": said(write(AUDIENCE, lambda login: f" {login.audience}\n")),
            "two in one element": said(write(AUDIENCE, lambda login: f"{login.audience} urn:x")),
            "with an element in it": said(add(AUDIENCE, "<a:x/>")),
            "of another namespace": said(
                drop(AUDIENCE),
                add(
                    RESTRICTION,
                    lambda login: f'<x:Audience xmlns:x="urn:x">{login.audience}</x:Audience>',
                ),
            ),
        },
    ),
    *table(
        "destination",
        checks.sp_05_destination,
        {
            "missing": said(unset(".", "Destination")),
            "empty": said(put(".", "Destination", "")),
            "the standby's": said(put(".", "Destination", lambda login: login.standby_acs_url)),
            "a beginning": said(put(".", "Destination", lambda login: login.acs_url[:-1])),
            "a longer one": said(put(".", "Destination", lambda login: f"{login.acs_url}/x")),
            "a slash behind": said(put(".", "Destination", lambda login: f"{login.acs_url}/")),
            "within another URL": said(
                put(".", "Destination", lambda login: f"https://evil.example/?{login.acs_url}")
            ),
            "with a query": said(put(".", "Destination", lambda login: f"{login.acs_url}?x=1")),
            "in capitals": said(put(".", "Destination", lambda login: login.acs_url.upper())),
            "with a user": said(
                put(".", "Destination", lambda login: login.acs_url.replace("://", "://x@"))
            ),
        },
    ),
    *table(
        "recipient",
        checks.sp_05_recipient,
        {
            "missing": said(unset(CONFIRMATION_DATA, "Recipient")),
            "empty": said(put(CONFIRMATION_DATA, "Recipient", "")),
            "the standby's": said(
                put(CONFIRMATION_DATA, "Recipient", lambda login: login.standby_acs_url)
            ),
            "a beginning": said(
                put(CONFIRMATION_DATA, "Recipient", lambda login: login.acs_url[:-1])
            ),
            "a longer one": said(
                put(CONFIRMATION_DATA, "Recipient", lambda login: f"{login.acs_url}.evil.example")
            ),
            "with a fragment": said(
                put(CONFIRMATION_DATA, "Recipient", lambda login: f"{login.acs_url}#x")
            ),
        },
    ),
)

ATTACKS: tuple[ResponseAttack, ...] = (*ISSUER, *SOLICITED, *ADDRESSED)
