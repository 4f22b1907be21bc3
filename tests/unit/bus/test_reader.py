"""What no adapter can be made to do on command: losses between two polls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Message, Partition, Topic, after
from modelpress.errors import BusError, FencedError
from modelpress.testing.bus import readable

LEFT, RIGHT = Partition("in", 0), Partition("in", 1)


@pytest.fixture
def bus() -> Iterator[MemoryBus]:
    bus = MemoryBus()
    bus.ensure([Topic("in", 2)])
    bus.producer().send([Message("in", "k", b"left", 0), Message("in", "k", b"right", 1)])
    yield bus
    bus.close()


def test_what_went_and_came_back_between_two_polls_is_missed_once(bus: MemoryBus) -> None:
    one = bus.consumer("g", ["in"])
    assert len(one.poll()) == 2
    two = bus.consumer("g", ["in"])
    two.commit(after(two.poll()))
    assert two.assigned == {RIGHT}
    two.close()
    bus.producer().send([Message("in", "k", b"more", 1)])
    assert one.poll(timeout_s=30.0) == []
    assert one.assigned == {LEFT}
    assert readable(one)
    assert [r.value for r in one.poll()] == [b"more"]
    assert one.assigned == {LEFT, RIGHT}


def test_what_was_read_before_a_loss_cannot_be_committed_after_it(bus: MemoryBus) -> None:
    one = bus.consumer("g", ["in"])
    records = one.poll()
    bus.consumer("g", ["in"]).close()
    with pytest.raises(FencedError, match="'g'"):
        one.commit(after(records))
    with pytest.raises(FencedError, match="'g'"):
        one.commit({LEFT: 1})
    assert one.poll() == []
    assert one.assigned == frozenset()
    assert sorted(r.value for r in one.poll()) == [b"left", b"right"]
    one.commit({LEFT: 1})


def test_a_closed_reader_is_named(bus: MemoryBus) -> None:
    consumer = bus.consumer("g", ["in"])
    consumer.close()
    consumer.close()
    with pytest.raises(BusError, match="closed"):
        consumer.poll()
