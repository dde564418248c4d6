"""`[[upstream.canary]]`: an account that logs in for the watch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from idp_proxy.adapters import open_canaries, open_upstreams
from idp_proxy.config import CanarySettings, canaries
from tests.unit.config_folder import private_file

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder

PLACE = "[audit]\n"
USUAL = {
    "name": '"staff"',
    "username": '"canary-staff"',
    "password": '"file:keys/canary.pw"',
    "subject": '"e-9001"',
}
PASSWORD, TOTP = "geheim-im-wald", "JBSWY3DPEHPK3PXP"


def canary(**fields: str) -> str:
    """One table; a value that is empty is left out."""
    lines = [f"{name} = {value}" for name, value in (USUAL | fields).items() if value]
    return "\n".join(("[[upstream.canary]]", *lines, ""))


@pytest.fixture
def with_canary(folder: Folder) -> Folder:
    private_file(folder.path / "keys" / "canary.pw", f"{PASSWORD}\n".encode())
    private_file(folder.path / "keys" / "canary.totp", b"jbsw y3dp ehpk 3pxp\n")
    return folder


def added(folder: Folder, *tables: str) -> Folder:
    return folder.set(PLACE, "\n".join((*tables, PLACE)))


def test_without_the_table_there_is_no_canary(folder: Folder) -> None:
    settings = folder.read()
    assert [one.canaries for one in settings.upstreams] == [(), ()]
    assert open_canaries(settings, open_upstreams(settings)) == ()


def test_each_field_has_its_effect(with_canary: Folder) -> None:
    more = {
        "totp": '"file:keys/canary.totp"',
        "username_field": '"UserName"',
        "password_field": '"Password"',
        "totp_field": '"Code"',
        "hosts": '["login.example.org", "[::1]:8443"]',
    }
    settings = added(with_canary, canary(**more), canary(name='"contractors"')).read()
    first, second = settings.upstreams[1].canaries
    assert first == CanarySettings(
        name="staff",
        kind="form",
        username="canary-staff",
        password=PASSWORD,
        subject="e-9001",
        totp=TOTP,
        username_field="UserName",
        password_field="Password",
        totp_field="Code",
        hosts=("login.example.org", "[::1]:8443"),
    )
    assert (second.name, second.totp, second.hosts) == ("contractors", None, ())
    assert PASSWORD not in repr(settings)
    assert TOTP not in repr(settings)
    opened = open_canaries(settings, open_upstreams(settings))
    assert [(one.upstream, one.name) for one in opened] == [
        ("entra", "staff"),
        ("entra", "contractors"),
    ]


def test_a_code_counts_once_and_the_file_says_so(with_canary: Folder) -> None:
    folder = added(with_canary, canary(totp='"file:keys/canary.totp"'))
    warned = [one for one in folder.read().warnings if ".totp" in one]
    assert [one.partition(":")[0] for one in warned] == ["upstream[1].canary[0].totp"]
    folder.text += "\n[failover]\ncanary_retry_s = 30\n"
    assert not any(".totp" in one for one in folder.read().warnings)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": ""}, "name: missing"),
        ({"name": '"Staff!"'}, "name: 'Staff!' is no name"),
        ({"kind": '"bind"'}, 'kind: this upstream\'s canary has kind = "form" or "browser"'),
        ({"username": ""}, "username: missing: the name that this account logs in with"),
        ({"username": '"a\\nb"'}, "username: must be one line"),
        ({"password": ""}, 'password: missing: "file:PATH" or "env:NAME"'),
        ({"password": '"geheim"'}, "password: a secret may not stand in this file"),
        ({"password": "7"}, "password: must be text in quotes"),
        ({"password": '"file:keys/none"'}, "password: no such file"),
        ({"password": '"env:CANARY"'}, "password: the environment variable CANARY is not set"),
        ({"totp": '"file:keys/canary.pw"'}, "totp: file:keys/canary.pw holds no base32 secret"),
        ({"totp": '"env:SHORT"'}, "totp: env:SHORT holds no base32 secret"),
        ({"subject": ""}, "subject: missing: the link key that the upstream sends"),
        ({"subject": '" e-9001"'}, "subject: no upstream could say this: it has blanks"),
        ({"subject": '"e\\u200b9"'}, "subject: no upstream could say this: it has control"),
        ({"subject": '"\\u24d4"'}, "subject: no upstream could say this: it changes under"),
        ({"username_field": '"a\\tb"'}, "username_field: names no field"),
        ({"hosts": '["https://login.example.org"]'}, "hosts[0]: not a host"),
        ({"hosts": '["x.example.org", "*"]'}, "hosts[1]: not a host"),
        ({"hosts": '["Login.example.org"]'}, "hosts[0]: not a host"),
        ({"chromium": '"/usr/bin/chromium"'}, 'chromium: belongs to kind = "browser"'),
        ({"user": '"x"'}, "user: unknown field; did you mean username?"),
    ],
)
def test_what_could_not_work_is_refused(
    with_canary: Folder, fields: dict[str, str], problem: str
) -> None:
    with_canary.environ["SHORT"] = "JBSWY3DP"
    (found,) = added(with_canary, canary(**fields)).problems()
    assert found.startswith(f"upstream[1].canary[0].{problem}")
    assert PASSWORD not in found
    assert "geheim" not in found


def test_every_problem_of_every_canary_is_named(with_canary: Folder) -> None:
    folder = added(with_canary, canary(), canary(), canary(name="5", subject=""), "canary = 7")
    assert [one.partition(": ")[0] for one in folder.problems()] == [
        "upstream[1].canary[2].name",
        "upstream[1].canary[2].canary",
        "upstream[1].canary[1].name",
        "upstream[1].canary[2].subject",
    ]


def test_a_canary_that_is_no_table_is_named_alone(with_canary: Folder) -> None:
    with_canary.set('kind = "saml"', 'kind = "saml"\ncanary = ["x"]')
    assert with_canary.problems() == ["upstream[0].canary[0]: must be a table"]


def test_a_directory_has_no_pages_for_a_canary(with_canary: Folder) -> None:
    folder = added(with_canary, canary())
    folder.set('[[upstream]]\nname = "entra"', '[[upstream]]\nname = "entra"\nkind = "ldap"')
    wrong = 'upstream[1].canary[0].kind: this upstream\'s canary has kind = "bind"'
    assert wrong in folder.problems()


def test_a_missing_browser_warns_and_stops_nobody(
    with_canary: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = added(with_canary, canary(kind='"browser"', chromium='"nowhere/chromium"'))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    settings = folder.read()
    assert settings.upstreams[1].canaries[0].chromium is None
    warned = [one for one in settings.warnings if ".canary[" in one]
    assert [one.partition(": ")[0] for one in warned] == [
        "upstream[1].canary[0].kind",
        "upstream[1].canary[0].chromium",
    ]
    assert all("can prove nothing" in one for one in warned)


def test_the_browser_is_found_where_it_is(
    with_canary: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = with_canary.path / "chromium"
    program.touch(mode=0o755)
    named = added(with_canary, canary(kind='"browser"', chromium='"chromium"')).read()
    assert named.upstreams[1].canaries[0].chromium == program
    monkeypatch.setattr(canaries, "_CHROMIUM", (Path("/nowhere"), program))
    found = with_canary.set('chromium = "chromium"', "").read()
    assert found.upstreams[1].canaries[0].chromium == program
    assert not any(".canary[" in one for one in found.warnings)
