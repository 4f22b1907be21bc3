from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Message, Record, Topic
from modelpress.worker.ear import POLL_EVERY_S, Ear


class Counted:
    """A reader that counts its polls."""

    def __init__(self, bus: MemoryBus) -> None:
        self._tail = bus.tail(["t"])
        self.polls = 0

    def poll(self, timeout_s: float = 0.0, limit: int = 500) -> list[Record]:
        self.polls += 1
        return self._tail.poll(timeout_s, limit)

    def fileno(self) -> int:
        return self._tail.fileno()

    def close(self) -> None:
        self._tail.close()


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    bus = MemoryBus()
    bus.ensure([Topic("t")])
    yield bus
    bus.close()


@pytest.fixture
def reader(bus: MemoryBus) -> Iterator[Counted]:
    reader = Counted(bus)
    yield reader
    reader.close()


def test_silence_is_polled_once_a_second(reader: Counted) -> None:
    ear = Ear(reader)
    for now_s in (10.0, 10.1, 10.9):
        assert ear.listen(now_s) == []
    polls = reader.polls
    assert ear.due_s() > 10.9
    ear.listen(10.0 + 2 * POLL_EVERY_S)
    assert reader.polls == polls + 1


def test_what_comes_is_heard_at_once(bus: MemoryBus, reader: Counted) -> None:
    ear = Ear(reader)
    ear.listen(10.0)
    ear.listen(10.0)
    bus.producer().send([Message("t", "k", b"1")])
    assert [record.value for record in ear.listen(10.0)] == [b"1"]


def test_more_than_one_turn_takes_is_heard_in_the_next(bus: MemoryBus, reader: Counted) -> None:
    ear = Ear(reader)
    bus.producer().send([Message("t", "k", b"%d" % n) for n in range(250)])
    turns = []
    while records := ear.listen(10.0):
        assert ear.due_s() <= 10.0 or len(records) < 100
        turns.append(len(records))
    assert turns == [100, 100, 50]


def test_a_woken_ear_polls(reader: Counted) -> None:
    ear = Ear(reader)
    ear.listen(10.0)
    ear.listen(10.0)
    polls = reader.polls
    ear.wake()
    ear.listen(10.0)
    assert reader.polls == polls + 1
