"""Polling a reader only when there may be something to read."""

from __future__ import annotations

import math
import select

from modelpress.bus.ports import Reader, Record

POLL_EVERY_S = 1.0
"""Readers that nothing wakes are polled all the same: what a member of a group lost or won is told by `poll`."""
_BATCH = 100


class Ear:
    """``reader`` stays its owner's to close."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._due_s = -math.inf

    def listen(self, now_s: float) -> list[Record]:
        """What is new; a bound of 100 keeps each turn short."""
        if now_s < self._due_s and not select.select([self._reader], [], [], 0.0)[0]:
            return []
        records = self._reader.poll(limit=_BATCH)
        self._due_s = -math.inf if len(records) == _BATCH else now_s + POLL_EVERY_S
        return records

    def wake(self) -> None:
        """Poll at the next occasion."""
        self._due_s = -math.inf

    def due_s(self) -> float:
        """When to `listen` although the reader is not readable."""
        return self._due_s

    def fileno(self) -> int:
        return self._reader.fileno()
