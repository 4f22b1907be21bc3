from __future__ import annotations

from modelpress.bus.memory import MemoryBus
from modelpress.bus.ports import Message, Topic, drain


def test_compaction_keeps_one_record_a_key_in_the_order_of_writing() -> None:
    bus = MemoryBus()
    bus.ensure([Topic("state", compacted=True)])
    for key, value in (("x", b"1"), ("y", b"2"), ("x", b"3"), ("z", b""), ("y", b"4")):
        bus.producer().send([Message("state", key, value)])
    records = drain(bus.tail(["state"]))
    assert [(r.offset, r.key, r.value) for r in records] == [(2, "x", b"3"), (3, "z", b""), (4, "y", b"4")]
    bus.close()


def test_logs_of_their_own_share_nothing() -> None:
    one, two = MemoryBus(), MemoryBus()
    for bus in (one, two):
        bus.ensure([Topic("in")])
    one.producer().send([Message("in", "k", b"1")])
    assert drain(two.tail(["in"])) == []
