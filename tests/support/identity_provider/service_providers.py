"""The service providers an identity provider answers to, read from their metadata each time."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.support import saml_wire as wire
from tests.support import xml_security
from tests.support.identity_provider.answers import Question

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lxml import etree

#: A path, a URL, or a function that gives the XML.
Source = str | Callable[[], bytes]


class QuestionRefused(Exception):
    """An AuthnRequest that this provider does not answer; the message may be shown."""


@dataclass(frozen=True, slots=True)
class ServiceProvider:
    """A registered service provider."""

    entity_id: str
    acs_urls: tuple[str, ...]
    signing_certificates: tuple[bytes, ...]
    encryption_certificate: bytes | None
    signs_requests: bool


def read_sources(sources: Iterable[Source]) -> dict[str, ServiceProvider]:
    """Every service provider whose metadata can be read now, by entity ID."""
    found = [parse(xml) for source in sources if (xml := _read(source)) is not None]
    return {provider.entity_id: provider for provider in found}


def parse(xml: bytes) -> ServiceProvider:
    """A service provider from its EntityDescriptor. Raises `WireError`."""
    entity = wire.parse(xml)
    role = entity.find("md:SPSSODescriptor", wire.NAMESPACES)
    if role is None:
        raise wire.WireError("no SPSSODescriptor")
    services = role.findall("md:AssertionConsumerService", wire.NAMESPACES)
    encryption = _certificates(role, "encryption")
    return ServiceProvider(
        entity_id=entity.get("entityID", ""),
        acs_urls=tuple(service.get("Location", "") for service in services),
        signing_certificates=_certificates(role, "signing"),
        encryption_certificate=encryption[0] if encryption else None,
        signs_requests=role.get("AuthnRequestsSigned", "false") in {"true", "1"},
    )


def read_question(
    message: bytes,
    known: dict[str, ServiceProvider],
    *,
    sso_url: str,
    detached: wire.DetachedSignature | None,
) -> Question:
    """The question in an AuthnRequest, if it is a known service provider's own.

    Raises `QuestionRefused` or `WireError`.
    """
    request = wire.parse(message)
    if request.tag != f"{{{wire.SAMLP}}}AuthnRequest":
        raise QuestionRefused(f"not an AuthnRequest: {request.tag!r}")
    issuer = (wire.text_of(request, "saml:Issuer") or "").strip()
    asker = known.get(issuer)
    if asker is None:
        raise QuestionRefused(f"unknown service provider: {issuer!r}")
    if request.get("Destination", sso_url) != sso_url:
        raise QuestionRefused("the request is meant for somebody else")
    _check_signature(request, asker, detached)
    acs_url = request.get("AssertionConsumerServiceURL") or asker.acs_urls[0]
    if acs_url not in asker.acs_urls:
        raise QuestionRefused("the answer is wanted at an address that is not registered")
    policy = request.find("samlp:NameIDPolicy", wire.NAMESPACES)
    return Question(
        request_id=request.get("ID", ""),
        issuer=issuer,
        acs_url=acs_url,
        force_authn=request.get("ForceAuthn") in {"true", "1"},
        is_passive=request.get("IsPassive") in {"true", "1"},
        name_id_format=None if policy is None else policy.get("Format"),
    )


def _check_signature(
    request: etree._Element, asker: ServiceProvider, detached: wire.DetachedSignature | None
) -> None:
    embedded = request.find("ds:Signature", wire.NAMESPACES) is not None
    if detached is None and not embedded:
        if asker.signs_requests:
            raise QuestionRefused("this service provider signs its requests; this one is unsigned")
        return
    certificates = asker.signing_certificates
    if detached is not None and not any(
        xml_security.octets_verify(detached.octets, detached.value, pem, detached.algorithm)
        for pem in certificates
    ):
        raise QuestionRefused("the signature in the query does not hold")
    if embedded and not any(xml_security.verifies(request, pem) for pem in certificates):
        raise QuestionRefused("the signature in the request does not hold")


def _certificates(role: etree._Element, use: str) -> tuple[bytes, ...]:
    keys = [
        key
        for key in role.findall("md:KeyDescriptor", wire.NAMESPACES)
        if key.get("use", use) == use
    ]
    return tuple(
        pem("".join((certificate.text or "").split()))
        for key in keys
        for certificate in key.iter(f"{{{wire.DS}}}X509Certificate")
    )


def pem(certificate_text: str) -> bytes:
    """PEM from the bare base64 that metadata holds."""
    body = "\n".join(
        textwrap.wrap(base64.b64encode(base64.b64decode(certificate_text)).decode(), 64)
    )
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode()


def _read(source: Source) -> bytes | None:
    """The metadata, or None while a file or an address has none."""
    if not isinstance(source, str):
        return source()
    try:
        if source.startswith(("http://", "https://")):
            answer = httpx.get(source, timeout=2.0, trust_env=False)
            return answer.content if answer.is_success else None
        return Path(source).read_bytes()
    except (httpx.HTTPError, OSError):
        return None
