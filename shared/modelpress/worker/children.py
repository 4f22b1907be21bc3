"""The children of a worker: as many as run at the same time, warm and used again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelpress.worker.memory import available_bytes
from modelpress.worker.process import ChildDiedError, ChildProcess
from modelpress.worker.protocol import Reply

GROWN_BYTES = 1024**3
"""What a child may have grown by since it was warm: below that, the seconds that a new one takes cost more."""
READY_WITHIN_S = 300.0
"""A child that is not warm after so long never will be: the slowest disk reads torch in less."""


class Children:
    """At most ``limit`` children; the first is started at once, others when they are asked for.

    A child that may be damaged is replaced, and so is one that has grown since it was warm by more than a GiB and
    more than its share of a quarter of the memory. ``warm`` are the modules that each keeps imported. The first
    prints to ``log_path``, number n to the file with ``-n`` before its suffix.
    """

    def __init__(self, warm: Sequence[str], log_path: Path, limit: int) -> None:
        self._warm = warm
        self._log_path = log_path
        self._limit = limit
        self._grown_bytes = max(GROWN_BYTES, available_bytes() // 4 // limit)
        self._numbers: dict[ChildProcess, int] = {}
        self._free: list[ChildProcess] = []
        self.start()

    def __iter__(self) -> Iterator[ChildProcess]:
        return iter(tuple(self._numbers))

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def starting(self) -> int:
        """How many are not warm yet."""
        return sum(child.facts is None for child in self._numbers)

    @property
    def free(self) -> int:
        """How many are warm and have nothing to do."""
        return len(self._free)

    @property
    def facts(self) -> dict[str, Any]:
        """What the one is that `take` would give."""
        return self._free[-1].facts or {}

    @property
    def missing(self) -> int:
        """How many more there may be."""
        return self._limit - len(self._numbers)

    def start(self) -> None:
        """Start another child in the background, where there may be one more."""
        if self.missing > 0:
            number = min(set(range(1, self._limit + 1)) - set(self._numbers.values()))
            self._numbers[ChildProcess(self._warm, self._path(number))] = number

    def hear(self) -> Iterator[tuple[ChildProcess, Reply | ChildDiedError]]:
        """What each has said since, and which have ended; those are no longer among the children."""
        for child in self:
            was_warm = child.facts is not None
            try:
                replies = self._receive(child)
            except ChildDiedError as e:
                self.drop(child)
                if was_warm:
                    self._have_one()
                yield child, e
                continue
            if child.facts is not None and not was_warm:
                self._free.append(child)
            yield from ((child, reply) for reply in replies)

    def take(self) -> ChildProcess:
        """Of those that are free the one that was used last: its memory is the warmest."""
        return self._free.pop()

    def put(self, child: ChildProcess) -> None:
        """``child`` has nothing to do any more."""
        if child.rss_bytes() - child.warm_rss_bytes > self._grown_bytes:
            self.replace(child)
        else:
            self._free.append(child)

    def replace(self, child: ChildProcess) -> None:
        """End ``child``; where none is left, another starts in the background."""
        self.drop(child)
        self._have_one()

    def drop(self, child: ChildProcess) -> None:
        """End ``child``; again is fine."""
        self._numbers.pop(child, None)
        if child in self._free:
            self._free.remove(child)
        child.kill()

    def close(self) -> None:
        """End all of them; again is fine."""
        for child in self:
            self.drop(child)

    def _receive(self, child: ChildProcess) -> list[Reply]:
        replies = child.receive()
        if child.facts is None and time.monotonic() - child.started_s > READY_WITHIN_S:
            raise ChildDiedError(-signal.SIGKILL, f"it was not ready after {READY_WITHIN_S:g} s")
        return replies

    def _have_one(self) -> None:
        if not self._numbers:
            self.start()

    def _path(self, number: int) -> Path:
        path = self._log_path
        return path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
