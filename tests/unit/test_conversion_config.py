"""The conversion's configuration: everything that is wrong at once, and no secret in any word."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from sqlalchemy import URL

from conversion.config import Settings, load
from conversion.config.shape import ConfigFile, Table
from conversion.errors import ConfigError

TOKEN = "k3dxw1fz7tgubk8m4y9q6rsa2e"
KEY = bytes(range(32))

GOOD = """
[mattermost]
url = "https://chat.example.org"
token = "file:token"

[ledger]
url = "sqlite:///ledger/conversion.db"
mirror = "elsewhere/mirror.jsonl"
host = "ops-1"

[campaign]
operator_user = "olga"
proxy_status_url = "https://sso.example.org/status?format=json"
converted_file = "converted.txt"
converted_key = "file:converted.key"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in (("token", f"{TOKEN}\n".encode()), ("converted.key", KEY)):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = folder / "conversion.toml"
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return load(path, environ or {})


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, environ)
    return caught.value.problems


def test_a_good_file_gives_settings_with_paths_from_its_folder(folder: Path) -> None:
    settings = loaded(folder, GOOD)
    assert settings.access.url == "https://chat.example.org"
    assert settings.access.token == TOKEN
    assert settings.ledger.place == folder / "ledger" / "conversion.db"
    assert settings.ledger.mirror == folder / "elsewhere" / "mirror.jsonl"
    assert settings.campaign.converted is not None
    assert settings.campaign.converted.key == KEY
    assert settings.campaign.pilot == 5
    assert settings.warnings == ()


def test_how_patient_and_how_stubborn_it_is_can_be_set(folder: Path) -> None:
    usual = loaded(folder, GOOD)
    found = (usual.access.patience_s, usual.access.plain_connections, usual.campaign.attempts)
    assert found == (60.0, 2, 5)
    text = GOOD.replace("[ledger]", "patience_s = 300.0\nplain_concurrency = 8\n\n[ledger]")
    other = loaded(folder, text + "attempts = 9\n")
    found = (other.access.patience_s, other.access.plain_connections, other.campaign.attempts)
    assert found == (300.0, 8, 9)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://tool:hidden@127.0.0.1:5433/campaigns",
        "postgresql://tool:hidden@/campaigns?host=/run/postgresql",
        "postgresql+psycopg://tool:hidden@db.example.org/campaigns?sslmode=verify-full",
    ],
)
def test_the_ledger_may_be_a_database_that_hosts_share(folder: Path, url: str) -> None:
    text = GOOD.replace("sqlite:///ledger/conversion.db", "env:LEDGER")
    settings = loaded(folder, text, {"LEDGER": url})
    assert isinstance(settings.ledger.place, URL)
    assert settings.ledger.place.drivername == "postgresql+psycopg"
    assert settings.ledger.place.password == "hidden"
    assert settings.ledger.folder == settings.ledger.mirror.parent
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://tool:hidden@db.example.org/c", "is another machine: add ?sslmode=verify-"),
        ("postgresql://db.example.org/c?sslmode=require", "is another machine"),
        ("postgresql://tool:hidden@localhost", "it names no database"),
        ("mysql://tool:hidden@localhost/c", "a ledger of 'mysql' cannot be kept"),
        ("nonsense hidden", "no database URL"),
    ],
)
def test_a_database_that_is_no_place_for_a_ledger_is_told(
    folder: Path, url: str, told: str
) -> None:
    text = GOOD.replace("sqlite:///ledger/conversion.db", "env:LEDGER")
    (problem,) = problems(folder, text, {"LEDGER": url})
    assert problem.startswith("ledger.url: ")
    assert told in problem
    assert "hidden" not in problem


def test_no_secret_stands_in_a_representation(folder: Path) -> None:
    shown = repr(loaded(folder, GOOD))
    assert TOKEN not in shown
    assert repr(KEY) not in shown


def test_secrets_may_come_from_variables(folder: Path) -> None:
    text = GOOD.replace("file:token", "env:MM").replace("file:converted.key", "env:KEY")
    settings = loaded(folder, text, {"MM": TOKEN, "KEY": base64.b64encode(KEY).decode()})
    assert settings.access.token == TOKEN
    assert settings.campaign.converted is not None
    assert settings.campaign.converted.key == KEY


def test_everything_that_is_wrong_is_told_in_one_reading(folder: Path) -> None:
    found = problems(
        folder,
        """
[mattermost]
url = "http://chat.example.org"
token = "file:missing"
tls_ca = "no-such.pem"
concurrency = 0
[ledger]
url = "postgresql://db/ledger"
host = "two words"
[campaign]
pilots = 3
proxy_status_url = "http://sso.example.org/status"
converted_file = "converted.txt"
[claims]
""",
    )
    for start in (
        "mattermost.url: ",
        "mattermost.token: cannot be read: 'missing': No such file",
        "mattermost.tls_ca: no such file: no-such.pem",
        "mattermost.concurrency: 0 is too small: at least 1",
        "ledger.url: db is another machine: add ?sslmode=verify-full",
        "ledger.mirror: missing",
        "ledger.host: 'two words' is no name",
        "campaign.pilots: unknown field; did you mean pilot?",
        "campaign.proxy_status_url: who can change an unencrypted answer",
        "campaign.converted_key: missing: it comes with converted_file",
        "claims: unknown field; there are mattermost, ledger, campaign",
    ):
        assert any(one.startswith(start) for one in found), (start, found)
    assert len(found) == 11


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"file:token"', f'"{TOKEN}"', "a secret may not stand in this file"),
        ('"file:token"', '"file:"', "a secret may not stand in this file"),
        ('"file:token"', '"env:NOT_SET"', "the environment variable NOT_SET is not set"),
        ('"file:token"', '"file:."', "Is a directory"),
        ('"file:token"', '"file:two-lines"', "must hold exactly one line of text"),
        ('"file:token"', '"file:latin-1"', "is not UTF-8 text"),
        ('"file:converted.key"', '"file:zeros"', "must hold 32 random octets"),
        ('"file:converted.key"', '"env:JUNK"', "env:JUNK holds no base64"),
        ("converted.key", "token", "must hold 32 random octets"),
        ('mirror = "elsewhere/mirror.jsonl"', 'mirror = "ledger/conversion.db"', "ledger itself"),
        ("sqlite:///ledger/conversion.db", "sqlite://", "cannot be kept"),
        ("sqlite:///ledger/conversion.db", "conversion.db", "no database URL"),
        ('host = "ops-1"', "host = 7", "ledger.host: must be text in quotes"),
        ("[ledger]", "timeout = 3\n[ledger]", "did you mean timeout_s?"),
        ("[ledger]", "pilot = 3\n[ledger]", "it belongs in [campaign]"),
        ("[campaign]", "[campaign]\nsettle_delay_s = nan", "settle_delay_s"),
        ("[campaign]", "[campaign]\nat_most_percent = 101", "101 is too large: at most 100"),
        ("[campaign]", "[campaign]\nat_most_percent = 0", "0 is too small: more than 0"),
        ("https://sso.example.org", "https://a:b@sso.example.org", "proxy_status_url: no URL"),
        ("https://sso.example.org/", "https://[", "proxy_status_url: no URL"),
        ("[ledger]", 'outbound_proxy = "http://u:secretword@proxy:3128"\n[ledger]', "password may"),
        ("[ledger]", 'outbound_proxy = "proxy:3128"\n[ledger]', "outbound_proxy: no proxy's URL"),
        ("[ledger]", 'outbound_proxy = "http://proxy:99999"\n[ledger]', "no proxy's URL"),
        ("[ledger]", "[ledger", "not valid TOML"),
        ("[ledger]", f"concurrency{'.a' * 1100} = 1\n[ledger]", "mattermost.concurrency: must be"),
        ("[ledger]", f"[mattermost.b{'.a' * 1100}]\n[ledger]", "mattermost.b: unknown field"),
        ('url = "https://chat.example.org"', "", "mattermost.url: missing"),
        ('token = "file:token"', "", "mattermost.token: missing"),
    ],
)
def test_bad_input_is_told_by_its_field(folder: Path, old: str, new: str, told: str) -> None:
    (folder / "two-lines").write_text(f"{TOKEN}\n{TOKEN}")
    (folder / "latin-1").write_bytes(b"\xe4\xf6\xfc")
    (folder / "zeros").write_bytes(bytes(32))
    for name in ("two-lines", "latin-1", "zeros"):
        (folder / name).chmod(0o600)
    assert old in GOOD
    found = problems(folder, GOOD.replace(old, new, 1), {"JUNK": "!!!"})
    assert any(told in one for one in found), found
    assert len(found) == 1
    assert TOKEN not in found[0]
    assert "secretword" not in found[0]


def test_a_secret_that_others_can_read_is_refused_with_the_cure(folder: Path) -> None:
    (folder / "token").chmod(0o640)
    (only,) = problems(folder, GOOD)
    assert "open to other users (mode 0640)" in only
    assert f"chmod 600 {folder}/token" in only


def test_a_named_pipe_as_a_secret_does_not_hang(folder: Path) -> None:
    (folder / "token").unlink()
    os.mkfifo(folder / "token", 0o600)
    (only,) = problems(folder, GOOD)
    assert only.startswith("mattermost.token: not a regular file")


def test_the_local_socket_needs_neither_address_nor_token(folder: Path) -> None:
    text = '[mattermost]\nlocal_socket = "mm.socket"\n[ledger]\nmirror = "m/m"\nhost = "h"\n'
    settings = loaded(folder, text)
    assert settings.access.local_socket == folder / "mm.socket"
    assert settings.access.token == ""


def test_what_weakens_without_breaking_is_a_warning(folder: Path) -> None:
    text = GOOD.partition("[campaign]")[0].replace("elsewhere/", "ledger/")
    path = folder / "conversion.toml"
    path.write_text(text)
    path.chmod(0o666)
    found = load(path, {}).warnings
    assert [one.partition(": ")[0] for one in found] == [
        str(path),
        "ledger.mirror",
        "campaign.operator_user",
    ]


def test_no_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SSO_CONVERSION_CONFIG"):
        load(tmp_path / "none.toml", {})
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8 text: octet 0 is 0xff"):
        load(tmp_path / "latin.toml", {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})


def test_every_field_is_documented() -> None:
    page = Path(__file__).parents[2] / "docs" / "conversion" / "index.md"
    text = page.read_text("utf-8")
    for name, table in ConfigFile.model_fields.items():
        assert isinstance(table.annotation, type)
        assert issubclass(table.annotation, Table)
        for field in table.annotation.model_fields:
            assert f"| `{name}.{field}` |" in text
