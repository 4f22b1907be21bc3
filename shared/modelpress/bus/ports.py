"""Ports of the bus. DESIGN: log-shaped, so that Kafka fits without a second design; no acknowledgement a message.

Every adapter passes `modelpress.testing.bus.BusContract`.

Invariant: what one `Producer.send` or one `Consumer.commit` writes is in the log as a whole or not at all.
Invariant: records of one partition are read in the order in which they were written; records of one key share a
partition. Offsets of a partition only grow; they may have gaps.
Invariant: what was sent lasts as long as the adapter says. A power cut may take back the newest commits, the log then
is as it was at an earlier moment: what they did is done again.
Invariant: of the consumers of a group each partition has one owner. Who lost a partition commits nothing about it.
Invariant: a compacted topic keeps the newest record of each key; an empty value removes the key.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class Topic:
    """A topic as it must be. ``partitions`` never changes: keys would move."""

    name: str
    partitions: int = 1
    compacted: bool = False


class Partition(NamedTuple):
    """One ordered part of a topic."""

    topic: str
    number: int = 0


@dataclass(frozen=True)
class Message:
    """What is sent. Messages of one ``key`` keep their order; ``partition`` goes before the key's own."""

    topic: str
    key: str
    value: bytes
    partition: int | None = None


@dataclass(frozen=True)
class Record:
    """A message in the log, at its place."""

    partition: Partition
    offset: int
    key: str
    value: bytes


class Producer(Protocol):
    """Writes."""

    def send(self, messages: Sequence[Message]) -> None:
        """Append all of ``messages``, or none; durable when it returns.

        Raises:
            StoreFullError: no space is left; nothing was written.
            BusError: a topic is not there.
        """


class Reader(Protocol):
    """What consumers and tails have in common."""

    def poll(self, timeout_s: float = 0.0, limit: int = 500) -> list[Record]:
        """The next records, each partition's oldest first; waits up to ``timeout_s`` for the first of them."""

    def fileno(self) -> int:
        """A descriptor for ``select``: readable when there may be something to poll, until `poll` was called."""

    def close(self) -> None:
        """Leave; a consumer's partitions go to the others of its group at once."""


class Tail(Reader, Protocol):
    """Reads topics, belonging to no group: every reader sees all."""


class Consumer(Reader, Protocol):
    """A member of a group. Partitions are shared out among the members, who go on where the last commit was."""

    @property
    def assigned(self) -> frozenset[Partition]:
        """The partitions that are this member's; changes in `poll` only.

        One that was lost and came back is missing after one poll at least: what was made of its records is void.
        """

    def caught_up(self) -> bool:
        """Whether every assigned partition was read to its present end."""

    def commit(self, offsets: Mapping[Partition, int], out: Sequence[Message] = ()) -> None:
        """Move the group to ``offsets`` (the next ones to read) and send ``out``: both or neither.

        Raises:
            FencedError: a partition of ``offsets`` is another member's by now, or this one was left out of the group;
                nothing was written. The next `poll` joins anew.
            StoreFullError: no space is left; nothing was written.
        """


class Bus(Protocol):
    """One log."""

    def ensure(self, topics: Iterable[Topic]) -> None:
        """Make the topics that are missing.

        Raises:
            BusError: one is there with another number of partitions, or compacted where it should not be.
        """

    def producer(self) -> Producer: ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join ``group``; a new group starts at the beginning of its topics. All members read the same topics."""

    def tail(self, topics: Sequence[str], *, from_end: bool = False) -> Tail:
        """Read ``topics`` from their beginning, or only what comes from now on."""

    def close(self) -> None: ...


def partition_of(key: str, partitions: int) -> int:
    """The partition of ``key`` in a topic of so many, the same in every adapter and version."""
    return zlib.crc32(key.encode()) % partitions


def after(records: Iterable[Record]) -> dict[Partition, int]:
    """The offsets that follow ``records``, as `Consumer.commit` takes them."""
    offsets: dict[Partition, int] = {}
    for record in records:
        offsets[record.partition] = max(offsets.get(record.partition, 0), record.offset + 1)
    return offsets


def drain(reader: Reader) -> list[Record]:
    """Every record that is there now."""
    records: list[Record] = []
    while batch := reader.poll():
        records += batch
    return records


def latest(bus: Bus, topic: str) -> dict[str, bytes]:
    """The newest value of each key of a compacted topic."""
    tail = bus.tail([topic])
    try:
        values = {record.key: record.value for record in drain(tail)}
    finally:
        tail.close()
    return {key: value for key, value in values.items() if value}
