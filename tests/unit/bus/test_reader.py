"""Losses between two polls, which the contract cannot bring about in every adapter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Bus, Message, Partition, Topic, after
from modelpress.bus.sqlite import SqliteBus
from modelpress.errors import BusError, FencedError
from modelpress.testing.bus import readable

LEFT, RIGHT = Partition("in", 0), Partition("in", 1)


@pytest.fixture(params=["memory", "sqlite"])
def bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bus]:
    bus: Bus = MemoryBus() if request.param == "memory" else SqliteBus(tmp_path / "bus.sqlite")
    bus.ensure([Topic("in", 2)])
    bus.producer().send([Message("in", "k", b"left", 0), Message("in", "k", b"right", 1)])
    yield bus
    bus.close()


def test_what_went_and_came_back_between_two_polls_is_missed_once(bus: Bus) -> None:
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


def test_what_was_read_before_a_loss_cannot_be_committed_after_it(bus: Bus) -> None:
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


def test_a_closed_reader_is_named(bus: Bus) -> None:
    consumer = bus.consumer("g", ["in"])
    consumer.close()
    consumer.close()
    with pytest.raises(BusError, match="closed"):
        consumer.poll()
