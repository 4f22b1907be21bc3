"""What every adapter of the bus must do. An adapter's test gives `open_bus` and `abandon`, and inherits the rest.

Nothing here needs an order among partitions, offsets without gaps, or an assignment within one poll: what may take
a while is polled for, at most ``patience_s``.
"""

from __future__ import annotations

import select
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import pytest

from modelpress.bus.ports import (
    Bus,
    Consumer,
    Message,
    Partition,
    Reader,
    Record,
    Topic,
    after,
    drain,
    latest,
    partition_of,
)
from modelpress.errors import BusError, FencedError


class NewTopic(Protocol):
    def __call__(self, partitions: int = 1, compacted: bool = False) -> str:
        """The name of a new topic, which is on the bus."""


KEY_OF = {0: "a", 1: "g", 2: "b"}
"""A key for each of three partitions."""


def message(topic: str, value: str, key: str = "k", partition: int | None = None) -> Message:
    return Message(topic, key, value.encode(), partition)


def values(records: Sequence[Record]) -> list[str]:
    return [record.value.decode() for record in records]


class Selectable(Protocol):
    def fileno(self) -> int: ...


def readable(reader: Selectable, timeout_s: float = 0.0) -> bool:
    """Whether ``select`` would return for ``reader`` by then."""
    poll = select.poll()
    poll.register(reader.fileno(), select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


class BusContract:
    """Invariants of `modelpress.bus.ports`."""

    patience_s = 30.0
    """How long a group may take to find a dead member and share its partitions, and a record to arrive."""

    big_bytes = 5 << 20
    """A value that must pass whole."""

    def open_bus(self) -> Bus:
        """The log under test; each call gives another handle on the same log, as another process would have."""
        raise NotImplementedError

    def abandon(self, consumer: Consumer) -> None:
        """Make the consumer's group believe that its process has died. The object lives on, as that of a process that
        was only frozen does, and is told nothing."""
        raise NotImplementedError

    @pytest.fixture
    def bus(self) -> Iterator[Bus]:
        bus = self.open_bus()
        yield bus
        bus.close()

    @pytest.fixture
    def other(self) -> Iterator[Bus]:
        """Another handle on the log of ``bus``."""
        bus = self.open_bus()
        yield bus
        bus.close()

    @pytest.fixture
    def topic(self, bus: Bus) -> NewTopic:
        def new(partitions: int = 1, compacted: bool = False) -> str:
            name = f"topic-{uuid.uuid4().hex[:8]}"
            bus.ensure([Topic(name, partitions, compacted)])
            return name

        return new

    @pytest.fixture
    def group(self) -> str:
        return f"group-{uuid.uuid4().hex[:8]}"

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Ask until ``reached``; it polls, so that nothing spins."""
        deadline_s = time.monotonic() + self.patience_s
        while not reached():
            assert time.monotonic() < deadline_s, f"{what}: not within {self.patience_s} s"

    def collect(self, reader: Reader, count: int, limit: int = 500) -> list[Record]:
        """The next ``count`` records, and what else came in the last poll."""
        records: list[Record] = []

        def enough() -> bool:
            records.extend(reader.poll(0.05, limit))
            return len(records) >= count

        self.until(enough, f"{count} records")
        return records

    def settle(self, *members: Consumer, partitions: int) -> list[Record]:
        """Poll until each partition has one owner, and each member as many as the others; gives what was read."""
        records: list[Record] = []

        def settled() -> bool:
            for member in members:
                records.extend(member.poll(0.01))
            shares = [member.assigned for member in members]
            sizes = sorted(len(share) for share in shares)
            return sum(sizes) == len(frozenset().union(*shares)) == partitions and sizes[-1] - sizes[0] <= 1

        self.until(settled, f"{partitions} partitions shared by {len(members)}")
        return records

    def quieten(self, reader: Reader) -> None:
        """Poll until nothing comes and ``select`` would wait."""
        self.until(lambda: not reader.poll(0.01) and not readable(reader), "silence")

    # Topics

    def test_ensuring_again_changes_nothing(self, bus: Bus, other: Bus, topic: NewTopic) -> None:
        name = topic(partitions=3)
        bus.producer().send([message(name, "1")])
        bus.ensure([Topic(name, 3)])
        other.ensure([Topic(name, 3)])
        assert values(self.collect(other.tail([name]), 1)) == ["1"]

    @pytest.mark.parametrize(("partitions", "compacted"), [(2, False), (1, True)])
    def test_a_topic_that_is_there_otherwise_is_refused(
        self, other: Bus, topic: NewTopic, partitions: int, compacted: bool
    ) -> None:
        name = topic()
        with pytest.raises(BusError, match=name):
            other.ensure([Topic(name, partitions, compacted)])

    def test_an_unknown_topic_is_named(self, bus: Bus, group: str) -> None:
        for use in (
            lambda: bus.producer().send([message("nowhere", "1")]),
            lambda: bus.tail(["nowhere"]).poll(),
            lambda: bus.consumer(group, ["nowhere"]).poll(),
        ):
            with pytest.raises(BusError, match="'nowhere'"):
                use()

    def test_topics_are_apart(self, bus: Bus, topic: NewTopic) -> None:
        one, two = topic(), topic()
        bus.producer().send([message(one, "1"), message(two, "2")])
        assert values(self.collect(bus.tail([two]), 1)) == ["2"]
        assert set(values(self.collect(bus.tail([one, two]), 2))) == {"1", "2"}

    # Records and partitions

    def test_a_record_keeps_its_place_key_and_bytes(self, bus: Bus, topic: NewTopic) -> None:
        name, value = topic(), bytes(range(256))
        bus.producer().send([Message(name, "schlüssel", value)])
        (record,) = self.collect(bus.tail([name]), 1)
        assert (record.partition, record.key, record.value) == (Partition(name, 0), "schlüssel", value)

    def test_a_big_value_passes_whole(self, bus: Bus, topic: NewTopic) -> None:
        name, value = topic(), b"0123456789abcdef" * (self.big_bytes // 16)
        bus.producer().send([Message(name, "k", value)])
        (record,) = self.collect(bus.tail([name]), 1)
        assert record.value == value

    def test_a_key_has_one_partition_the_same_everywhere(self, bus: Bus, topic: NewTopic) -> None:
        name = topic(partitions=3)
        keys = [f"key-{i}" for i in range(20)]
        bus.producer().send([message(name, "1", key) for key in keys])
        records = self.collect(bus.tail([name]), 20)
        assert {r.key: r.partition.number for r in records} == {key: partition_of(key, 3) for key in keys}
        assert {key: partition_of(key, 3) for key in KEY_OF.values()} == {key: n for n, key in KEY_OF.items()}

    def test_a_partition_that_is_given_goes_before_the_key(self, bus: Bus, topic: NewTopic) -> None:
        name = topic(partitions=3)
        bus.producer().send([message(name, str(n), "k", partition=n) for n in range(3)])
        records = self.collect(bus.tail([name]), 3)
        assert {r.value.decode(): r.partition.number for r in records} == {"0": 0, "1": 1, "2": 2}

    def test_a_partition_that_is_not_there_is_refused(self, bus: Bus, topic: NewTopic) -> None:
        name = topic(partitions=3)
        for number in (-1, 3):
            with pytest.raises(BusError, match=name):
                bus.producer().send([message(name, "1", partition=number)])

    def test_a_partition_keeps_the_order_of_writing(self, bus: Bus, other: Bus, topic: NewTopic) -> None:
        name = topic(partitions=3)
        for i in range(10):
            (bus, other)[i % 2].producer().send([message(name, f"{i}{part}", KEY_OF[i % 3]) for part in "ab"])
        records = self.collect(bus.tail([name]), 20)
        for number in range(3):
            mine = [r for r in records if r.partition.number == number]
            assert values(mine) == [f"{i}{part}" for i in range(number, 10, 3) for part in "ab"]
            assert [r.offset for r in mine] == sorted({r.offset for r in mine})

    def test_a_send_is_written_whole_or_not(self, bus: Bus, topic: NewTopic) -> None:
        name = topic()
        with pytest.raises(BusError):
            bus.producer().send([message(name, "1"), message("nowhere", "2")])
        bus.producer().send([message(name, "3")])
        assert values(self.collect(bus.tail([name]), 1)) == ["3"]

    def test_threads_that_send_at_once_lose_nothing(self, bus: Bus, other: Bus, topic: NewTopic) -> None:
        name = topic(partitions=3)

        def send(key: str, sender: Bus) -> None:
            for i in range(25):
                sender.producer().send([message(name, f"{key}{i}", key)])

        senders = {"x": bus, "y": bus, "z": other}
        threads = [threading.Thread(target=send, args=sender) for sender in senders.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = self.collect(bus.tail([name]), 75)
        for key in "xyz":
            assert values([r for r in records if r.key == key]) == [f"{key}{i}" for i in range(25)]

    def test_offsets_after_records_are_the_next_ones(self, bus: Bus, topic: NewTopic) -> None:
        one, two = topic(), topic()
        bus.producer().send([message(one, "1"), message(two, "2"), message(one, "3")])
        records = self.collect(bus.tail([one, two]), 3)
        ends = {r.partition: r.offset + 1 for r in records}
        assert after(records) == after(records[::-1]) == ends
        assert set(ends) == {Partition(one), Partition(two)}

    # Polls

    def test_a_reader_of_nothing_gets_nothing(self, bus: Bus) -> None:
        assert bus.tail([]).poll() == []

    def test_a_limit_bounds_a_poll_and_loses_nothing(self, bus: Bus, topic: NewTopic) -> None:
        name = topic()
        bus.producer().send([message(name, str(i)) for i in range(7)])
        tail = bus.tail([name])
        batches: list[list[Record]] = []

        def all_read() -> bool:
            batches.append(tail.poll(0.05, limit=3))
            return sum(map(len, batches)) == 7

        self.until(all_read, "7 records")
        assert max(map(len, batches)) <= 3
        assert [value for batch in batches for value in values(batch)] == list("0123456")

    def test_many_records_come_in_bounded_polls(self, bus: Bus, topic: NewTopic) -> None:
        name = topic()
        bus.producer().send([message(name, str(i)) for i in range(1234)])
        tail = bus.tail([name])
        assert len(tail.poll(self.patience_s)) <= 500
        assert len(drain(tail)) >= 734

    def test_a_limited_poll_leaves_the_descriptor_readable(self, bus: Bus, topic: NewTopic) -> None:
        name = topic()
        tail = bus.tail([name])
        tail.fileno()
        bus.producer().send([message(name, "1"), message(name, "2")])
        self.collect(tail, 1, limit=1)
        assert readable(tail, self.patience_s)

    def test_a_full_partition_does_not_starve_another(self, bus: Bus, topic: NewTopic) -> None:
        one, two = topic(), topic()
        bus.producer().send([message(name, str(i)) for name in (one, two) for i in range(20)])
        early = self.collect(bus.tail([one, two]), 20, limit=4)
        assert {r.partition.topic for r in early} == {one, two}

    def test_a_poll_waits_for_a_record(self, bus: Bus, other: Bus, topic: NewTopic) -> None:
        name = topic()
        tail = bus.tail([name])
        assert tail.poll() == []
        sender = threading.Thread(target=lambda: other.producer().send([message(name, "1")]))
        sender.start()
        assert values(tail.poll(self.patience_s)) == ["1"]
        sender.join()

    def test_a_poll_ends_when_nothing_comes(self, bus: Bus, topic: NewTopic, group: str) -> None:
        name = topic()
        assert bus.tail([name]).poll(0.05) == []
        assert bus.consumer(group, [name]).poll(0.05) == []

    # Wake-ups

    def test_a_reader_is_readable_before_its_first_poll(self, bus: Bus, topic: NewTopic, group: str) -> None:
        name = topic()
        assert readable(bus.tail([name]), self.patience_s)
        assert readable(bus.consumer(group, [name]), self.patience_s)

    def test_a_descriptor_is_quiet_until_there_is_something(
        self, bus: Bus, other: Bus, topic: NewTopic, group: str
    ) -> None:
        name = topic()
        for reader in (bus.tail([name]), bus.consumer(group, [name])):
            for value in ("1", "2"):
                self.quieten(reader)
                other.producer().send([message(name, value)])
                assert readable(reader, self.patience_s)
                assert value in values(self.collect(reader, 1))

    def test_a_commit_wakes_the_readers_of_what_it_sends(self, bus: Bus, topic: NewTopic, group: str) -> None:
        source, target = topic(), topic()
        tail = bus.tail([target])
        self.quieten(tail)
        bus.producer().send([message(source, "1")])
        consumer = bus.consumer(group, [source])
        consumer.commit(after(self.collect(consumer, 1)), [message(target, "x")])
        assert readable(tail, self.patience_s)
        assert values(tail.poll()) == ["x"]

    # Tails

    def test_every_tail_sees_all(self, bus: Bus, topic: NewTopic) -> None:
        name = topic()
        bus.producer().send([message(name, "1")])
        early = bus.tail([name])
        assert values(self.collect(early, 1)) == ["1"]
        bus.producer().send([message(name, "2")])
        assert values(self.collect(early, 1)) == ["2"]
        assert values(self.collect(bus.tail([name]), 2)) == ["1", "2"]

    def test_a_tail_from_the_end_sees_what_comes(self, bus: Bus, topic: NewTopic) -> None:
        name = topic(partitions=3)
        bus.producer().send([message(name, "old", KEY_OF[0])])
        tail = bus.tail([name], from_end=True)
        bus.producer().send([message(name, f"new{n}", key) for n, key in KEY_OF.items()])
        assert sorted(values(self.collect(tail, 3))) == ["new0", "new1", "new2"]

    # Groups

    def test_a_group_goes_on_after_its_commit(self, bus: Bus, other: Bus, topic: NewTopic, group: str) -> None:
        name = topic()
        bus.producer().send([message(name, "1"), message(name, "2")])
        first = bus.consumer(group, [name])
        first.commit(after(self.collect(first, 1, limit=1)))
        first.close()
        assert values(self.collect(other.consumer(group, [name]), 1)) == ["2"]

    def test_what_was_not_committed_comes_again(self, bus: Bus, topic: NewTopic, group: str) -> None:
        name = topic()
        bus.producer().send([message(name, "1")])
        for _ in range(2):
            consumer = bus.consumer(group, [name])
            assert values(self.collect(consumer, 1)) == ["1"]
            consumer.close()

    def test_groups_do_not_share_their_place(self, bus: Bus, topic: NewTopic, group: str) -> None:
        name = topic()
        bus.producer().send([message(name, "1")])
        one, two = bus.consumer(group, [name]), bus.consumer(f"{group}-2", [name])
        one.commit(after(self.collect(one, 1)))
        assert values(self.collect(two, 1)) == ["1"]

    def test_partitions_are_committed_apart(self, bus: Bus, topic: NewTopic, group: str) -> None:
        name = topic(partitions=3)
        bus.producer().send([message(name, str(n), key) for n, key in KEY_OF.items()])
        first = bus.consumer(group, [name])
        records = self.collect(first, 3)
        first.commit(after(r for r in records if r.partition.number != 1))
        first.close()
        assert values(self.collect(bus.consumer(group, [name]), 1)) == ["1"]

    def test_a_consumer_knows_whether_it_read_all(self, bus: Bus, topic: NewTopic, group: str) -> None:
        name = topic(partitions=3)
        bus.producer().send([message(name, str(n), key) for n, key in KEY_OF.items()])
        consumer = bus.consumer(group, [name])
        self.collect(consumer, 1, limit=1)
        assert not consumer.caught_up()
        self.collect(consumer, 2)
        self.until(lambda: not consumer.poll(0.01) and consumer.caught_up(), "the end")
        bus.producer().send([message(name, "3")])
        self.until(lambda: not consumer.caught_up(), "news")

    def test_members_share_the_partitions(self, bus: Bus, other: Bus, topic: NewTopic, group: str) -> None:
        name = topic(partitions=3)
        one, two = bus.consumer(group, [name]), other.consumer(group, [name])
        self.settle(one, two, partitions=3)
        bus.producer().send([message(name, str(n), key) for n, key in KEY_OF.items()])
        for member in (one, two):
            records = self.collect(member, len(member.assigned))
            assert {r.partition for r in records} == member.assigned

    def test_a_third_member_gets_its_share(self, bus: Bus, other: Bus, topic: NewTopic, group: str) -> None:
        name = topic(partitions=3)
        one, two = bus.consumer(group, [name]), other.consumer(group, [name])
        self.settle(one, two, partitions=3)
        three = other.consumer(group, [name])
        self.settle(one, two, three, partitions=3)
        assert [len(member.assigned) for member in (one, two, three)] == [1, 1, 1]

    def test_a_member_without_a_share_stands_by(self, bus: Bus, other: Bus, topic: NewTopic, group: str) -> None:
        name = topic()
        one, two = bus.consumer(group, [name]), other.consumer(group, [name])
        self.settle(one, two, partitions=1)
        owner, idle = (one, two) if one.assigned else (two, one)
        owner.close()
        self.settle(idle, partitions=1)

    @pytest.mark.parametrize("ending", ["close", "abandon"])
    def test_the_others_go_on_where_a_member_ended(
        self, bus: Bus, other: Bus, topic: NewTopic, group: str, ending: str
    ) -> None:
        name = topic(partitions=3)
        leaver, stayer = bus.consumer(group, [name]), other.consumer(group, [name])
        self.settle(leaver, stayer, partitions=3)
        ours = [r for r in KEY_OF if Partition(name, r) in leaver.assigned]
        bus.producer().send([message(name, f"{n}{part}", KEY_OF[n]) for n in ours for part in "ab"])
        records = self.collect(leaver, 2 * len(ours))
        leaver.commit(after(r for r in records if r.value.endswith(b"a")))
        leaver.close() if ending == "close" else self.abandon(leaver)
        again = self.settle(stayer, partitions=3)
        again += self.collect(stayer, len(ours) - len(again)) if len(again) < len(ours) else []
        assert sorted(values(again)) == [f"{n}b" for n in ours]

    def test_a_leaving_member_wakes_the_others(self, bus: Bus, other: Bus, topic: NewTopic, group: str) -> None:
        name = topic(partitions=3)
        one, two = bus.consumer(group, [name]), other.consumer(group, [name])
        self.settle(one, two, partitions=3)
        self.quieten(two)
        one.close()
        assert readable(two, self.patience_s)

    # Commits

    def test_a_commit_writes_offsets_and_messages_together(self, bus: Bus, topic: NewTopic, group: str) -> None:
        source, target = topic(), topic()
        bus.producer().send([message(source, "1")])
        consumer = bus.consumer(group, [source])
        consumer.commit(after(self.collect(consumer, 1)), [message(target, "x"), message(source, "2")])
        consumer.close()
        assert values(self.collect(bus.tail([target]), 1)) == ["x"]
        assert values(self.collect(bus.consumer(group, [source]), 1)) == ["2"]

    def test_a_commit_that_cannot_write_moves_nothing(self, bus: Bus, topic: NewTopic, group: str) -> None:
        name = topic()
        bus.producer().send([message(name, "1")])
        consumer = bus.consumer(group, [name])
        records = self.collect(consumer, 1)
        with pytest.raises(BusError, match="'nowhere'"):
            consumer.commit(after(records), [message("nowhere", "x")])
        consumer.close()
        assert values(self.collect(bus.consumer(group, [name]), 1)) == ["1"]

    def test_a_commit_of_messages_alone_is_allowed(self, bus: Bus, topic: NewTopic, group: str) -> None:
        source, target = topic(), topic()
        consumer = bus.consumer(group, [source])
        self.settle(consumer, partitions=1)
        consumer.commit({}, [message(target, "x")])
        assert values(self.collect(bus.tail([target]), 1)) == ["x"]

    def test_a_partition_of_somebody_else_cannot_be_committed(
        self, bus: Bus, other: Bus, topic: NewTopic, group: str
    ) -> None:
        name = topic(partitions=2)
        one, two = bus.consumer(group, [name]), other.consumer(group, [name])
        self.settle(one, two, partitions=2)
        (theirs,) = two.assigned
        with pytest.raises(FencedError, match=group):
            one.commit({theirs: 1})

    @pytest.mark.parametrize("claiming", [True, False], ids=["with offsets", "messages alone"])
    def test_a_stale_owner_commits_nothing_and_joins_anew(
        self, bus: Bus, other: Bus, topic: NewTopic, group: str, claiming: bool
    ) -> None:
        source, target = topic(), topic()
        bus.producer().send([message(source, "1"), message(source, "2")])
        stale = bus.consumer(group, [source])
        records = self.collect(stale, 2)
        self.abandon(stale)
        heir = other.consumer(group, [source])
        inherited = self.collect(heir, 2)
        with pytest.raises(FencedError, match=group):
            stale.commit(after(records) if claiming else {}, [message(target, "stale")])
        heir.commit(after(inherited[:1]), [message(target, "heir")])
        heir.close()
        assert values(self.collect(stale, 1)) == ["2"]
        stale.commit({}, [message(target, "anew")])
        assert values(self.collect(bus.tail([target]), 2)) == ["heir", "anew"]

    def test_a_member_that_was_left_out_sees_its_loss(self, bus: Bus, other: Bus, topic: NewTopic, group: str) -> None:
        name = topic()
        stale = bus.consumer(group, [name])
        self.settle(stale, partitions=1)
        self.abandon(stale)
        heir = other.consumer(group, [name])
        self.settle(heir, partitions=1)
        heir.close()
        shares: list[frozenset[Partition]] = []

        def lost_and_found() -> bool:
            assert stale.poll(0.01) == []
            shares.append(stale.assigned)
            return frozenset() in shares and bool(stale.assigned)

        self.until(lost_and_found, "a share that was lost and found")

    def test_a_member_that_lost_some_keeps_its_place_in_the_rest(
        self, bus: Bus, other: Bus, topic: NewTopic, group: str
    ) -> None:
        name = topic(partitions=2)
        bus.producer().send([message(name, str(n), partition=n) for n in range(2)])
        one = bus.consumer(group, [name])
        records = self.collect(one, 2)
        two = other.consumer(group, [name])
        again = self.settle(one, two, partitions=2)
        again += self.collect(two, 1) if not again else []
        assert {r.partition for r in again} == two.assigned
        one.commit(after(r for r in records if r.partition in one.assigned))

    # Compacted topics

    def test_a_compacted_topic_keeps_the_newest_of_each_key(self, bus: Bus, other: Bus, topic: NewTopic) -> None:
        name = topic(partitions=3, compacted=True)
        for i in range(5):
            bus.producer().send([message(name, f"{key}{i}", key) for key in KEY_OF.values()])
        assert latest(other, name) == {key: f"{key}4".encode() for key in KEY_OF.values()}

    def test_a_key_that_returns_is_the_newest(self, bus: Bus, topic: NewTopic) -> None:
        name = topic(compacted=True)
        for key, value in (("x", "1"), ("y", "2"), ("x", "3")):
            bus.producer().send([message(name, value, key)])
        newest = {r.key: r.value.decode() for r in drain(bus.tail([name]))}
        assert newest == {"x": "3", "y": "2"}

    def test_an_empty_value_removes_its_key(self, bus: Bus, topic: NewTopic) -> None:
        name = topic(compacted=True)
        follower = bus.tail([name])
        bus.producer().send([message(name, "1", "x"), message(name, "2", "y")])
        self.collect(follower, 2)
        bus.producer().send([Message(name, "x", b"")])
        (tombstone,) = self.collect(follower, 1)
        assert (tombstone.key, tombstone.value) == ("x", b"")
        assert latest(bus, name) == {"y": b"2"}

    def test_a_follower_of_a_compacted_topic_sees_every_change_of_a_group(
        self, bus: Bus, topic: NewTopic, group: str
    ) -> None:
        source, state = topic(), topic(compacted=True)
        follower = bus.tail([state])
        consumer = bus.consumer(group, [source])
        for i in range(3):
            bus.producer().send([message(source, str(i))])
            consumer.commit(after(self.collect(consumer, 1)), [message(state, str(i), "run")])
            assert values(self.collect(follower, 1)) == [str(i)]
        assert latest(bus, state) == {"run": b"2"}
