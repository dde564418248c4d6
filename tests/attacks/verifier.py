"""The corpus held directly against the verifier: what was said, and which function said it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa

from idp_proxy.errors import SamlError
from idp_proxy.saml.answer import Expected, RequireSigned
from idp_proxy.saml.assertion import VerifiedAssertion, verify_response
from idp_proxy.saml.authn_request import AuthnRequest, ServiceProvider, verify_authn_request
from idp_proxy.saml.bindings import read_post_request, read_redirect
from tests.attacks.attack import Asking, Login, Policy, Registration
from tests.attacks.signer import private_key
from tests.support.keys import rsa_pair

if TYPE_CHECKING:
    from types import CodeType, TracebackType

    from idp_proxy.saml.signature import PublicKey
    from tests.attacks.attack import Sent
    from tests.support.keys import KeyPair

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
LOGIN = Login(
    request_id="_q2Tz0C5m8wq1bqfYxkN4aQ",
    acs_url="https://sso.example.org/upstream/okta/acs",
    audience="https://sso.example.org/upstream/okta/metadata",
    issuer="https://idp.example.org/metadata",
    keys=rsa_pair("active"),
    standby_acs_url="https://sso.example.org/upstream/keycloak/acs",
    standby_audience="https://sso.example.org/upstream/keycloak/metadata",
    standby_issuer="https://standby.example.org/metadata",
    standby_keys=rsa_pair("standby"),
    recipient=rsa_pair("recipient"),
    proxied_to="https://chat.example.org/login/sso/saml",
    now=NOW,
)
ASKING = Asking(
    request_id="_e2f3a9d0-6a0b-4c1e-8a53-7d1f6bb0a1c2",
    entity_id="https://chat.example.org/login/sso/saml",
    acs_url="https://chat.example.org/login/sso/saml",
    sso_url="https://sso.example.org/saml/sso",
    keys=rsa_pair("mattermost"),
    now=NOW,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a message: `accepted`, or the refusal and the functions it passed through."""

    accepted: VerifiedAssertion | AuthnRequest | None
    rule: str = ""
    error: SamlError | None = None
    stack: tuple[CodeType, ...] = ()

    def refused_by(self, function: object) -> bool:
        """Whether this function refused it, itself or by what it called."""
        return getattr(function, "__code__", None) in self.stack

    @property
    def where(self) -> str:
        """The check that refused it, or else the innermost function; for people."""
        names = [code.co_name for code in self.stack]
        named = [name for name in names if name[:3] in {"xml", "sp_", "fo_", "idp"}]
        return (named or names or ["nobody"])[0 if named else -1]


def expected(login: Login, policy: Policy) -> Expected:
    """What the answer is held against, as the configuration of such an upstream gives it."""
    required = {
        Policy.ASSERTION: RequireSigned.ASSERTION,
        Policy.RESPONSE: RequireSigned.RESPONSE,
        Policy.BOTH: RequireSigned.BOTH,
        Policy.BOTH_WITH_CBC: RequireSigned.BOTH,
    }
    return Expected(
        issuer=login.issuer,
        keys=(public(login.keys),),
        audience=login.audience,
        acs_url=login.acs_url,
        request_id=login.request_id,
        proxied_to=login.proxied_to,
        now=login.now,
        require_signed=required[policy],
        decryption_keys=(private(login.recipient),),
        allow_aes_cbc=policy is Policy.BOTH_WITH_CBC,
    )


def judge_response(
    message: bytes | str, policy: Policy = Policy.ASSERTION, login: Login = LOGIN
) -> Verdict:
    """The verdict on one posted answer."""
    text = message if isinstance(message, str) else base64.b64encode(message).decode("ascii")
    try:
        return Verdict(verify_response(text, expected(login, policy)))
    except SamlError as error:
        return Verdict(None, error.rule, error, _stack(error.__traceback__))


def judge_request(sent: Sent, registration: Registration, asking: Asking = ASKING) -> Verdict:
    """The verdict on one AuthnRequest, bindings included."""
    known = registration is not Registration.WITHOUT_KEYS
    provider = ServiceProvider(
        entity_id=asking.entity_id,
        acs_url=asking.acs_url,
        sso_url=asking.sso_url,
        keys=(public(asking.keys),) if known else (),
        certificates=(asking.keys.certificate_der,) if known else (),
        require_signed=registration is Registration.MUST_SIGN,
    )
    try:
        message = (
            read_redirect(sent.query) if sent.method == "GET" else read_post_request(sent.body)
        )
        return Verdict(verify_authn_request(message, provider, asking.now))
    except SamlError as error:
        return Verdict(None, error.rule, error, _stack(error.__traceback__))


@cache
def public(pair: KeyPair) -> PublicKey:
    """The public key of a pair."""
    key = pair.certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return key


def private(pair: KeyPair) -> rsa.RSAPrivateKey:
    """The private key of a pair."""
    key = private_key(pair)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _stack(traceback: TracebackType | None) -> tuple[CodeType, ...]:
    found = []
    while traceback is not None:
        found.append(traceback.tb_frame.f_code)
        traceback = traceback.tb_next
    return tuple(found)
