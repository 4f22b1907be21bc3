"""The bus in memory: for tests, and for programs that keep nothing."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from modelpress.bus.doorbell import Doorbell
from modelpress.bus.groups import share_out
from modelpress.bus.ports import Message, Partition, Record, Topic
from modelpress.bus.reader import Claim, LogConsumer, LogTail, fenced
from modelpress.bus.topics import check_same, partitions_of, place, unknown

if TYPE_CHECKING:
    from modelpress.bus.ports import Bus


class MemoryBus:
    """A handle on ``log``, or on a log of its own. Threads may share it, each with readers of its own."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        self._log = log or MemoryLog()
        self._readers: set[LogTail] = set()

    def ensure(self, topics: Iterable[Topic]) -> None:
        with self._log.lock:
            for topic in topics:
                self._log.ensure(topic)

    def producer(self) -> MemoryProducer:
        return MemoryProducer(self._log)

    def consumer(self, group: str, topics: Sequence[str]) -> LogConsumer:
        with self._log.lock:
            partitions = self._log.partitions(topics)
        return LogConsumer(self._log, self._readers, topics, MemoryMembership(self._log, group, partitions))

    def tail(self, topics: Sequence[str], *, from_end: bool = False) -> LogTail:
        with self._log.lock:
            partitions = self._log.partitions(topics)
            positions = {p: self._log.strands[p].end if from_end else 0 for p in partitions}
        return LogTail(self._log, self._readers, topics, positions)

    def close(self) -> None:
        for reader in list(self._readers):
            reader.close()


class MemoryProducer:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def send(self, messages: Sequence[Message]) -> None:
        with self._log.lock:
            self._log.append(messages)


class MemoryLog:
    """What handles on one bus share. ``lock`` guards all of it: `Source`'s methods take it, the others need it held."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.strands: dict[Partition, _Strand] = {}
        self.groups: defaultdict[str, _Group] = defaultdict(_Group)
        self._topics: dict[str, Topic] = {}
        self._bells: dict[Doorbell, frozenset[str]] = {}
        self._names = itertools.count()

    def read(self, partition: Partition, offset: int, limit: int) -> list[Record]:
        with self.lock:
            return self.strands[partition].read(offset, limit)

    def hang(self, topics: Sequence[str]) -> Doorbell:
        with self.lock:
            bell = Doorbell.private(str(next(self._names)))
            self._bells[bell] = frozenset(topics)
        return bell

    def take_down(self, bell: Doorbell) -> None:
        with self.lock:
            del self._bells[bell]
            bell.close()

    def ensure(self, topic: Topic) -> None:
        check_same(self._topics.setdefault(topic.name, topic), topic)
        for partition in partitions_of([topic]):
            self.strands.setdefault(partition, _Strand(topic.compacted))

    def partitions(self, topics: Iterable[str]) -> list[Partition]:
        return partitions_of(self._topic(name) for name in topics)

    def append(self, messages: Sequence[Message]) -> None:
        places = [place(message, self._topic(message.topic)) for message in messages]
        for partition, message in zip(places, messages, strict=True):
            self.strands[partition].append(partition, message)
        written = {partition.topic for partition in places}
        for bell, topics in self._bells.items():
            if topics & written:
                bell.ring()

    def _topic(self, name: str) -> Topic:
        try:
            return self._topics[name]
        except KeyError:
            raise unknown(name, self._topics) from None


class MemoryMembership:
    """A member's side of ``group``, which shares ``partitions``."""

    def __init__(self, log: MemoryLog, group: str, partitions: Sequence[Partition]) -> None:
        self.group = group
        self._log = log
        self._partitions = partitions

    def join(self, bell: Doorbell) -> None:
        with self._log.lock:
            self._state.members[bell.name] = bell
            self._state.share(self._partitions)

    def claims(self, name: str) -> dict[Partition, Claim] | None:
        with self._log.lock:
            return self._state.claims_of(name)

    def commit(self, name: str, claims: Mapping[Partition, Claim], out: Sequence[Message]) -> None:
        with self._log.lock:
            if not self._state.holds(name, claims):
                raise fenced(self.group)
            self._log.append(out)
            self._state.claims.update(claims)

    def leave(self, name: str) -> None:
        with self._log.lock:
            if self._state.members.pop(name, None) is not None:
                self._state.share(self._partitions)

    @property
    def _state(self) -> _Group:
        return self._log.groups[self.group]


class _Group:
    """Who is a member, who owns what, and where the group is."""

    def __init__(self) -> None:
        self.members: dict[str, Doorbell] = {}
        self.owners: dict[Partition, str] = {}
        self.claims: dict[Partition, Claim] = {}

    def share(self, partitions: Sequence[Partition]) -> None:
        """Share ``partitions`` among the members, and wake them."""
        wanted = share_out(partitions, self.members, self.owners)
        for partition, owner in wanted.items():
            if self.owners.get(partition) != owner:
                epoch, offset = self.claims.get(partition, (0, 0))
                self.claims[partition] = Claim(epoch + 1, offset)
        self.owners = wanted
        for bell in self.members.values():
            bell.ring()

    def claims_of(self, name: str) -> dict[Partition, Claim] | None:
        if name not in self.members:
            return None
        return {partition: self.claims[partition] for partition, owner in self.owners.items() if owner == name}

    def holds(self, name: str, claims: Mapping[Partition, Claim]) -> bool:
        return name in self.members and all(self.claims[p].epoch == claim.epoch for p, claim in claims.items())


class _Strand:
    """The records of one partition, by offset."""

    def __init__(self, compacted: bool) -> None:
        self.end = 0
        self._records: list[Record] = []
        self._newest: dict[str, int] | None = {} if compacted else None

    def append(self, partition: Partition, message: Message) -> None:
        if self._newest is not None:
            if (older := self._newest.get(message.key)) is not None:
                del self._records[self._index(older)]
            self._newest[message.key] = self.end
        self._records.append(Record(partition, self.end, message.key, message.value))
        self.end += 1

    def read(self, offset: int, limit: int) -> list[Record]:
        first = self._index(offset)
        return self._records[first : first + limit]

    def _index(self, offset: int) -> int:
        return bisect.bisect_left(self._records, offset, key=attrgetter("offset"))


if TYPE_CHECKING:
    _: Bus = MemoryBus()
