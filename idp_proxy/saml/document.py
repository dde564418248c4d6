"""A received document, and the checks that every one of them passes before a value is read.

A document is a Response, an assertion that was decrypted, an AuthnRequest or signed metadata.
The checks are functions named by their rule (docs/security); SHAPE_CHECKS are cheap and run first,
SIGNATURE_CHECKS do cryptography. Whoever passed both may read `signed_tree`, which was parsed from
the octets under the signature and from nothing else (XML-03): what stands beside them in the
document does not exist for the reader, so wrapping (XSW) has nothing to offer.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from lxml import etree

from idp_proxy.errors import MalformedMessage, SamlError
from idp_proxy.saml import names
from idp_proxy.saml.signature import DIGEST_METHODS, SIGNATURE_METHODS, EnvelopedSignature
from idp_proxy.saml.xml import MAX_OCTETS, is_ncname, parse

if TYPE_CHECKING:
    from lxml.etree import _Element

    from idp_proxy.saml.signature import PublicKey

MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 3000
MAX_ATTRIBUTES: Final = 48
MAX_NAMESPACES: Final = 2000
MAX_NAME_OCTETS: Final = 16 * 1024

_DECLARATION = re.compile(
    rb"""\s*<\?xml\s+version=(["'])1\.0\1(\s+encoding=(["'])[Uu][Tt][Ff]-8\3)?"""
    rb"""(\s+standalone=(["'])(yes|no)\5)?\s*\?>"""
)
_MARKUP = re.compile(rb"<[!?]")
#: Whatever libxml2 may keep: names of elements, entities and attributes, namespace names, and up to
#: 59 blanks between two tags.
_NAMES = re.compile(
    rb"""</?[^\s<>/]+|&[^&;<]*;|>\s{1,59}(?=<)"""
    rb"""|\sxmlns[^=<>\s]*\s*=\s*(?:"[^"]*"|'[^']*')|\s[^\s<>"'=/]+\s*=\s*["']"""
)
#: Attributes that some XML library somewhere takes for an ID: in any case, in any namespace.
#: Their length is asked first: it costs a third of the rest, and most attributes end there.
_IDS = etree.XPath(
    "//@*[string-length(local-name()) = 2][translate(local-name(), 'id', 'ID') = 'ID']",
    regexp=False,
    smart_strings=False,
)
_TOO_MANY = etree.XPath(f"count(//*) > {MAX_ELEMENTS}", regexp=False)
_TOO_DEEP = etree.XPath(f"boolean({'/*' * (MAX_DEPTH + 1)})", regexp=False)
_TOO_WIDE = etree.XPath(f"boolean(//@*[{MAX_ATTRIBUTES + 1}])", regexp=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """What one kind of document may be: `root` is its element, `signable` those that may carry a
    Signature with the tag of the child it must follow (None: it comes first), `refusal` the error
    that its checks raise.
    """

    root: str
    signable: dict[str, str | None]
    refusal: type[SamlError]


class Document:
    """One received document: its octets, and views of them that are made when first asked for."""

    def __init__(self, octets: bytes, profile: Profile, keys: tuple[PublicKey, ...]) -> None:
        self.octets = octets
        self.profile = profile
        self.keys = keys
        self._signed: dict[str, _Element | None] = {}

    @functools.cached_property
    def root(self) -> _Element:
        """The document as received: for checks of shape only, never to read a value from."""
        return parse(self.octets)

    @functools.cached_property
    def signatures(self) -> tuple[EnvelopedSignature, ...]:
        """Every Signature that stands directly in an element which may carry one."""
        return tuple(
            EnvelopedSignature(child, bearer)
            for bearer in self.root.iter(*self.profile.signable)
            for child in bearer
            if child.tag == names.SIGNATURE
        )

    def signature_of(self, tag: str) -> EnvelopedSignature | None:
        """The Signature of the element with this name."""
        return next((s for s in self.signatures if s.bearer.tag == tag), None)

    def signed_tree(self, tag: str) -> _Element | None:
        """The element of this name, parsed again from the octets its own signature covers.

        None if it bears no signature. Meaningful only after SIGNATURE_CHECKS have passed.
        """
        if tag not in self._signed:
            signature = self.signature_of(tag)
            self._signed[tag] = None if signature is None else parse(signature.octets)
        return self._signed[tag]

    def refuse(self, rule: str, detail: str) -> SamlError:
        """The error of this kind of document; the caller raises it."""
        return self.profile.refusal(rule, detail)


Subject = TypeVar("Subject")
Check = Callable[[Subject], None]


def run(checks: tuple[Check[Any], ...], stage: tuple[Check[Subject], ...], on: Subject) -> None:
    """Run those of `checks` that belong to `stage`, in the order of `checks`.

    `checks` is the one list of what a kind of message must pass; a stage only says on what.
    """
    for check in _selected(checks, stage):
        check(on)


@functools.cache
def _selected(
    checks: tuple[Check[Any], ...], stage: tuple[Check[Any], ...]
) -> tuple[Check[Any], ...]:
    return tuple(check for check in checks if check in stage)


def rule_of(check: Check[Any]) -> str:
    """The rule that a check enforces: `sp_04_audience` -> `SP-04`."""
    area, number = check.__name__.split("_")[:2]
    return f"{area.upper()}-{number}"


def xml_02_octets(document: Document) -> None:
    """At most 256 KiB, inflated."""
    if len(document.octets) > MAX_OCTETS:
        raise MalformedMessage("XML-02", f"{len(document.octets)} octets, at most {MAX_OCTETS}")


def xml_03_utf8(document: Document) -> None:
    """UTF-8 without a byte order mark: one encoding, which two readers cannot see differently."""
    try:
        document.octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedMessage("XML-03", "not UTF-8") from error
    if document.octets.startswith(b"\xef\xbb\xbf"):
        raise MalformedMessage("XML-03", "a byte order mark")


def xml_01_markup(document: Document) -> None:
    """No DOCTYPE, entity, comment, CDATA section or processing instruction, before any parser sees
    them; only the XML declaration at the start may stand.
    """
    declaration = _DECLARATION.match(document.octets)
    found = _MARKUP.search(document.octets, declaration.end() if declaration else 0)
    if found:
        raise MalformedMessage("XML-01", f"contains {found[0].decode()}")


def xml_02_namespaces(document: Document) -> None:
    """A bounded number of namespace declarations, and bounded room for all names together.

    Canonicalisation costs the product of the declarations, and libxml2 keeps every name that it
    has met, even in a document it refuses, for as long as the thread lives.
    """
    if document.octets.count(b"xmlns") > MAX_NAMESPACES:
        raise MalformedMessage("XML-02", f"more than {MAX_NAMESPACES} namespace declarations")
    if len(document.octets) > MAX_NAME_OCTETS:
        room = sum(map(len, set(_NAMES.findall(document.octets))))
        if room > MAX_NAME_OCTETS:
            raise MalformedMessage("XML-02", f"{room} octets of names, at most {MAX_NAME_OCTETS}")


def xml_03_root(document: Document) -> None:
    """Well-formed, and the root is the one element that is expected here."""
    if document.root.tag != document.profile.root:
        raise MalformedMessage("XML-03", f"the root element is {document.root.tag}")


def xml_02_tree(document: Document) -> None:
    """Bounds on depth, on the number of elements, and on the attributes of each."""
    root = document.root
    if _TOO_MANY(root) or _TOO_DEEP(root):
        raise MalformedMessage("XML-02", f"deeper than {MAX_DEPTH} or over {MAX_ELEMENTS}")
    if _TOO_WIDE(root):
        raise MalformedMessage("XML-02", f"over {MAX_ATTRIBUTES} attributes in one element")


def sp_02_unique_ids(document: Document) -> None:
    """Each ID once in the whole document, whatever its attribute is called."""
    ids = cast("list[str]", _IDS(document.root))
    if len(set(ids)) != len(ids):
        raise document.refuse("SP-02", "an ID stands twice")
    for element in document.root.iter(*document.profile.signable):
        if not is_ncname(element.get("ID")):
            raise document.refuse("SP-02", "an element that may be signed has no proper ID")


def sp_02_one_of_its_kind(document: Document) -> None:
    """The root's element occurs once: a message wrapped in another of its kind, or an assertion in
    the one that was decrypted, has no reader here (XSW).
    """
    if sum(1 for _ in document.root.iter(document.profile.root)) != 1:
        raise document.refuse("SP-02", f"a {document.profile.root} inside another one")


def sp_02_signature_place(document: Document) -> None:
    """A Signature only behind the Issuer of an element that may be signed, one for each."""
    allowed = set()
    for bearer in document.root.iter(*document.profile.signable):
        follows = document.profile.signable[str(bearer.tag)]
        index = 0 if follows is None else 1
        if len(bearer) > index and bearer[index].tag == names.SIGNATURE:
            if follows is not None and bearer[0].tag != follows:
                raise document.refuse("SP-02", "the Signature does not follow the Issuer")
            allowed.add(bearer[index])
    if any(element not in allowed for element in document.root.iter(names.SIGNATURE)):
        raise document.refuse("SP-02", "a Signature in a place where none may be")


def sp_02_signature_parts(document: Document) -> None:
    """A Signature is SignedInfo, SignatureValue and at most a KeyInfo: no Object, no Manifest."""
    if any(signature.info is None for signature in document.signatures):
        raise document.refuse("SP-02", "a Signature with other parts than it must have")


def sp_02_reference(document: Document) -> None:
    """One Reference, to the ID of the very element that bears the Signature (SAML core 5.4.2)."""
    for signature in document.signatures:
        references = signature.info.references if signature.info else ()
        if len(references) != 1 or references[0].uri != f"#{signature.bearer.get('ID')}":
            raise document.refuse("SP-02", "the Reference is not to the signed element")


def sp_08_algorithms(document: Document) -> None:
    """Allow-lists before any cryptography: RSA or ECDSA with SHA-2, exclusive C14N, and exactly the
    transforms [enveloped-signature, exclusive C14N].
    """
    for info in [signature.info for signature in document.signatures if signature.info]:
        if info.canonicalization != names.EXC_C14N:
            raise document.refuse("SP-08", f"canonicalised by {info.canonicalization}")
        if info.signature_method not in SIGNATURE_METHODS:
            raise document.refuse("SP-08", f"signed by {info.signature_method}")
        for reference in info.references:
            if reference.digest_method not in DIGEST_METHODS:
                raise document.refuse("SP-08", f"digest by {reference.digest_method}")
            if reference.transforms != (names.ENVELOPED, names.EXC_C14N):
                raise document.refuse("SP-08", f"transforms {', '.join(reference.transforms)}")


def sp_01_signature_value(document: Document) -> None:
    """Each Signature that is present was made by a key pinned for the expected issuer."""
    for signature in document.signatures:
        if not signature.value_verifies(document.keys):
            raise document.refuse("SP-01", "a signature by none of the pinned keys")


def sp_02_digest(document: Document) -> None:
    """Each signed element is what was signed, to the octet."""
    for signature in document.signatures:
        if not signature.digest_matches():
            raise document.refuse("SP-02", "the digest is not that of the signed element")


OCTET_CHECKS: Final[tuple[Check[Document], ...]] = (
    xml_02_octets,
    xml_03_utf8,
    xml_01_markup,
    xml_02_namespaces,
)
SHAPE_CHECKS: Final[tuple[Check[Document], ...]] = (
    xml_03_root,
    xml_02_tree,
    sp_02_unique_ids,
    sp_02_one_of_its_kind,
    sp_02_signature_place,
    sp_02_signature_parts,
)
SIGNATURE_CHECKS: Final[tuple[Check[Document], ...]] = (
    sp_08_algorithms,
    sp_02_reference,
    sp_01_signature_value,
    sp_02_digest,
)
