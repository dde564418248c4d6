"""Is each check alive? Take it away, and what it refused goes on: to acceptance, or to a later one.

`pytest tests/attacks/test_mutation.py -s` prints, for each check, how many of its messages are
then accepted and which checks stop the others. BACKED_UP names the checks whose messages are all
stopped by others, with the reason: defence in depth is told from dead code.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from rich.table import Table

from idp_proxy.saml import authn_request, checks
from tests.attacks.attack import RequestAttack, ResponseAttack
from tests.attacks.corpus import REQUESTS, RESPONSES
from tests.attacks.verifier import ASKING, LOGIN, Verdict, judge_request, judge_response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Check = Callable[..., Any]

#: Check -> why none of its messages is accepted without it.
BACKED_UP_ANSWER = {
    "xml_03_root": "what is no XML gives the next check no tree; another root holds no Response",
    "sp_02_signature_parts": "a Signature that cannot be read has no Reference (SP-02)",
}
BACKED_UP_REQUEST = {
    "xml_03_root": "as for an answer",
    "sp_02_signature_parts": "as for an answer",
    "idp_02_supported": "sp_08_algorithms refuses the same without naming the cure",
    "idp_02_known_keys": "without keys nothing verifies; this one says which setting is missing",
}


@pytest.fixture(scope="module")
def report() -> Iterator[Table]:
    table = Table("without", "messages", "accepted", "stopped by", title="Mutation of CHECKS")
    yield table
    Console(width=140).print(table)


def judge(attack: ResponseAttack | RequestAttack) -> Verdict:
    """The verdict, with a check gone: what then breaks the code behind it did not get through."""
    try:
        return _judge(attack)
    except KeyError as error:  # an attribute's value that the check would have refused
        return Verdict(None, f"KeyError {error}")


def _judge(attack: ResponseAttack | RequestAttack) -> Verdict:
    if isinstance(attack, ResponseAttack):
        return judge_response(attack.make(LOGIN), attack.policy)
    return judge_request(attack.make(ASKING), attack.registration)


def without(check: Check, all_checks: tuple[Check, ...]) -> tuple[Check, ...]:
    return tuple(other for other in all_checks if other is not check)


def outcomes(
    check: Check, corpus: tuple[ResponseAttack | RequestAttack, ...], report: Table
) -> Counter[str]:
    """What becomes of the messages that `check` refuses, now that it is gone."""
    its_own = [attack for attack in corpus if attack.check is check]
    assert its_own, f"no attack in the corpus is refused by {check.__name__}"
    verdicts = [judge(attack) for attack in its_own]
    assert not any(verdict.refused_by(check) for verdict in verdicts)
    found = Counter(
        "accepted" if verdict.accepted is not None else f"{verdict.where} ({verdict.rule})"
        for verdict in verdicts
    )
    stopped = ", ".join(f"{where} {count}" for where, count in found.items() if where != "accepted")
    report.add_row(check.__name__, str(len(its_own)), str(found["accepted"]), stopped)
    return found


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.__name__)
def test_each_check_of_an_answer_is_alive(
    check: Check, monkeypatch: pytest.MonkeyPatch, report: Table
) -> None:
    monkeypatch.setattr(checks, "CHECKS", without(check, checks.CHECKS))

    found = outcomes(check, RESPONSES, report)

    assert (found["accepted"] == 0) == (check.__name__ in BACKED_UP_ANSWER), found


@pytest.mark.parametrize("check", authn_request.CHECKS, ids=lambda check: check.__name__)
def test_each_check_of_a_request_is_alive(
    check: Check, monkeypatch: pytest.MonkeyPatch, report: Table
) -> None:
    monkeypatch.setattr(authn_request, "CHECKS", without(check, authn_request.CHECKS))

    found = outcomes(check, REQUESTS, report)

    assert (found["accepted"] == 0) == (check.__name__ in BACKED_UP_REQUEST), found
