"""The bus in memory: for tests and for programs that keep nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from modelpress.bus.ports import Message, Partition, Record
from modelpress.errors import FencedError

if TYPE_CHECKING:
    from modelpress.bus.ports import Bus


class MemoryBus:
    """One log, one partition a topic; threads may share it."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.log: list[Record] = []
        self.offsets: dict[tuple[str, Partition], int] = {}
        self.generations: dict[str, int] = {}

    def producer(self) -> MemoryProducer:
        return MemoryProducer(self)

    def consumer(self, group: str, topics: Sequence[str]) -> MemoryConsumer:
        with self.changed:
            generation = self.generations[group] = self.generations.get(group, 0) + 1
            return MemoryConsumer(self, group, generation, topics)

    def tail(self, topics: Sequence[str]) -> MemoryTail:
        return MemoryTail(self, {Partition(topic): 0 for topic in topics})

    def close(self) -> None:
        """Nothing to release."""

    def append(self, messages: Iterable[Message]) -> None:
        """Write to the log; the caller holds ``changed``. Offsets count over all topics."""
        for message in messages:
            record = Record(Partition(message.topic), len(self.log), message.key, message.value)
            self.log.append(record)
        self.changed.notify_all()


class MemoryProducer:
    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    def send(self, messages: Sequence[Message]) -> None:
        with self._bus.changed:
            self._bus.append(messages)


class MemoryTail:
    def __init__(self, bus: MemoryBus, positions: dict[Partition, int]) -> None:
        self._bus = bus
        self._positions = positions

    def poll(self, timeout_s: float = 0.0, limit: int = 500) -> list[Record]:
        with self._bus.changed:
            self._bus.changed.wait_for(self._ready, timeout_s)
            records = self._ready()[:limit]
        for record in records:
            self._positions[record.partition] = record.offset + 1
        return records

    def close(self) -> None:
        """Nothing to release."""

    def _ready(self) -> list[Record]:
        positions = self._positions
        return [r for r in self._bus.log if r.partition in positions and r.offset >= positions[r.partition]]


class MemoryConsumer(MemoryTail):
    def __init__(self, bus: MemoryBus, group: str, generation: int, topics: Sequence[str]) -> None:
        partitions = [Partition(topic) for topic in topics]
        super().__init__(bus, {p: bus.offsets.get((group, p), 0) for p in partitions})
        self._group = group
        self._generation = generation

    def commit(self, offsets: Mapping[Partition, int], out: Sequence[Message] = ()) -> None:
        with self._bus.changed:
            if self._bus.generations[self._group] != self._generation:
                raise FencedError(f"a newer consumer of group '{self._group}' took over")
            self._bus.offsets.update({(self._group, p): offset for p, offset in offsets.items()})
            self._bus.append(out)


if TYPE_CHECKING:
    _: Bus = MemoryBus()
