"""What may be expected of a moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from idp_proxy.decision.health import Verdict
from idp_proxy.decision.notices import Kind
from idp_proxy.decision.switching import Grace, Mode, refuses_answer, route
from tests.support.scenario.words import Form, Names, understood

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.scenario.timeline import Moment, View

    Condition: TypeAlias = Callable[[Moment], bool]

_VERDICTS = frozenset(verdict.value for verdict in Verdict)
_MODES = frozenset(mode.value for mode in Mode)
#: The names that `decision.failover` gives to its decisions.
_RULES = frozenset(
    {
        *("store_unreadable", "serving_disabled", "serving_not_configured", "serving_suspect"),
        *("failback_unproven", "hold_down", "dwell", "failback_budget", "window"),
        *("failback_approve", "failback_scheduled", "failback_auto"),
        *("isolated", "held", "latched", "nobody_eligible", "few_hosts", "budget_used"),
        *("serving_down", "looking_again", "steady"),
    }
)
_KINDS = frozenset(kind.value for kind in Kind)


def _any(holds: Callable[[View], bool]) -> Condition:
    return lambda moment: any(holds(view) for view in moment.views.values())


def _known(word: str, known: frozenset[str], what: str) -> str:
    if word not in known:
        raise ValueError(f"no {what} is called {word}; there are {', '.join(sorted(known))}")
    return word


def _serving(name: str) -> Condition:
    return lambda moment: moment.state.serving == name


def _mode(word: str) -> Condition:
    _known(word, _MODES, "mode")
    return lambda moment: moment.state.mode.value == word


def _rule(word: str) -> Condition:
    _known(word, _RULES, "rule")
    return _any(lambda view: view.rule == word)


def _verdict(upstream: str, word: str) -> Condition:
    _known(word, _VERDICTS, "verdict")
    return _any(lambda view: view.verdicts.get(upstream) == word)


def _because(text: str) -> Condition:
    return _any(lambda view: text in view.reason)


def _cause(text: str) -> Condition:
    return lambda moment: text in moment.state.cause


def _ineligible(upstream: str, text: str) -> Condition:
    return _any(lambda view: any(text in why for why in view.ineligible.get(upstream, ())))


def _eligible(upstream: str) -> Condition:
    return _any(lambda view: view.ineligible.get(upstream) == ())


def _takes(upstream: str) -> Condition:
    return lambda moment: refuses_answer(moment.state, upstream, Grace(), moment.clock) is None


def _refuses(upstream: str) -> Condition:
    return lambda moment: refuses_answer(moment.state, upstream, Grace(), moment.clock) is not None


def _told(word: str) -> Condition:
    _known(word, _KINDS, "kind of notice")
    return lambda moment: word in moment.told


def _standing(word: str) -> Condition:
    _known(word, _KINDS, "kind of notice")
    return lambda moment: word in moment.standing


def _not_standing(word: str) -> Condition:
    stands = _standing(word)
    return lambda moment: not stands(moment)


def _by_host(host: str, inner: Condition) -> Condition:
    """`inner` as this host sees it."""

    def holds(moment: Moment) -> bool:
        view = moment.views.get(host)
        return view is not None and inner(replace(moment, views={host: view}))

    return holds


FORMS = (
    Form("serving UPSTREAM", _serving),
    Form("nobody serving", lambda: lambda moment: route(moment.state) is None),
    Form("mode WORD", _mode),
    Form("rule WORD", _rule),
    Form("because TEXT", _because),
    Form("cause TEXT", _cause),
    Form("verdict UPSTREAM WORD", _verdict),
    Form(
        "proposal UPSTREAM",
        lambda name: _any(lambda view: bool(view.proposal) and view.target == name),
    ),
    Form("refused TEXT", lambda text: _any(lambda view: any(text in one for one in view.refused))),
    Form("eligible UPSTREAM", _eligible),
    Form("ineligible UPSTREAM TEXT", _ineligible),
    Form("epoch NUMBER", lambda number: lambda moment: moment.state.epoch == number),
    Form("switches NUMBER", lambda number: lambda moment: moment.switches == number),
    Form("answers of UPSTREAM taken", _takes),
    Form("answers of UPSTREAM refused", _refuses),
    Form("told WORD", _told),
    Form("alarm WORD", _standing),
    Form("no alarm WORD", _not_standing),
    Form("clock jumped", lambda: _any(lambda view: view.jumped)),
    Form("on HOST", _by_host),
)


def conditions(words: Sequence[str], names: Names) -> tuple[Condition, ...]:
    """All that `words` ask for; after `on HOST` as that host sees it. Raises `ValueError`."""
    found: list[Any] = []
    rest = list(words)
    host = None
    while rest:
        said = understood(rest, FORMS, names, whole=False)
        rest = rest[said.taken :]
        if said.means is _by_host:
            (host,) = said.values
            continue
        one = said.means(*said.values)
        found.append(one if host is None else _by_host(host, one))
    if not found:
        raise ValueError("nothing is expected here")
    return tuple(found)
