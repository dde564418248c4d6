"""The second opinion: python3-saml, strict, must accept the same message and name the same person.

It runs after our own verifier, never instead of it: what it is known to let pass (another
Recipient, a missing InResponseTo, DESIGN section 4) was refused before, and it sees only algorithms
and transforms from our list. Two implementations that agree on who somebody is are much harder to
lead astray than one.

What the library does again at every message is exchanged in a private copy of two of its modules,
so that nobody else in the process notices: it would read the clock itself, read and compile the
schema (2.5 ms), compile fifty XPath expressions, and parse our private key (10 ms), the upstream's
certificates and each time of the message more than once. Its judgement, that is every comparison
and the signature check, is its own.
"""

from __future__ import annotations

import base64
import contextvars
import importlib.util
import threading
from functools import cache, lru_cache
from importlib.resources import as_file, files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import xmlsec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509 import load_pem_x509_certificate
from lxml import etree
from onelogin.saml2.constants import OneLogin_Saml2_Constants
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.xml_utils import OneLogin_Saml2_XML

from idp_proxy.errors import AssertionInvalid
from idp_proxy.saml.answer import RequireSigned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta
    from types import ModuleType

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from idp_proxy.saml.assertion import VerifiedAssertion
    from idp_proxy.saml.metadata import UpstreamMetadata

#: Twice the largest skew that an upstream may have (SP-07), in seconds.
_DRIFT: Final = 360
#: It wants addresses of the upstream and of ours in its settings, and never looks at them there.
_UNUSED_URL: Final = "https://unused.invalid/"

_now: contextvars.ContextVar[int] = contextvars.ContextVar("second_opinion_now")


class SecondOpinion:
    """python3-saml's judgement for one upstream and one version of its metadata."""

    def __init__(
        self,
        metadata: UpstreamMetadata,
        *,
        entity_id: str,
        acs_url: str,
        require_signed: RequireSigned,
        clock_skew: timedelta,
        decryption_keys: Sequence[RSAPrivateKey] = (),
    ) -> None:
        private_keys = [_pem_body(key) for key in decryption_keys] or [""]
        self._settings = [
            _Settings(_settings(metadata, entity_id, require_signed, private_key))
            for private_key in private_keys
        ]
        url = urlsplit(acs_url)
        self._request = {
            "https": "on" if url.scheme == "https" else "off",
            "http_host": url.netloc,
            "script_name": url.path,
        }
        # Its tolerance ends with NotBefore; at an end it has none. A clock that is slow by the
        # skew serves both, since twice the skew is then left for NotBefore.
        self._shift = int(clock_skew.total_seconds())

    def confirm(
        self, message: str, request_id: str, verified: VerifiedAssertion, now: datetime
    ) -> None:
        """Return if it accepts this `SAMLResponse` and reads in it what we `verified`.

        Raises `AssertionInvalid` (SO-01), whatever goes wrong inside the library.
        """
        reset = _now.set(int(now.timestamp()) - self._shift)
        try:
            seen = self._opinion(message, request_id)
        except AssertionInvalid:
            raise
        except Exception as error:
            raise AssertionInvalid("SO-01", f"{type(error).__name__}: {error}"[:500]) from error
        finally:
            _now.reset(reset)
        ours = (
            verified.id,
            [verified.issuer],
            verified.name_id,
            {name: _comparable(values) for name, values in verified.attributes.items() if name},
        )
        if seen != ours:
            what = ("the assertion's ID", "the issuer", "the NameID", "the attributes")
            differing = [name for name, a, b in zip(what, seen, ours, strict=True) if a != b]
            raise AssertionInvalid("SO-01", f"python3-saml reads {', '.join(differing)} otherwise")

    def _opinion(self, message: str, request_id: str) -> tuple[Any, ...]:
        """What it reads, with the first of our decryption keys that it accepts the message with."""
        refusal: Exception | None = None
        for settings in self._settings:
            try:
                response = _library().OneLogin_Saml2_Response(settings, message)
                response.is_valid(self._request, request_id, raise_exceptions=True)
            except Exception as error:  # noqa: BLE001 - whatever it raises is its refusal
                refusal = error
                continue
            return (
                response.get_assertion_id(),
                response.get_issuers(),
                response.get_nameid(),
                {name: _comparable(v) for name, v in response.get_attributes().items()},
            )
        raise refusal or AssertionInvalid("SO-01", "no settings to judge with")


def _comparable(values: Sequence[Any]) -> tuple[str, ...]:
    """Values as both can give them: it trims them, drops empty ones, and wraps nested NameIDs."""
    texts = (v["NameID"]["value"] or "" if isinstance(v, dict) else v for v in values)
    return tuple(stripped for text in texts if (stripped := text.strip()))


def _settings(
    metadata: UpstreamMetadata, entity_id: str, require_signed: RequireSigned, private_key: str
) -> dict[str, Any]:
    certificates = [base64.b64encode(der).decode() for der in metadata.signing_certificates]
    return {
        "strict": True,
        "debug": False,
        "sp": {
            "entityId": entity_id,
            "assertionConsumerService": {"url": _UNUSED_URL},
            "privateKey": private_key,
        },
        "idp": {
            "entityId": metadata.entity_id,
            "singleSignOnService": {"url": _UNUSED_URL},
            "x509certMulti": {"signing": certificates},
        },
        "security": {
            "allowSingleLabelDomains": True,
            "rejectDeprecatedAlgorithm": True,
            "wantAssertionsSigned": require_signed is not RequireSigned.RESPONSE,
            "wantMessagesSigned": require_signed is not RequireSigned.ASSERTION,
            "wantAttributeStatement": False,
            "allowRepeatAttributeName": True,
            "requestedAuthnContext": False,
        },
    }


def _pem_body(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


# --- the private copy ----------------------------------------------------------------------------


class _Settings(OneLogin_Saml2_Settings):  # type: ignore[misc] # the library is untyped
    """Its settings, with the certificates they were given and none from a file beside its code,
    for which it would look at each message.
    """

    def get_idp_cert(self) -> None:
        """Asked beside `x509certMulti`, which holds them all and comes before it."""


class _Toolbox:
    """Its toolbox with the clock of the caller, and our private key parsed once."""

    @staticmethod
    def now() -> int:
        """Seconds since 1970, as the caller said."""
        return _now.get()

    @staticmethod
    def decrypt_element(
        encrypted: etree._Element,
        key: str,
        debug: bool = False,  # noqa: ARG004 - its signature
        inplace: bool = False,  # noqa: ARG004 - its signature
    ) -> etree._Element:
        """The element inside; the message is its own copy, which may be changed."""
        with _one_thread:
            plain: etree._Element = xmlsec.EncryptionContext(_keys(key)).decrypt(encrypted)
        return plain


class _Constants(OneLogin_Saml2_Constants):  # type: ignore[misc] # the library is untyped
    """Its constants with a tolerance that fits the clock it is given."""

    ALLOWED_CLOCK_DRIFT = _DRIFT


class _Xml(OneLogin_Saml2_XML):  # type: ignore[misc] # the library is untyped
    """Its XML functions with schema and XPath expressions compiled once."""

    @staticmethod
    def validate_xml(
        xml: etree._Element,
        schema: str,
        debug: bool = False,  # noqa: ARG004 - its signature
    ) -> etree._Element | str:
        """The document, or the text that its caller takes for a refusal."""
        with _one_thread:
            return xml if _schema(schema).validate(xml) else "invalid_xml"

    @staticmethod
    def query(
        dom: etree._Element,
        query: str,
        context: etree._Element | None = None,
        tagid: str | None = None,
    ) -> Any:
        """What an expression finds from `context`, or else from the document."""
        source = dom if context is None else context
        variables = {} if tagid is None else {"tagid": tagid}
        return _xpath(query)(source, **variables)


#: A compiled schema keeps the errors of its last use, and a key store its keys: one user at a time.
_one_thread = threading.Lock()


@cache
def _xpath(query: str) -> etree.XPath:
    return etree.XPath(query, namespaces=OneLogin_Saml2_Constants.NSMAP, regexp=False)


@cache
def _keys(pem: str) -> xmlsec.KeysManager:
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_memory(pem, xmlsec.constants.KeyDataFormatPem, None))
    return manager


@cache
def _schema(name: str) -> etree.XMLSchema:
    with as_file(files("onelogin.saml2") / "schemas") as folder:
        return etree.XMLSchema(etree.parse(folder / name))


class _KnownKeys:
    """`xmlsec.Key` as its toolbox uses it: a certificate is parsed once. Each use gets a copy,
    which is cheap for the key alone; with its certificate it costs as much as a signature's check.
    """

    @staticmethod
    @lru_cache(maxsize=64)
    def from_memory(pem: str, form: int, password: None) -> xmlsec.Key:
        """The public key in the certificate of an upstream, which is no secret."""
        if form != xmlsec.constants.KeyDataFormatCertPem:
            return xmlsec.Key.from_memory(pem, form, password)
        key = load_pem_x509_certificate(pem.encode("ascii")).public_key()
        alone = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return xmlsec.Key.from_memory(alone, xmlsec.constants.KeyDataFormatPem, password)


@cache
def _library() -> Any:
    """A copy of `onelogin.saml2.response`, and of the toolbox behind it, that is nobody else's."""
    utils = _copy_of("onelogin.saml2.utils")
    its_own = utils.OneLogin_Saml2_Utils
    reads_time = staticmethod(lru_cache(maxsize=256)(its_own.parse_SAML_to_time))
    toolbox = type("Toolbox", (_Toolbox, its_own), {"parse_SAML_to_time": reads_time})
    vars(utils).update(
        OneLogin_Saml2_Utils=toolbox,
        OneLogin_Saml2_XML=_Xml,
        xmlsec=SimpleNamespace(**vars(xmlsec) | {"Key": _KnownKeys}),
    )
    response = _copy_of("onelogin.saml2.response")
    vars(response).update(
        OneLogin_Saml2_Utils=toolbox,
        OneLogin_Saml2_XML=_Xml,
        OneLogin_Saml2_Constants=_Constants,
    )
    return response


def _copy_of(name: str) -> ModuleType:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ImportError("python3-saml is not installed")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
