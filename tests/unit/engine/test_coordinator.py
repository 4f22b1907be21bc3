from __future__ import annotations

import pytest

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Bus, Message, drain
from modelpress.engine.coordinator import Coordinator, read_states
from modelpress.engine.events import EVENTS, Event, StepCommand, event_message, parse_command, steps_topic
from modelpress.engine.state import RunStatus
from modelpress.errors import BusError
from tests.unit.engine.builders import RUN, plan_of, started, submitted, succeeded

CHAIN = plan_of({"a": [], "b": ["a"]})


def send(bus: Bus, *events: Event) -> None:
    bus.producer().send([event_message(event) for event in events])


def commands(bus: Bus) -> list[StepCommand]:
    return [parse_command(record.value) for record in drain(bus.tail([steps_topic("toys")]))]


def named(bus: Bus) -> list[tuple[str, int]]:
    return [(command.step_id, command.attempt) for command in commands(bus)]


def test_facts_become_commands_on_the_services_topic() -> None:
    bus = MemoryBus()
    coordinator = Coordinator(bus)
    send(bus, submitted(CHAIN))
    told = coordinator.advance()
    assert [event.type for event in told] == ["run-submitted", "step-issued"]
    assert named(bus) == [("a", 1)]
    assert coordinator.advance() == []
    send(bus, started("a"), succeeded("a"))
    coordinator.advance()
    assert named(bus) == [("a", 1), ("b", 1)]


def test_the_end_is_written_and_read_at_once() -> None:
    bus = MemoryBus()
    coordinator = Coordinator(bus)
    send(bus, submitted(plan_of({"a": []})))
    coordinator.advance()
    send(bus, succeeded("a"))
    assert [event.type for event in coordinator.advance()] == ["step-succeeded", "run-ended"]
    assert coordinator.states[RUN].status is RunStatus.SUCCEEDED


def test_a_successor_issues_nothing_again() -> None:
    bus = MemoryBus()
    send(bus, submitted(CHAIN))
    Coordinator(bus).advance()
    send(bus, succeeded("a"))
    Coordinator(bus).advance()
    successor = Coordinator(bus)
    assert successor.advance() == []
    assert named(bus) == [("a", 1), ("b", 1)]


def test_a_successor_decides_what_its_predecessor_read_but_did_not_write() -> None:
    bus = MemoryBus()
    send(bus, submitted(CHAIN))
    bus.consumer("coordinator", [EVENTS]).poll()
    Coordinator(bus).advance()
    assert named(bus) == [("a", 1)]


def test_a_lost_command_is_issued_again() -> None:
    bus = MemoryBus()
    coordinator = Coordinator(bus)
    send(bus, submitted(CHAIN))
    coordinator.advance()
    coordinator.reissue_lost()
    coordinator.advance()
    assert named(bus) == [("a", 1), ("a", 2)]


def test_states_are_listed_in_the_order_of_submission() -> None:
    bus = MemoryBus()
    for run_id in ("z", "a", "m"):
        send(bus, submitted(CHAIN).model_copy(update={"run_id": run_id}))
    assert list(read_states(bus)) == ["z", "a", "m"]


def test_a_record_that_is_no_event_is_an_error_that_says_so() -> None:
    bus = MemoryBus()
    bus.producer().send([Message(EVENTS, RUN, b'{"type": "from-the-future"}')])
    with pytest.raises(BusError, match="no event of this version"):
        read_states(bus)
