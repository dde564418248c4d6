"""The table in docs/operations/operators.md: every act with who may begin it and who must agree."""

from __future__ import annotations

from pathlib import Path

from idp_proxy.decision.approval import BOUND_TO_EPOCH, RULES, Act, Need, named
from tests.support.docs.markdown import table

_PAGE = Path(__file__).parents[3] / "docs" / "operations" / "operators.md"
_BEGIN = "<!-- approvals, printed by `make docs` -->\n"
_END = "<!-- end of approvals -->\n"

_WORDS = {
    Act.HOLD: "hold the switch where it is",
    Act.DISABLE: "disable an upstream",
    Act.ENABLE: "enable an upstream",
    Act.BLOCK_PERSON: "block a person",
    Act.UNBLOCK_PERSON: "unblock a person",
    Act.ADMIT_PERSON: "admit a person for one outage",
    Act.RESOLVE_PERSON: "say whose a link key is that two people hold",
    Act.RESET_FACTOR: "take every second factor from a person (`factor reset`)",
    Act.FORGET_PERSON: "erase what is kept of a person (`person forget`)",
    Act.STOP_CAMPAIGN: "stop a campaign of the conversion",
    Act.CONVERT: "convert within a confirmed envelope",
    Act.CUTOVER: "have Mattermost trust the proxy (`cutover apply`)",
    Act.CUTOVER_BACK: "lead Mattermost back past the proxy",
    Act.FORGET_HOST: "take a host off the register",
    Act.STOP_OVERRIDE: "stop the countdown of somebody's override",
    Act.REVOKE_SESSIONS: "end the sessions that a standby made",
    Act.SWITCH: "switch to an upstream that may serve",
    Act.FAILBACK: "return to a preferred upstream",
    Act.RELEASE: "release the switch to the watch",
    Act.SWITCH_INELIGIBLE: "switch to an upstream that may not serve",
    Act.METADATA_KEYS: "approve an upstream's new keys",
    Act.ROSTER_REPLACE: "replace rows of the roster",
    Act.WAIVER: "waive a finding of the review",
    Act.OPERATOR_CHANGE: "add or disable an operator",
    Act.WRITTEN_OFF: "write an account off",
    Act.CAMPAIGN_ENVELOPE: "open a campaign",
    Act.BELOW_FLOOR: "a login below the floor",
    Act.BLOCKED_PERSON: "a login of a blocked person",
    Act.BAD_SIGNATURE: "a login with a bad signature",
}
_PEOPLE = {
    Need.ONE: "one",
    Need.SIGNED_IN: "one, signed in as an operator",
    Need.APPROVALS: "one; two once two approvers are enabled",
    Need.TWO: "two",
    Need.NEVER: "**nobody, ever**",
}


def operators_page() -> str:
    """The page as it is, with its table as the rules say."""
    page = _PAGE.read_text("utf-8")
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    head = ["act", "people", "who may begin", "who may agree"]
    return f"{before}{_BEGIN}{table(head, map(_row, RULES))}\n{_END}{after}"


def _row(act: Act) -> list[str]:
    rule = RULES[act]
    bound = " (void after any change of the switch)" if act in BOUND_TO_EPOCH else ""
    return [
        _WORDS[act],
        _PEOPLE[rule.need],
        named(rule.begin) or "-",
        f"{named(rule.confirm)}{bound}" if rule.confirm else "-",
    ]
