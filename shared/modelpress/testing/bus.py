"""What every adapter of the bus must do. An adapter's test gives `open_bus`, and inherits the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from modelpress.bus.ports import Bus, Message, Partition, after, drain
from modelpress.errors import FencedError


def message(topic: str, value: str, key: str = "k") -> Message:
    return Message(topic, key, value.encode())


class BusContract:
    """Invariants of `modelpress.bus.ports`."""

    def open_bus(self) -> Bus:
        """The log under test; each call gives another handle on the same log."""
        raise NotImplementedError

    @pytest.fixture
    def bus(self) -> Iterator[Bus]:
        bus = self.open_bus()
        yield bus
        bus.close()

    def test_records_come_in_the_order_of_writing(self, bus: Bus) -> None:
        producer = bus.producer()
        producer.send([message("a", "1"), message("a", "2")])
        producer.send([message("a", "3")])
        records = drain(bus.consumer("g", ["a"]))
        assert [r.value for r in records] == [b"1", b"2", b"3"]
        assert [r.offset for r in records] == sorted({r.offset for r in records})

    def test_a_record_keeps_its_topic_key_and_bytes(self, bus: Bus) -> None:
        value = bytes(range(256))
        bus.producer().send([Message("a", "schlüssel", value)])
        (record,) = drain(bus.tail(["a"]))
        assert (record.partition.topic, record.key, record.value) == ("a", "schlüssel", value)

    def test_topics_are_apart(self, bus: Bus) -> None:
        bus.producer().send([message("a", "1"), message("b", "2")])
        assert [r.value for r in drain(bus.consumer("g", ["b"]))] == [b"2"]
        assert {r.value for r in drain(bus.consumer("h", ["a", "b"]))} == {b"1", b"2"}

    def test_a_reader_of_nothing_gets_nothing(self, bus: Bus) -> None:
        bus.producer().send([message("a", "1")])
        assert bus.tail([]).poll() == []

    def test_limit_bounds_a_poll_and_loses_nothing(self, bus: Bus) -> None:
        bus.producer().send([message("a", str(i)) for i in range(7)])
        consumer = bus.consumer("g", ["a"])
        sizes = [len(consumer.poll(limit=3)) for _ in range(4)]
        assert sizes == [3, 3, 1, 0]

    def test_a_group_goes_on_after_its_commit(self, bus: Bus) -> None:
        bus.producer().send([message("a", "1"), message("a", "2")])
        first = bus.consumer("g", ["a"])
        first.commit(after(first.poll(limit=1)))
        first.close()
        assert [r.value for r in drain(bus.consumer("g", ["a"]))] == [b"2"]

    def test_what_was_not_committed_comes_again(self, bus: Bus) -> None:
        bus.producer().send([message("a", "1")])
        assert len(bus.consumer("g", ["a"]).poll()) == 1
        assert len(bus.consumer("g", ["a"]).poll()) == 1

    def test_groups_do_not_share_their_place(self, bus: Bus) -> None:
        bus.producer().send([message("a", "1")])
        one = bus.consumer("one", ["a"])
        one.commit(after(one.poll()))
        assert len(drain(bus.consumer("two", ["a"]))) == 1

    def test_a_commit_writes_offsets_and_messages_together(self, bus: Bus) -> None:
        bus.producer().send([message("in", "1")])
        consumer = bus.consumer("g", ["in"])
        consumer.commit(after(consumer.poll()), [message("out", "x")])
        assert [r.value for r in drain(bus.tail(["out"]))] == [b"x"]
        assert drain(bus.consumer("g", ["in"])) == []

    def test_a_superseded_consumer_commits_neither(self, bus: Bus) -> None:
        bus.producer().send([message("in", "1")])
        old = bus.consumer("g", ["in"])
        records = old.poll()
        new = bus.consumer("g", ["in"])
        with pytest.raises(FencedError, match="'g'"):
            old.commit(after(records), [message("out", "x")])
        assert drain(bus.tail(["out"])) == []
        assert [r.value for r in new.poll()] == [b"1"]

    def test_every_tail_sees_all(self, bus: Bus) -> None:
        bus.producer().send([message("a", "1")])
        early = bus.tail(["a"])
        assert len(drain(early)) == 1
        bus.producer().send([message("a", "2")])
        assert [r.value for r in drain(early)] == [b"2"]
        assert [r.value for r in drain(bus.tail(["a"]))] == [b"1", b"2"]

    def test_another_handle_sees_what_was_sent(self, bus: Bus) -> None:
        other = self.open_bus()
        other.producer().send([message("a", "1")])
        other.close()
        assert len(drain(bus.tail(["a"]))) == 1

    def test_a_poll_waits_for_a_record(self, bus: Bus) -> None:
        tail = bus.tail(["a"])
        sender = threading.Thread(target=lambda: bus.producer().send([message("a", "1")]))
        sender.start()
        assert len(tail.poll(timeout_s=30.0)) == 1
        sender.join()

    def test_a_poll_ends_when_nothing_comes(self, bus: Bus) -> None:
        started_s = time.monotonic()
        assert bus.tail(["a"]).poll(timeout_s=0.05) == []
        assert time.monotonic() - started_s >= 0.05

    def test_threads_that_send_at_once_lose_nothing(self, bus: Bus) -> None:
        def send(name: str) -> None:
            for i in range(25):
                bus.producer().send([message("a", f"{name}{i}", key=name)])

        threads = [threading.Thread(target=send, args=(name,)) for name in "xyz"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = drain(bus.tail(["a"]))
        for name in "xyz":
            assert [r.value.decode() for r in records if r.key == name] == [f"{name}{i}" for i in range(25)]

    def test_offsets_after_records_are_the_next_ones(self, bus: Bus) -> None:
        bus.producer().send([message("a", "1"), message("b", "2"), message("a", "3")])
        records = drain(bus.tail(["a", "b"]))
        last = {r.partition: r.offset for r in records}
        assert after(records) == {p: offset + 1 for p, offset in last.items()}
        assert set(last) == {Partition("a"), Partition("b")}
