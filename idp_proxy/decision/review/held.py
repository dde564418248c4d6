"""Rules that no configuration can weaken: the code holds them always, and these tests show it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANSWERS: Final = "test_a_hostile_answer_is_refused_by_its_rule"
_REQUESTS: Final = "test_a_hostile_request_is_refused_by_its_rule"
_LIMITS: Final = "test_a_message_at_the_limits_costs_a_bounded_multiple_of_an_honest_one"

#: Rule -> the test that fails if it is not held.
HELD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "FO-01": "test_the_standby_cannot_answer_what_the_active_was_asked",
        "FO-03": "test_an_answer_of_an_upstream_that_was_disabled_meanwhile_is_refused",
        "FO-05": "test_no_header_chooses_the_upstream_or_our_address",
        "FO-06": "test_an_outage_is_left_behind_a_flood_as_without_it",
        "SP-02": "test_one_change_to_a_signed_answer_is_refused_or_means_the_same",
        "SP-03": "test_an_answer_counts_only_with_the_cookie_of_its_own_login",
        "SP-04": "test_sp_04_audience",
        "SP-05": "test_sp_05_recipient",
        "SP-06": "test_two_workers_at_the_same_moment_accept_it_once",
        "SP-09": _ANSWERS,
        "SP-10": _ANSWERS,
        "SP-11": _ANSWERS,
        "XML-01": _ANSWERS,
        "XML-02": _LIMITS,
        "XML-03": "test_each_check_of_an_answer_is_alive",
        "IDP-01": "test_idp_01_acs",
        "IDP-04": "test_a_forced_login_refuses_an_older_session",
        "IDP-05": _REQUESTS,
        "WEB-02": "test_the_page_that_posts_may_post_to_mattermost_only",
        "WEB-03": "test_a_relay_state_comes_back_as_it_was_and_runs_nowhere",
        "OPS-03": "test_nothing_public_names_an_upstream_or_a_reason",
    }
)
