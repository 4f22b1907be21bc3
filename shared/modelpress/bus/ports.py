"""Ports of the bus. DESIGN: log-shaped, so that Kafka fits without a second design; no acknowledgement a message.

Every adapter passes `modelpress.testing.bus.BusContract`.

Invariant: what one `Producer.send` or one `Consumer.commit` writes is in the log as a whole or not at all.
Invariant: records of one partition are read in the order in which they were written; records of one key share a
partition. Offsets only grow; they may have gaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Partition(NamedTuple):
    """One ordered part of a topic."""

    topic: str
    number: int = 0


@dataclass(frozen=True)
class Message:
    """What is sent. Messages of one ``key`` keep their order."""

    topic: str
    key: str
    value: bytes


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
        """


class Consumer(Protocol):
    """A group's place in its topics. A group has one consumer; a newer one takes over where the last commit was."""

    def poll(self, timeout_s: float = 0.0, limit: int = 500) -> list[Record]:
        """The next records, oldest first; waits up to ``timeout_s`` for the first of them."""

    def commit(self, offsets: Mapping[Partition, int], out: Sequence[Message] = ()) -> None:
        """Move the group to ``offsets`` (the next ones to read) and send ``out``: both or neither.

        Raises:
            FencedError: a newer consumer of the group took over; nothing was written.
            StoreFullError: no space is left; nothing was written.
        """

    def close(self) -> None: ...


class Tail(Protocol):
    """Reads topics from their beginning, belonging to no group: every reader sees all."""

    def poll(self, timeout_s: float = 0.0, limit: int = 500) -> list[Record]:
        """As `Consumer.poll`."""

    def close(self) -> None: ...


class Bus(Protocol):
    """One log."""

    def producer(self) -> Producer: ...

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join ``group``, in place of its consumer so far; a new group starts at the beginning of its topics."""

    def tail(self, topics: Sequence[str]) -> Tail: ...

    def close(self) -> None: ...


def after(records: Iterable[Record]) -> dict[Partition, int]:
    """The offsets that follow ``records``, as `Consumer.commit` takes them."""
    offsets: dict[Partition, int] = {}
    for record in records:
        offsets[record.partition] = max(offsets.get(record.partition, 0), record.offset + 1)
    return offsets


def drain(reader: Consumer | Tail) -> list[Record]:
    """Every record that is there now."""
    records: list[Record] = []
    while batch := reader.poll():
        records += batch
    return records
