"""`[[upstream]]` of kind "ldap": what is read, and what would prove nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.adapters import open_probes, open_references, open_upstreams
from idp_proxy.config import DirectoryHost, DirectorySettings, Encrypted, Outbound
from idp_proxy.decision.password_limits import PasswordLimits
from idp_proxy.store.schema import migrate
from tests.support.keys import tls_pair
from tests.unit.at_the_terminal import Program
from tests.unit.config_folder import private_file

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder

PLACE = "[audit]\n"
SECRET = "the reader's word"
DIRECTORY = """\
[[upstream]]
name = "corp"
kind = "ldap"

[upstream.attributes]
link_key = "employeeNumber"

[upstream.directory]
urls = ["ldaps://ldap1.corp.example", "ldap://ldap2.corp.example:1389"]
tls_ca = "keys/corp-ca.crt"
bind_dn = "cn=sso,dc=corp,dc=example"
bind_password = "file:keys/corp.password"
base = "ou=people,dc=corp,dc=example"
user_filter = "(&(objectClass=person)(uid={username}))"
probe_user = "sso-probe"

"""


@pytest.fixture
def corp(folder: Folder) -> Folder:
    """The usual folder, with a directory as third upstream."""
    private_file(folder.path / "keys/corp.password", f"{SECRET}\n".encode())
    (folder.path / "keys/corp-ca.crt").write_bytes(tls_pair("ca").certificate_pem)
    return folder.set(PLACE, DIRECTORY + PLACE)


def test_a_directory_is_read(corp: Folder) -> None:
    found = corp.read().upstreams[2]
    assert found == DirectorySettings(
        name="corp",
        email_domains=frozenset(),
        attributes={"link_key": "employeeNumber"},
        outbound=Outbound(),
        hosts=(
            DirectoryHost("ldap1.corp.example", 636, Encrypted.LDAPS),
            DirectoryHost("ldap2.corp.example", 1389, Encrypted.START_TLS),
        ),
        tls_ca=corp.path / "keys/corp-ca.crt",
        bind_dn="cn=sso,dc=corp,dc=example",
        bind_password=SECRET,
        base="ou=people,dc=corp,dc=example",
        user_filter="(&(objectClass=person)(uid={username}))",
        probe_user="sso-probe",
        connect_timeout=timedelta(seconds=2),
        timeout=timedelta(seconds=5),
        base_url="https://sso.example.org/upstream/corp",
        limits=PasswordLimits(late=timedelta(seconds=2 * 5 + 120)),
    )
    assert SECRET not in repr(found)


def test_it_is_opened_and_probed_beside_the_others(corp: Folder) -> None:
    settings = corp.read()
    upstreams = open_upstreams(settings)
    assert list(upstreams) == ["okta", "entra", "corp"]
    assert {name: probe.upstream for name, probe in open_probes(upstreams).items()} == {
        name: name for name in upstreams
    }


def test_the_outbound_proxy_is_not_on_its_path(corp: Folder) -> None:
    """An HTTP proxy carries no LDAP; the references take the path of what they guard."""
    corp.set('host = "sso1"', 'host = "sso1"\noutbound_proxy = "http://proxy.corp:3128"')
    corp.text += '\n[health]\nreferences = ["https://example.net/"]\n'
    settings = corp.read()
    assert [one.outbound.proxy for one in settings.upstreams] == [
        "http://proxy.corp:3128",
        "http://proxy.corp:3128",
        "",
    ]
    assert len(open_references(settings)["corp"]) == 1
    (told,) = (one for one in settings.warnings if one.startswith("health.references"))
    assert "corp is reached without the outbound proxy" in told


def test_a_reference_that_both_paths_reach_is_enough(corp: Folder) -> None:
    corp.set(
        'host = "sso1"',
        'host = "sso1"\noutbound_proxy = "http://proxy.corp:3128"\nno_proxy = [".corp.example"]',
    )
    corp.text += '\n[health]\nreferences = ["https://www.corp.example/"]\n'
    assert not any(one.startswith("health.references") for one in corp.read().warnings)


def test_plain_ldap_is_for_a_trial_on_loopback(corp: Folder) -> None:
    corp.set("ldap2.corp.example:1389", "localhost:1389")
    corp.set('base = "ou', 'start_tls = false\nbase = "ou')
    (refused,) = corp.problems()
    assert refused.startswith("upstream[2].directory.urls[1]: passwords would be sent in the clear")
    corp.set("ldap://localhost", "ldap://ldap.corp.example")
    corp.set('"https://sso.example.org"', '"http://127.0.0.1:8443"')
    corp.set("[store]", "insecure_loopback = true\n[store]")
    (refused,) = corp.problems()
    assert refused.startswith("upstream[2].directory.urls[1]: passwords would be sent in the clear")
    corp.set("ldap://ldap.corp.example", "ldap://localhost")
    found = corp.read().upstreams[2]
    assert isinstance(found, DirectorySettings)
    assert found.hosts[1].encryption is None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"ldaps://ldap1.corp.example", ', '"https://x", ', "urls[0]: not a directory's address"),
        ('"ldaps://ldap1.corp.example", ', '"ldaps://", ', "urls[0]: not a directory's address"),
        ('"ldaps://ldap1', '"ldaps://a:geheim@ldap1', "urls[0]: names no host; user and password"),
        ("example:1389", "example:1389/dc=x", "urls[1]: must be only scheme, host and port"),
        ("ldap://ldap2.corp.example:1389", "ldaps://ldap1.corp.example:636", "urls[1]: names lda"),
        ('"keys/corp-ca.crt"', '"keys/none.crt"', "tls_ca: no such file: keys/none.crt"),
        ('"file:keys/corp.password"', '"geheim"', "bind_password: a secret may not stand in this"),
        ('"file:keys/corp.password"', '""', "bind_password: a secret may not stand in this file"),
        ('bind_dn = "cn=sso,', 'bind_dn = "sso,', "bind_dn: no DN: "),
        ('bind_dn = "cn=sso,dc=corp,dc=example"', 'bind_dn = "sso"', "bind_dn: neither a DN nor"),
        ('bind_dn = "cn=sso,dc=corp,dc=example"\n', "", "bind_dn: missing"),
        ('base = "ou=people,', 'base = "people,', "base: no DN: "),
        ('base = "ou=people,', 'base = " ou=people,', "base: must be one line, without blanks"),
        ('probe_user = "sso-probe"\n', "", "probe_user: missing"),
        ('probe_user = "sso-probe"', "probe_user = 'a\tb'", "probe_user: must be one line"),
        ('base = "ou', 'timeout_s = 1\nbase = "ou', "connect_timeout_s: longer than timeout_s"),
        ('base = "ou', 'timeout_s = 61\nbase = "ou', "timeout_s: 61 is too large: at most 60"),
        ('base = "ou', 'url = "x"\nbase = "ou', "url: unknown field; did you mean urls?"),
    ],
)
def test_what_cannot_be_asked_is_refused(corp: Folder, old: str, new: str, problem: str) -> None:
    (found,) = corp.set(old, new).problems()
    assert found.startswith(f"upstream[2].directory.{problem}")
    assert "geheim" not in found


def test_hosts_are_at_least_one_and_at_most_five(corp: Folder) -> None:
    two = 'urls = ["ldaps://ldap1.corp.example", "ldap://ldap2.corp.example:1389"]'
    (found,) = corp.set(two, "urls = []").problems()
    assert found.startswith("upstream[2].directory.urls: missing")
    six = ", ".join(f'"ldaps://ldap{n}.corp.example"' for n in range(6))
    (found,) = corp.set("urls = []", f"urls = [{six}]").problems()
    assert found == "upstream[2].directory.urls: more than 5 hosts"


@pytest.mark.parametrize(
    "good",
    [
        "(uid={username})",
        "(mail={username}@corp.example)",
        "(&(objectClass=person)(!(nsAccountLock=TRUE))(uid={username}))",
        "(&(sAMAccountName={username})(memberOf:1.2.840.113556.1.4.1941:=cn=mm,dc=corp))",
        "(uid:caseExactMatch:={username})",
    ],
)
def test_a_filter_in_which_the_name_decides(corp: Folder, good: str) -> None:
    corp.set("(&(objectClass=person)(uid={username}))", good).read()


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("(uid=anna)", "must hold {username} exactly once"),
        ("(|(uid={username})(mail={username}))", "must hold {username} exactly once"),
        ("uid={username}", "no filter: invalid filter"),
        ("(uid={username}", "no filter: invalid filter"),
        ("(uid={username}))(objectClass=*)(", "no filter: "),
        ("(&(uid={username})", "no filter: invalid filter"),
        ("(!(uid={username}))", "{username} must decide who is found"),
        ("(|(uid={username})(objectClass=*))", "{username} must decide who is found"),
        ("(&(objectClass=*)(!(&(uid={username}))))", "{username} must decide who is found"),
        ("(uid={username}*)", "{username} must decide who is found"),
        ("(uid>={username})", "{username} must decide who is found"),
        ("(uid~={username})", "{username} must decide who is found"),
        ("({username}=anna)", "names no attribute: '{username}'"),
        ("(={username})", "names no attribute: ''"),
        ("(u d={username})", "names no attribute: 'u d'"),
    ],
)
def test_a_filter_by_which_anybody_could_be_found_is_refused(
    corp: Folder, bad: str, problem: str
) -> None:
    (found,) = corp.set("(&(objectClass=person)(uid={username}))", bad).problems()
    assert found.startswith(f"upstream[2].directory.user_filter: {problem}")


@pytest.mark.parametrize(
    "line",
    [
        'metadata = { file = "okta.xml" }',
        'signing_key = "keys/okta-sp.key"',
        "allow_aes_cbc = true",
        'tls_ca = "keys/corp-ca.crt"',
        'outbound_proxy = "http://proxy:3128"',
        "probe.status = 200",
        "limits.clock_skew_s = 5",
    ],
)
def test_what_belongs_to_saml_is_refused(corp: Folder, line: str) -> None:
    (found,) = corp.set('kind = "ldap"', f'kind = "ldap"\n{line}').problems()
    field = line.split(maxsplit=1)[0].partition(".")[0]
    assert found.startswith(f'upstream[2].{field}: belongs to kind = "saml"')


def test_a_directory_under_saml_is_refused(folder: Folder) -> None:
    folder.set('name = "entra"', 'name = "entra"\ndirectory.base = "dc=corp"')
    assert folder.problems() == ['upstream[1].directory: belongs to kind = "ldap"']


def test_a_directory_makes_no_roster_so_it_is_not_the_active(corp: Folder) -> None:
    corp.set(DIRECTORY, "").set("[[upstream]]", f"{DIRECTORY}[[upstream]]")
    found = corp.problems()
    assert any(one.startswith("upstream[0].kind: a directory only stands by") for one in found)


def test_people_are_found_by_an_attribute_of_a_directory(corp: Folder) -> None:
    (found,) = corp.set('"employeeNumber"', '"urn:oid:2.5.4.42"').problems()
    assert found.startswith("upstream[2].attributes.link_key: not the name of a directory's attr")
    (found,) = corp.set('link_key = "urn:oid:2.5.4.42"', 'email = "mail"').problems()
    assert found.startswith("upstream[2].attributes.link_key: missing: a standby gives link_key")


def test_the_commands_show_it_and_have_no_metadata_of_it(
    corp: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Program(corp, capsys)
    program.write()
    program.make_store(b"")
    migrate(corp.read().store.url)
    shown = " ".join(program.ok("check-config").out.split())
    for said in ("ldap2.corp.example:1389 (start_tls)", "/upstream/corp/login"):
        assert said in shown
    assert SECRET not in shown
    described = program.status()["upstreams"][2]
    assert (described["name"], described["usable"]) == ("corp", True)
    assert program("metadata", "show", "corp").code == 2
    assert "corp is a directory: it has no metadata to" in " ".join(program.err.split())
    assert "takes no logins" not in shown
