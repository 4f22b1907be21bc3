"""The readers of the adapters here: how they wait, take turns among partitions, and belong to a group."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from modelpress.bus.doorbell import Doorbell
from modelpress.bus.ports import Message, Partition, Record, after
from modelpress.errors import BusError, FencedError

LOOK_EVERY_S = 0.2
"""A waiting reader looks so often without being woken: nothing rings when a process dies."""


class Source(Protocol):
    """A log, as its readers see it."""

    def read(self, partition: Partition, offset: int, limit: int) -> list[Record]:
        """Up to ``limit`` records from ``offset`` on."""

    def hang(self, topics: Sequence[str]) -> Doorbell:
        """A bell that rings for what is written to ``topics``."""

    def take_down(self, bell: Doorbell) -> None:
        """End what `hang` began, and close the bell."""


class Claim(NamedTuple):
    """What a member has of a partition: ``epoch`` counts the owners, ``next`` is where the group is."""

    epoch: int
    next: int


class Membership(Protocol):
    """One member's side of a group, by the name of its bell."""

    group: str

    def join(self, bell: Doorbell) -> None:
        """Become a member, rung when the shares change."""

    def claims(self, name: str) -> dict[Partition, Claim] | None:
        """What is the member's now; None when the group goes on without it."""

    def commit(self, name: str, claims: Mapping[Partition, Claim], out: Sequence[Message]) -> None:
        """Move the group to ``claims`` and append ``out``.

        Raises:
            FencedError: a claim is void; nothing was written.
        """

    def leave(self, name: str) -> None:
        """Give the member's partitions to the others."""


class LogTail:
    """Reads ``topics`` from ``positions`` on. Its bell hangs from the first time that somebody waits.

    It is one of its bus's ``readers`` until it is closed.
    """

    def __init__(
        self, source: Source, readers: set[LogTail], topics: Sequence[str], positions: dict[Partition, int]
    ) -> None:
        self._source = source
        self._readers = readers
        readers.add(self)
        self._topics = topics
        self._positions = positions
        self._bell: Doorbell | None = None
        self._closed = False

    def poll(self, timeout_s: float = 0.0, limit: int = 500) -> list[Record]:
        deadline_s = time.monotonic() + timeout_s
        while True:
            if not self._begin():
                return []
            records = self._take(limit)
            left_s = deadline_s - time.monotonic()
            if records or left_s <= 0:
                return records
            self._hung().wait(min(left_s, LOOK_EVERY_S))

    def fileno(self) -> int:
        return self._hung().fileno()

    def close(self) -> None:
        self._closed = True
        self._readers.discard(self)
        if self._bell is not None:
            self._source.take_down(self._bell)
            self._bell = None

    def _begin(self) -> bool:
        """Whether this poll may read."""
        if self._closed:
            raise BusError("a reader that was closed cannot be polled")
        # Before the read: what comes after it rings again.
        if self._bell is not None:
            self._bell.clear()
        return True

    def _take(self, limit: int) -> list[Record]:
        records: list[Record] = []
        for partition, offset in list(self._positions.items()):
            records += self._source.read(partition, offset, limit - len(records))
            if len(records) >= limit:
                self._expect_more(partition)
                break
        self._positions.update(after(records))
        return records

    def _expect_more(self, partition: Partition) -> None:
        """Be polled again, the other partitions first."""
        self._positions[partition] = self._positions.pop(partition)
        if self._bell is not None:
            self._bell.ring()

    def _hung(self) -> Doorbell:
        if self._bell is None:
            self._bell = self._source.hang(self._topics)
            # What came since the last poll rang nothing.
            self._bell.ring()
        return self._bell


class LogConsumer(LogTail):
    """A member of a group. Invariant: what was read in one epoch of its partition is committed in that one or never."""

    def __init__(self, source: Source, readers: set[LogTail], topics: Sequence[str], membership: Membership) -> None:
        super().__init__(source, readers, topics, {})
        self.membership = membership
        self._epochs: dict[Partition, int] = {}
        self._fenced = False
        self._join()

    @property
    def assigned(self) -> frozenset[Partition]:
        return frozenset(self._epochs)

    def caught_up(self) -> bool:
        return not any(self._source.read(partition, offset, 1) for partition, offset in self._positions.items())

    def commit(self, offsets: Mapping[Partition, int], out: Sequence[Message] = ()) -> None:
        try:
            if self._fenced or not offsets.keys() <= self._epochs.keys():
                raise fenced(self.membership.group)
            claims = {partition: Claim(self._epochs[partition], offset) for partition, offset in offsets.items()}
            self.membership.commit(self.name, claims, out)
        except FencedError:
            self._fenced = True
            raise

    @property
    def name(self) -> str:
        """This member's; it gets another when it has to join anew."""
        return self._hung().name

    def close(self) -> None:
        if self._bell is not None:
            self.membership.leave(self._bell.name)
        super().close()

    def _begin(self) -> bool:
        super()._begin()
        claims = self.membership.claims(self.name)
        if claims is None:
            self._join()
        whole = self._adopt({} if self._fenced or claims is None else claims)
        self._fenced = False
        return whole

    def _join(self) -> None:
        if self._bell is not None:
            self._source.take_down(self._bell)
            self._bell = None
        self.membership.join(self._hung())

    def _adopt(self, claims: Mapping[Partition, Claim]) -> bool:
        """Go on where this member is with what it keeps, and where the group is with what it gets.

        What went and came back between two polls is left out once, which the caller sees in `assigned` before it reads
        on. False where this, or the end of a membership, leaves something to be adopted by the next poll.
        """
        epochs = {partition: claim.epoch for partition, claim in claims.items()}
        if epochs == self._epochs:
            return True
        returned = {p for p, epoch in self._epochs.items() if epochs.get(p, epoch) != epoch}
        kept = {p: offset for p, offset in self._positions.items() if self._epochs[p] == epochs.get(p)}
        offsets = {p: claim.next for p, claim in claims.items() if p not in returned} | kept
        lost = not self._epochs.keys() <= offsets.keys()
        self._positions, self._epochs = offsets, {p: epochs[p] for p in offsets}
        if lost:
            self._hung().ring()
        return not lost


def fenced(group: str) -> FencedError:
    return FencedError(f"another member of the group '{group}' took over what was to be committed: poll again")
