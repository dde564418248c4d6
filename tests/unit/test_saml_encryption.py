from __future__ import annotations

import base64
import copy
from typing import TYPE_CHECKING

import pytest
import xmlsec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from idp_proxy.errors import AssertionInvalid
from idp_proxy.saml import names
from idp_proxy.saml.encryption import (
    AES128_CBC,
    AES128_GCM,
    AES192_CBC,
    AES192_GCM,
    AES256_CBC,
    AES256_GCM,
    RSA_OAEP,
    RSA_OAEP_MGF1P,
    EncryptionImpossible,
    decrypt_assertion,
    encrypt_assertion,
)
from idp_proxy.saml.xml import canonical, parse
from tests.support.keys import KeyPair, ec_pair, rsa_pair
from tests.support.rsa_keys import private

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxml.etree import _Element

XENC = f"{{{names.XENC}}}"
DS = f"{{{names.DS}}}"

ASSERTION = (
    f'<saml:Assertion xmlns:saml="{names.SAML}" ID="_a1" Version="2.0">'
    "<saml:Issuer>https://idp.example.org/&amp;?x=&lt;y&gt;</saml:Issuer>"
    "<saml:Subject><saml:NameID>al\U0001f600ce \u00e4</saml:NameID></saml:Subject></saml:Assertion>"
).encode()


def pair(name: str = "encryption") -> KeyPair:
    return rsa_pair(name)


def encrypted(algorithm: str = AES128_GCM) -> _Element:
    return encrypt_assertion(parse(ASSERTION), pair().certificate, algorithm)


def received(element: _Element) -> _Element:
    """As it comes over the wire: serialised inside a Response and parsed again."""
    response = etree.Element(names.RESPONSE, nsmap={"samlp": names.SAMLP})
    response.append(copy.deepcopy(element))
    return parse(etree.tostring(response))[0]


# --- python-xmlsec as the other side -------------------------------------------------------------

CIPHERS = {
    AES128_GCM: (xmlsec.constants.TransformAes128Gcm, 128),
    AES192_GCM: (xmlsec.constants.TransformAes192Gcm, 192),
    AES256_GCM: (xmlsec.constants.TransformAes256Gcm, 256),
    AES128_CBC: (xmlsec.constants.TransformAes128Cbc, 128),
    AES192_CBC: (xmlsec.constants.TransformAes192Cbc, 192),
    AES256_CBC: (xmlsec.constants.TransformAes256Cbc, 256),
}


def by_xmlsec(cipher: str, keys: KeyPair, *, adjust: Callable[[_Element], None]) -> _Element:
    transform, bits = CIPHERS[cipher]
    assertion = parse(ASSERTION)
    manager = xmlsec.KeysManager()
    manager.add_key(
        xmlsec.Key.from_memory(keys.certificate_pem, xmlsec.constants.KeyDataFormatCertPem, None)
    )
    data = xmlsec.template.encrypted_data_create(
        assertion, transform, type=xmlsec.constants.TypeEncElement, ns="xenc"
    )
    xmlsec.template.encrypted_data_ensure_cipher_value(data)
    info = xmlsec.template.encrypted_data_ensure_key_info(data, ns="dsig")
    wrapped = xmlsec.template.add_encrypted_key(info, xmlsec.constants.TransformRsaOaep)
    xmlsec.template.encrypted_data_ensure_cipher_value(wrapped)
    adjust(wrapped)
    context = xmlsec.EncryptionContext(manager)
    context.key = xmlsec.Key.generate(
        xmlsec.constants.KeyDataAes, bits, xmlsec.constants.KeyDataTypeSession
    )
    done = context.encrypt_xml(data, assertion)
    outer = etree.Element(names.ENCRYPTED_ASSERTION, nsmap={"saml": names.SAML})
    outer.append(done)
    return outer


def opened_by_xmlsec(element: _Element, keys: KeyPair) -> bytes:
    manager = xmlsec.KeysManager()
    manager.add_key(xmlsec.Key.from_memory(keys.key_pem, xmlsec.constants.KeyDataFormatPem, None))
    return etree.tostring(xmlsec.EncryptionContext(manager).decrypt(element[0]))


def as_is(_: _Element) -> None:
    """The template's own OAEP: mgf1p with SHA-1 by default."""


def oaep(algorithm: str, digest: str | None, mask: str | None) -> Callable[[_Element], None]:
    def adjust(wrapped: _Element) -> None:
        method = wrapped.find(f"{XENC}EncryptionMethod")
        assert method is not None
        method.set("Algorithm", algorithm)
        if digest:
            etree.SubElement(method, f"{DS}DigestMethod", Algorithm=digest)
        if mask:
            tag = f"{{{names.XENC11}}}MGF"
            etree.SubElement(method, tag, Algorithm=names.XENC11 + mask)

    return adjust


SHA1 = names.DS + "sha1"
SHA256 = names.XENC + "sha256"


@pytest.mark.parametrize("algorithm", [AES128_GCM, AES256_GCM])
def test_what_we_encrypt_is_read_by_xmlsec_and_by_us_alike(algorithm: str) -> None:
    element = received(encrypted(algorithm))
    ours = decrypt_assertion(element, [private(pair())], allow_cbc=False)
    assert ours == canonical(parse(ASSERTION))
    assert canonical(parse(opened_by_xmlsec(element, pair()))) == ours


@pytest.mark.parametrize("cipher", [AES128_GCM, AES192_GCM, AES256_GCM])
@pytest.mark.parametrize(
    "adjust",
    [
        as_is,
        oaep(RSA_OAEP_MGF1P, SHA1, None),
        oaep(RSA_OAEP_MGF1P, SHA256, None),
        oaep(RSA_OAEP, SHA1, None),
        oaep(RSA_OAEP, SHA256, "mgf1sha256"),
        oaep(RSA_OAEP, SHA256, "mgf1sha1"),
    ],
)
def test_what_xmlsec_encrypts_is_read(cipher: str, adjust: Callable[[_Element], None]) -> None:
    element = received(by_xmlsec(cipher, pair(), adjust=adjust))
    plain = decrypt_assertion(element, [private(pair())], allow_cbc=False)
    assert canonical(parse(plain)) == canonical(parse(ASSERTION))


@pytest.mark.parametrize("cipher", [AES128_CBC, AES192_CBC, AES256_CBC])
def test_cbc_is_read_only_where_it_is_allowed(cipher: str) -> None:
    element = received(by_xmlsec(cipher, pair(), adjust=as_is))
    plain = decrypt_assertion(element, [private(pair())], allow_cbc=True)
    assert canonical(parse(plain)) == canonical(parse(ASSERTION))
    with pytest.raises(AssertionInvalid, match="allow_aes_cbc") as refusal:
        decrypt_assertion(element, [private(pair())], allow_cbc=False)
    assert refusal.value.rule == "SP-08"


def test_the_shape_we_write_is_the_one_mattermost_reads() -> None:
    data = encrypted()[0]
    assert data.get("Type") == names.XENC + "Element"
    assert data[0].get("Algorithm") == "http://www.w3.org/2009/xmlenc11#aes128-gcm"
    key = data.find(f"{DS}KeyInfo/{XENC}EncryptedKey")
    assert key is not None
    assert key[0].get("Algorithm") == names.XENC + "rsa-oaep-mgf1p"
    assert key[0][0].get("Algorithm") == names.DS + "sha1"
    named = key.findtext(f"{DS}KeyInfo/{DS}X509Data/{DS}X509Certificate")
    assert named == pair().certificate_text


def test_the_cleartext_carries_its_own_namespaces() -> None:
    response = parse(
        f'<p:Response xmlns:p="{names.SAMLP}" xmlns:saml="{names.SAML}">'.encode()
        + ASSERTION.replace(f' xmlns:saml="{names.SAML}"'.encode(), b"")
        + b"</p:Response>"
    )
    element = encrypt_assertion(response[0], pair().certificate)
    plain = decrypt_assertion(element, [private(pair())], allow_cbc=False)
    assert parse(plain).tag == names.ASSERTION
    assert b"samlp" not in plain


def test_two_encryptions_share_neither_key_nor_nonce() -> None:
    values = [e.text or "" for _ in range(20) for e in encrypted().iter(f"{XENC}CipherValue")]
    assert len(set(values)) == 40
    assert len({base64.b64decode(value)[:12] for value in values}) == 40


def test_any_of_several_private_keys_opens_and_their_order_is_free() -> None:
    keys = [private(pair("retired")), private(pair()), private(rsa_pair("larger", 3072))]
    for order in (keys, keys[::-1]):
        plain = decrypt_assertion(received(encrypted()), order, allow_cbc=False)
        assert plain == canonical(parse(ASSERTION))


@pytest.mark.parametrize("algorithm", [AES128_CBC, AES192_GCM, "", "none"])
def test_we_encrypt_with_what_the_service_provider_reads_or_not_at_all(algorithm: str) -> None:
    with pytest.raises(EncryptionImpossible):
        encrypt_assertion(parse(ASSERTION), pair().certificate, algorithm)


def test_a_certificate_without_an_rsa_key_gives_no_cleartext_but_a_refusal() -> None:
    with pytest.raises(EncryptionImpossible, match="no RSA key"):
        encrypt_assertion(parse(ASSERTION), ec_pair("encryption-ec").certificate)


# --- hostile -------------------------------------------------------------------------------------


def only(element: _Element, path: str) -> _Element:
    (found,) = element.findall(path)
    return found


def set_algorithm(path: str, algorithm: str) -> Callable[[_Element], None]:
    return lambda element: only(element, path).set("Algorithm", algorithm)


def second_key(element: _Element) -> None:
    info = only(element, f".//{XENC}EncryptedData/{DS}KeyInfo")
    info.append(copy.deepcopy(info[0]))


def second_data(element: _Element) -> None:
    element.append(copy.deepcopy(element[0]))


def key_beside(element: _Element) -> None:
    element.append(copy.deepcopy(only(element, f".//{XENC}EncryptedKey")))


def retrieval_method(element: _Element) -> None:
    info = only(element, f".//{XENC}EncryptedData/{DS}KeyInfo")
    info.remove(info[0])
    etree.SubElement(info, f"{DS}RetrievalMethod", URI="#k")


def retrieval_in_key(element: _Element) -> None:
    info = only(element, f".//{XENC}EncryptedKey/{DS}KeyInfo")
    etree.SubElement(info, f"{DS}RetrievalMethod", URI="http://127.0.0.1/key")


def cipher_reference(element: _Element) -> None:
    data = only(element, f"{XENC}EncryptedData/{XENC}CipherData")
    data.remove(data[0])
    etree.SubElement(data, f"{XENC}CipherReference", URI="file:///etc/passwd")


def two_values(element: _Element) -> None:
    data = only(element, f"{XENC}EncryptedData/{XENC}CipherData")
    data.append(copy.deepcopy(data[0]))


def into_method(path: str, tag: str, **attributes: str) -> Callable[[_Element], None]:
    def change(element: _Element) -> None:
        etree.SubElement(only(element, path), tag, attributes)

    return change


def set_value(path: str, text: str) -> Callable[[_Element], None]:
    def change(element: _Element) -> None:
        only(element, path).text = text

    return change


CONTENT_METHOD = f"{XENC}EncryptedData/{XENC}EncryptionMethod"
KEY_METHOD = f".//{XENC}EncryptedKey/{XENC}EncryptionMethod"
CONTENT = f"{XENC}EncryptedData/{XENC}CipherData/{XENC}CipherValue"
KEY = f".//{XENC}EncryptedKey/{XENC}CipherData/{XENC}CipherValue"


@pytest.mark.parametrize(
    "change",
    [
        set_algorithm(KEY_METHOD, names.XENC + "rsa-1_5"),
        set_algorithm(KEY_METHOD, names.XENC + "kw-aes128"),
        set_algorithm(CONTENT_METHOD, names.XENC + "tripledes-cbc"),
        set_algorithm(CONTENT_METHOD, "http://www.w3.org/2001/04/xmlenc#arcfour"),
        set_algorithm(CONTENT_METHOD, ""),
        set_algorithm(f"{KEY_METHOD}/{DS}DigestMethod", names.DS + "md5"),
        set_algorithm(f"{KEY_METHOD}/{DS}DigestMethod", names.XENC + "sha512"),
        into_method(KEY_METHOD, f"{DS}DigestMethod", Algorithm=SHA256),
        into_method(KEY_METHOD, f"{{{names.XENC11}}}MGF", Algorithm=names.XENC11 + "mgf1sha256"),
        into_method(KEY_METHOD, f"{XENC}OAEPparams"),
        into_method(f"{KEY_METHOD}/{DS}DigestMethod", f"{DS}DigestMethod"),
        into_method(CONTENT_METHOD, f"{XENC}KeySize"),
        into_method(CONTENT, f"{XENC}CipherValue"),
        into_method(f"{XENC}EncryptedData", f"{XENC}EncryptionProperties"),
        second_key,
        second_data,
        key_beside,
        retrieval_method,
        retrieval_in_key,
        cipher_reference,
        two_values,
        set_value(CONTENT, "%%%%"),
        set_value(CONTENT, "AAAA-_=="),
        set_value(KEY, "\u00e4\u00e4\u00e4\u00e4"),
        set_value(CONTENT, "A" * (600 * 1024)),
        lambda element: only(element, f"{XENC}EncryptedData").set("Type", names.XENC + "Content"),
        lambda element: element.remove(element[0]),
    ],
)
def test_another_shape_or_algorithm_is_refused_before_any_key_is_used(
    change: Callable[[_Element], None],
) -> None:
    class Untouchable:
        def decrypt(self, *_: object) -> bytes:
            raise AssertionError("a private key was used")

    element = encrypted()
    change(element)
    with pytest.raises(AssertionInvalid) as refusal:
        decrypt_assertion(element, [Untouchable()], allow_cbc=True)  # type: ignore[list-item] # a key that tells when it is used
    assert refusal.value.rule == "SP-08"


def spoil(path: str, change: Callable[[bytes], bytes]) -> Callable[[_Element], None]:
    def apply(element: _Element) -> None:
        node = only(element, path)
        node.text = base64.b64encode(change(base64.b64decode(node.text or ""))).decode()

    return apply


def wrap_key(content_key: bytes) -> Callable[[bytes], bytes]:
    public = private(pair()).public_key()
    scheme = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
    return lambda _: public.encrypt(content_key, scheme)


AFTER_THE_KEY = {
    "wrong tag": spoil(CONTENT, lambda b: b[:-1] + bytes([b[-1] ^ 1])),
    "wrong nonce": spoil(CONTENT, lambda b: bytes([b[0] ^ 1]) + b[1:]),
    "truncated tag": spoil(CONTENT, lambda b: b[:-4]),
    "truncated to the nonce": spoil(CONTENT, lambda b: b[:12]),
    "empty content": spoil(CONTENT, lambda _: b""),
    "wrong key octet": spoil(KEY, lambda b: b[:-1] + bytes([b[-1] ^ 1])),
    "truncated key": spoil(KEY, lambda b: b[:-1]),
    "longer key": spoil(KEY, lambda b: b + b"\0"),
    "empty key": spoil(KEY, lambda _: b""),
    "key out of range": spoil(KEY, lambda b: b"\xff" * len(b)),
    "content key of another length": spoil(KEY, wrap_key(b"k" * 32)),
    "content key that is empty": spoil(KEY, wrap_key(b"")),
    "content key that is another": spoil(KEY, wrap_key(b"k" * 16)),
    "other digest": set_algorithm(f"{KEY_METHOD}/{DS}DigestMethod", SHA256),
    "other cipher": set_algorithm(CONTENT_METHOD, AES256_GCM),
    "as CBC": set_algorithm(CONTENT_METHOD, AES128_CBC),
}


def refusal_of(element: _Element, key: rsa.RSAPrivateKey | None = None) -> AssertionInvalid:
    with pytest.raises(AssertionInvalid) as refusal:
        decrypt_assertion(element, [key or private(pair())], allow_cbc=True)
    return refusal.value


def test_everything_after_the_first_use_of_a_key_is_refused_in_the_same_words() -> None:
    refusals = [refusal_of(encrypted(), private(pair("another")))]
    for name, change in AFTER_THE_KEY.items():
        if name == "as CBC":
            continue  # may decrypt to noise by chance; its own test is below
        element = encrypted()
        change(element)
        refusals.append(refusal_of(element))
    blocks = (b"x" * 15 + b"\x00", b"x" * 15 + b"\x11", b"x" * 15 + b"\xff", b"")
    refusals.extend(refusal_of(cbc_of(block)) for block in blocks)
    assert len({(r.rule, r.detail, r.public, r.code, str(r)) for r in refusals}) == 1
    assert {r.__cause__ for r in refusals} == {None}
    assert {r.__context__ for r in refusals} == {None}


def cbc_of(padded: bytes) -> _Element:
    """A CBC message with this last block, padding included, under a key we chose."""
    key, iv = b"k" * 16, b"i" * 16
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    element = encrypted()
    set_algorithm(CONTENT_METHOD, AES128_CBC)(element)
    spoil(KEY, wrap_key(key))(element)
    spoil(CONTENT, lambda _: iv + encryptor.update(padded) + encryptor.finalize())(element)
    return element


def test_cbc_padding_is_cut_off_by_its_last_octet() -> None:
    element = cbc_of(b"<a/>" + b"?" * 11 + b"\x0c")
    assert decrypt_assertion(element, [private(pair())], allow_cbc=True) == b"<a/>"


def test_every_key_is_tried_and_content_decrypted_whether_it_fits_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Constant work: as many content decryptions as keys, for a good and for a bad message."""
    from idp_proxy.saml import encryption

    calls: list[int] = []
    real = encryption._decrypt_gcm

    def counted(key: bytes, content: bytes) -> bytes | None:
        calls.append(len(key))
        return real(key, content)

    monkeypatch.setattr(encryption, "_decrypt_gcm", counted)
    keys = [private(pair()), private(pair("retired"))]
    decrypt_assertion(encrypted(), keys, allow_cbc=False)
    bad = encrypted()
    AFTER_THE_KEY["wrong key octet"](bad)
    with pytest.raises(AssertionInvalid):
        decrypt_assertion(bad, keys, allow_cbc=False)
    assert calls == [16] * 4


def test_without_a_key_the_way_out_is_named() -> None:
    with pytest.raises(AssertionInvalid, match="decryption_key"):
        decrypt_assertion(encrypted(), [], allow_cbc=False)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_octet_of_the_content_survives_gcm(position: int, change: int) -> None:
    element = encrypted()

    def flip(octets: bytes) -> bytes:
        at = position % len(octets)
        return octets[:at] + bytes([octets[at] ^ change]) + octets[at + 1 :]

    spoil(CONTENT, flip)(element)
    assert refusal_of(element).detail == "the assertion could not be decrypted"
