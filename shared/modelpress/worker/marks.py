"""How far a group may be moved on while several of its commands are in flight."""

from __future__ import annotations

from modelpress.bus.ports import Partition, Record


class Marks:
    """Offsets that were read, by partition.

    Invariant: a partition's mark is never beyond a command that is in flight: who owns the partition next reads it.
    """

    def __init__(self) -> None:
        self._next: dict[Partition, int] = {}
        self._open: dict[Partition, set[int]] = {}

    def take(self, record: Record) -> bool:
        """Note that ``record`` was read; False where it was before: consumers that join anew read again."""
        partition, offset = record.partition, record.offset
        if offset < self._next.get(partition, 0):
            return False
        self._next[partition] = offset + 1
        self._open.setdefault(partition, set()).add(offset)
        return True

    def mark(self, partition: Partition, done: set[int]) -> int:
        """The offset to commit when ``done`` are done too."""
        return min(self._open[partition] - done, default=self._next[partition])

    def close(self, partition: Partition, done: set[int]) -> None:
        """``done`` were committed as such."""
        self._open[partition] -= done

    def forget(self, partition: Partition) -> None:
        """The partition is another's: if it comes back, its next owner's commit says where to go on."""
        self._next.pop(partition, None)
        self._open.pop(partition, None)
