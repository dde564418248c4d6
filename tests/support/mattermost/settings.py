"""Mattermost's SamlSettings, as far as a login depends on them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support import people, xml_security

if TYPE_CHECKING:
    from tests.support.keys import KeyPair

SAML_PATH = "/login/sso/saml"


class Signing(enum.StrEnum):
    """How AuthnRequests leave. Mattermost itself: NONE, or EMBEDDED with SignRequest on."""

    NONE = "none"
    EMBEDDED = "embedded"  # an enveloped signature inside the deflated redirect message
    DETACHED = "detached"  # the query signature of the binding
    POST = "post"  # HTTP-POST, unsigned
    POST_SIGNED = "post-signed"  # HTTP-POST with an enveloped signature


class RelayStateForm(enum.StrEnum):
    """The two generations of RelayState."""

    LEGACY = "legacy"  # base64 of a JSON object
    SEALED = "sealed"  # base64url(JSON with exp).base64url(HMAC-SHA256), good for five minutes


@dataclass(frozen=True, slots=True)
class AttributeNames:
    """Which attribute Name holds what; an empty `id` means that the email binds the account."""

    id: str = "id"
    email: str = "email"
    username: str = "username"
    first_name: str = "firstname"


#: The names for an identity provider that is asked without the proxy between.
DIRECT = AttributeNames(
    id=people.EMPLOYEE_NUMBER, email=people.MAIL, username=people.UID, first_name=people.GIVEN_NAME
)


@dataclass(frozen=True, slots=True)
class Settings:
    """One Mattermost server. `identifier` is ServiceProviderIdentifier.

    `name_id_policy` is what gosaml2 of today sends and that of 2021 did not; `version` decides
    which content ciphers are known (192 and 256 bit GCM from 10.9).
    """

    site_url: str
    idp_url: str
    idp_descriptor_url: str
    idp_certificate: bytes
    identifier: str = ""
    encrypt: bool = False
    keys: KeyPair | None = field(default=None, repr=False)
    signing: Signing = Signing.NONE
    style: xml_security.Style = xml_security.DEFAULT_STYLE
    attributes: AttributeNames = field(default_factory=AttributeNames)
    relay_state: RelayStateForm = RelayStateForm.LEGACY
    name_id_policy: bool = True
    version: tuple[int, int] = (11, 0)

    @property
    def acs_url(self) -> str:
        """AssertionConsumerServiceURL."""
        return self.site_url + SAML_PATH

    @property
    def login_url(self) -> str:
        """Where a login starts."""
        return self.site_url + SAML_PATH

    @property
    def entity_id(self) -> str:
        """The Issuer of AuthnRequests and the Audience."""
        return self.identifier or self.acs_url
