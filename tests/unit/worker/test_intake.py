"""A worker's place in its group, on a bus in memory."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Message, Partition, drain
from modelpress.engine.events import (
    DEAD_LETTERS,
    EVENTS,
    PLACES,
    DeadLetter,
    PlaceOffered,
    RunCancelled,
    StepCommand,
    StepLeft,
    command_message,
    event_message,
    parse_place_word,
    steps_topic,
    topics,
)
from modelpress.worker.intake import Intake

POOL = "local"
FIRST, SECOND = Partition(steps_topic(POOL), 0), Partition(steps_topic(POOL), 1)


def command(step_id: str) -> StepCommand:
    facts = {"params": {}, "inputs": {}, "seed": 0, "threads": 1, "version": 1}
    return StepCommand(tenant="default", run_id="r", step_id=step_id, attempt=1, uses="toys/emit", **facts)


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    bus = MemoryBus()
    bus.ensure(topics((POOL,), partitions=2))
    yield bus
    bus.close()


@pytest.fixture
def intake(bus: MemoryBus) -> Intake:
    intake = Intake(bus, POOL, "w", cores=3)
    assert intake.read(0.0) == []
    return intake


def send(bus: MemoryBus, *step_ids: str, partition: int = 0) -> None:
    bus.producer().send([command_message(command(step_id), POOL, partition) for step_id in step_ids])


def said(bus: MemoryBus, topic: str) -> list[bytes]:
    return [record.value for record in drain(bus.tail([topic]))]


def offered(messages: list[Message]) -> dict[int, int]:
    words = (parse_place_word(message.value) for message in messages)
    return {word.partition: word.cores for word in words if isinstance(word, PlaceOffered)}


def test_what_ended_is_said_with_the_mark(bus: MemoryBus, intake: Intake) -> None:
    send(bus, "a", "b")
    (record, first), _ = intake.read(1.0)
    event = event_message(RunCancelled(run_id="r", at_s=0.0))
    intake.leave(record, first, [event])
    assert not intake.settled
    assert said(bus, EVENTS) == []
    intake.commit()
    assert intake.settled
    assert said(bus, EVENTS) == [event.value]
    (left,) = (parse_place_word(value) for value in said(bus, PLACES))
    assert left == StepLeft(pool=POOL, partition=0, run_id="r", step_id="a", attempt=1)
    intake.close()
    heir = Intake(bus, POOL, "heir", cores=3)
    assert [each.step_id for _, each in heir.read(0.0)] == ["b"]


def test_a_record_that_is_no_command_is_kept_as_a_letter(bus: MemoryBus, intake: Intake) -> None:
    bus.producer().send([Message(FIRST.topic, "r", b"\xff", FIRST.number)])
    assert intake.read(1.0) == []
    intake.commit()
    (letter,) = (DeadLetter.model_validate_json(value) for value in said(bus, DEAD_LETTERS))
    assert (letter.topic, letter.partition, letter.offset) == (FIRST.topic, 0, 0)
    assert base64.b64decode(letter.value) == b"\xff"


def test_the_offers_share_out_all_cores_and_are_said_again(intake: Intake) -> None:
    assert offered(intake.offers(0.0)) == {0: 2, 1: 1}
    assert intake.offers(9.0) == []
    assert offered(intake.offers(10.0)) == {0: 2, 1: 1}


def test_a_change_of_partitions_is_offered_at_once(bus: MemoryBus, intake: Intake) -> None:
    assert intake.offers(0.0)
    other = Intake(bus, POOL, "other", cores=1)
    other.read(0.1)
    intake.read(0.1)
    assert len(intake.owned) == len(other.owned) == 1
    assert list(offered(intake.offers(0.1)).values()) == [3]
    assert list(offered(other.offers(0.1)).values()) == [1]


def test_partitions_without_a_core_are_not_offered(bus: MemoryBus) -> None:
    small = Intake(bus, POOL, "w", cores=1)
    small.read(0.0)
    assert small.owned == {FIRST, SECOND}
    assert offered(small.offers(0.0)) == {0: 1}


def test_the_outcome_of_a_partition_that_another_has_is_dropped(bus: MemoryBus, intake: Intake) -> None:
    send(bus, "a", partition=0)
    send(bus, "b", partition=1)
    commands = intake.read(1.0)
    other = bus.consumer(f"worker.{POOL}", [FIRST.topic])
    other.poll()
    (lost,) = other.assigned
    for record, each in commands:
        intake.leave(record, each)
    intake.commit()
    assert intake.settled
    assert intake.owned == frozenset()
    left = [word.partition for word in map(parse_place_word, said(bus, PLACES)) if isinstance(word, StepLeft)]
    assert lost.number not in left
    intake.read(1.1)
    intake.read(1.1)
    assert intake.owned == {FIRST, SECOND} - {lost}


def test_withdrawals_name_every_partition(intake: Intake) -> None:
    words = [parse_place_word(message.value) for message in intake.withdrawals()]
    assert [(word.type, getattr(word, "partition", None)) for word in words] == [
        ("place-withdrawn", 0),
        ("place-withdrawn", 1),
    ]


def test_commands_of_a_partition_that_came_back_are_read_again(bus: MemoryBus, intake: Intake) -> None:
    send(bus, "a", partition=0)
    send(bus, "b", partition=1)
    intake.read(1.0)
    other = bus.consumer(f"worker.{POOL}", [FIRST.topic])
    other.poll()
    (lost,) = other.assigned
    assert intake.read(1.1) == []
    other.close()
    assert [record.partition for record, _ in intake.read(1.2)] == [lost]
