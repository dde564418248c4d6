"""What may happen in a story, each form with what it does on the stage."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from idp_proxy.decision.health import Outcome
from idp_proxy.decision.traffic import TrafficCount
from idp_proxy.store.base import Evidence
from idp_proxy.switch import Switchboard
from idp_proxy.upstream.probing import Expiry
from tests.support.scenario.clockwork import Killed
from tests.support.scenario.words import Form
from tests.support.scenario.world import SILENT, Manner

if TYPE_CHECKING:
    from idp_proxy.store.base import Store
    from tests.support.scenario.stage import Stage


# --- upstreams and the network --------------------------------------------------------------------


def _answers(stage: Stage, upstream: str, host: str | None = None) -> None:
    if host is None:
        stage.world.manners.pop(upstream, None)
        for key in [key for key in stage.world.by_host if key[1] == upstream]:
            del stage.world.by_host[key]
    else:
        stage.world.by_host.pop((host, upstream), None)


def _behave(stage: Stage, upstream: str, manner: Manner, host: str | None = None) -> None:
    if host is None:
        stage.world.manners[upstream] = manner
    else:
        stage.world.by_host[host, upstream] = manner


def _broken(stage: Stage, upstream: str, reason: str, host: str | None = None) -> None:
    _behave(stage, upstream, Manner(reason), host)


def _silent(stage: Stage, upstream: str, host: str | None = None) -> None:
    _behave(stage, upstream, SILENT, host)


def _slow(stage: Stage, upstream: str, time: float) -> None:
    _behave(stage, upstream, Manner(after_s=time))


def _fails_often(stage: Stage, upstream: str, reason: str, percent: int) -> None:
    _behave(stage, upstream, Manner(reason, share=percent / 100))


def _comes_and_goes(stage: Stage, upstream: str, reason: str, dark: float, light: float) -> None:
    manner = Manner(reason, dark_s=dark, light_s=light, since=stage.loop.time())
    _behave(stage, upstream, manner)


def _by_proxy(stage: Stage, reason: str, upstream: str, host: str | None = None) -> None:
    _behave(stage, upstream, Manner(reason, by_proxy=True), host)


def _cut_off(stage: Stage, host: str) -> None:
    stage.world.cut_off.add(host)


def _connected(stage: Stage, host: str) -> None:
    stage.world.cut_off.discard(host)


def _no_reference(stage: Stage, host: str | None = None) -> None:
    stage.world.no_reference.update(stage.hosts if host is None else {host})


def _reference(stage: Stage, host: str | None = None) -> None:
    stage.world.no_reference -= set(stage.hosts) if host is None else {host}


# --- canaries -------------------------------------------------------------------------------------


def _login(stage: Stage, canary: tuple[str, str], manner: Manner, host: str | None = None) -> None:
    if host is None:
        stage.world.logins[canary] = manner
    else:
        stage.world.logins_by_host[host, canary] = manner


def _canary_passes(stage: Stage, canary: tuple[str, str]) -> None:
    stage.world.logins.pop(canary, None)
    for key in [key for key in stage.world.logins_by_host if key[1] == canary]:
        del stage.world.logins_by_host[key]


def _canary_broken(
    stage: Stage, canary: tuple[str, str], reason: str, host: str | None = None
) -> None:
    _login(stage, canary, Manner(reason), host)


def _canary_refused(stage: Stage, canary: tuple[str, str], reason: str) -> None:
    _login(stage, canary, Manner(reason, Outcome.REFUSED))


def _canary_hangs(stage: Stage, canary: tuple[str, str], host: str | None = None) -> None:
    _login(stage, canary, SILENT, host)


# --- metadata, findings, logins -------------------------------------------------------------------


def _unusable(stage: Stage, upstream: str, reason: str) -> None:
    stage.unusable[upstream] = reason


def _usable(stage: Stage, upstream: str) -> None:
    stage.unusable.pop(upstream, None)


def _finding(stage: Stage, upstream: str, finding: str) -> None:
    stage.findings[upstream] = (*stage.findings.get(upstream, ()), finding)


def _no_finding(stage: Stage, upstream: str) -> None:
    stage.findings.pop(upstream, None)


def _ends(stage: Stage, upstream: str, what: str, time: float) -> None:
    ends = stage.clock() + timedelta(seconds=time)
    stage.world.expiries[upstream] = (Expiry(what, ends),)


def _logs_in(stage: Stage, upstream: str, ahead: float = 0.0) -> None:
    with stage.store.transaction() as transaction:
        transaction.note_proof(upstream, stage.true_time() + timedelta(seconds=ahead))


def _traffic(stage: Stage, begun: int, upstream: str, answered: int) -> None:
    minute = stage.clock().replace(second=0, microsecond=0)
    counts = [TrafficCount(upstream, minute, begun, answered)]
    stage.store.inner.add_traffic(next(iter(stage.hosts)), counts)


# --- hosts, clocks, the store ---------------------------------------------------------------------


def _restarts(stage: Stage, host: str) -> None:
    stage.stop(host)
    stage.start(host)


def _stops(stage: Stage, host: str) -> None:
    stage.stop(host)


def _begins(stage: Stage, host: str) -> None:
    stage.start(host)


def _forgotten(stage: Stage, host: str) -> None:
    assert stage.store.inner.forget_host(host), f"{host} is not on the register"


def _store_jumps(stage: Stage, span: float) -> None:
    stage.jumped += timedelta(seconds=span)


def _host_clock(stage: Stage, host: str, span: float) -> None:
    stage.hosts[host].skew = timedelta(seconds=span)


def _store_away(stage: Stage, host: str | None = None) -> None:
    for name in stage.hosts if host is None else (host,):
        stage.hosts[name].way.cut = True


def _store_silent(stage: Stage, host: str | None = None) -> None:
    for name in stage.hosts if host is None else (host,):
        stage.hosts[name].way.hangs = True


def _store_slow(stage: Stage, time: float) -> None:
    for host in stage.hosts.values():
        host.way.slow_s = time


def _store_back(stage: Stage, host: str | None = None) -> None:
    for name in stage.hosts if host is None else (host,):
        way = stage.hosts[name].way
        way.cut = way.hangs = False
        way.slow_s = 0.0


def _answer_lost(stage: Stage, host: str) -> None:
    stage.hosts[host].way.loses_answer = True


def _killed_after(stage: Stage, host: str) -> None:
    """Killed as the commit is through: nothing that would have come after it comes."""

    def die() -> None:
        stage.stop(host)
        raise Killed

    stage.hosts[host].way.afterwards = die


def _race(stage: Stage, host: str, other: str) -> None:
    def turn() -> None:
        watch = stage.hosts[other].watch
        assert watch is not None, f"{other} does not run"
        watch.told(watch.turn())

    stage.hosts[host].way.meanwhile.append(turn)


# --- people ---------------------------------------------------------------------------------------


def _board(stage: Stage) -> Switchboard:
    return Switchboard(cast("Store", stage.store), stage.usable, stage.clock)


def _switches(stage: Stage, who: str, upstream: str, why: str) -> None:
    _board(stage).to(upstream, why, who)


def _switches_meanwhile(stage: Stage, who: str, upstream: str, why: str, host: str) -> None:
    stage.hosts[host].way.meanwhile.append(lambda: _switches(stage, who, upstream, why))


def _fails_back(stage: Stage, who: str, why: str) -> None:
    _board(stage).fail_back(stage.story.names.upstreams[0], why, who)


def _holds(stage: Stage, who: str, why: str) -> None:
    _board(stage).hold(why, who)


def _holds_meanwhile(stage: Stage, who: str, why: str, host: str) -> None:
    stage.hosts[host].way.meanwhile.append(lambda: _holds(stage, who, why))


def _releases(stage: Stage, who: str, why: str) -> None:
    _board(stage).release(why, who)


def _disables(stage: Stage, who: str, upstream: str) -> None:
    _board(stage).disable(upstream, "taken out of use", who)


def _enables(stage: Stage, who: str, upstream: str) -> None:
    _board(stage).enable(upstream, "it may serve again", who)


def _confirms(stage: Stage, who: str) -> None:
    """The last proposal, for the epoch that it was made for."""
    _, seen = stage.proposed[-1]
    decision, epoch = seen.decision, seen.state.epoch
    assert decision.target is not None
    act = _board(stage).fail_back if decision.is_return else _board(stage).to
    act(decision.target, decision.reason, who, epoch=epoch)


def _rehearses(stage: Stage, _who: str, upstream: str) -> None:
    stage.store.inner.note_evidence(Evidence.REHEARSAL, upstream, stage.clock())


def _tests_failback(stage: Stage, _who: str, upstream: str) -> None:
    stage.store.inner.note_evidence(Evidence.FAILBACK_TEST, upstream, stage.clock())


#: Every form, by what it is about; the README beside the scenarios is printed from here.
GROUPS = {
    "upstreams and the network": (
        Form("UPSTREAM answers again [for HOST]", _answers),
        Form("UPSTREAM fails REASON [for HOST]", _broken),
        Form("UPSTREAM is silent [for HOST]", _silent),
        Form("UPSTREAM answers after TIME", _slow),
        Form("UPSTREAM fails REASON in NUMBER % of all looks", _fails_often),
        Form("UPSTREAM fails REASON for TIME then answers for TIME in turn", _comes_and_goes),
        Form("outbound proxy says REASON about UPSTREAM [for HOST]", _by_proxy),
        Form("HOST is cut off from the network", _cut_off),
        Form("HOST is on the network again", _connected),
        Form("references are silent [for HOST]", _no_reference),
        Form("references answer again [for HOST]", _reference),
    ),
    "canaries": (
        Form("canary CANARY passes", _canary_passes),
        Form("canary CANARY breaks REASON [for HOST]", _canary_broken),
        Form("canary CANARY is refused REASON", _canary_refused),
        Form("canary CANARY hangs [for HOST]", _canary_hangs),
    ),
    "metadata, findings, logins": (
        Form("UPSTREAM cannot be used TEXT", _unusable),
        Form("UPSTREAM can be used again", _usable),
        Form("UPSTREAM has finding TEXT", _finding),
        Form("UPSTREAM has no finding", _no_finding),
        Form("UPSTREAM shows TEXT that ends in TIME", _ends),
        Form("somebody logs in by UPSTREAM", _logs_in),
        Form("somebody logs in by UPSTREAM on a host whose clock is SPAN", _logs_in),
        Form("NUMBER logins begin at UPSTREAM and NUMBER are answered", _traffic),
    ),
    "hosts": (
        Form("HOST restarts", _restarts),
        Form("HOST stops", _stops),
        Form("HOST starts", _begins),
        Form("HOST is taken off the register", _forgotten),
        Form("HOST is killed after its next commit", _killed_after),
        Form("HOST and HOST decide at the same moment", _race),
    ),
    "the store and clocks": (
        Form("store clock jumps SPAN", _store_jumps),
        Form("clock of HOST is SPAN", _host_clock),
        Form("store is away [for HOST]", _store_away),
        Form("store is silent [for HOST]", _store_silent),
        Form("store answers after TIME", _store_slow),
        Form("store is back [for HOST]", _store_back),
        Form("answer to the next commit of HOST is lost", _answer_lost),
    ),
    "people": (
        Form("WORD switches to UPSTREAM TEXT", _switches),
        Form("WORD switches to UPSTREAM TEXT while HOST decides", _switches_meanwhile),
        Form("WORD holds TEXT while HOST decides", _holds_meanwhile),
        Form("WORD fails back TEXT", _fails_back),
        Form("WORD holds TEXT", _holds),
        Form("WORD releases TEXT", _releases),
        Form("WORD disables UPSTREAM", _disables),
        Form("WORD enables UPSTREAM", _enables),
        Form("WORD confirms the proposal", _confirms),
        Form("WORD rehearses UPSTREAM", _rehearses),
        Form("WORD tests failback to UPSTREAM", _tests_failback),
    ),
}
FORMS = tuple(form for group in GROUPS.values() for form in group)
