"""While the store is away nobody waits for it but one thread that does nothing else."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from idp_proxy.decision import absence
from idp_proxy.errors import StoreAway
from idp_proxy.store.circuit import Circuit

PATIENCE_S = 10


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absence, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(absence, "LONGEST_PAUSE_S", 0.001)


class Server:
    """Answers when it is told to."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.may_answer, self.answered = threading.Event(), threading.Event()
        self.asked = 0

    def ask(self) -> None:
        self.asked += 1
        if self.faults:
            raise self.faults.pop(0)
        assert self.may_answer.wait(PATIENCE_S)
        self.answered.set()


def await_open(circuit: Circuit) -> None:
    for _ in range(1000):
        if circuit._known.why is None:
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never opened again")


def test_everybody_is_told_at_once_until_the_store_answers() -> None:
    server = Server(StoreAway("still"), RuntimeError("unforeseen"))
    circuit = Circuit(server.ask)
    circuit.demand()
    with capture_logs() as lines:
        for _ in range(5):
            circuit.no_answer("no answer within 3 s")
        with pytest.raises(StoreAway, match="no answer within 3 s; it is asked again"):
            circuit.demand()
        server.may_answer.set()
        await_open(circuit)
    circuit.demand()
    assert server.asked == 3
    said = [line["event"] for line in lines]
    assert said == ["store_away", "store_not_asked", "store_answers"]


def test_a_write_makes_the_next_absence_a_first_one() -> None:
    server = Server()
    server.may_answer.set()
    circuit = Circuit(server.ask)
    circuit.no_answer("away")
    await_open(circuit)
    assert circuit._known.in_a_row == 1
    circuit.wrote()
    assert circuit._known.in_a_row == 0


def test_who_closed_it_hears_no_more_of_it() -> None:
    server = Server()
    circuit = Circuit(server.ask)
    circuit.close()
    circuit.no_answer("away")
    assert server.asked == 0
    with pytest.raises(StoreAway):
        circuit.demand()
