"""`[upstream.probe]`: what is asked of an upstream, and what would count for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from idp_proxy.adapters import open_probes, open_references, open_upstreams
from idp_proxy.config import ProbeSettings
from tests.unit.config_folder import saml_of

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder

PLACE = "[audit]\n"


def test_without_the_table_the_upstream_is_asked_as_a_login_would(folder: Folder) -> None:
    settings = folder.read()
    assert [one.probe for one in saml_of(settings)] == [ProbeSettings(), ProbeSettings()]
    assert not any("probe" in one for one in settings.warnings)


def test_each_field_has_its_effect(folder: Folder) -> None:
    folder.set(
        PLACE,
        '[upstream.probe]\nurl = "https://idp.example.org/health"\nstatus = 403\n'
        f'expect = "IdP is fine"\nredirects = ["login.example.org"]\n{PLACE}',
    )
    settings = folder.read()
    assert saml_of(settings)[1].probe == ProbeSettings(
        url="https://idp.example.org/health",
        status=403,
        expect="IdP is fine",
        redirects=("login.example.org",),
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('url = "https://idp.example.org/x"', "expect: missing: with a url of your own"),
        ('url = "http://idp.example.org"\nexpect = "x"', "url: plain http"),
        ('url = "https://u:geheim@idp.example.org"\nexpect = "x"', "url: must not hold"),
        ("status = 302", "status: 302 is a redirect, which is followed"),
        ("status = 503", "status: 503 is too large: at most 499"),
        ('expect = "a\\nb"', "expect: must be one line of text"),
        ('redirects = ["https://login.example.org"]', "redirects[0]: not a host name"),
        ('redirects = ["*"]', "redirects[0]: not a host name"),
        ('redirect = ["x"]', "redirect: unknown field; did you mean redirects?"),
    ],
)
def test_what_would_prove_nothing_is_refused(folder: Folder, line: str, problem: str) -> None:
    (found,) = folder.set(PLACE, f"[upstream.probe]\n{line}\n{PLACE}").problems()
    assert found.startswith(f"upstream[1].probe.{problem}")
    assert "geheim" not in found


def test_each_upstream_gets_its_probe_and_the_references_on_its_own_path(folder: Folder) -> None:
    folder.text += '\n[health]\nreferences = ["https://example.net/", "https://example.com/"]\n'
    settings = folder.read()
    probes = open_probes(open_upstreams(settings))
    assert {name: probe.upstream for name, probe in probes.items()} == {
        "okta": "okta",
        "entra": "entra",
    }
    assert {name: len(found) for name, found in open_references(settings).items()} == {
        "okta": 2,
        "entra": 2,
    }
