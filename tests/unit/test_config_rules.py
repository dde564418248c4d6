from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp_proxy.config import addresses
from idp_proxy.config.settings import Listen
from tests.support.keys import rsa_pair
from tests.unit.config_folder import saml_of

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder

PUBLIC = 'public_url = "https://sso.example.org"'
STORE = '"sqlite:///var/idp-proxy.db"'


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://sso.example.org", "plain http would show logins to everybody on the way (WEB-01)"),
        ("http://127.0.0.1:8443", "plain http"),
        ("https://sso.example.org/", "must be only scheme and host"),
        ("https://sso.example.org/sso", "must be only scheme and host"),
        ("https://sso.example.org?x", "must be only scheme and host"),
        ("https://sso.example.org#x", "must be only scheme and host"),
        ("https://user:geheim@sso.example.org", "must not hold a user name or password"),
        ("sso.example.org", "not a URL"),
        ("ftp://sso.example.org", "not a URL"),
        ("javascript:alert(1)", "not a URL"),
        ("https://", "not a URL"),
        ("https://sso.example.org:0", "not a URL"),
        ("https://sso.example.org:99999", "not a URL"),
        ("https://sso.example.org:x", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://sso.\\texample.org", "not a URL"),
        ("https://sso.example.org\\n", "not a URL"),
        ("https://söo.example.org", "not a URL"),
        ("https://sso_x;y.example.org", "not a host name"),
        ("", "missing"),
    ],
)
def test_a_public_url_is_the_bare_https_origin(folder: Folder, url: str, problem: str) -> None:
    (found,) = folder.set(PUBLIC, f'public_url = "{url}"').problems()
    assert found.startswith(f"proxy.public_url: {problem}")
    assert "geheim" not in found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_plain_http_is_for_loopback_with_insecure_loopback(folder: Folder, host: str) -> None:
    folder.set(PUBLIC, f'public_url = "http://{host}:8443"\ninsecure_loopback = true')
    folder.set("127.0.0.1:8443", f"{host}:8443")
    folder.set("https://chat.example.org", f"http://{host}:8065", everywhere=True)
    read = folder.read()
    assert read.proxy.insecure_loopback
    assert read.service_provider.acs_url.startswith("http://")


@pytest.mark.parametrize(
    ("listen", "public_url", "problems"),
    [
        ("0.0.0.0:8443", "http://127.0.0.1:8443", ["proxy.listen", "proxy.listen"]),
        ("127.0.0.1:8443", "https://sso.example.org", ["proxy.public_url"]),
        ("127.0.0.1:8443", "http://127.0.0.1.example.org", ["proxy.public_url"]),
        ("127.0.0.1:8443", "http://localhost.example.org:1", ["proxy.public_url"]),
    ],
)
def test_insecure_loopback_leaves_no_way_in_from_outside(
    folder: Folder, listen: str, public_url: str, problems: list[str]
) -> None:
    folder.set("127.0.0.1:8443", listen)
    folder.set(PUBLIC, f'public_url = "{public_url}"\ninsecure_loopback = true')
    found = folder.problems()
    assert [problem.split(": ")[0] for problem in found] == problems
    assert all("WEB-01" in problem for problem in found)


@pytest.mark.parametrize("field", ["acs_url", "login_url"])
def test_mattermost_is_reached_by_https(folder: Folder, field: str) -> None:
    line = f'{field} = "https://chat.example.org/login/sso/saml"'
    (problem,) = folder.set(line, line.replace("https", "http")).problems()
    assert problem.startswith(f"service_provider.{field}: plain http")


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:8443", Listen("127.0.0.1", 8443)),
        ("[::1]:8443", Listen("::1", 8443)),
        ("localhost:1", Listen("localhost", 1)),
        ("8443", None),
        (":8443", None),
        ("127.0.0.1", None),
        ("127.0.0.1:", None),
        ("127.0.0.1:0", None),
        ("127.0.0.1:65536", None),
        ("::1:8443", None),
        ("user@127.0.0.1:8443", None),
        ("127.0.0.1:8443/x", None),
        ("127.0.0.1:8443?", None),
        ("a b:1", None),
        ("", None),
    ],
)
def test_listen_is_host_and_port(listen: str, expected: Listen | None) -> None:
    assert addresses.parse_listen(listen) == expected


def test_an_open_listener_without_tls_needs_a_named_reverse_proxy(folder: Folder) -> None:
    folder.set("127.0.0.1:8443", "0.0.0.0:8443")
    (problem,) = folder.problems()
    assert problem.startswith("proxy.listen: 0.0.0.0 without TLS (WEB-01)")
    folder.set("workers = 2", 'trusted_proxies = ["10.0.0.0/8", "192.0.2.7"]')
    assert folder.read().proxy.trusted_proxies == ("10.0.0.0/8", "192.0.2.7")


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        ("0.0.0.0/0", "trusts the forwarding headers of everybody (WEB-04)"),
        ("::/0", "trusts the forwarding headers of everybody (WEB-04)"),
        ("10.0.0.1/8", "not a network"),
        ("*", "not a network"),
        ("proxy.example.org", "not a network"),
        ("", "not a network"),
    ],
)
def test_forwarding_headers_are_believed_of_named_networks_only(
    folder: Folder, network: str, problem: str
) -> None:
    (found,) = folder.set("workers = 2", f'trusted_proxies = ["{network}"]').problems()
    assert found.startswith(f"proxy.trusted_proxies[0]: {problem}")


@pytest.mark.parametrize("entity_id", ["", "a b", "x" * 1025, "https://x\\u0000", "a\\u200b"])
def test_an_entity_id_is_one_printable_word(folder: Folder, entity_id: str) -> None:
    line = 'entity_id = "https://sso.example.org/saml/metadata"'
    (problem,) = folder.set(line, f'entity_id = "{entity_id}"').problems()
    assert problem.startswith("proxy.entity_id: ")


def test_towards_mattermost_and_towards_an_upstream_the_proxy_bears_two_names(
    folder: Folder,
) -> None:
    folder.set("/saml/metadata", "/upstream/okta/metadata")
    (problem,) = folder.problems()
    assert problem.startswith("proxy.entity_id: is what upstream okta knows this proxy by")
    assert "FO-12" in problem


@pytest.mark.parametrize(
    ("url", "ok"),
    [
        ("https://help.example.org/sso", True),
        ("mailto:help@example.org", True),
        ("http://127.0.0.1:9/help", True),
        ("http://help.example.org", False),
        ("javascript:alert(1)", False),
        ("mailto:nobody", False),
        ("mailto:a@b c", False),
        ("//help.example.org", False),
    ],
)
def test_the_link_to_help_is_https_or_mail(folder: Folder, url: str, ok: bool) -> None:
    folder.set("https://help.example.org/sso", url)
    if ok:
        assert folder.read().proxy.support_url == url
    else:
        (problem,) = folder.problems()
        assert problem.startswith("proxy.support_url: ")


@pytest.mark.parametrize("name", ["Okta", "-okta", "a" * 32, "a/b", "a b", "ökta", "a.b", ".."])
def test_an_upstream_s_name_is_fit_for_urls_and_file_names(folder: Folder, name: str) -> None:
    (problem,) = folder.set('name = "okta"', f'name = "{name}"').problems()
    assert problem.startswith(f"upstream[0].name: {name!r} is no name")


def test_two_upstreams_do_not_share_a_name(folder: Folder) -> None:
    (problem,) = folder.set('name = "entra"', 'name = "okta"').problems()
    assert problem == "upstream[1].name: upstream[0] has this name too"


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ("{}", "upstream[0].metadata: exactly one of file and url must be set"),
        (
            '{ file = "okta.xml", url = "https://idp.example.org" }',
            "upstream[0].metadata: exactly one of file and url must be set",
        ),
        ('{ url = "http://idp.example.org/md" }', "upstream[0].metadata.url: plain http"),
        ('{ url = "http://127.0.0.1/md" }', "upstream[0].metadata.url: plain http"),
        ('{ url = "file:///etc/passwd" }', "upstream[0].metadata.url: not a URL"),
        (
            '{ file = "okta.xml", trust = "signed" }',
            "upstream[0].metadata.trust: belongs to a url, not to a file",
        ),
        (
            '{ file = "okta.xml", pin = "sha256:0" }',
            "upstream[0].metadata.pin: belongs to a url, not to a file",
        ),
        (
            '{ url = "https://idp.example.org", certificate = "x.crt" }',
            'upstream[0].metadata.certificate: has an effect only with trust = "signed" (MD-01)',
        ),
        ('"okta.xml"', "upstream[0].metadata: must be a table"),
    ],
)
def test_metadata_comes_from_one_place_that_can_be_trusted(
    folder: Folder, metadata: str, problem: str
) -> None:
    (found,) = folder.set('{ file = "okta.xml" }', metadata).problems()
    assert found.startswith(problem)


@pytest.mark.parametrize("name", ["id", "email", "username"])
def test_the_active_gives_every_identifier(folder: Folder, name: str) -> None:
    lines = folder.text[folder.text.index("[upstream.attributes]") :].splitlines()
    line = next(line for line in lines if line.startswith(f"{name} ="))
    found = folder.set(line, "").problems()
    assert f"upstream[0].attributes.{name}: missing: the active gives id, email and username " in (
        found[0] + " "
    )


@pytest.mark.parametrize("name", ["id", "email", "username"])
def test_mattermost_is_sent_every_identifier(folder: Folder, name: str) -> None:
    (problem,) = folder.set(f'{name} = "{name}"\n', "").problems()
    assert problem.startswith(f"service_provider.attributes: nothing is sent as {name}")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'firstname = "first_name"',
            'firstname = "firstname"',
            (
                "service_provider.attributes.firstname: upstream[0].attributes has no 'firstname'; "
                "did you mean first_name?"
            ),
        ),
        (
            'firstname = "first_name"',
            'firstname = ""',
            "service_provider.attributes.firstname: names no attribute: ''",
        ),
        (
            'firstname = "first_name"',
            'encryption_certificate = "first_name"',
            "service_provider.attributes.encryption_certificate: is a field, not an attribute",
        ),
        (
            'link_key = "NameID"',
            'link_key = "NameID"\nrequire_signed = "both"',
            "upstream[1].attributes.require_signed: is a field, not an attribute",
        ),
        (
            'link_key = "NameID"',
            'link_key = " NameID"',
            "upstream[1].attributes.link_key: names no attribute: ' NameID'",
        ),
        (
            'link_key = "NameID"',
            'link_key = "NameID"\nFirst = "x"',
            "upstream[1].attributes: 'First' is no canonical name",
        ),
        (
            'link_key = "NameID"',
            'link_key = "a\\u0007"',
            "upstream[1].attributes.link_key: names no attribute: 'a\\x07'",
        ),
    ],
)
def test_a_mapping_that_leads_nowhere_is_refused(
    folder: Folder, old: str, new: str, problem: str
) -> None:
    found = folder.set(old, new).problems()
    assert any(one.startswith(problem) for one in found), found


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ('["rolle"]', "upstream[0].attributes has no 'rolle'"),
        ('["firstname"]', "upstream[0].attributes has no 'firstname'; did you mean first_name?"),
        ('["email"]', "email says who somebody is; it cannot be withheld (IDP-06)"),
        ('["id"]', "id says who somebody is; it cannot be withheld (IDP-06)"),
    ],
)
def test_a_role_attribute_that_would_not_be_withheld_is_refused(
    folder: Folder, names: str, problem: str
) -> None:
    (found,) = folder.set("encrypt = false", f"role_attributes = {names}").problems()
    assert found.startswith(f"service_provider.role_attributes[0]: {problem}")


def test_email_domains_are_lower_case_and_need_an_email(folder: Folder) -> None:
    folder.set('name = "okta"', 'name = "okta"\nemail_domains = ["Example.ORG", "example.com"]')
    assert folder.read().upstreams[0].email_domains == {"example.org", "example.com"}
    folder.set('name = "entra"', 'name = "entra"\nemail_domains = ["example.org"]')
    (problem,) = folder.problems()
    assert problem.startswith("upstream[1].attributes.email: missing")
    assert "FO-10" in problem


@pytest.mark.parametrize("domain", ["", "@example.org", "*.example.org", "example", "a b.org"])
def test_an_email_domain_is_a_domain(folder: Folder, domain: str) -> None:
    folder.set('name = "okta"', f'name = "okta"\nemail_domains = ["{domain}"]')
    (problem,) = folder.problems()
    assert problem.startswith("upstream[0].email_domains[0]: not a mail domain")


def test_aes_cbc_needs_a_signed_response_around_it(folder: Folder) -> None:
    line = 'require_signed = "assertion"'
    folder.add_pair("okta-enc", rsa_pair("okta-enc"))
    pair = 'decryption_key = "keys/okta-enc.key"\ndecryption_certificate = "keys/okta-enc.crt"'
    (problem,) = folder.set(line, f"{line}\nallow_aes_cbc = true\n{pair}").problems()
    assert problem.startswith("upstream[0].allow_aes_cbc: AES-CBC can be altered on the way")
    assert saml_of(folder.set(line, 'require_signed = "both"').read())[0].allow_aes_cbc
    (warning,) = folder.set(pair, "").read().warnings
    assert warning == "upstream[0].allow_aes_cbc: has no effect without decryption_key"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("encrypt = true", "service_provider.encryption_certificate: missing: encrypt = true"),
        (
            "require_signed_requests = true",
            "service_provider.signing_certificates: missing: require_signed_requests = true",
        ),
        (
            'signing_certificates = ["none.crt"]',
            "service_provider.signing_certificates[0]: no such file: none.crt",
        ),
        (
            'encryption_certificate = "none.crt"',
            "service_provider.encryption_certificate: no such file: none.crt",
        ),
    ],
)
def test_what_mattermost_s_certificates_are_needed_for_cannot_be_on_without_them(
    folder: Folder, line: str, problem: str
) -> None:
    old = "signing_certificates = []\n" if line.startswith("sign") else "encrypt = false"
    (found,) = folder.set(old, f"{line}\n").problems()
    assert found.startswith(problem)


@pytest.mark.parametrize("field", ["requested_authn_context = [{}]", "name_id_format = {}"])
@pytest.mark.parametrize("value", ['""', '"a b"', '"a\\u0001"'])
def test_a_saml_identifier_is_one_word(folder: Folder, field: str, value: str) -> None:
    (problem,) = folder.set('name = "okta"', f'name = "okta"\n{field.format(value)}').problems()
    assert "not a URI" in problem


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://proxy:geheim@db.example.org/proxy",
        "postgresql://db.example.org/proxy?password=geheim",
    ],
)
def test_a_store_url_with_a_password_is_a_reference(folder: Folder, url: str) -> None:
    folder.set(STORE, f'"{url}"')
    (problem,) = folder.problems()
    assert problem.startswith("store.url: a password may not stand in this file (KEY-01)")
    assert "geheim" not in problem
    folder.environ["STORE_URL"] = url
    read = folder.set(f'"{url}"', '"env:STORE_URL"').read()
    assert read.store.url == url.replace("postgresql:", "postgresql+psycopg:")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite://", "all workers need one database file"),
        ("sqlite:///:memory:", "all workers need one database file"),
        ("sqlite:///file:x?mode=memory&uri=true", "all workers need one database file"),
        ("sqlite://var/idp-proxy.db", "all workers need one database file"),
        ("mysql://db/proxy", "unknown database 'mysql'; use sqlite or postgresql"),
        ("var/idp-proxy.db", "not a database URL"),
        ("", "not a database URL"),
        ("env:UNSET", "the environment variable UNSET is not set"),
        ("file:none", "no such file: none"),
    ],
)
def test_a_store_that_workers_cannot_share_is_refused(
    folder: Folder, url: str, problem: str
) -> None:
    (found,) = folder.set(STORE, f'"{url}"').problems()
    assert found.startswith(f"store.url: {problem}")


def test_an_absolute_database_path_stays(folder: Folder) -> None:
    folder.set(STORE, '"sqlite:////srv/idp-proxy.db"')
    assert folder.read().store.url == "sqlite:////srv/idp-proxy.db"


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("http://user:geheim@out.example.org:3128", "a password may not stand in this file"),
        ("socks5://out.example.org", "not a proxy's URL"),
        ("out.example.org:3128", "not a proxy's URL"),
        ("http://out.example.org/path", "a proxy's URL has no path"),
        ("http://[", "a password may not stand in this file"),
        ("env:UNSET", "the environment variable UNSET is not set"),
    ],
)
def test_an_outbound_proxy_is_a_url_without_a_password(
    folder: Folder, proxy: str, problem: str
) -> None:
    (found,) = folder.set("workers = 2", f'outbound_proxy = "{proxy}"').problems()
    assert found.startswith(f"proxy.outbound_proxy: {problem}")
    assert "geheim" not in found


@pytest.mark.parametrize(
    ("value", "problem"),
    [("a\nb", "must hold exactly one line"), ("", "must hold"), ("\udcff", "is not UTF-8 text")],
)
def test_a_secret_text_is_one_line(folder: Folder, value: str, problem: str) -> None:
    folder.environ["STORE_URL"] = value
    (found,) = folder.set(STORE, '"env:STORE_URL"').problems()
    assert found.startswith(f"store.url: env:STORE_URL {problem}")


@given(st.text(max_size=60))
def test_no_text_whatever_breaks_an_address_check(text: str) -> None:
    for check in (
        addresses.entity_id_problem,
        addresses.support_problem,
        addresses.outbound_problem,
        addresses.domain_problem,
        addresses.network_problem,
        addresses.name_problem,
    ):
        problem = check(text)
        assert problem is None or problem
    for url in (text, f"https://{text}", f"http://127.0.0.1{text}"):
        if addresses.url_problem(url, loopback_http=True) is None:
            host = addresses.url_host(url)
            assert host
            assert url.startswith("https://") or addresses.is_loopback(host)
    listen = addresses.parse_listen(text)
    assert listen is None or 0 < listen.port < 65536
