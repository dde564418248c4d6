"""A SAML identity provider behind the proxy, as the journeys know an upstream (`upstream.base`).

begin ... the approved metadata says where to; the question is signed with this upstream's key
finish .. our own verifier -> second opinion -> canonical names (`subject_mapping`)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from idp_proxy.errors import AssertionInvalid, UpstreamUnavailable
from idp_proxy.saml import names
from idp_proxy.saml.assertion import Expected, RequireSigned, verify_response
from idp_proxy.saml.object_model import Unwritable
from idp_proxy.saml.outbound_request import Asker, Question, post_fields, redirect_url
from idp_proxy.saml.own_metadata import service_provider_metadata
from idp_proxy.upstream.base import PostForm, Proof, Redirect
from idp_proxy.upstream.dialling import Dialler
from idp_proxy.upstream.metadata_feed import MetadataFeed
from idp_proxy.upstream.reach import Reach
from idp_proxy.upstream.second_opinion import SecondOpinion
from idp_proxy.upstream.subject_mapping import AttributeMap, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from idp_proxy.config import SamlSettings, Settings
    from idp_proxy.saml.metadata import UpstreamMetadata
    from idp_proxy.upstream.base import Ask, Pending


class SamlUpstream:
    """One `[[upstream]]` of kind "saml"; implements `upstream.configured.ConfiguredUpstream`."""

    def __init__(self, upstream: SamlSettings, settings: Settings) -> None:
        self._upstream = upstream
        self._insecure_loopback = settings.proxy.insecure_loopback
        self._proxied_to = settings.service_provider.entity_id
        self._require_signed = upstream.require_signed
        self._decryption_keys = () if upstream.decryption is None else (upstream.decryption.key,)
        assurance = settings.assurance.of(upstream.name)
        self._map = AttributeMap(
            upstream.attributes,
            upstream.email_domains,
            frozenset(one.attribute for one in assurance.evidence),
        )
        self._asker = Asker(
            entity_id=upstream.entity_id,
            acs_url=upstream.acs_url,
            name_id_format=upstream.name_id_format,
            authn_contexts=upstream.requested_authn_context,
            comparison=assurance.comparison.value,
            key=upstream.signing.key,
            certificate=upstream.signing.certificate,
        )
        self._feed = MetadataFeed(
            upstream.name,
            upstream.metadata,
            settings.proxy.data_dir / "metadata",
            outbound=upstream.outbound,
            insecure_loopback=settings.proxy.insecure_loopback,
        )
        self._opinion: tuple[UpstreamMetadata, SecondOpinion] | None = None

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._upstream.name

    @property
    def feed(self) -> MetadataFeed:
        """Where its metadata is from, and what of it is approved."""
        return self._feed

    def entity_id(self, now: datetime) -> str:
        """The entity ID in the approved metadata. Raises `UpstreamUnavailable` without any."""
        return self._feed.current(now).entity_id

    def why_unusable(self, now: datetime) -> str | None:
        """None, or why nobody could log in here: no approved metadata, or expired."""
        try:
            self._feed.current(now)
        except UpstreamUnavailable as error:
            return error.detail
        return None

    def own_metadata(self) -> bytes:
        """What this upstream must know of us: our entity ID, ACS and keys for it alone (FO-12)."""
        upstream, decryption = self._upstream, self._upstream.decryption
        return service_provider_metadata(
            entity_id=upstream.entity_id,
            acs_url=upstream.acs_url,
            signing_certificate=upstream.signing.certificate,
            encryption_certificate=None if decryption is None else decryption.certificate,
            name_id_format=upstream.name_id_format,
            want_assertions_signed=self._require_signed is not RequireSigned.RESPONSE,
        )

    def probe(self, new_id: Callable[[], str]) -> Reach:
        """L1: its metadata or its login page, on its own path."""
        return Reach(
            self._upstream,
            self._feed,
            self,
            Dialler(self._upstream.outbound),
            new_id,
            insecure_loopback=self._insecure_loopback,
        )

    def begin(self, ask: Ask) -> Redirect | PostForm:
        """A signed AuthnRequest: by Redirect, or by POST where only that is offered.

        Raises `UpstreamUnavailable`.
        """
        sso = self._feed.current(ask.now).sso
        redirect = sso.get(names.BINDING_REDIRECT)
        destination = redirect or sso[names.BINDING_POST]
        question = Question(ask.request_id, destination, ask.force_authn, ask.is_passive, ask.now)
        try:
            if redirect:
                return Redirect(redirect_url(self._asker, question, ask.relay_state))
            return PostForm(destination, post_fields(self._asker, question, ask.relay_state))
        except Unwritable as error:
            raise UpstreamUnavailable(f"{self.name} could not be asked: {error}") from error

    def finish(self, message: str, pending: Pending) -> Proof:
        """The person in a posted `SAMLResponse`, if both verifiers read the same one in it.

        Raises `SamlError`, or `UpstreamUnavailable` if the metadata expired meanwhile.
        """
        metadata = self._feed.current(pending.now)
        if metadata.entity_id != pending.entity_id:
            raise AssertionInvalid("FO-01", f"{self.name} is another entity than the one asked")
        verified = verify_response(message, self._expected(metadata, pending))
        self._second_opinion(metadata).confirm(message, pending.request_id, verified, pending.now)
        return Proof(
            subject=subject_of(self.name, verified, self._map),
            assertion_id=verified.id,
            issuer=verified.issuer,
            expires_at=verified.not_on_or_after + self._upstream.limits.clock_skew,
        )

    def _expected(self, metadata: UpstreamMetadata, pending: Pending) -> Expected:
        upstream = self._upstream
        return Expected(
            issuer=metadata.entity_id,
            keys=metadata.keys,
            audience=upstream.entity_id,
            acs_url=upstream.acs_url,
            request_id=pending.request_id,
            proxied_to=self._proxied_to,
            now=pending.now,
            require_signed=self._require_signed,
            clock_skew=upstream.limits.clock_skew,
            max_lifetime=upstream.limits.max_assertion_lifetime,
            decryption_keys=self._decryption_keys,
            allow_aes_cbc=upstream.allow_aes_cbc,
        )

    def _second_opinion(self, metadata: UpstreamMetadata) -> SecondOpinion:
        """Made once for each version of the metadata, which is one object while it stays."""
        known = self._opinion
        if known is None or known[0] is not metadata:
            opinion = SecondOpinion(
                metadata,
                entity_id=self._upstream.entity_id,
                acs_url=self._upstream.acs_url,
                require_signed=self._require_signed,
                clock_skew=self._upstream.limits.clock_skew,
                decryption_keys=self._decryption_keys,
            )
            known = self._opinion = (metadata, opinion)
        return known[1]
