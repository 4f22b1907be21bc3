from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Message, latest
from modelpress.engine.events import CONTROL, DEAD_LETTERS, CancelWork, StepCommand, cancel_message, topics
from modelpress.worker import orders
from modelpress.worker.orders import Orders


def command(step_id: str = "s", attempt: int = 1, run_id: str = "r") -> StepCommand:
    facts = {"params": {}, "inputs": {}, "seed": 0, "threads": 1, "version": 1}
    return StepCommand(tenant="default", run_id=run_id, step_id=step_id, attempt=attempt, uses="toys/emit", **facts)


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    bus = MemoryBus()
    bus.ensure(topics(("local",)))
    yield bus
    bus.close()


def send(bus: MemoryBus, run_id: str, step_id: str = "", attempt: int = 0) -> None:
    bus.producer().send([cancel_message(CancelWork(run_id=run_id, step_id=step_id, attempt=attempt))])


def test_orders_are_remembered_for_commands_that_are_to_come(bus: MemoryBus) -> None:
    heard = Orders(bus, bus.producer())
    send(bus, "r", "s", 1)
    assert [cancel.step_id for cancel in heard.listen(0.0)] == ["s"]
    assert heard.stopped(command())
    assert not heard.stopped(command(attempt=2))
    assert not heard.stopped(command(step_id="t"))
    send(bus, "r")
    heard.listen(0.0)
    assert heard.stopped(command(step_id="t", attempt=2))
    assert not heard.stopped(command(run_id="r2"))


def test_what_was_said_before_is_not_heard(bus: MemoryBus) -> None:
    send(bus, "r")
    heard = Orders(bus, bus.producer())
    assert heard.listen(0.0) == []
    assert not heard.stopped(command())


def test_only_so_many_are_remembered(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "_REMEMBERED", 2)
    heard = Orders(bus, bus.producer())
    for run_id in ("r1", "r2", "r3"):
        send(bus, run_id)
    heard.listen(0.0)
    assert [heard.stopped(command(run_id=run_id)) for run_id in ("r1", "r2", "r3")] == [False, True, True]


def test_an_order_that_cannot_be_read_becomes_a_letter(bus: MemoryBus) -> None:
    heard = Orders(bus, bus.producer())
    bus.producer().send([Message(CONTROL, "r", b"nonsense")])
    assert heard.listen(0.0) == []
    assert list(latest(bus, DEAD_LETTERS)) == ["control-0-0"]
