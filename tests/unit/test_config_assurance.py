"""`[assurance]` and `[upstream.assurance]`: what is read, and each mistake by its name."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from idp_proxy.decision.assurance import (
    AttributeEvidence,
    Comparison,
    Enforce,
    UpstreamAssurance,
)

if TYPE_CHECKING:
    from tests.unit.config_folder import Folder

MFA = "https://refeds.org/profile/mfa"
USUAL = '[assurance]\nlevels = ["password"]\nfloor = "password"\n'
LEVELS = '[assurance]\nlevels = ["password", "mfa"]\nfloor = "mfa"\n'
STANDBY = '[upstream.attributes]\nlink_key = "NameID"\n'
MAP = f"""
[upstream.assurance.contexts]
"{MFA}" = "mfa"

[[upstream.assurance.evidence]]
attribute = "amr"
value = "hwk"
level = "mfa"
among_others = true
"""


def test_the_whole_of_it(folder: Folder) -> None:
    folder.set(USUAL, LEVELS + 'enforce = "all"\nmax_age_s = 3600\n')
    settings = folder.set(STANDBY, STANDBY + MAP).read()
    policy = settings.assurance
    assert policy.active == "okta"
    assert (policy.levels, policy.floor) == (("password", "mfa"), "mfa")
    assert (policy.enforce, policy.max_age) == (Enforce.ALL, timedelta(hours=1))
    assert policy.of("entra") == UpstreamAssurance(
        {MFA: "mfa"},
        (AttributeEvidence("amr", "hwk", "mfa", among_others=True),),
        force_authn=True,
    )
    assert not policy.of("okta").force_authn
    (warning,) = settings.warnings
    assert warning.startswith("upstream[0].assurance: nothing that is mapped for okta reaches")


def test_without_the_section_nothing_is_demanded_and_that_is_said(folder: Folder) -> None:
    settings = folder.set(USUAL, "").read()
    assert settings.assurance.levels == ()
    assert settings.assurance.max_age is None
    assert not settings.assurance.of("entra").force_authn
    (warning,) = settings.warnings
    assert warning.startswith("assurance.levels: not set")


def test_a_floor_that_no_standby_reaches_is_no_mistake_of_the_file(folder: Folder) -> None:
    (warning,) = folder.set(USUAL, LEVELS).read().warnings
    assert warning.startswith("upstream[1].assurance: nothing that is mapped for entra reaches")


def test_minimum_compares_by_the_map(folder: Folder) -> None:
    asked = f'requested_authn_context = ["{MFA}"]\n'
    text = STANDBY + f'[upstream.assurance]\ncomparison = "minimum"\nforce_authn = false\n{MAP}'
    folder.set(USUAL, LEVELS).set(STANDBY, asked + text)
    own = folder.read().assurance.of("entra")
    assert (own.requested, own.comparison) == ((MFA,), Comparison.MINIMUM)
    assert not own.force_authn
    (problem,) = folder.set(asked, 'requested_authn_context = ["urn:other"]\n').problems()
    assert problem.startswith('upstream[1].assurance.comparison: "minimum" needs a level for each')
    (problem,) = folder.set('requested_authn_context = ["urn:other"]\n', "").problems()
    assert "has an effect only with requested_authn_context" in problem


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ('floor = "mfa"', 'floor = "MFA"', "assurance.floor", "no level is called 'MFA'"),
        ('floor = "mfa"', "", "assurance.floor", "missing; there are password, mfa"),
        ('["password", "mfa"]', '["password", "mfa", "password"]', "assurance.levels[2]",
         "stands in the list already"),
        ('["password", "mfa"]', '["password", "mfa", " x"]', "assurance.levels[2]", "not a name"),
        ('levels = ["password", "mfa"]\n', "", "assurance.floor", "has an effect only with levels"),
        ('value = "hwk"', 'value = ""', "upstream[1].assurance.evidence[0].value", "nothing that"),
        ('attribute = "amr"', 'attribute = "amr "', "upstream[1].assurance.evidence[0].attribute",
         "nothing that"),
        ('level = "mfa"', 'level = "mfaa"', "upstream[1].assurance.evidence[0].level",
         "no level is called 'mfaa'"),
        (f'"{MFA}" = "mfa"', f'"{MFA}" = "two"', "upstream[1].assurance.contexts",
         "no level is called 'two'"),
        (f'"{MFA}" = "mfa"', f'"{MFA} " = "mfa"', "upstream[1].assurance.contexts", "not a URI"),
        ('level = "mfa"', 'level = "mfa"\ncontexts = 1', "upstream[1].assurance.evidence[0].con",
         "belongs in upstream.assurance"),
        (f'"{MFA}" = "mfa"', f'"{MFA}" = 2', f'upstream[1].assurance.contexts."{MFA}"',
         "must be text"),
        ("[assurance]\n", "[assurance]\nmax_age_s = 1\n", "assurance.max_age_s", "too small"),
        ("[assurance]\n", "[assurance]\nforce_authn = true\n", "assurance.force_authn",
         "belongs in upstream.assurance"),
        ("[assurance]\n", '[assurance]\nenforce = "none"\n', "assurance.enforce", "unknown value"),
    ],
)  # fmt: skip
def test_each_mistake_by_its_name(
    folder: Folder, old: str, new: str, where: str, said: str
) -> None:
    folder.set(USUAL, LEVELS).set(STANDBY, STANDBY + MAP).set(old, new)
    assert any(one.startswith(where) and said in one for one in folder.problems())


def test_the_same_evidence_twice_is_named(folder: Folder) -> None:
    again = MAP[MAP.index("[[") :].replace("mfa", "password")
    folder.set(USUAL, LEVELS).set(STANDBY, STANDBY + MAP + again)
    (problem,) = folder.problems()
    assert problem == "upstream[1].assurance.evidence: amr = 'hwk' stands there 2 times"
