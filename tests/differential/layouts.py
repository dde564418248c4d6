"""Responses in the shape of known identity providers, written by hand as their products write them.

What differs: prefixes and default namespaces, where a namespace is declared, blanks and line
breaks, the order of attributes, InclusiveNamespaces, KeyInfo, and what is signed. The Signatures
are empty here; python-xmlsec fills them in.
"""

from __future__ import annotations

from tests.unit.saml_messages import (
    ACS,
    AUDIENCE,
    DS,
    ENVELOPED,
    EXC_C14N,
    ISSUER,
    MORE,
    REQUEST_ID,
    SHA_256,
    at,
)

P = "urn:oasis:names:tc:SAML:2.0:protocol"
A = "urn:oasis:names:tc:SAML:2.0:assertion"
XS = "http://www.w3.org/2001/XMLSchema"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
URI = "urn:oasis:names:tc:SAML:2.0:attrname-format:uri"
CERTIFICATE = "<{p}KeyInfo><{p}X509Data><{p}X509Certificate/></{p}X509Data></{p}KeyInfo>"


def sign(
    to: str,
    prefix: str = "ds:",
    *,
    inclusive: str = "",
    key_info: str = CERTIFICATE,
    gap: str = "",
    method: str = f"{MORE}rsa-sha256",
    digest: str = SHA_256,
) -> str:
    """An empty Signature; `inclusive` is a PrefixList, `gap` stands between its elements."""
    declared = f'xmlns:{prefix[:-1]}="{DS}"' if prefix else f'xmlns="{DS}"'
    listed = f'<ec:InclusiveNamespaces xmlns:ec="{EXC_C14N}" PrefixList="{inclusive}"/>'
    parts = [
        "<{p}SignedInfo>",
        f'<{{p}}CanonicalizationMethod Algorithm="{EXC_C14N}"/>',
        f'<{{p}}SignatureMethod Algorithm="{method}"/>',
        f'<{{p}}Reference URI="#{to}">',
        "<{p}Transforms>",
        f'<{{p}}Transform Algorithm="{ENVELOPED}"/>',
        f'<{{p}}Transform Algorithm="{EXC_C14N}">{listed if inclusive else ""}</{{p}}Transform>',
        "</{p}Transforms>",
        f'<{{p}}DigestMethod Algorithm="{digest}"/>',
        "<{p}DigestValue/>",
        "</{p}Reference>",
        "</{p}SignedInfo>",
        "<{p}SignatureValue/>",
        key_info,
    ]
    inside = gap.join(parts).replace("{p}", prefix)
    return f"<{prefix}Signature {declared}>{gap}{inside}{gap}</{prefix}Signature>"


def simplesamlphp() -> str:
    """xs and xsi declared on the assertion and used in xsi:type alone; both signed."""
    return (
        f'<samlp:Response xmlns:samlp="{P}" xmlns:saml="{A}" ID="_r" Version="2.0"'
        f' IssueInstant="{at()}" Destination="{ACS}" InResponseTo="{REQUEST_ID}">'
        f"<saml:Issuer>{ISSUER}</saml:Issuer>{sign('_r', gap=chr(10))}<samlp:Status>"
        f'<samlp:StatusCode Value="{SUCCESS}"/></samlp:Status><saml:Assertion xmlns:xsi="{XSI}"'
        f' xmlns:xs="{XS}" ID="_a" Version="2.0" IssueInstant="{at()}">'
        f"<saml:Issuer>{ISSUER}</saml:Issuer>{sign('_a', gap=chr(10))}"
        f'<saml:Subject><saml:NameID SPNameQualifier="{AUDIENCE}" Format="{PERSISTENT}">ada'
        f'</saml:NameID><saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData'
        f' NotOnOrAfter="{at(300)}" Recipient="{ACS}" InResponseTo="{REQUEST_ID}"/>'
        f'</saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{at(-30)}"'
        f' NotOnOrAfter="{at(300)}"><saml:AudienceRestriction><saml:Audience>{AUDIENCE}'
        "</saml:Audience></saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement"
        f' AuthnInstant="{at(-5)}" SessionNotOnOrAfter="{at(28800)}" SessionIndex="_s">'
        f"<saml:AuthnContext><saml:AuthnContextClassRef>{PASSWORD}</saml:AuthnContextClassRef>"
        "</saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>"
        f'<saml:Attribute Name="mail" NameFormat="{URI}"><saml:AttributeValue'
        ' xsi:type="xs:string">ada@example.org</saml:AttributeValue></saml:Attribute>'
        "</saml:AttributeStatement></saml:Assertion></samlp:Response>"
    )


def _body(p: str, value_type: str = "", gap: str = "", instant: str = "Z") -> str:
    """What stands behind the Signature of an assertion; `p` is a prefix with its colon."""

    def moment(seconds: int) -> str:
        return f"{at(seconds)[:-1]}{instant}"

    confirmed = f'InResponseTo="{REQUEST_ID}" NotOnOrAfter="{moment(300)}" Recipient="{ACS}"'
    return gap.join(
        [
            f'<{p}Subject><{p}NameID Format="{PERSISTENT}">ada</{p}NameID>',
            f'<{p}SubjectConfirmation Method="{BEARER}">',
            f"<{p}SubjectConfirmationData {confirmed}/></{p}SubjectConfirmation></{p}Subject>",
            f'<{p}Conditions NotBefore="{moment(-60)}" NotOnOrAfter="{moment(300)}">',
            f"<{p}AudienceRestriction><{p}Audience>{AUDIENCE}</{p}Audience>",
            f"</{p}AudienceRestriction></{p}Conditions>",
            f'<{p}AuthnStatement AuthnInstant="{moment(-9)}" SessionIndex="_s"><{p}AuthnContext>',
            f"<{p}AuthnContextClassRef>{PASSWORD}</{p}AuthnContextClassRef>",
            f"</{p}AuthnContext></{p}AuthnStatement>",
            f'<{p}AttributeStatement><{p}Attribute Name="mail" NameFormat="{URI}">',
            f"<{p}AttributeValue{value_type}>ada@example.org</{p}AttributeValue>",
            f'</{p}Attribute><{p}Attribute Name="groups">',
            f"<{p}AttributeValue{value_type}>staff</{p}AttributeValue>",
            f"<{p}AttributeValue{value_type}>b\u00fccher &amp; &gt; \U0001d54f</{p}AttributeValue>",
            f"</{p}Attribute></{p}AttributeStatement>",
        ]
    )


def okta(inside: str = 'xmlns:xs="{xs}"', outside: str = "") -> str:
    """saml2p and saml2, PrefixList "xs", which only values of xsi:type use."""
    typed = f' xmlns:xsi="{XSI}" xsi:type="xs:string"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><saml2p:Response Destination="{ACS}" ID="_r"'
        f' InResponseTo="{REQUEST_ID}" IssueInstant="{at()[:-1]}.123Z" Version="2.0"'
        f' xmlns:saml2p="{P}" {outside.format(xs=XS)}><saml2:Issuer'
        f' Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2="{A}">{ISSUER}'
        f"</saml2:Issuer>{sign('_r', inclusive='xs')}<saml2p:Status><saml2p:StatusCode"
        f' Value="{SUCCESS}"/></saml2p:Status><saml2:Assertion ID="_a" IssueInstant="{at()}"'
        f' Version="2.0" xmlns:saml2="{A}" {inside.format(xs=XS)}><saml2:Issuer>{ISSUER}'
        f"</saml2:Issuer>{sign('_a', inclusive='xs')}{_body('saml2:', typed, instant='.123Z')}"
        "</saml2:Assertion></saml2p:Response>"
    )


def adfs(signature_prefix: str = "ds:") -> str:
    """Default namespaces on Issuer and Assertion; the assertion alone is signed."""
    return (
        f'<samlp:Response ID="_r" Version="2.0" IssueInstant="{at()[:-1]}.456Z"'
        f' Destination="{ACS}" Consent="urn:oasis:names:tc:SAML:2.0:consent:unspecified"'
        f' InResponseTo="{REQUEST_ID}" xmlns:samlp="{P}"><Issuer xmlns="{A}">{ISSUER}</Issuer>'
        f'<samlp:Status><samlp:StatusCode Value="{SUCCESS}" /></samlp:Status>'
        f'<Assertion ID="_a" IssueInstant="{at()[:-1]}.456Z" Version="2.0" xmlns="{A}">'
        f"<Issuer>{ISSUER}</Issuer>{sign('_a', signature_prefix)}{_body('', instant='.4567890Z')}"
        "</Assertion></samlp:Response>"
    )


def keycloak() -> str:
    """The Response alone signed, dsig prefix, KeyName and KeyValue beside the certificate."""
    key_info = (
        "<{p}KeyInfo><{p}KeyName>k1</{p}KeyName><{p}X509Data><{p}X509Certificate/></{p}X509Data>"
        "<{p}KeyValue><{p}RSAKeyValue><{p}Modulus>AQAB</{p}Modulus><{p}Exponent>AQAB</{p}Exponent>"
        "</{p}RSAKeyValue></{p}KeyValue></{p}KeyInfo>"
    )
    return (
        f'<samlp:Response xmlns:samlp="{P}" xmlns:saml="{A}" Destination="{ACS}" ID="_r"'
        f' InResponseTo="{REQUEST_ID}" IssueInstant="{at()}" Version="2.0"><saml:Issuer>{ISSUER}'
        f"</saml:Issuer>{sign('_r', 'dsig:', key_info=key_info)}<samlp:Status><samlp:StatusCode"
        f' Value="{SUCCESS}"/></samlp:Status><saml:Assertion xmlns="{A}" ID="_a"'
        f' IssueInstant="{at()}" Version="2.0"><saml:Issuer>{ISSUER}</saml:Issuer>'
        f"{_body('saml:', f' xmlns:xs={chr(34)}{XS}{chr(34)}')}</saml:Assertion></samlp:Response>"
    )


def shibboleth() -> str:
    """Line breaks between all elements, PrefixList "xsd" declared on the Response."""
    gap = "\n   "
    typed = f' xmlns:xsi="{XSI}" xsi:type="xsd:string"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<saml2p:Response Destination="{ACS}" ID="_r"'
        f' InResponseTo="{REQUEST_ID}" IssueInstant="{at()}" Version="2.0" xmlns:saml2p="{P}"'
        f' xmlns:xsd="{XS}">{gap}<saml2:Issuer xmlns:saml2="{A}">{ISSUER}</saml2:Issuer>{gap}'
        f"{sign('_r', inclusive='xsd', gap=gap)}{gap}<saml2p:Status>{gap}<saml2p:StatusCode"
        f' Value="{SUCCESS}"/>{gap}</saml2p:Status>{gap}<saml2:Assertion ID="_a"'
        f' IssueInstant="{at()}" Version="2.0" xmlns:saml2="{A}">{gap}<saml2:Issuer>{ISSUER}'
        f"</saml2:Issuer>{gap}{sign('_a', inclusive='xsd', gap=gap)}{gap}"
        f"{_body('saml2:', typed, gap)}{gap}</saml2:Assertion>{gap}</saml2p:Response>\n"
    )


def plain(signature: str, *, default: bool = False) -> str:
    """One assertion in the order of the schema, with this Signature and blanks around it."""
    extra = f'xmlns="{A}"' if default else ""
    return (
        f"<samlp:Response InResponseTo='{REQUEST_ID}' Version='2.0' Destination='{ACS}'"
        f" IssueInstant='{at()}' ID='_r' xmlns:samlp='{P}' xmlns:saml='{A}' {extra}>"
        f"<saml:Issuer>{ISSUER}</saml:Issuer><samlp:Status><samlp:StatusCode"
        f" Value='{SUCCESS}'></samlp:StatusCode></samlp:Status><saml:Assertion Version='2.0'"
        f" IssueInstant='{at()}' ID='_a'><saml:Issuer>{ISSUER}</saml:Issuer>\t{signature}\r\n  "
        f"{_body('saml:')}</saml:Assertion></samlp:Response>"
    )


SHA_384 = f"{MORE}sha384"
SHA_512 = "http://www.w3.org/2001/04/xmlenc#sha512"
#: Name -> document; every one must be accepted by all three judges.
LAYOUTS = {
    "SimpleSAMLphp": simplesamlphp(),
    "Okta, xs on the assertion": okta(),
    "Okta, xs on the Response": okta("", 'xmlns:xs="{xs}"'),
    "AD FS": adfs(),
    "Entra": adfs(""),
    "Keycloak": keycloak(),
    "Shibboleth": shibboleth(),
    "no KeyInfo": plain(sign("_a", key_info="")),
    "a default namespace that nobody uses": plain(sign("_a"), default=True),
    "PrefixList with the default namespace": plain(sign("_a", inclusive="#default"), default=True),
    "PrefixList with names that nobody declares": plain(sign("_a", inclusive="xs xsi none samlp")),
}
RSA_METHODS = {
    f"{MORE}rsa-sha256": SHA_256,
    f"{MORE}rsa-sha384": SHA_384,
    f"{MORE}rsa-sha512": SHA_512,
}
EC_METHODS = {
    ("secp256r1", f"{MORE}ecdsa-sha256"): SHA_256,
    ("secp384r1", f"{MORE}ecdsa-sha384"): SHA_384,
    ("secp256r1", f"{MORE}ecdsa-sha512"): SHA_512,
    ("secp521r1", f"{MORE}ecdsa-sha512"): SHA_256,
}
