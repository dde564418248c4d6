"""What the code holds, whatever is configured, and the tests that fail if it does not.

Beside what a review judges: a rule may be both, where a configuration can only make it weaker.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANSWERS: Final = "test_a_hostile_answer_is_refused_by_its_rule"
_REQUESTS: Final = "test_a_hostile_request_is_refused_by_its_rule"
_LIMITS: Final = "test_a_message_at_the_limits_costs_a_bounded_multiple_of_an_honest_one"

#: Rule -> the tests that fail if it is not held.
HELD: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "FO-01": ("test_the_standby_cannot_answer_what_the_active_was_asked",),
        "FO-02": (
            "test_refusals_never_change_a_verdict",
            "test_a_directory_that_fails_or_refuses_changes_nothing_but_what_is_said_of_it",
        ),
        "FO-03": ("test_an_answer_of_an_upstream_that_was_disabled_meanwhile_is_refused",),
        "FO-04": (
            "test_below_the_floor_nobody_gets_in_and_it_is_on_record",
            "test_nobody_is_let_in_by_or_told_more_than_the_map_says",
        ),
        "FO-05": ("test_no_header_chooses_the_upstream_or_our_address",),
        "FO-06": ("test_an_outage_is_left_behind_a_flood_as_without_it",),
        "FO-07": ("test_a_day_of_five_per_cent_noise_switches_nothing",),
        "FO-08": (
            "test_whom_a_standby_lets_in",
            "test_a_blocked_person_stays_blocked_whatever_else_is_so",
        ),
        "FO-09": ("test_who_somebody_is",),
        "FO-10": ("test_a_domain_that_the_upstream_does_not_speak_for_is_refused",),
        "FO-11": ("test_roles_come_from_the_active_only",),
        "FO-12": ("test_an_answer_is_taken_only_at_the_acs_of_the_upstream_that_was_asked",),
        "FO-13": ("test_a_session_that_a_standby_makes_is_short",),
        "FO-14": ("test_a_switch_whose_audit_row_cannot_be_written_does_not_happen",),
        "FO-15": ("test_who_may_take_over",),
        "SP-01": (_ANSWERS,),
        "SP-02": ("test_one_change_to_a_signed_answer_is_refused_or_means_the_same",),
        "SP-03": ("test_an_answer_counts_only_with_the_cookie_of_its_own_login",),
        "SP-04": (_ANSWERS,),
        "SP-05": (_ANSWERS,),
        "SP-06": ("test_two_workers_at_the_same_moment_accept_it_once",),
        "SP-07": ("test_an_answer_out_of_its_time_is_refused",),
        "SP-08": ("test_another_shape_or_algorithm_is_refused_before_any_key_is_used",),
        "SP-09": (_ANSWERS,),
        "SP-10": (_ANSWERS,),
        "SP-11": (_ANSWERS,),
        "SO-01": ("test_refuses_when_it_reads_another_person",),
        "XML-01": (_ANSWERS,),
        "XML-02": (_LIMITS,),
        "XML-03": ("test_each_check_of_an_answer_is_alive",),
        "IDP-01": (_REQUESTS,),
        "IDP-02": (
            "test_sha1_and_c14n_11_are_refused_with_the_settings_that_cure_it",
            "test_each_check_of_a_request_is_alive",
        ),
        "IDP-03": (
            "test_everything_that_ties_the_answer_to_the_question_is_there",
            "test_what_cannot_be_encrypted_is_not_sent_in_the_clear",
        ),
        "IDP-04": ("test_a_forced_login_refuses_an_older_session",),
        "IDP-05": (_REQUESTS,),
        "IDP-06": ("test_role_attributes_are_withheld",),
        "KEY-01": (
            "test_no_key_serves_two_purposes",
            "test_a_secret_that_others_may_read_is_refused_with_the_command_that_closes_it",
            "test_no_secret_is_part_of_a_repr",
        ),
        "KEY-02": ("test_a_short_rsa_key_is_refused_in_key_and_certificate",),
        "MD-01": (
            "test_no_sequence_of_documents_ever_adds_a_key_or_leaves_none",
            "test_metadata_that_is_not_signed_or_not_for_now_is_refused",
        ),
        "WEB-01": ("test_the_flow_cookie_is_for_this_host_and_no_script",),
        "WEB-02": ("test_the_page_that_posts_may_post_to_mattermost_only",),
        "WEB-03": ("test_a_relay_state_comes_back_as_it_was_and_runs_nowhere",),
        "WEB-04": ("test_a_spoofed_host_changes_nothing",),
        "LDAP-01": (
            "test_nobody_binds_without_a_name_or_without_a_password",
            "test_what_does_not_do_is_told_alike",
        ),
        "LDAP-02": (
            "test_a_certificate_that_is_wrong_gets_no_password",
            "test_a_broken_connection_is_never_opened_again_in_the_clear",
        ),
        "LDAP-03": (
            "test_what_does_not_do_is_told_alike",
            "test_two_entries_for_one_name_are_nobody",
            "test_a_right_password_of_an_account_that_may_not_be_used_is_not_enough",
        ),
        "LDAP-04": (
            "test_spraying_is_stopped",
            "test_the_time_tells_nothing_but_half_seconds",
            "test_a_form_of_another_site_or_of_another_login_is_not_taken",
        ),
        "OPS-01": (
            "test_no_line_holds_a_secret_or_a_name",
            "test_a_line_break_in_a_path_cannot_forge_a_line",
        ),
        "OPS-03": (
            "test_nothing_public_names_an_upstream_or_a_reason",
            "test_metrics_are_never_public",
        ),
        "CNV-01": (
            "test_the_binding_is_on_disk_before_the_first_call",
            "test_a_kill_loses_nobody",
            "test_a_plan_older_than_an_hour_is_refused",
        ),
        "CNV-02": (
            "test_each_reason_is_an_objection_of_its_own",
            "test_a_storm_of_errors_stops_the_command_within_its_budget",
            "test_nobody_is_written_off_by_one_by_others_late_or_twice",
        ),
    }
)
