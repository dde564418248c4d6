"""The namespaces and identifiers of SAML 2.0, XML Signature and XML Encryption used here."""

from __future__ import annotations

from typing import Final

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
MD: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

BINDING_REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
BINDING_POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"

STATUS_SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
STATUS_RESPONDER: Final = "urn:oasis:names:tc:SAML:2.0:status:Responder"
STATUS_NO_PASSIVE: Final = "urn:oasis:names:tc:SAML:2.0:status:NoPassive"

CONFIRMATION_BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
#: How somebody was authenticated (SAML authentication context 3.4): by a password over TLS; and, as
#: REFEDS defines it, by more than one factor.
PASSWORD_PROTECTED_TRANSPORT: Final = (
    "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"  # noqa: S105
)
REFEDS_MFA: Final = "https://refeds.org/profile/mfa"
NAME_ID_PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
NAME_ID_UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"

EXC_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256: Final = "http://www.w3.org/2001/04/xmlenc#sha256"

RESPONSE: Final = f"{{{SAMLP}}}Response"
AUTHN_REQUEST: Final = f"{{{SAMLP}}}AuthnRequest"
ASSERTION: Final = f"{{{SAML}}}Assertion"
ENCRYPTED_ASSERTION: Final = f"{{{SAML}}}EncryptedAssertion"
ISSUER: Final = f"{{{SAML}}}Issuer"
SIGNATURE: Final = f"{{{DS}}}Signature"
ENTITY_DESCRIPTOR: Final = f"{{{MD}}}EntityDescriptor"
