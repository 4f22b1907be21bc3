"""Groups under arbitrary joins, leaves, deaths and late commits, against a model of plain lists."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from modelpress.bus.memory import MemoryBus, MemoryLog
from modelpress.bus.ports import Bus, Message, Partition, Record, Topic, after, drain, latest
from modelpress.bus.reader import LogConsumer
from modelpress.bus.sqlite import SqliteBus
from modelpress.errors import FencedError

TOPIC = Topic("in", 3)
STATE = Topic("state", 2, compacted=True)
keys = st.sampled_from("abcdef")


class GroupMachine(RuleBasedStateMachine):
    """Invariant: what the group commits of a partition is the log, in order, without a gap or a repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.bus = self.open_bus()
        self.bus.ensure([TOPIC, STATE])
        self.members: list[LogConsumer] = []
        self.read: defaultdict[LogConsumer, list[Record]] = defaultdict(list)
        self.log: defaultdict[int, list[bytes]] = defaultdict(list)
        self.done: defaultdict[int, list[bytes]] = defaultdict(list)
        self.state: dict[str, bytes] = {}
        self.sent = 0

    def open_bus(self) -> Bus:
        raise NotImplementedError

    def abandon(self, member: LogConsumer) -> None:
        raise NotImplementedError

    @rule(numbers=st.lists(st.integers(0, 2), min_size=1, max_size=4))
    def send(self, numbers: list[int]) -> None:
        messages = [Message("in", "k", b"%d" % (self.sent + i), number) for i, number in enumerate(numbers)]
        self.sent += len(messages)
        self.bus.producer().send(messages)
        for message, number in zip(messages, numbers, strict=True):
            self.log[number].append(message.value)

    @precondition(lambda self: len(self.members) < 4)
    @rule()
    def join(self) -> None:
        consumer = self.bus.consumer("g", ["in"])
        assert isinstance(consumer, LogConsumer)
        self.members.append(consumer)

    @precondition(lambda self: self.members)
    @rule(data=st.data(), limit=st.integers(1, 5))
    def poll(self, data: st.DataObject, limit: int) -> None:
        member = self.one(data)
        records = member.poll(limit=limit)
        assert {r.partition for r in records} <= member.assigned
        self.read[member] = [r for r in self.read[member] if r.partition in member.assigned] + records

    @precondition(lambda self: self.members)
    @rule(data=st.data(), key=keys)
    def commit(self, data: st.DataObject, key: str) -> None:
        member = self.one(data)
        records, value = self.read.pop(member, []), b"%d" % self.sent
        try:
            member.commit(after(records), [Message("state", key, value)])
        except FencedError:
            return
        self.state[key] = value
        for record in records:
            self.done[record.partition.number].append(record.value)

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        member = self.one(data)
        member.close()
        self.members.remove(member)
        self.read.pop(member, None)

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        self.abandon(self.one(data))

    @rule(key=keys)
    def forget(self, key: str) -> None:
        self.bus.producer().send([Message("state", key, b"")])
        self.state.pop(key, None)

    @invariant()
    def commits_follow_the_log(self) -> None:
        for number, done in self.done.items():
            assert done == self.log[number][: len(done)]

    @invariant()
    def the_newest_of_each_key_is_kept(self) -> None:
        assert latest(self.bus, "state") == self.state

    def teardown(self) -> None:
        for member in self.members:
            member.close()
        rest = drain(self.bus.consumer("g", ["in"]))
        for number in range(3):
            left = [r.value for r in rest if r.partition == Partition("in", number)]
            assert self.done[number] + left == self.log[number]
        self.bus.close()

    def one(self, data: st.DataObject) -> LogConsumer:
        return self.members[data.draw(st.integers(0, len(self.members) - 1))]


class MemoryMachine(GroupMachine):
    def open_bus(self) -> Bus:
        return MemoryBus(MemoryLog())

    def abandon(self, member: LogConsumer) -> None:
        member.membership.leave(member.name)


class SqliteMachine(GroupMachine):
    def open_bus(self) -> Bus:
        self.folder = tempfile.TemporaryDirectory()
        return SqliteBus(Path(self.folder.name) / "bus.sqlite")

    def abandon(self, member: LogConsumer) -> None:
        (Path(self.folder.name) / "bus.sqlite-readers" / member.name).unlink(missing_ok=True)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


@pytest.mark.parametrize("machine", [MemoryMachine, SqliteMachine])
def test_a_group_commits_the_log_once_and_in_order(machine: type[GroupMachine]) -> None:
    few = settings(max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(machine, settings=few)
