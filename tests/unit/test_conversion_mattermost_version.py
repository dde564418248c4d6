"""The table of releases: what each changed, and what is assumed of one nobody looked at."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversion.mattermost import Capabilities, Version, capabilities_of
from conversion.mattermost.version import CHANGES, NEWEST, STRICTEST, Change
from tests.support.mattermost_api.releases import VERSIONS, Release


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.37.0..60e4fb673fe4b31731dfc68fe3d5dc8b.false", Version(5, 37, 0)),
        ("9.11.3.9.11.3.0123456789abcdef.true", Version(9, 11, 3)),
        ("10.11", Version(10, 11, 0)),
        ("v11.10.0-rc1", Version(11, 10, 0)),
        (" 11.9.2\n", Version(11, 9, 2)),
    ],
)
def test_a_version_is_read_from_the_header_and_from_a_plain_number(
    text: str, expected: Version
) -> None:
    assert Version.parse(text) == expected


@pytest.mark.parametrize("text", ["", "dev", "5", "x5.37", "5.", "99999.1", "\u0661.2"])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not begin with a version"):
        Version.parse(text)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader_of_versions(text: str) -> None:
    try:
        found = Version.parse(text)
    except ValueError:
        return
    assert Version.parse(str(found)) == found


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.since}-{change.field}")
def test_a_change_is_in_force_from_its_release_on_and_not_before(change: Change) -> None:
    since, name, value = change.since, change.field, change.value
    before = Version(since.major, since.minor - 1) if since.minor else Version(since.major - 1, 99)

    assert getattr(capabilities_of(since), name) is value
    assert getattr(capabilities_of(before), name) is not value
    assert not capabilities_of(since).warning


@pytest.mark.parametrize("text", VERSIONS)
def test_the_table_agrees_with_the_double_which_was_written_apart(text: str) -> None:
    release, known = Release.named(text), capabilities_of(Version.parse(text))

    assert known.auth_data_visible is release.shows_auth_data
    assert known.patch_after_auth is not release.forgets_after_put_auth
    assert known.put_auth_ends_sessions is release.ends_sessions_on_auth
    assert known.put_auth_validates is release.validates_services
    assert known.users_by_auth_data is release.finds_auth_data
    assert known.local_put_auth is release.local_put_auth
    assert known.password_may_end_sessions is release.ends_sessions_on_password
    assert known.session_lengths_in_hours is release.hours
    assert known.login_may_undo_return is release.rehashes


@pytest.mark.parametrize(
    "version", [Version(11, 11), Version(12, 0), Version(5, 36), Version(4, 0)]
)
def test_an_unknown_release_gets_the_strictest_behaviour_and_a_warning(version: Version) -> None:
    found = capabilities_of(version)

    assert str(version) in found.warning
    assert "on volunteers first" in found.warning
    for name, value in STRICTEST.items():
        assert getattr(found, name) is value, name


def test_a_fix_of_the_newest_known_release_is_known() -> None:
    assert not capabilities_of(Version(NEWEST.major, NEWEST.minor, 9)).warning


def test_every_hazard_of_any_release_is_assumed_of_an_unknown_one() -> None:
    hazards = {
        field.name for field in fields(Capabilities) if field.name not in {"version", "warning"}
    } - {
        # What a server offers, each proven by its own answer, and where a setting stands.
        "users_by_auth_data",
        "local_put_auth",
        "session_lengths_in_hours",
        "own_switch_checks_sign_in",
        # What the way there takes away, and not the release.
        "sees_sessions",
        "restores",
    }

    assert hazards == set(STRICTEST)
