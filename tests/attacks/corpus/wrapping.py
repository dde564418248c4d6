"""XML signature wrapping: what was signed is still there, and something else is to be read.

XSW1 to XSW8 are those of Somorovsky and others (2012), XSW10 is SAML Raider's; the carriers below
are every place where a message can hold another piece of XML.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from idp_proxy.saml import checks, document
from tests.attacks.attack import Policy, ResponseAttack, rule_of
from tests.attacks.messages import (
    ASSERTION,
    NAME_ID,
    VICTIM,
    Signed,
    octets,
    one,
    piece,
    signed,
    unsigned,
)
from tests.attacks.signer import DS, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml import etree

    from tests.attacks.attack import Login

KLASS = "wrapping"
SIGNATURE = "ds:Signature"


def attack(
    name: str,
    check: Callable[..., None],
    make: Callable[[Login], bytes],
    policy: Policy = Policy.ASSERTION,
) -> ResponseAttack:
    return ResponseAttack(name, KLASS, rule_of(check), check, make, policy)


def honest(login: Login, what: Signed = Signed.ASSERTION) -> etree._Element:
    return signed(unsigned(login), login, what)


def evil_response(login: Login) -> etree._Element:
    """An unsigned Response about the victim, under an ID of its own."""
    root = unsigned(login)
    one(root, NAME_ID).text = VICTIM
    for element in (root, one(root, ASSERTION)):
        element.set("ID", f"{element.get('ID')}evil")
    return root


def evil_assertion(login: Login) -> etree._Element:
    return one(evil_response(login), ASSERTION)


def take(element: etree._Element, path: str) -> etree._Element:
    """The element at `path`, taken out of its place."""
    found = one(element, path)
    parent = found.getparent()
    assert parent is not None
    parent.remove(found)
    return found


def xsw1(login: Login) -> bytes:
    original, evil = honest(login, Signed.RESPONSE), evil_response(login)
    signature = deepcopy(one(original, SIGNATURE))
    take(original, SIGNATURE)
    signature.append(original)
    evil.insert(1, signature)
    return octets(evil)


def xsw2(login: Login) -> bytes:
    original, evil = honest(login, Signed.RESPONSE), evil_response(login)
    signature = take(original, SIGNATURE)
    evil.insert(1, original)
    evil.insert(2, signature)
    return octets(evil)


def xsw3(login: Login) -> bytes:
    root = honest(login)
    one(root, ASSERTION).addprevious(evil_assertion(login))
    return octets(root)


def xsw4(login: Login) -> bytes:
    root = honest(login)
    original = take(root, ASSERTION)
    evil = evil_assertion(login)
    evil.append(original)
    root.append(evil)
    return octets(root)


def xsw5(login: Login) -> bytes:
    root = honest(login)
    original = take(root, ASSERTION)
    evil = evil_assertion(login)
    evil.insert(1, take(original, SIGNATURE))
    root.extend([evil, original])
    return octets(root)


def xsw6(login: Login) -> bytes:
    root = honest(login)
    original = take(root, ASSERTION)
    evil = evil_assertion(login)
    signature = take(original, SIGNATURE)
    signature.append(original)
    evil.insert(1, signature)
    root.append(evil)
    return octets(root)


def xsw7(login: Login) -> bytes:
    root = honest(login)
    extensions = piece("<p:Extensions/>")
    extensions.append(evil_assertion(login))
    root.insert(1, extensions)
    return octets(root)


def xsw8(login: Login) -> bytes:
    root = honest(login)
    original = take(root, ASSERTION)
    evil = evil_assertion(login)
    signature = take(original, SIGNATURE)
    holder = piece("<ds:Object/>")
    holder.append(original)
    signature.append(holder)
    evil.insert(1, signature)
    root.append(evil)
    return octets(root)


def xsw10(login: Login) -> bytes:
    """The signed assertion in an Object of a Signature over nothing in front of the evil one."""
    root = honest(login)
    original = take(root, ASSERTION)
    decoy = piece("<ds:Signature><ds:Object/></ds:Signature>")
    decoy[0].append(original)
    root.insert(1, decoy)
    root.append(evil_assertion(login))
    return octets(root)


def same_id(login: Login) -> bytes:
    root = honest(login)
    evil = evil_assertion(login)
    evil.set("ID", str(one(root, ASSERTION).get("ID")))
    one(root, ASSERTION).addprevious(evil)
    return octets(root)


def same_id_lower_case(login: Login) -> bytes:
    """The evil element claims the signed ID by an attribute that some libraries take for an ID."""
    root = honest(login)
    one(root, "p:Status").set("Id", str(one(root, ASSERTION).get("ID")))
    return octets(root)


def same_xml_id(login: Login) -> bytes:
    root = honest(login)
    one(root, "p:Status").set(
        "{http://www.w3.org/XML/1998/namespace}id", str(one(root, ASSERTION).get("ID"))
    )
    return octets(root)


def response_in_response(login: Login) -> bytes:
    """A signed Response whole inside an unsigned one, in place of its assertion."""
    evil = evil_response(login)
    take(evil, ASSERTION)
    evil.append(honest(login, Signed.RESPONSE))
    return octets(evil)


def response_in_status_detail(login: Login) -> bytes:
    evil = evil_response(login)
    detail = piece("<p:StatusDetail/>")
    detail.append(honest(login, Signed.BOTH))
    one(evil, "p:Status").append(detail)
    return octets(evil)


def signature_borrowed(login: Login) -> bytes:
    """The Response bears the assertion's signature, whose Reference points past it."""
    root = evil_response(login)
    original = one(honest(login), ASSERTION)
    root.insert(1, take(original, SIGNATURE))
    return octets(root)


def two_signatures(login: Login) -> bytes:
    """A worthless signature in front, the true one behind it."""
    root = honest(login)
    assertion = one(root, ASSERTION)
    sign(assertion, login.standby_keys)
    return octets(root)


def true_signature_last(login: Login) -> bytes:
    root = honest(login)
    assertion = one(root, ASSERTION)
    assertion.append(take(assertion, SIGNATURE))
    return octets(root)


def true_signature_first(login: Login) -> bytes:
    root = honest(login)
    assertion = one(root, ASSERTION)
    assertion.insert(0, take(assertion, SIGNATURE))
    return octets(root)


def signature_behind_subject(login: Login) -> bytes:
    """The Signature is the second child, and the first is not the Issuer."""
    root = unsigned(login)
    assertion = one(root, ASSERTION)
    assertion.insert(2, take(assertion, "a:Issuer"))
    sign(assertion, login.keys)
    assertion.insert(1, take(assertion, SIGNATURE))
    return octets(root)


def signature_in_status(login: Login) -> bytes:
    root = honest(login, Signed.RESPONSE)
    one(root, "p:Status").append(take(root, SIGNATURE))
    return octets(root)


def _signed_object(login: Login) -> bytes:
    """An Object inside the true signature, which the digest does not cover."""
    root = honest(login)
    one(root, f"{ASSERTION}/{SIGNATURE}").append(piece("<ds:Object/>"))
    return octets(root)


def _evil_in_key_info(login: Login) -> bytes:
    root = honest(login)
    one(root, f"{ASSERTION}/{SIGNATURE}/ds:KeyInfo").append(evil_assertion(login))
    return octets(root)


def _signature_in_key_info(login: Login) -> bytes:
    root = honest(login)
    info = one(root, f"{ASSERTION}/{SIGNATURE}/ds:KeyInfo")
    info.append(deepcopy(one(root, f"{ASSERTION}/{SIGNATURE}")))
    return octets(root)


def _other_signature_namespace(login: Login) -> bytes:
    return octets(honest(login)).replace(DS.encode(), DS.replace("2000", "2001").encode())


def _text_swapped_between(login: Login) -> bytes:
    root = honest(login)
    one(root, NAME_ID).text = VICTIM
    return octets(root)


ATTACKS: tuple[ResponseAttack, ...] = (
    attack("XSW1", document.sp_02_one_of_its_kind, xsw1, Policy.RESPONSE),
    attack("XSW2", document.sp_02_one_of_its_kind, xsw2, Policy.RESPONSE),
    attack("XSW3", checks.sp_09_one_assertion, xsw3),
    attack("XSW4", checks.sp_09_one_assertion, xsw4),
    attack("XSW5", checks.sp_09_one_assertion, xsw5),
    attack("XSW6", document.sp_02_signature_parts, xsw6),
    attack("XSW7", checks.sp_09_one_assertion, xsw7),
    attack("XSW8", document.sp_02_signature_parts, xsw8),
    attack("XSW10", document.sp_02_signature_parts, xsw10),
    attack("evil one first, same ID", document.sp_02_unique_ids, same_id),
    attack("the signed ID again as Id", document.sp_02_unique_ids, same_id_lower_case),
    attack("the signed ID again as xml:id", document.sp_02_unique_ids, same_xml_id),
    attack(
        "signed Response for an assertion",
        document.sp_02_one_of_its_kind,
        response_in_response,
        Policy.RESPONSE,
    ),
    attack(
        "signed Response in StatusDetail",
        document.sp_02_one_of_its_kind,
        response_in_status_detail,
        Policy.BOTH,
    ),
    attack("assertion's signature on the Response", document.sp_02_reference, signature_borrowed),
    attack("two signatures", document.sp_02_signature_place, two_signatures),
    attack("signature as the last child", document.sp_02_signature_place, true_signature_last),
    attack("signature as the first child", document.sp_02_signature_place, true_signature_first),
    attack("signature behind Subject", document.sp_02_signature_place, signature_behind_subject),
    attack(
        "signature in Status", document.sp_02_signature_place, signature_in_status, Policy.RESPONSE
    ),
    attack("Object in the signature", document.sp_02_signature_parts, _signed_object),
    attack("evil assertion in KeyInfo", checks.sp_09_one_assertion, _evil_in_key_info),
    attack("a signature in KeyInfo", document.sp_02_signature_place, _signature_in_key_info),
    attack(
        "signature of another namespace",
        checks.sp_01_signed_as_required,
        _other_signature_namespace,
    ),
    attack("text changed after signing", document.sp_02_digest, _text_swapped_between),
)
